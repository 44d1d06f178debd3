#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <ostream>

#include "common/text/gguf.h"
#include "common/text/gguf_writer.h"
#include "worker/engine_cli/calibrate.h"
#include "worker/engine_cli/commands.h"
#include "worker/engine_cli/quantize_plan.h"
#include "worker/kernels/formats/format.h"
#include "worker/ops/thread_pool.h"

namespace sluice::engine_cli {
namespace {

constexpr std::uint32_t kQuantizationVersion = 2;      // Of the block layouts.
constexpr std::size_t kChunkValues = 4 * 1024 * 1024;  // Converted between two writes.
// Columns that calibration hardly saw still matter a little: prompts to come may use them.
constexpr float kImportanceLeast = 0.01F;

struct Sizes {
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  std::map<std::string, std::uint64_t> after_by_type;
};

class Quantizer {
 public:
  Quantizer(const GgufFile& file, Plan plan, Importance importance, std::size_t threads, const Io& io)
      : file_(file), plan_(std::move(plan)), importance_(std::move(importance)), pool_(threads), io_(io) {}

  Status write(const std::string& to) {
    GgufWriter writer;
    writer.copy_metadata(file_);
    SLUICE_TRY(writer.set_u32("general.file_type", plan_.file_type));
    SLUICE_TRY(writer.set_u32("general.quantization_version", kQuantizationVersion));
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < plan_.types.size(); ++i) {
      const GgufTensor& tensor = file_.tensors()[i];
      SLUICE_TRY(writer.add_tensor(tensor.name, plan_.types[i],
                                   std::span(tensor.ne).first(static_cast<std::size_t>(tensor.dims))));
      total += tensor.bytes;
    }
    SLUICE_TRY(writer.begin(to));
    for (std::size_t i = 0; i < plan_.types.size(); ++i) {
      const GgufTensor& tensor = file_.tensors()[i];
      const std::uint64_t bytes = ggml_row_bytes(plan_.types[i], tensor.ne[0]) * tensor.rows();
      SLUICE_TRY(plan_.types[i] == tensor.type ? writer.append(tensor.view())
                                               : convert(tensor, plan_.types[i], writer));
      sizes_.before += tensor.bytes;
      sizes_.after += bytes;
      sizes_.after_by_type[std::string(ggml_type_name(plan_.types[i]))] += bytes;
      if (io_.err_is_terminal) {
        io_.err << "\rquantising: " << 100 * sizes_.before / std::max<std::uint64_t>(1, total) << " %"
                << std::flush;
      }
    }
    if (io_.err_is_terminal) io_.err << "\r\n";
    return writer.finish();
  }

  const Sizes& sizes() const { return sizes_; }

 private:
  Status convert(const GgufTensor& tensor, GgmlType type, GgufWriter& writer) {
    const kernels::Format* from = kernels::find_format(tensor.type);
    const kernels::Format* to = kernels::find_format(type);
    if (from == nullptr) {
      return fail(ErrorCode::kInvalid, "tensor " + std::string(tensor.name) + ": type " +
                                           std::string(ggml_type_name(tensor.type)) + " is not supported");
    }
    const std::size_t cols = tensor.ne[0];
    const std::size_t from_bytes = ggml_row_bytes(tensor.type, cols);
    const std::size_t to_bytes = ggml_row_bytes(type, cols);
    SLUICE_ASSIGN(const std::vector<float> importance, importance_of(tensor));
    const std::size_t rows_each = std::max<std::size_t>(1, kChunkValues / cols);
    std::vector<std::byte> chunk;
    std::vector<std::vector<float>> rows(pool_.threads(), std::vector<float>(cols));
    for (std::size_t first = 0; first < tensor.rows(); first += rows_each) {
      const std::size_t count = std::min<std::size_t>(rows_each, tensor.rows() - first);
      chunk.resize(count * to_bytes);
      std::atomic<bool> finite{true};
      std::atomic<bool> fits{true};
      pool_.parallel_for(count, pool_.grain_for(count, 1),
                         [&](std::size_t begin, std::size_t end, std::size_t thread) {
                           for (std::size_t r = begin; r < end; ++r) {
                             const std::byte* source = tensor.data + (first + r) * from_bytes;
                             std::byte* target = &chunk[r * to_bytes];
                             if (!from->finite(source, cols)) finite = false;
                             if (!finite) return;
                             from->dequantize(source, cols, rows[thread].data());
                             to->quantize(rows[thread].data(), cols,
                                          importance.empty() ? nullptr : importance.data(), target);
                             if (!to->finite(target, cols)) fits = false;
                           }
                         });
      if (!finite) {
        return fail(ErrorCode::kCorrupt,
                    "tensor " + std::string(tensor.name) + " holds numbers that are not finite");
      }
      if (!fits) {
        return fail(ErrorCode::kInvalid, "tensor " + std::string(tensor.name) +
                                             " holds numbers too large for " +
                                             std::string(ggml_type_name(type)));
      }
      SLUICE_TRY(writer.append(chunk));
    }
    return {};
  }

  Result<std::vector<float>> importance_of(const GgufTensor& tensor) const {
    const auto found = importance_.find(tensor.name);
    if (found == importance_.end()) return std::vector<float>{};
    std::vector<float> importance = found->second;
    double sum = 0.0;
    for (const float one : importance) sum += one;
    if (importance.size() != tensor.ne[0] || !std::isfinite(sum)) {
      return fail(ErrorCode::kCorrupt, "calibration of tensor " + std::string(tensor.name) + " failed");
    }
    const auto mean = static_cast<float>(sum / static_cast<double>(importance.size()));
    if (!(mean > 0.0F)) return std::vector<float>{};
    for (float& one : importance) one = one / mean + kImportanceLeast;
    return importance;
  }

  const GgufFile& file_;
  const Plan plan_;
  const Importance importance_;
  ops::ThreadPool pool_;
  const Io& io_;
  Sizes sizes_;
};

Result<Importance> importance_for(const QuantizeOptions& options, const Io& io) {
  if (options.calibrate.empty()) return Importance{};
  ModelOptions model_options;
  model_options.path = options.from;
  model_options.threads = options.threads;
  SLUICE_ASSIGN(const auto model, LoadedModel::load(model_options));
  return calibrate(*model, options.calibrate, options.calibrate_tokens, io);
}

Result<Sizes> run(const QuantizeOptions& options, GgmlType type, const Io& io) {
  SLUICE_ASSIGN(const GgufFile file, GgufFile::open(options.from));
  std::error_code ignored;
  if (std::filesystem::equivalent(options.from, options.to, ignored)) {
    return fail(ErrorCode::kInvalid, "the file to write is the file to read");
  }
  auto plan = plan_types(file, {type, options.pure, options.requantize});
  if (!plan) return fail(plan.error().code, options.from + ": " + plan.error().message);
  SLUICE_ASSIGN(Importance importance, importance_for(options, io));
  Quantizer quantizer(file, std::move(*plan), std::move(importance), options.threads, io);
  if (const Status written = quantizer.write(options.to); !written) {
    return fail(written.error().code, options.to + ": " + written.error().message);
  }
  return quantizer.sizes();
}

}  // namespace

int quantize(const QuantizeOptions& options, bool json, const Io& io) {
  const auto type = ggml_type_by_name(options.type);
  if (!type || kernels::find_format(*type) == nullptr) {
    return report({ErrorCode::kInvalid, "type '" + options.type + "' is not supported (supported: " +
                                            kernels::format_names() + ")"},
                  io);
  }
  const auto sizes = run(options, *type, io);
  if (!sizes) return report(sizes.error(), io);
  if (json) {
    io.out << nlohmann::ordered_json{{"path", options.to},
                                     {"type", ggml_type_name(*type)},
                                     {"pure", options.pure},
                                     {"calibrated", !options.calibrate.empty()},
                                     {"tensor_bytes_before", sizes->before},
                                     {"tensor_bytes_after", sizes->after},
                                     {"tensor_bytes_by_type", sizes->after_by_type}}
                  .dump()
           << "\n";
  } else {
    io.out << options.to << ": " << sizes->before << " bytes of tensors became " << sizes->after << "\n";
  }
  return 0;
}

}  // namespace sluice::engine_cli
