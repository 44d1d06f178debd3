// How many tokens a second, over the model itself: no text, no sampling.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <ostream>

#include "worker/engine_cli/commands.h"
#include "worker/ops/kv_cache.h"

namespace sluice::engine_cli {
namespace {

constexpr std::size_t kStepTokens = 256;  // As the engine's default.

struct Rates {
  double prefill_tokens_per_s = 0.0;
  double decode_tokens_per_s = 0.0;
};

class Bench {
 public:
  Bench(LoadedModel& model, const BenchOptions& options, Clock& clock)
      : model_(model), options_(options), clock_(clock) {}

  Result<Rates> measure(std::size_t sequences) {
    const std::size_t each = options_.prefill + options_.decode;
    const std::size_t pages = ops::KvCache::pages_for(each) * ops::kPageTokens;
    SLUICE_ASSIGN(const auto cache, ops::KvCache::make(model_.model().kv_shape(), pages * sequences));
    std::vector<double> prefill, decode;
    for (int run = 0; run <= options_.repeats; ++run) {
      std::vector<ops::KvPages> held;
      for (std::size_t s = 0; s < sequences; ++s) held.push_back(*cache->reserve(each));
      const double prefill_rate = run_prefill(*cache, held);
      const double decode_rate = run_decode(*cache, held);
      if (run == 0) continue;  // Warms up.
      prefill.push_back(prefill_rate);
      decode.push_back(decode_rate);
    }
    return Rates{median(prefill), median(decode)};
  }

 private:
  static double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }

  double rate(std::size_t tokens, SteadyTime since) const {
    const std::chrono::duration<double> seconds = clock_.steady_now() - since;
    return static_cast<double>(tokens) / std::max(seconds.count(), 1e-9);
  }

  // Any token will do: the work is the same for all.
  std::int32_t token(std::size_t number) const {
    return static_cast<std::int32_t>((number * 7919 + 13) % model_.model().shape().vocabulary);
  }

  double run_prefill(ops::KvCache& cache, const std::vector<ops::KvPages>& held) {
    const SteadyTime since = clock_.steady_now();
    std::vector<model::StepToken> step;
    for (const ops::KvPages& pages : held) {
      for (std::size_t position = 0; position < options_.prefill; ++position) {
        step.push_back({token(position), position, &pages, position + 1 == options_.prefill});
        if (step.size() == kStepTokens) {
          model_.model().forward(cache, step);
          step.clear();
        }
      }
    }
    if (!step.empty()) model_.model().forward(cache, step);
    return rate(held.size() * options_.prefill, since);
  }

  double run_decode(ops::KvCache& cache, const std::vector<ops::KvPages>& held) {
    const SteadyTime since = clock_.steady_now();
    std::vector<model::StepToken> step;
    for (std::size_t i = 0; i < options_.decode; ++i) {
      step.clear();
      for (const ops::KvPages& pages : held) step.push_back({token(i), options_.prefill + i, &pages, true});
      model_.model().forward(cache, step);
    }
    return rate(held.size() * options_.decode, since);
  }

  LoadedModel& model_;
  const BenchOptions& options_;
  Clock& clock_;
};

}  // namespace

int bench(const CommonOptions& options, const BenchOptions& bench, Clock& clock, const Io& io) {
  const auto model = LoadedModel::load(options.model);
  if (!model) return report(model.error(), io);
  LoadedModel& loaded = **model;
  nlohmann::ordered_json json = {{"model", loaded.text().name()},
                                 {"weight_type", loaded.weight_type()},
                                 {"kernels", std::string(loaded.context().kernels.name)},
                                 {"threads", loaded.context().pool.threads()},
                                 {"prefill", bench.prefill},
                                 {"decode", bench.decode}};
  Bench runner(loaded, bench, clock);
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const std::size_t sequences : bench.sequences) {
    const auto rates = runner.measure(sequences);
    if (!rates) return report(rates.error(), io);
    runs.push_back({{"sequences", sequences},
                    {"prefill_tokens_per_s", rates->prefill_tokens_per_s},
                    {"decode_tokens_per_s", rates->decode_tokens_per_s}});
  }
  if (options.json) {
    if (runs.size() == 1) json.update(runs[0]);
    json["runs"] = runs;
    io.out << json.dump() << "\n";
    return 0;
  }
  io.out << loaded.text().name() << ", " << loaded.weight_type() << ", " << loaded.context().kernels.name
         << ", " << loaded.context().pool.threads() << " threads, " << bench.prefill << " + " << bench.decode
         << " tokens each\n";
  for (const auto& run : runs) {
    char line[160];
    std::snprintf(line, sizeof line, "%4zu sequences: prefill %9.0f tokens/s, decode %9.0f tokens/s\n",
                  run["sequences"].get<std::size_t>(), run["prefill_tokens_per_s"].get<double>(),
                  run["decode_tokens_per_s"].get<double>());
    io.out << line;
  }
  return 0;
}

}  // namespace sluice::engine_cli
