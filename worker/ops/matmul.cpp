#include "worker/ops/matmul.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "common/base/check.h"
#include "worker/kernels/formats/format.h"
#include "worker/kernels/packed.h"

namespace sluice::ops {
namespace {

using kernels::kGroupValues;
using kernels::kPanelRows;
using kernels::kTileTokens;

// Less work than this isn't worth waking other threads for.
constexpr std::size_t kProductsInline = 32 * 1024;
// The same for numbers that are quantised.
constexpr std::size_t kNumbersInline = 16 * 1024;
constexpr std::size_t kNumbersOfAPiece = 4 * 1024;
// More than this is too much to wait for when another process has taken the core of the thread that does it:
// some hundreds of microseconds.
constexpr std::size_t kProductsOfAPiece = std::size_t{64} << 20;
// Panels of one piece: a multiple of what kernels take together.
constexpr std::size_t kPanelsLeast = 2;

std::optional<kernels::PackedType> packed_type_of(GgmlType type) {
  switch (type) {
    case GgmlType::kQ8_0:
      return kernels::PackedType::kQ8_0;
    case GgmlType::kQ4_0:
      return kernels::PackedType::kQ4_0;
    case GgmlType::kQ4_1:
      return kernels::PackedType::kQ4_1;
    case GgmlType::kQ5_0:
      return kernels::PackedType::kQ5_0;
    case GgmlType::kQ5_1:
      return kernels::PackedType::kQ5_1;
    case GgmlType::kQ2_K:
      return kernels::PackedType::kQ2_K;
    case GgmlType::kQ3_K:
      return kernels::PackedType::kQ3_K;
    case GgmlType::kQ4_K:
      return kernels::PackedType::kQ4_K;
    case GgmlType::kQ5_K:
      return kernels::PackedType::kQ5_K;
    case GgmlType::kQ6_K:
      return kernels::PackedType::kQ6_K;
    default:
      return std::nullopt;
  }
}

std::size_t panels_of(std::size_t rows) {
  return (rows + kPanelRows - 1) / kPanelRows;
}

tl::unexpected<Error> not_finite() {
  return fail(ErrorCode::kCorrupt, "holds numbers that are not finite");
}

void multiply_rows(const Context& context, Activations& x, const kernels::QuantizedTokens& quantized,
                   const Product& product, std::size_t begin, std::size_t end) {
  const WeightMatrix& w = *product.weights;
  float* y = product.y + begin;
  if (w.packed()) {
    const auto multiply = context.kernels.matmul_packed[static_cast<std::size_t>(w.packed_type())];
    return multiply({w.row(begin), end - begin, w.cols(), quantized, y, product.y_stride});
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

Result<WeightMatrix> WeightMatrix::pack(const Context& context, GgmlType type, std::size_t rows,
                                        std::size_t cols, const std::byte* data,
                                        const std::shared_ptr<PackedMemory>& memory) {
  SLUICE_ASSIGN(WeightMatrix matrix, prepare(type, rows, cols, data));
  const std::optional<kernels::PackedType> packed = packed_type_of(type);
  if (!packed) {
    SLUICE_TRY(matrix.check_finite(context));
    return matrix;
  }
  const std::size_t file_row_bytes = matrix.row_bytes_;
  const std::size_t panel_bytes = kernels::panel_bytes(*packed, cols);
  std::byte* const to = memory->allocate(panel_bytes * panels_of(rows));
  if (to == nullptr) return fail(ErrorCode::kExhausted, "no memory for the packed matrix");
  std::atomic<bool> finite{true};
  const auto pack_panels = [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t panel = begin; panel < end; ++panel) {
      const std::size_t first = panel * kPanelRows;
      if (!kernels::pack_panel(*packed, data + first * file_row_bytes, std::min(kPanelRows, rows - first),
                               cols, to + panel * panel_bytes)) {
        finite.store(false, std::memory_order_relaxed);
      }
    }
  };
  context.pool.parallel_for(panels_of(rows), context.pool.grain_for(panels_of(rows), 1), pack_panels);
  if (!finite) return not_finite();
  matrix.row_bytes_ = panel_bytes;
  matrix.data_ = to;
  matrix.packed_ = packed;
  matrix.memory_ = memory;
  return matrix;
}

void WeightMatrix::read_row(std::size_t index, float* to) const {
  if (packed()) {
    kernels::unpack_row(*packed_, row(index), index % kPanelRows, cols_, to);
  } else {
    kernels::find_format(type_)->dequantize(row(index), cols_, to);
  }
}

bool WeightMatrix::finite(std::size_t begin, std::size_t end) const {
  SLUICE_CHECK(!packed());
  return kernels::find_format(type_)->finite(row(begin), (end - begin) * cols_);
}

Status WeightMatrix::check_finite(const Context& context) const {
  std::atomic<bool> all{true};
  // Pieces of about 256 KB.
  const std::size_t grain = std::max<std::size_t>(1, (256 * 1024) / std::max<std::size_t>(1, row_bytes_));
  context.pool.parallel_for(rows_, grain, [&](std::size_t begin, std::size_t end, std::size_t) {
    if (!finite(begin, end)) all.store(false, std::memory_order_relaxed);
  });
  if (!all) return not_finite();
  return {};
}

void Activations::set(const float* x, std::size_t tokens, std::size_t cols) {
  x_ = x;
  tokens_ = tokens;
  cols_ = cols;
  quantized_ = false;
  summed_ = {};
}

// Calls body(piece) for pieces that together are all tokens and groups: a tile, or a stretch of its groups
// where the tiles are few.
template <class Body>
void Activations::for_pieces(const Context& context, const Body& body) const {
  const std::size_t groups = cols_ / kGroupValues;
  const std::size_t tiles = (tokens_ + kTileTokens - 1) / kTileTokens;
  const std::size_t tile_tokens = std::min(tokens_, kTileTokens);
  const std::size_t wanted = tokens_ * cols_ <= kNumbersInline ? kNumbersInline : kNumbersOfAPiece;
  const std::size_t least = std::max<std::size_t>(1, wanted / (tile_tokens * kGroupValues));
  const std::size_t fair = (groups * tiles + context.pool.threads() - 1) / context.pool.threads();
  const std::size_t stretch = std::min(groups, std::max(least, fair));
  const std::size_t stretches = (groups + stretch - 1) / stretch;
  context.pool.parallel_for(tiles * stretches, 1, [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t item = begin; item < end; ++item) {
      const std::size_t token = item / stretches * kTileTokens;
      const std::size_t group = item % stretches * stretch;
      body(Piece{token, std::min(kTileTokens, tokens_ - token), group, std::min(stretch, groups - group)});
    }
  });
}

kernels::QuantizedTokens Activations::quantized(const Context& context, kernels::PackedType type) {
  const std::size_t groups = cols_ / kGroupValues;
  // Where a piece's groups begin, counted in groups of tokens.
  const auto begin_of = [groups](const Piece& piece) {
    return piece.token * groups + piece.group * piece.tokens;
  };
  const kernels::TokenSums kind = kernels::token_sums(type);
  const std::size_t index = static_cast<std::size_t>(kind);
  LineVector<std::uint32_t>& sums = sums_[index];
  if (!quantized_ || !summed_[index]) {
    const bool halves = kind == kernels::TokenSums::kHalfBiases || kind == kernels::TokenSums::kHalfFloats;
    const std::size_t parts = halves ? 2 : 1;
    values_.resize(std::max(values_.size(), tokens_ * cols_));
    scales_.resize(std::max(scales_.size(), tokens_ * groups));
    sums.resize(std::max(sums.size(), tokens_ * groups * parts));
    for_pieces(context, [&](const Piece& piece) {
      const std::size_t from = begin_of(piece);
      for (std::size_t t = 0; !quantized_ && t < piece.tokens; ++t) {
        context.kernels.quantize_token(x_ + (piece.token + t) * cols_ + piece.group * kGroupValues,
                                       piece.groups * kGroupValues, piece.tokens,
                                       &values_[(from + t) * kGroupValues], &scales_[from + t]);
      }
      context.kernels.sum_tokens(kind, &values_[from * kGroupValues], &scales_[from], piece.groups,
                                 piece.tokens, &sums[from * parts]);
    });
    quantized_ = true;
    summed_[index] = true;
  }
  return {values_.data(), scales_.data(), sums.data(), tokens_};
}

void matmul(const Context& context, Activations& x, std::span<const Product> products) {
  constexpr std::size_t kProductsMax = 8;
  SLUICE_CHECK(products.size() <= kProductsMax);
  std::array<kernels::QuantizedTokens, kProductsMax> quantized;
  std::size_t panels = 0;
  for (std::size_t i = 0; i < products.size(); ++i) {
    const WeightMatrix& weights = *products[i].weights;
    SLUICE_CHECK(weights.cols() == x.cols());
    panels += panels_of(weights.rows());
    if (weights.packed()) quantized[i] = x.quantized(context, weights.packed_type());
  }
  // The panels of all products in one sequence; a piece may span the border between two.
  const auto multiply = [&](std::size_t begin, std::size_t end, std::size_t) {
    for (std::size_t i = 0; i < products.size(); ++i) {
      const Product& product = products[i];
      const std::size_t own = panels_of(product.weights->rows());
      if (begin < own) {
        const std::size_t last = std::min(end, own);
        multiply_rows(context, x, quantized[i], product, begin * kPanelRows,
                      std::min(last * kPanelRows, product.weights->rows()));
        begin = last;
      }
      if (end <= own) return;
      begin -= own;
      end -= own;
    }
  };
  const std::size_t products_of_a_panel = kPanelRows * x.cols() * x.tokens();
  const bool small = panels * products_of_a_panel <= kProductsInline;
  const std::size_t fair = context.pool.grain_for(panels, kPanelsLeast);
  const std::size_t short_enough =
      std::max(kPanelsLeast, kProductsOfAPiece / std::max<std::size_t>(1, products_of_a_panel));
  const std::size_t grain = (std::min(fair, short_enough) + kPanelsLeast - 1) / kPanelsLeast * kPanelsLeast;
  context.pool.parallel_for(panels, small ? panels : grain, multiply);
}

}  // namespace sluice::ops
