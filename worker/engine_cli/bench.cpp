// How many tokens a second, over the model itself: no text, no sampling. And how near that is to what the
// machine allows, measured in the same run.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <ostream>

#include "worker/engine_cli/commands.h"
#include "worker/engine_cli/roofline.h"
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

double peak_for(const LoadedModel& model, const Ceilings& ceilings) {
  const std::optional<GgmlType> type = ggml_type_by_name(model.weight_type());
  if (!type || ggml_type_traits(*type).values == 1) return ceilings.float_ops_per_s;
  const GgmlTypeTraits& traits = ggml_type_traits(*type);
  // Up to five bits a number with its share of the scales: codes of at most four.
  return traits.bytes * 8 <= traits.values * 5 ? ceilings.int4_ops_per_s : ceilings.int8_ops_per_s;
}

template <class... Values>
void print(const Io& io, const char* format, Values... values) {
  char line[200];
  std::snprintf(line, sizeof line, format, values...);
  io.out << line;
}

double millions(double value) {
  return std::round(value / 1e4) / 100.0;
}

double share(double part, double whole) {
  return whole > 0.0 ? std::round(part / whole * 1000.0) / 1000.0 : 0.0;
}

// What the machine and a product alone reach, and how much of it each run took. Measured last: what it is
// compared with has warmed the machine up.
Status compare_with_ceilings(const LoadedModel& loaded, const BenchOptions& bench, Clock& clock,
                             nlohmann::ordered_json& json, nlohmann::ordered_json& runs) {
  const StepCosts costs = step_costs(loaded.file());
  const Ceilings ceilings = measure_ceilings(loaded.context(), clock);
  const double ops_per_s = peak_for(loaded, ceilings);
  SLUICE_ASSIGN(const double product, measure_product(loaded, kStepTokens, clock));
  json["machine"] = {{"read_gb_per_s", millions(ceilings.read_bytes_per_s) / 1000.0},
                     {"int8_gop_per_s", millions(ceilings.int8_ops_per_s) / 1000.0},
                     {"int4_gop_per_s", millions(ceilings.int4_ops_per_s) / 1000.0},
                     {"float_gop_per_s", millions(ceilings.float_ops_per_s) / 1000.0}};
  json["step_weights_mb"] = millions(static_cast<double>(costs.weight_bytes));
  json["gemm_gop_per_s"] = millions(product) / 1000.0;
  json["gemm_share"] = share(product, ops_per_s);
  for (auto& run : runs) {
    const double sequences = run["sequences"].get<double>();
    const double decode = run["decode_tokens_per_s"].get<double>();
    // Half of the answer's tokens are there on average.
    const double context = static_cast<double>(bench.prefill) + static_cast<double>(bench.decode) / 2.0;
    const double kv_bytes = context * static_cast<double>(loaded.model().kv_shape().token_bytes());
    const double bytes_per_s =
        decode / sequences * static_cast<double>(costs.weight_bytes) + decode * kv_bytes;
    run["prefill_compute_share"] =
        share(run["prefill_tokens_per_s"].get<double>() * costs.prompt_token_ops, ops_per_s);
    run["decode_compute_share"] = share(decode * costs.answer_token_ops, ops_per_s);
    run["decode_bandwidth_share"] = share(bytes_per_s, ceilings.read_bytes_per_s);
  }
  return {};
}

}  // namespace

int bench(const CommonOptions& options, const BenchOptions& bench, Clock& clock, const Io& io) {
  const SteadyTime loading_since = clock.steady_now();
  const auto model = LoadedModel::load(options.model);
  if (!model) return report(model.error(), io);
  LoadedModel& loaded = **model;
  const std::chrono::duration<double> load_seconds = clock.steady_now() - loading_since;
  const std::uint64_t loaded_bytes = resident_bytes();
  nlohmann::ordered_json json = {{"model", loaded.text().name()},
                                 {"weight_type", loaded.weight_type()},
                                 {"kernels", std::string(loaded.context().kernels.name)},
                                 {"threads", loaded.context().pool.threads()},
                                 {"prefill", bench.prefill},
                                 {"decode", bench.decode},
                                 {"load_seconds", load_seconds.count()},
                                 {"file_mb", millions(static_cast<double>(loaded.file().file_bytes()))},
                                 {"loaded_resident_mb", millions(static_cast<double>(loaded_bytes))}};
  Bench runner(loaded, bench, clock);
  nlohmann::ordered_json runs = nlohmann::ordered_json::array();
  for (const std::size_t sequences : bench.sequences) {
    const auto rates = runner.measure(sequences);
    if (!rates) return report(rates.error(), io);
    runs.push_back({{"sequences", sequences},
                    {"prefill_tokens_per_s", rates->prefill_tokens_per_s},
                    {"decode_tokens_per_s", rates->decode_tokens_per_s},
                    {"resident_mb", millions(static_cast<double>(resident_bytes()))}});
  }
  if (bench.ceilings) {
    if (const Status done = compare_with_ceilings(loaded, bench, clock, json, runs); !done)
      return report(done.error(), io);
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
  print(io, "loaded in %.2f s, %.0f MB resident of a file of %.0f MB\n", load_seconds.count(),
        static_cast<double>(loaded_bytes) / 1e6, static_cast<double>(loaded.file().file_bytes()) / 1e6);
  if (bench.ceilings) {
    const auto& machine = json["machine"];
    print(io, "machine: reads %.1f GB/s, int8 %.0f, int4 %.0f, float %.0f GOP/s\n",
          machine["read_gb_per_s"].get<double>(), machine["int8_gop_per_s"].get<double>(),
          machine["int4_gop_per_s"].get<double>(), machine["float_gop_per_s"].get<double>());
    print(io, "a product of %zu tokens: %.0f GOP/s, %.0f %% of the ceiling\n", kStepTokens,
          json["gemm_gop_per_s"].get<double>(), json["gemm_share"].get<double>() * 100.0);
  }
  for (const auto& run : runs) {
    const auto percent = [&](const char* share) { return run[share].get<double>() * 100.0; };
    print(io, "%4zu sequences: prefill %6.1f tokens/s", run["sequences"].get<std::size_t>(),
          run["prefill_tokens_per_s"].get<double>());
    if (bench.ceilings) print(io, " (%2.0f %% of ceiling)", percent("prefill_compute_share"));
    print(io, ", decode %6.1f tokens/s", run["decode_tokens_per_s"].get<double>());
    if (bench.ceilings) {
      print(io, " (%2.0f %% of bandwidth, %2.0f %% of ceiling)", percent("decode_bandwidth_share"),
            percent("decode_compute_share"));
    }
    io.out << "\n";
  }
  return 0;
}

}  // namespace sluice::engine_cli
