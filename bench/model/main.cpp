// Writes a full-size model with random weights; see random_model.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <thread>

#include "bench/model/random_model.h"

int main(int argc, char** argv) {
  using namespace sluice;
  using namespace sluice::bench;
  CLI::App app("Writes a GGUF file with the shape of a published model and random weights.",
               "sluice-bench-model");
  std::string path, shape = "DeepSeek-R1-Distill-Qwen-1.5B", type = "Q4_0";
  bool pure = false, list = false;
  std::uint64_t seed = 1;
  unsigned threads = std::max(1U, std::thread::hardware_concurrency());
  std::uint32_t layers = 0;
  app.add_option("path", path, "The file to write");
  app.add_option("--shape", shape, "Whose shape")->capture_default_str();
  app.add_option("--type", type, "A tensor type (F32 F16 BF16 Q8_0 Q4_0 … Q6_K) or Q4_K_M")
      ->capture_default_str();
  app.add_flag("--pure", pure,
               "That type for every matrix; else the output matrix of types below 8 bits is Q6_K");
  app.add_option("--seed", seed, "Another seed, other numbers")->capture_default_str();
  app.add_option("--layers", layers, "Fewer layers than the shape has");
  app.add_option("--threads", threads, "Threads that make numbers")->capture_default_str();
  app.add_flag("--list", list, "Print the shapes and end");
  CLI11_PARSE(app, argc, argv);
  if (list) {
    for (const ModelPlan& plan : model_plans()) {
      std::printf("%-30s %s, %u layers, width %u, vocabulary %u\n", plan.name.c_str(),
                  plan.architecture.c_str(), plan.layers, plan.width, plan.vocabulary);
    }
    return 0;
  }
  const auto write = [&]() -> Status {
    if (path.empty()) return fail(ErrorCode::kInvalid, "which file? (see --help)");
    SLUICE_ASSIGN(ModelPlan plan, plan_by_name(shape));
    SLUICE_ASSIGN(const TypeMix mix, mix_by_name(type, pure));
    if (layers > 0) plan.layers = std::min(layers, plan.layers);
    return write_random_model(plan, mix, seed, threads, path);
  };
  if (const Status done = write(); !done) {
    std::cerr << "sluice-bench-model: " << done.error().message << "\n";
    return 1;
  }
  return 0;
}
