#include <cstdio>
#include <exception>

#include "common/base/failpoint.h"
#include "common/base/signals.h"
#include "common/text/unicode.h"
#include "producer/main/service.h"

namespace {

int run(int argc, char** argv) {
  using namespace sluice;
  using namespace sluice::producer;
  block_stop_signals();
  if (const Status armed = failpoints_init(); !armed) {
    std::fprintf(stderr, "sluice-producer: %s\n", armed.error().message.c_str());
    return 2;
  }
  config::Settings settings("sluice-producer", "Takes inference jobs over HTTP and sees them through.");
  ProducerConfig config;
  bind(settings, config);
  if (const auto code = settings.load(argc, argv)) return *code;
  raise_open_files_limit();

  SystemClock clock;
  SystemRng rng;
  const bool print_routes = config.print_routes;
  auto service = Service::make(std::move(config), clock, rng);
  if (!service) {
    // It may quote a model file.
    std::fprintf(stderr, "sluice-producer: %s\n", safe_text(service.error().message).c_str());
    return 2;
  }
  if (print_routes) {
    std::fputs((*service)->routes().c_str(), stdout);
    return 0;
  }
  if (const Status started = (*service)->start(); !started) {
    std::fprintf(stderr, "sluice-producer: %s\n", started.error().message.c_str());
    return 1;
  }
  wait_for_stop_signal();
  (*service)->stop();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "sluice-producer: %s\n", e.what());
    return 1;
  }
}
