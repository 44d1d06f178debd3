// Weights times activations, whatever type the weights have.
//
// A WeightMatrix is immutable and safe for concurrent use. An Activations belongs to one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "common/base/result.h"
#include "common/text/ggml_type.h"
#include "worker/ops/context.h"
#include "worker/ops/lines.h"
#include "worker/ops/packed_memory.h"

namespace sluice::ops {

// A matrix to multiply by, or to read rows of. Copies are cheap and stand for the same memory.
class WeightMatrix {
 public:
  WeightMatrix() = default;
  // As it lies in the file: `data` holds `rows` rows of `cols` numbers, borrowed. Good for reading rows; a
  // product with a format of blocks turns every row into floats each time. kInvalid: the engine doesn't know
  // the type (the message names it), or `cols` isn't a whole number of its blocks.
  static Result<WeightMatrix> prepare(GgmlType type, std::size_t rows, std::size_t cols,
                                      const std::byte* data);
  // For products: formats of blocks are copied into `memory` in the layout that the kernels read (see
  // worker/kernels/packed_layout.h), so `data` isn't needed afterwards; formats of single numbers stay
  // borrowed. As prepare(); kCorrupt: a number or a scale isn't finite; kExhausted: no memory.
  static Result<WeightMatrix> pack(const Context& context, GgmlType type, std::size_t rows, std::size_t cols,
                                   const std::byte* data, const std::shared_ptr<PackedMemory>& memory);
  static bool supports(GgmlType type);

  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  GgmlType type() const { return type_; }
  bool packed() const { return packed_.has_value(); }
  kernels::PackedType packed_type() const { return *packed_; }
  // Where a row begins; of a packed matrix, where its panel begins.
  const std::byte* row(std::size_t index) const {
    return data_ + (packed() ? index / kernels::kPanelRows : index) * row_bytes_;
  }

  // Writes one row as floats.
  void read_row(std::size_t index, float* to) const;
  // Whether every number (in formats of blocks: every scale and minimum) is finite; over rows [begin, end).
  // Not for packed matrices, which are.
  bool finite(std::size_t begin, std::size_t end) const;
  // kCorrupt unless all of them are; over all threads.
  Status check_finite(const Context& context) const;

 private:
  GgmlType type_ = GgmlType::kF32;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t row_bytes_ = 0;  // Of a packed matrix: bytes of a panel.
  const std::byte* data_ = nullptr;
  std::optional<kernels::PackedType> packed_;
  std::shared_ptr<PackedMemory> memory_;
};

// Rows of activations on their way into one or more products. The int8 form is made when the first weights
// need it, and made once; so is each kind of sums.
class Activations {
 public:
  // Borrows `tokens` rows of `cols` floats; they must stay as they are until the next set().
  void set(const float* x, std::size_t tokens, std::size_t cols);

  const float* x() const { return x_; }
  std::size_t tokens() const { return tokens_; }
  std::size_t cols() const { return cols_; }
  // For weights of `type`.
  kernels::QuantizedTokens quantized(const Context& context, kernels::PackedType type);

 private:
  struct Piece {
    std::size_t token;  // The first of a tile.
    std::size_t tokens;
    std::size_t group;
    std::size_t groups;
  };
  template <class Body>
  void for_pieces(const Context& context, const Body& body) const;

  const float* x_ = nullptr;
  std::size_t tokens_ = 0;
  std::size_t cols_ = 0;
  bool quantized_ = false;
  std::array<bool, kernels::kTokenSums> summed_{};
  LineVector<std::int8_t> values_;
  LineVector<float> scales_;
  std::array<LineVector<std::uint32_t>, kernels::kTokenSums> sums_;  // Floats or signed integers.
};

struct Product {
  const WeightMatrix* weights = nullptr;
  float* y = nullptr;  // tokens rows, `y_stride` floats apart.
  std::size_t y_stride = 0;
};

// y[t][r] = Σ_k weights[r][k] · x[t][k] for each product, all in one go: their columns must equal x's.
void matmul(const Context& context, Activations& x, std::span<const Product> products);

}  // namespace sluice::ops
