// Weights times activations, whatever type the weights have.
//
// A WeightMatrix is immutable and safe for concurrent use. An Activations belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/result.h"
#include "common/text/ggml_type.h"
#include "worker/ops/context.h"

namespace sluice::ops {

// A matrix in the layout that the kernels read. It borrows the file's bytes, which must outlive it; a type
// that is better repacked would own its copy here, with nothing else to change.
class WeightMatrix {
 public:
  WeightMatrix() = default;
  // `data` holds `rows` rows of `cols` numbers. kInvalid: no kernel for the type (the message names it), or
  // `cols` isn't a whole number of its blocks.
  static Result<WeightMatrix> prepare(GgmlType type, std::size_t rows, std::size_t cols,
                                      const std::byte* data);
  static bool supports(GgmlType type);

  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  GgmlType type() const { return type_; }
  const std::byte* row(std::size_t index) const { return data_ + index * row_bytes_; }

  // Writes one row as floats.
  void read_row(std::size_t index, float* to) const;
  // Whether every number (in formats of blocks: every scale and minimum) is finite; over rows [begin, end).
  bool finite(std::size_t begin, std::size_t end) const;

 private:
  GgmlType type_ = GgmlType::kF32;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t row_bytes_ = 0;
  const std::byte* data_ = nullptr;
};

// Rows of activations on their way into one or more products. The int8 form is made when the first weights
// need it, and made once.
class Activations {
 public:
  // Borrows `tokens` rows of `cols` floats; they must stay as they are until the next set().
  void set(const float* x, std::size_t tokens, std::size_t cols);

  const float* x() const { return x_; }
  std::size_t tokens() const { return tokens_; }
  std::size_t cols() const { return cols_; }
  kernels::QuantizedRow quantized(const Context& context);

 private:
  const float* x_ = nullptr;
  std::size_t tokens_ = 0;
  std::size_t cols_ = 0;
  bool quantized_ = false;
  std::vector<std::int8_t> values_;
  std::vector<float> scales_;
  std::vector<std::int32_t> biases_;
};

struct Product {
  const WeightMatrix* weights = nullptr;
  float* y = nullptr;  // tokens rows, `y_stride` floats apart.
  std::size_t y_stride = 0;
};

// y[t][r] = Σ_k weights[r][k] · x[t][k] for each product, all in one go: their columns must equal x's.
void matmul(const Context& context, Activations& x, std::span<const Product> products);

}  // namespace sluice::ops
