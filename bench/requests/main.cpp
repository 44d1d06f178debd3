// Question: how long does the engine take for many requests that come at once, sampling and text included,
// and what does it gain when their prompts begin alike?
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "bench/model/random_blocks.h"
#include "common/base/clock.h"
#include "common/base/rng.h"
#include "worker/engine/native_engine.h"

namespace {

using namespace sluice;

struct Options {
  NativeEngineConfig engine;
  std::size_t requests = 32;
  std::size_t prompt_tokens = 64;
  std::size_t shared_tokens = 0;
  int answer_tokens = 24;
  int repeats = 1;
  std::size_t kv_mib = 0;
  bool json = false;
};

// One run: all requests are added, then steps until all of them are done.
struct Run {
  double seconds = 0.0;
  double first_token_seconds = 0.0;  // Until the last request has its first token.
  std::size_t prompt_tokens = 0;
  std::size_t answer_tokens = 0;
};

class Requests {
 public:
  Requests(NativeEngine& engine, const Options& options) : engine_(engine), options_(options), random_(1) {}

  Result<Run> run(Clock& clock, std::size_t count) {
    std::vector<std::int32_t> shared;
    for (std::size_t i = 0; i < options_.shared_tokens; ++i) shared.push_back(token());
    std::vector<GenerationRequest> waiting;
    for (std::size_t i = 0; i < count; ++i) {
      GenerationRequest request;
      request.key = std::to_string(number_++);
      request.params.max_tokens = options_.answer_tokens;
      request.prompt.ids = shared;
      while (request.prompt.ids.size() < options_.prompt_tokens) request.prompt.ids.push_back(token());
      request.prompt.tokens = request.prompt.ids.size();
      waiting.push_back(std::move(request));
    }
    std::reverse(waiting.begin(), waiting.end());
    Run run;
    std::size_t started = 0, done = 0;
    std::vector<bool> has_token(count, false);
    const std::size_t first = number_ - count;
    const SteadyTime since = clock.steady_now();
    while (done < count) {
      while (!waiting.empty()) {
        const Status added = engine_.add(std::move(waiting.back()));
        if (!added && added.error().code != ErrorCode::kExhausted) return fail(added.error());
        if (!added) break;
        waiting.pop_back();
      }
      for (const StepEvent& event : engine_.step(Duration::zero())) {
        const std::size_t which = std::stoul(event.key) - first;
        if (!event.ids.empty() && !has_token[which]) {
          has_token[which] = true;
          if (++started == count) run.first_token_seconds = seconds_since(since, clock);
        }
        if (!event.done) continue;
        if (!*event.done) return fail(event.done->error());
        ++done;
        run.prompt_tokens += (*event.done)->usage.prompt_tokens;
        run.answer_tokens += (*event.done)->usage.completion_tokens;
      }
    }
    run.seconds = seconds_since(since, clock);
    return run;
  }

 private:
  static double seconds_since(SteadyTime since, Clock& clock) {
    return std::chrono::duration<double>(clock.steady_now() - since).count();
  }
  // The last tokens of a vocabulary are often special ones.
  std::int32_t token() {
    return static_cast<std::int32_t>(random_.next() % (engine_.info().vocabulary_tokens * 9 / 10));
  }

  NativeEngine& engine_;
  const Options& options_;
  bench::FastRng random_;
  std::size_t number_ = 0;
};

Status measure(Options options, Clock& clock) {
  if (options.shared_tokens >= options.prompt_tokens) {
    return fail(ErrorCode::kInvalid, "--shared " + std::to_string(options.shared_tokens) +
                                         " leaves nothing of its own to a prompt of --prompt " +
                                         std::to_string(options.prompt_tokens));
  }
  SystemRng rng;
  options.engine.sequences_max = std::max(options.engine.sequences_max, options.requests);
  if (options.kv_mib > 0) options.engine.kv_memory_bytes = options.kv_mib << 20;
  SLUICE_ASSIGN(const auto engine, NativeEngine::open(options.engine, rng));
  Requests requests(*engine, options);
  SLUICE_TRY(requests.run(clock, 1));  // Warms up.
  std::vector<Run> runs;
  for (int i = 0; i < options.repeats; ++i) {
    SLUICE_ASSIGN(const Run run, requests.run(clock, options.requests));
    runs.push_back(run);
  }
  std::sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) { return a.seconds < b.seconds; });
  const Run& median = runs[runs.size() / 2];
  const double all = static_cast<double>(median.prompt_tokens + median.answer_tokens) / median.seconds;
  if (!options.json) {
    std::printf(
        "%zu requests of %zu + %zu tokens: %.2f s, %.1f tokens/s; the last first token after %.2f s\n",
        options.requests, median.prompt_tokens / options.requests, median.answer_tokens / options.requests,
        median.seconds, all, median.first_token_seconds);
    return {};
  }
  const nlohmann::ordered_json json = {
      {"model", engine->info().model},
      {"weight_type", engine->info().weight_type},
      {"kv_type", engine->info().kv_type},
      {"requests", options.requests},
      {"shared_tokens", options.shared_tokens},
      {"prompt_tokens", median.prompt_tokens},
      {"answer_tokens", median.answer_tokens},
      {"seconds", median.seconds},
      {"first_token_seconds", median.first_token_seconds},
      {"tokens_per_s", all},
      {"answer_tokens_per_s", static_cast<double>(median.answer_tokens) / median.seconds}};
  std::cout << json.dump() << "\n";
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Many requests at once through the engine.", "sluice-bench-requests");
  app.add_option("--model", options.engine.model.path, "A GGUF file")->required();
  app.add_option("--threads", options.engine.model.threads, "Threads that compute; 0: one for each CPU");
  app.add_option("--kernels", options.engine.model.kernels, "The kernels' name; the fastest by default");
  app.add_option("--requests", options.requests, "Requests at once")->check(CLI::Range(1, 4096));
  app.add_option("--prompt", options.prompt_tokens, "Tokens of each prompt")->check(CLI::PositiveNumber);
  app.add_option("--shared", options.shared_tokens, "How many of them all prompts begin with");
  app.add_option("--answer", options.answer_tokens, "Tokens of each answer")->check(CLI::PositiveNumber);
  app.add_option("--sequences-max", options.engine.sequences_max, "Requests computed together");
  app.add_option("--kv-mib", options.kv_mib, "Memory for keys and values");
  app.add_option("--step-tokens-max", options.engine.step_tokens_max, "Tokens computed in one step at most");
  app.add_option("--repeats", options.repeats, "Runs, of which the median counts")
      ->check(CLI::Range(1, 1000));
  app.add_flag("--json", options.json, "Print one JSON line instead of text");
  CLI11_PARSE(app, argc, argv);
  SystemClock clock;
  if (const Status done = measure(options, clock); !done) {
    std::cerr << "sluice-bench-requests: " << done.error().message << "\n";
    return 1;
  }
  return 0;
}
