// Answers that go out to clients while their jobs run.
//
// Safe for concurrent use. The feed must outlive it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/http/responder.h"
#include "common/job/job.h"
#include "producer/live/token_feed.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/openai/answer_events.h"

namespace sluice::producer {

class AnswerStreams {
 public:
  AnswerStreams(TokenFeed& feed, ApiMetrics metrics) : feed_(feed), metrics_(std::move(metrics)) {}

  struct Options {
    std::string session;  // of_session()
    // Runs once if the client leaves, or ends its side of the connection, before the end; not if it is cut
    // off since it reads too slowly. Must not block. May be empty.
    std::function<void()> on_left;
    std::string_view cache;  // For the header X-Cache, during open(); empty: what the job's row says.
  };

  // Answers with the header and all that `job` says in its generation, until it ends; it may have. A client
  // that reads too slowly, or leaves, is forgotten; the job goes on.
  void open(const Job& job, std::unique_ptr<AnswerEvents> events, const http::Responder& responder,
            Options options);

 private:
  struct Stream;
  void write(const std::shared_ptr<Stream>& stream, std::string text);
  // Ends the answer, whenever the client has room for `text`.
  void finish(const std::shared_ptr<Stream>& stream, std::string text);
  void forget(const std::shared_ptr<Stream>& stream);
  // The client is gone, or may be.
  void leave(const std::shared_ptr<Stream>& stream);

  TokenFeed& feed_;
  const ApiMetrics metrics_;
};

}  // namespace sluice::producer
