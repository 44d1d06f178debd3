#include "worker/engine_cli/roofline.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <vector>

#include "worker/ops/matmul.h"

namespace sluice::engine_cli {
namespace {

constexpr int kTries = 3;  // The best counts: anything else on the machine only slows down.
constexpr std::size_t kReadWords = std::size_t{32} << 20;
constexpr std::size_t kReadWordsOfAPiece = std::size_t{1} << 18;
constexpr double kSecondsOfATry = 0.08;

template <class Body>
double seconds_of(Clock& clock, const Body& body) {
  const SteadyTime since = clock.steady_now();
  body();
  return std::max(std::chrono::duration<double>(clock.steady_now() - since).count(), 1e-9);
}

double peak(const ops::Context& context, Clock& clock, double (*compute)(std::size_t)) {
  // Rounds of one piece: about a millisecond.
  std::size_t rounds = 64;
  while (rounds < (std::size_t{1} << 30) && seconds_of(clock, [&] { compute(rounds); }) < 1e-3) rounds *= 2;
  const double piece_seconds = seconds_of(clock, [&] { compute(rounds); });
  const std::size_t pieces =
      static_cast<std::size_t>(kSecondsOfATry / piece_seconds + 1.0) * context.pool.threads();
  const double ops = compute(rounds) * static_cast<double>(pieces);
  double best = 0.0;
  for (int i = 0; i < kTries; ++i) {
    const double seconds = seconds_of(clock, [&] {
      context.pool.parallel_for(pieces, 1, [&](std::size_t begin, std::size_t end, std::size_t) {
        for (std::size_t piece = begin; piece < end; ++piece) compute(rounds);
      });
    });
    best = std::max(best, ops / seconds);
  }
  return best;
}

double read_speed(const ops::Context& context, Clock& clock) {
  const std::unique_ptr<std::uint64_t[]> words(new std::uint64_t[kReadWords]);
  const auto for_pieces = [&](const auto& body) {
    context.pool.parallel_for(kReadWords, kReadWordsOfAPiece,
                              [&](std::size_t begin, std::size_t end, std::size_t) { body(begin, end); });
  };
  // Written first: pages that never were are all the same one.
  for_pieces([&](std::size_t begin, std::size_t end) { std::fill(&words[begin], &words[0] + end, begin); });
  double best = 0.0;
  std::atomic<std::uint64_t> sum{0};
  for (int i = 0; i < 2 * kTries; ++i) {
    const double seconds = seconds_of(clock, [&] {
      for_pieces([&](std::size_t begin, std::size_t end) {
        sum.fetch_add(context.kernels.peaks.read(&words[begin], end - begin), std::memory_order_relaxed);
      });
    });
    best = std::max(best, static_cast<double>(kReadWords * sizeof(std::uint64_t)) / seconds);
  }
  return best;
}

}  // namespace

Ceilings measure_ceilings(const ops::Context& context, Clock& clock) {
  const kernels::Peaks& peaks = context.kernels.peaks;
  Ceilings ceilings;
  ceilings.read_bytes_per_s = read_speed(context, clock);
  ceilings.int8_ops_per_s = peak(context, clock, peaks.bytes);
  ceilings.int4_ops_per_s = std::max(ceilings.int8_ops_per_s, peak(context, clock, peaks.nibbles));
  ceilings.float_ops_per_s = peak(context, clock, peaks.floats);
  return ceilings;
}

StepCosts step_costs(const GgufFile& file) {
  const bool own_out = file.find_tensor("output.weight") != nullptr;
  StepCosts costs;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.rows() == 1) continue;
    const bool embedding = tensor.name == "token_embd.weight";
    if (embedding && own_out) continue;
    const double ops = 2.0 * static_cast<double>(tensor.values());
    costs.weight_bytes += tensor.bytes;
    costs.answer_token_ops += ops;
    if (!embedding && tensor.name != "output.weight") costs.prompt_token_ops += ops;
  }
  return costs;
}

Result<double> measure_product(const LoadedModel& model, std::size_t tokens, Clock& clock) {
  const GgufTensor* largest = nullptr;
  for (const GgufTensor& tensor : model.file().tensors()) {
    if (!tensor.name.starts_with("blk.0.") || tensor.dims != 2 || tensor.rows() == 1) continue;
    if (largest == nullptr || tensor.values() > largest->values()) largest = &tensor;
  }
  if (largest == nullptr) return 0.0;
  const std::size_t rows = static_cast<std::size_t>(largest->rows());
  const std::size_t cols = static_cast<std::size_t>(largest->ne[0]);
  SLUICE_ASSIGN(const ops::WeightMatrix weights,
                ops::WeightMatrix::pack(model.context(), largest->type, rows, cols, largest->data,
                                        std::make_shared<ops::PackedMemory>()));
  std::vector<float> x(tokens * cols);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 7919 % 2003) / 1000.0F - 1.0F;
  std::vector<float> y(tokens * rows);
  const ops::Product product{&weights, y.data(), rows};
  ops::Activations activations;
  activations.set(x.data(), tokens, cols);
  double best = 0.0;
  for (int i = 0; i < 4 * kTries; ++i) {
    const double seconds = seconds_of(clock, [&] {
      ops::matmul(model.context(), activations, {&product, 1});
    });
    best = std::max(best, 2.0 * static_cast<double>(rows * cols * tokens) / seconds);
  }
  return best;
}

std::uint64_t resident_bytes() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/proc/self/statm", "r"),
                                                             std::fclose);
  unsigned long long total = 0, resident = 0;
  if (file == nullptr || std::fscanf(file.get(), "%llu %llu", &total, &resident) != 2) return 0;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace sluice::engine_cli
