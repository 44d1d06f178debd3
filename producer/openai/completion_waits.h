// Clients that wait on an open request for their job to end.
//
// Clients give up on a server whose header doesn't come (many after 300 seconds), so a wait that takes long
// is answered early: status 200 and the header go out, then white space, which JSON allows before a value,
// and at last the completion. A job that ends badly after that can't have an error status any more: the
// connection is broken off instead, and who asks for the job by its id is told the error.
//
// Safe for concurrent use. What it is given must outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/http/responder.h"
#include "common/job/job.h"
#include "common/job/request.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/wait/waiters.h"

namespace sluice::producer {

struct CompletionWaitConfig {
  // Until a client that waits gets its header. Sooner: more failures come as a broken connection.
  std::chrono::milliseconds early_headers{10'000};
  std::chrono::milliseconds longest{3'600'000};  // A wait; the job goes on without it.
};

class CompletionWaits {
 public:
  CompletionWaits(Waiters& waiters, CompletionWaitConfig config, Clock& clock, ApiMetrics metrics)
      : waiters_(waiters), config_(config), clock_(clock), metrics_(std::move(metrics)) {}

  struct Wait;
  using WaitPtr = std::shared_ptr<Wait>;
  // What is answered to.
  struct Asked {
    Surface surface = Surface::kChat;
    TenantId tenant;
    std::shared_ptr<const JobRequest> request;  // Needed for a response only.
    std::string session;                        // of_session()
    // Runs if the client leaves, or ends its side of the connection, before it is answered. On a thread of
    // the server: must not block. May be empty.
    std::function<void()> on_left;
  };

  // Answers through `responder` once the job ends; it may not be there yet. Null: too many wait, and nothing
  // will be answered.
  WaitPtr add(Asked asked, const JobId& id, http::Responder responder);
  // The job ended as it was accepted: answers with it. `cache` is for the header X-Cache.
  void answer(const WaitPtr& wait, const Job& job, std::string_view cache);
  // The job came to nothing: no more is answered from here.
  void give_up(const WaitPtr& wait);

 private:
  void leave(const WaitPtr& wait);
  void on_ended(const WaitPtr& wait, const Result<Job>& job);
  void on_early(const WaitPtr& wait, const Result<Job>& job);
  void wait_for_early(const WaitPtr& wait, std::chrono::milliseconds time);
  // `cache` as for final_answer().
  void finish(const WaitPtr& wait, const Job& job, std::string_view cache = {});
  // The answer, or the end of the one that was begun.
  static void tell(const Wait& wait, std::optional<http::ResponseStream> stream, http::Response answer);

  Waiters& waiters_;
  const CompletionWaitConfig config_;
  Clock& clock_;
  const ApiMetrics metrics_;
};

}  // namespace sluice::producer
