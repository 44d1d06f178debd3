#include <cmath>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "common/text/gguf.h"
#include "common/text/gguf_writer.h"
#include "worker/engine_cli/commands.h"
#include "worker/kernels/half.h"
#include "worker/kernels/q8_0.h"

namespace sluice::engine_cli {
namespace {

constexpr std::uint32_t kFileTypeQ8_0 = 7;         // general.file_type of a file that is mostly Q8_0.
constexpr std::uint32_t kQuantizationVersion = 2;  // Of the block layouts.

struct Sizes {
  std::uint64_t bytes_before = 0;
  std::uint64_t bytes_after = 0;
};

// Matrices whose rows are whole blocks become Q8_0; vectors (norms, biases) stay as they are.
bool is_quantized(const GgufTensor& tensor) {
  const bool number = tensor.type == GgmlType::kF32 || tensor.type == GgmlType::kF16;
  return number && tensor.dims == 2 && tensor.ne[1] > 1 && tensor.ne[0] % kernels::kQ8Values == 0;
}

void read_floats(const GgufTensor& tensor, std::uint64_t row, std::vector<float>& to) {
  const std::size_t n = tensor.ne[0];
  if (tensor.type == GgmlType::kF32) {
    std::memcpy(to.data(), tensor.data + row * n * sizeof(float), n * sizeof(float));
    return;
  }
  for (std::size_t i = 0; i < n; ++i) {
    std::uint16_t half;
    std::memcpy(&half, tensor.data + (row * n + i) * sizeof half, sizeof half);
    to[i] = kernels::half_to_float(half);
  }
}

// `after` is the size of one row in the new file.
Status write_quantized(const GgufTensor& tensor, GgufWriter& writer) {
  const std::size_t n = tensor.ne[0];
  std::vector<float> row(n);
  std::vector<kernels::BlockQ8_0> blocks(n / kernels::kQ8Values);
  for (std::uint64_t r = 0; r < tensor.rows(); ++r) {
    read_floats(tensor, r, row);
    for (const float value : row) {
      if (!std::isfinite(value)) {
        return fail(ErrorCode::kCorrupt,
                    "tensor " + std::string(tensor.name) + " holds numbers that are not finite");
      }
    }
    kernels::quantize_q8_0(row.data(), n, blocks.data());
    SLUICE_TRY(writer.append(std::as_bytes(std::span(blocks))));
  }
  return {};
}

Status write_all(const GgufFile& file, const std::string& to, Sizes& sizes) {
  GgufWriter writer;
  writer.copy_metadata(file);
  SLUICE_TRY(writer.set_u32("general.file_type", kFileTypeQ8_0));
  SLUICE_TRY(writer.set_u32("general.quantization_version", kQuantizationVersion));
  for (const GgufTensor& tensor : file.tensors()) {
    const GgmlType type = is_quantized(tensor) ? GgmlType::kQ8_0 : tensor.type;
    sizes.bytes_before += tensor.bytes;
    sizes.bytes_after += ggml_row_bytes(type, tensor.ne[0]) * tensor.rows();
    SLUICE_TRY(writer.add_tensor(tensor.name, type,
                                 std::span(tensor.ne).first(static_cast<std::size_t>(tensor.dims))));
  }
  SLUICE_TRY(writer.begin(to));
  for (const GgufTensor& tensor : file.tensors()) {
    SLUICE_TRY(is_quantized(tensor) ? write_quantized(tensor, writer) : writer.append(tensor.view()));
  }
  return writer.finish();
}

}  // namespace

int quantize(const QuantizeOptions& options, bool json, const Io& io) {
  if (ggml_type_by_name(options.type) != GgmlType::kQ8_0) {
    return report({ErrorCode::kInvalid, "type '" + options.type + "' is not supported (supported: Q8_0)"},
                  io);
  }
  const auto file = GgufFile::open(options.from);
  if (!file) return report(file.error(), io);
  std::error_code ignored;
  if (std::filesystem::equivalent(options.from, options.to, ignored)) {
    return report({ErrorCode::kInvalid, "the file to write is the file to read"}, io);
  }
  Sizes sizes;
  if (const Status written = write_all(*file, options.to, sizes); !written) {
    return report({written.error().code, options.to + ": " + written.error().message}, io);
  }
  if (json) {
    io.out << nlohmann::ordered_json{{"path", options.to},
                                     {"type", "Q8_0"},
                                     {"tensor_bytes_before", sizes.bytes_before},
                                     {"tensor_bytes_after", sizes.bytes_after}}
                  .dump()
           << "\n";
  } else {
    io.out << options.to << ": " << sizes.bytes_before << " bytes of tensors became " << sizes.bytes_after
           << "\n";
  }
  return 0;
}

}  // namespace sluice::engine_cli
