// GET /v1/jobs/{id}/events: what becomes of one job, as server-sent events: `state`, `text`, at the end
// `final` with the whole job. docs/api.md tells what is in them. Each has an id by which a client that lost
// its connection goes on without losing or hearing anything twice.
//
// The handler runs on the server's handler threads, the events are written on the feed's. Safe for concurrent
// use. Everything in JobEventsParts must outlive the server that serves the route.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "common/base/clock.h"
#include "common/http/router.h"
#include "producer/api/authenticator.h"
#include "producer/live/estimate.h"
#include "producer/live/token_feed.h"
#include "producer/wait/job_reader.h"

namespace sluice::producer {

struct JobEventsParts {
  JobReader& reader;
  TokenFeed& feed;
  Authenticator& authenticator;
  Clock& clock;
  // Must be quick: it is asked for each watcher a few times a second. Nullopt: not known.
  std::function<std::optional<Estimate>(const JobGlance&)> estimate;
};

class JobEventsApi {
 public:
  JobEventsApi(JobEventsParts parts, std::chrono::milliseconds call_timeout)
      : parts_(std::move(parts)), call_timeout_(call_timeout) {}

  // The route refers to this object.
  void add_routes(http::Router& router);

 private:
  void follow(const http::Request& request, const http::Responder& responder);

  const JobEventsParts parts_;
  const std::chrono::milliseconds call_timeout_;
};

}  // namespace sluice::producer
