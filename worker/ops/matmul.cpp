#include "worker/ops/matmul.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/base/check.h"
#include "worker/kernels/formats/format.h"
#include "worker/kernels/q8_0.h"

namespace sluice::ops {
namespace {

using kernels::kQ8Values;

// Less work than this isn't worth waking other threads for.
constexpr std::size_t kProductsInline = 32 * 1024;
// Rows of one piece: a multiple of every kernel's tile.
constexpr std::size_t kRowsLeast = 16;

void multiply_rows(const Context& context, Activations& x, const kernels::QuantizedRow& quantized,
                   const Product& product, std::size_t begin, std::size_t end) {
  const WeightMatrix& w = *product.weights;
  float* y = product.y + begin;
  if (w.type() == GgmlType::kQ8_0) {
    context.kernels.matmul_q8_0(
        {w.row(begin), end - begin, w.cols(), quantized, x.tokens(), y, product.y_stride});
    return;
  }
  const kernels::FloatMatmul task{w.row(begin), end - begin, w.cols(),        x.x(),
                                  x.tokens(),   y,           product.y_stride};
  if (w.type() == GgmlType::kF16) return context.kernels.matmul_f16(task);
  if (w.type() == GgmlType::kF32) return context.kernels.matmul_f32(task);
  // A format without a kernel of its own: row by row as floats.
  thread_local std::vector<float> row;
  row.resize(std::max(row.size(), w.cols()));
  for (std::size_t r = begin; r < end; ++r) {
    w.read_row(r, row.data());
    context.kernels.matmul_f32({row.data(), 1, w.cols(), x.x(), x.tokens(), product.y + r, product.y_stride});
  }
}

}  // namespace

bool WeightMatrix::supports(GgmlType type) {
  return kernels::find_format(type) != nullptr;
}

Result<WeightMatrix> WeightMatrix::prepare(GgmlType type, std::size_t rows, std::size_t cols,
                                           const std::byte* data) {
  if (!supports(type)) {
    return fail(ErrorCode::kInvalid, "type " + std::string(ggml_type_name(type)) +
                                         " is not supported (supported: " + kernels::format_names() + ")");
  }
  const GgmlTypeTraits& traits = ggml_type_traits(type);
  if (cols % traits.values != 0) {
    return fail(ErrorCode::kInvalid, "rows of " + std::to_string(cols) + " numbers are not whole blocks of " +
                                         std::string(traits.name));
  }
  WeightMatrix matrix;
  matrix.type_ = type;
  matrix.rows_ = rows;
  matrix.cols_ = cols;
  matrix.row_bytes_ = cols / traits.values * traits.bytes;
  matrix.data_ = data;
  return matrix;
}

void WeightMatrix::read_row(std::size_t index, float* to) const {
  kernels::find_format(type_)->dequantize(row(index), cols_, to);
}

bool WeightMatrix::finite(std::size_t begin, std::size_t end) const {
  return kernels::find_format(type_)->finite(row(begin), (end - begin) * cols_);
}

void Activations::set(const float* x, std::size_t tokens, std::size_t cols) {
  x_ = x;
  tokens_ = tokens;
  cols_ = cols;
  quantized_ = false;
}

kernels::QuantizedRow Activations::quantized(const Context& context) {
  const std::size_t blocks = cols_ / kQ8Values;
  if (!quantized_) {
    values_.resize(std::max(values_.size(), tokens_ * cols_));
    scales_.resize(std::max(scales_.size(), tokens_ * blocks));
    biases_.resize(std::max(biases_.size(), tokens_ * blocks));
    const std::size_t least = std::max<std::size_t>(1, kProductsInline / cols_);
    context.pool.parallel_for(tokens_, context.pool.grain_for(tokens_, least),
                              [&](std::size_t begin, std::size_t end, std::size_t) {
                                for (std::size_t t = begin; t < end; ++t) {
                                  context.kernels.quantize_row(x_ + t * cols_, cols_, &values_[t * cols_],
                                                               &scales_[t * blocks], &biases_[t * blocks]);
                                }
                              });
    quantized_ = true;
  }
  return {values_.data(), scales_.data(), biases_.data()};
}

void matmul(const Context& context, Activations& x, std::span<const Product> products) {
  std::size_t rows = 0;
  kernels::QuantizedRow quantized;
  for (const Product& product : products) {
    SLUICE_CHECK(product.weights->cols() == x.cols());
    rows += product.weights->rows();
    if (product.weights->type() == GgmlType::kQ8_0) quantized = x.quantized(context);
  }
  // The rows of all products in one sequence; a piece may span the border between two.
  const auto multiply = [&](std::size_t begin, std::size_t end, std::size_t) {
    for (const Product& product : products) {
      const std::size_t own = product.weights->rows();
      if (begin < own) {
        const std::size_t last = std::min(end, own);
        multiply_rows(context, x, quantized, product, begin, last);
        begin = last;
      }
      if (end <= own) return;
      begin -= own;
      end -= own;
    }
  };
  const bool small = rows * x.cols() * x.tokens() <= kProductsInline;
  const std::size_t grain =
      (context.pool.grain_for(rows, kRowsLeast) + kRowsLeast - 1) / kRowsLeast * kRowsLeast;
  context.pool.parallel_for(rows, small ? rows : grain, multiply);
}

}  // namespace sluice::ops
