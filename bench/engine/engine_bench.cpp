// Question: how many tokens a second does the engine compute, for prompts and for answers, and how does that
// grow with the number of sequences computed together?
#include <benchmark/benchmark.h>
#include <stdlib.h>

#include <filesystem>
#include <iostream>
#include <map>

#include "common/base/clock.h"
#include "worker/engine/echo_engine.h"
#include "worker/engine/loaded_model.h"
#include "worker/engine_cli/commands.h"
#include "worker/ops/kv_cache.h"

namespace {

using namespace sluice;

constexpr std::size_t kPromptTokens = 128;
constexpr std::size_t kAnswerTokens = 64;
constexpr std::size_t kStepTokens = 256;

struct Subject {
  std::unique_ptr<LoadedModel> model;
  std::unique_ptr<ops::KvCache> cache;
  std::vector<ops::KvPages> pages;
};

Subject load(const std::string& path, std::size_t sequences) {
  ModelOptions options;
  options.path = path;
  auto model = LoadedModel::load(options);
  if (!model) throw std::runtime_error(model.error().message);
  Subject subject;
  subject.model = std::move(*model);
  const std::size_t each = ops::KvCache::pages_for(kPromptTokens + kAnswerTokens) * ops::kPageTokens;
  auto cache = ops::KvCache::make(subject.model->model().kv_shape(), each * sequences);
  if (!cache) throw std::runtime_error(cache.error().message);
  subject.cache = std::move(*cache);
  for (std::size_t i = 0; i < sequences; ++i) subject.pages.push_back(*subject.cache->reserve(each));
  return subject;
}

void prefill(benchmark::State& state, const std::string& path) {
  Subject subject = load(path, static_cast<std::size_t>(state.range(0)));
  std::vector<model::StepToken> step;
  for (auto _ : state) {
    for (const ops::KvPages& pages : subject.pages) {
      for (std::size_t position = 0; position < kPromptTokens; ++position) {
        step.push_back(
            {static_cast<std::int32_t>(100 + position), position, &pages, position + 1 == kPromptTokens});
        if (step.size() < kStepTokens) continue;
        subject.model->model().forward(*subject.cache, step);
        step.clear();
      }
    }
    if (!step.empty()) subject.model->model().forward(*subject.cache, step);
    step.clear();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0) * static_cast<std::int64_t>(kPromptTokens));
}

void decode(benchmark::State& state, const std::string& path) {
  Subject subject = load(path, static_cast<std::size_t>(state.range(0)));
  std::vector<model::StepToken> step;
  for (const ops::KvPages& pages : subject.pages) {
    for (std::size_t position = 0; position < kPromptTokens; ++position)
      step.push_back({100, position, &pages, false});
  }
  subject.model->model().forward(*subject.cache, step);
  std::size_t position = kPromptTokens;
  for (auto _ : state) {
    step.clear();
    for (const ops::KvPages& pages : subject.pages) step.push_back({200, position, &pages, true});
    benchmark::DoNotOptimize(subject.model->model().forward(*subject.cache, step).data());
    if (++position == kPromptTokens + kAnswerTokens) position = kPromptTokens;
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void echo(benchmark::State& state) {
  SystemClock clock;
  EchoEngine engine(clock);
  PromptInput input;
  input.messages = {{"user", "What is 27 + 58? Answer in one word, please."}};
  const std::size_t together = static_cast<std::size_t>(state.range(0));
  std::size_t number = 0;
  for (auto _ : state) {
    for (std::size_t i = 0; i < together; ++i) {
      GenerationRequest request;
      request.key = std::to_string(number++);
      request.prompt = *engine.prepare(input);
      if (!engine.add(std::move(request))) state.SkipWithError("no room");
    }
    if (engine.step(Duration::zero()).size() != together) state.SkipWithError("not all answered");
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// Makes the Q8_0 file that workers run by default; removed at the end.
class QuantizedCopy {
 public:
  explicit QuantizedCopy(const std::string& from) {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-bench-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = pattern;
    std::ostream nowhere(nullptr);
    engine_cli::QuantizeOptions options;
    options.from = from;
    options.to = path();
    if (engine_cli::quantize(options, false, {std::cin, nowhere, std::cerr}) != 0) {
      throw std::runtime_error("the model can't be quantized");
    }
  }
  ~QuantizedCopy() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  std::string path() const { return folder_ + "/q8_0.gguf"; }

 private:
  std::string folder_;
};

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  try {
    const std::string f16 = SLUICE_SOURCE_DIR "/models/sluice-tiny/sluice-tiny-f16.gguf";
    const QuantizedCopy copy(f16);
    const std::map<std::string, std::string> files = {{"F16", f16}, {"Q8_0", copy.path()}};
    for (const auto& [name, path] : files) {
      for (const std::int64_t sequences : {1, 8, 32}) {
        benchmark::RegisterBenchmark(("prefill/" + name).c_str(), prefill, path)
            ->Arg(sequences)
            ->UseRealTime();
        benchmark::RegisterBenchmark(("decode/" + name).c_str(), decode, path)->Arg(sequences)->UseRealTime();
      }
    }
    benchmark::RegisterBenchmark("echo", echo)->Arg(1)->Arg(32)->UseRealTime();
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::cerr << "engine_bench: " << error.what() << "\n";
    return 1;
  }
  benchmark::Shutdown();
  return 0;
}
