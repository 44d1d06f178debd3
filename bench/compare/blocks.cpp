// Our blocks against ggml's, through its shared library: whether both read the same numbers, bit for bit, out
// of random blocks of every format, and how much of random numbers each loses when it writes them, alike and
// weighed by columns.
//
//   sluice-bench-blocks …/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so
//
// Exit code 1: a number differs.
#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "worker/kernels/formats/format.h"

namespace {

using namespace sluice;

using Dequantize = void (*)(const void* from, float* to, std::int64_t values);
// type, from, to, first value, rows, columns, importance of the columns or null
using Quantize = std::size_t (*)(int, const float*, void*, std::int64_t, std::int64_t, std::int64_t,
                                 const float*);

constexpr std::size_t kCols = 2048;
constexpr std::size_t kRows = 256;
constexpr std::size_t kValues = kRows * kCols;

struct Close {
  void operator()(void* library) const { dlclose(library); }
};

struct Weighed {
  std::vector<float> x;
  std::vector<float> importance;  // Of a column.

  // Root of the mean squared error over that of the numbers themselves.
  double loss(const kernels::Format& format, const std::vector<std::byte>& blocks, bool weighed) const {
    std::vector<float> back(kValues);
    format.dequantize(blocks.data(), kValues, back.data());
    double lost = 0.0;
    double size = 0.0;
    for (std::size_t i = 0; i < kValues; ++i) {
      const double weight = weighed ? importance[i % kCols] : 1.0;
      lost += weight * (x[i] - static_cast<double>(back[i])) * (x[i] - static_cast<double>(back[i]));
      size += weight * static_cast<double>(x[i]) * x[i];
    }
    return std::sqrt(lost / size);
  }
};

// ggml writes the K of its names large and everything else small.
std::string ggml_name(GgmlType type) {
  std::string name(ggml_type_name(type));
  name[0] = 'q';
  return name;
}

std::size_t different_numbers(const kernels::Format& format, Dequantize theirs, std::mt19937& random) {
  std::vector<std::byte> blocks(ggml_row_bytes(format.type, kValues));
  for (std::byte& byte : blocks) byte = static_cast<std::byte>(random());
  std::vector<float> a(kValues);
  std::vector<float> b(kValues);
  format.dequantize(blocks.data(), kValues, a.data());
  theirs(blocks.data(), b.data(), static_cast<std::int64_t>(kValues));
  std::size_t different = 0;
  for (std::size_t i = 0; i < kValues; ++i) {
    const bool both_nan = std::isnan(a[i]) && std::isnan(b[i]);
    different += both_nan || std::memcmp(&a[i], &b[i], sizeof(float)) == 0 ? 0 : 1;
  }
  return different;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s libggml-base.so\n", argv[0]);
    return 2;
  }
  const std::unique_ptr<void, Close> library(dlopen(argv[1], RTLD_NOW));
  if (!library) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  const auto quantize = reinterpret_cast<Quantize>(dlsym(library.get(), "ggml_quantize_chunk"));
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  Weighed numbers{std::vector<float>(kValues), std::vector<float>(kCols)};
  for (float& value : numbers.x) value = 0.02F * normal(random);
  for (float& value : numbers.importance) value = std::exp(normal(random));
  std::vector<float> each(kValues);
  for (std::size_t i = 0; i < kValues; ++i) each[i] = numbers.importance[i % kCols];

  int code = 0;
  std::printf("%-6s %9s   %-26s   %-26s\n", "format", "different", "loss: ours theirs ratio",
              "weighed: ours theirs ratio");
  for (const kernels::Format& format : kernels::formats()) {
    if (ggml_type_traits(format.type).values == 1) continue;
    const auto dequantize = reinterpret_cast<Dequantize>(
        dlsym(library.get(), ("dequantize_row_" + ggml_name(format.type)).c_str()));
    if (dequantize == nullptr || quantize == nullptr) {
      std::fprintf(stderr, "%s: has no %s\n", argv[1], ggml_name(format.type).c_str());
      return 2;
    }
    const std::size_t different = different_numbers(format, dequantize, random);
    if (different > 0) code = 1;
    std::vector<std::byte> blocks(ggml_row_bytes(format.type, kValues));
    double losses[2][2];
    for (const bool weighed : {false, true}) {
      format.quantize(numbers.x.data(), kValues, weighed ? each.data() : nullptr, blocks.data());
      losses[weighed][0] = numbers.loss(format, blocks, weighed);
      quantize(static_cast<int>(format.type), numbers.x.data(), blocks.data(), 0,
               static_cast<std::int64_t>(kRows), static_cast<std::int64_t>(kCols),
               weighed ? numbers.importance.data() : nullptr);
      losses[weighed][1] = numbers.loss(format, blocks, weighed);
    }
    std::printf("%-6s %9zu   %.5f %.5f %.3f      %.5f %.5f %.3f\n", ggml_name(format.type).c_str(), different,
                losses[0][0], losses[0][1], losses[0][0] / losses[0][1], losses[1][0], losses[1][1],
                losses[1][0] / losses[1][1]);
  }
  return code;
}
