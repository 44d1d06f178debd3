#include "bench/load/options.h"

#include "common/mysql/settings.h"

namespace sluice::bench {

void bind(config::Settings& settings, Options& options) {
  using namespace std::chrono_literals;
  settings.add("url", options.url, "The producer, http://host:port").required();
  settings.add("api-key", options.api_key, "A key that may submit and read").required();
  settings.add("jobs", options.jobs, "Jobs to submit").range(1, 10'000'000);
  settings.add("concurrency", options.concurrency, "Connections that submit").range(1, 5'000);
  settings.add("batch", options.batch, "Jobs in one request; 1 = single jobs").range(1, 10'000);
  settings.add("max-tokens", options.max_tokens, "Longest answer").range(1, 1'000'000).unit("tokens");
  settings.add("priority", options.priority, "high, normal or low");
  settings.add("prompts", options.prompts, "File of JSON lines with `messages`; empty = made-up prompts");
  settings.add("prompt-bytes", options.prompt_bytes, "Length of made-up prompts").range(1, 1'000'000);
  settings.add("watch-every", options.watch_every, "Every nth job is awaited over HTTP as well; 0 = none")
      .range(0, 1'000'000);
  settings.add("timeout", options.timeout, "Longest run").range(1s, 24h);
  settings.add("processes", options.processes, "NAME=PID,… whose CPU time is read from /proc");
  settings.add("metrics", options.metrics, "NAME=URL,… of /metrics pages to read before and after");
  settings.add("label", options.label, "Repeated in the report, such as a commit");
  settings.add("json", options.json, "Print one JSON line instead of text");
  bind(settings, options.mysql);
}

}  // namespace sluice::bench
