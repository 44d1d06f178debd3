#include <cstdio>
#include <exception>

#include "common/base/failpoint.h"
#include "common/base/signals.h"
#include "common/text/unicode.h"
#include "worker/main/engine_choice.h"
#include "worker/main/service.h"

namespace {

int run(int argc, char** argv) {
  using namespace sluice;
  using namespace sluice::worker;
  block_stop_signals();
  if (const Status armed = failpoints_init(); !armed) {
    std::fprintf(stderr, "sluice-worker: %s\n", armed.error().message.c_str());
    return 2;
  }
  config::Settings settings("sluice-worker", "Computes inference jobs.");
  WorkerConfig config;
  bind(settings, config);
  if (const auto code = settings.load(argc, argv)) return *code;
  raise_open_files_limit();

  SystemClock clock;
  SystemRng rng;
  const BatcherConfig& batcher = config.runner.batcher;
  auto engine = make_engine(config.engine, batcher.jobs_max + batcher.express_max, clock, rng);
  if (!engine) {
    // It may quote the model file.
    std::fprintf(stderr, "sluice-worker: %s\n", safe_text(engine.error().message).c_str());
    return 2;
  }
  const auto service = Service::make(std::move(config), std::move(*engine), clock, rng);
  if (const Status started = service->start(); !started) {
    std::fprintf(stderr, "sluice-worker: %s\n", started.error().message.c_str());
    return 1;
  }
  wait_for_stop_signal();
  service->stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "sluice-worker: %s\n", e.what());
    return 1;
  }
}
