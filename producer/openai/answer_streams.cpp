#include "producer/openai/answer_streams.h"

#include <optional>
#include <utility>

#include "common/base/mutex.h"
#include "common/http/error_response.h"
#include "common/http/sse.h"
#include "producer/cache/answer_cache.h"
#include "producer/openai/completion_answers.h"

namespace sluice::producer {

namespace {

JobError interrupted() {
  return {"stream_interrupted",
          "The server can't go on telling the answer; the job goes on: fetch it by its id.", "server_error",
          ""};
}

JobError gone() {
  return {"response_not_found", "There is no such response.", std::string(http::error_type::kNotFound), ""};
}

}  // namespace

struct AnswerStreams::Stream {
  Stream(std::unique_ptr<AnswerEvents> e, http::ResponseStream s, std::function<void()> left)
      : events(std::move(e)), client(std::move(s)), on_left(std::move(left)) {}
  // The feed's thread uses it, once the watch has begun.
  const std::unique_ptr<AnswerEvents> events;
  const http::ResponseStream client;

  Mutex mutex;
  bool over GUARDED_BY(mutex) = false;
  std::optional<TokenFeed::Ticket> ticket GUARDED_BY(mutex);
  std::function<void()> on_left GUARDED_BY(mutex);
};

void AnswerStreams::open(const Job& job, std::unique_ptr<AnswerEvents> events,
                         const http::Responder& responder, Options options) {
  http::Response head = of_session(http::sse_head(), options.session);
  head.headers.set(kJobHeader, job.id.value);
  head.headers.set(kCacheHeader, std::string(options.cache.empty() ? cache_state(job) : options.cache));
  auto client = http::open_sse(responder, std::move(head));
  if (!client) return;
  auto stream = std::make_shared<Stream>(std::move(events), std::move(*client), std::move(options.on_left));
  write(stream, stream->events->begin(job));

  FeedCallbacks callbacks;
  callbacks.on_text = [this, stream](const TextPiece& piece) { write(stream, stream->events->text(piece)); };
  callbacks.on_mismatch = [this, stream] {
    finish(stream, stream->events->broken({"answer_changed",
                                           "The job was started anew and says something else than before; "
                                           "fetch its answer by its id.",
                                           "server_error", ""}));
  };
  callbacks.on_final = [this, stream](const Result<Job>& ended) {
    if (!ended) {
      finish(stream, stream->events->broken(interrupted()));
    } else if (answer_is_gone(*ended)) {
      finish(stream, stream->events->broken(gone()));
    } else {
      finish(stream, stream->events->end(*ended));
    }
  };
  const auto ticket = feed_.watch(job.tenant, job.id, job.generation, {}, std::move(callbacks));
  if (!ticket) {
    finish(stream, stream->events->broken({"overloaded",
                                           "Too many answers are streamed just now; the job goes on: fetch "
                                           "it by its id.",
                                           "service_unavailable_error", ""}));
    return;
  }
  bool over = false;
  {
    MutexLock lock(stream->mutex);
    stream->ticket = ticket;
    over = stream->over;
  }
  if (over) feed_.remove(*ticket);
  stream->client.on_disconnect([this, weak = std::weak_ptr<Stream>(stream)] {
    if (const auto left = weak.lock()) leave(left);
  });
}

void AnswerStreams::leave(const std::shared_ptr<Stream>& stream) {
  std::function<void()> on_left;
  {
    MutexLock lock(stream->mutex);
    if (!stream->over) on_left.swap(stream->on_left);
  }
  if (on_left) on_left();
  // Who only ended its own side goes on reading.
  if (stream->client.gone()) forget(stream);
}

void AnswerStreams::forget(const std::shared_ptr<Stream>& stream) {
  std::optional<TokenFeed::Ticket> ticket;
  {
    MutexLock lock(stream->mutex);
    stream->over = true;
    ticket = std::exchange(stream->ticket, std::nullopt);
  }
  if (ticket) feed_.remove(*ticket);
}

void AnswerStreams::write(const std::shared_ptr<Stream>& stream, std::string text) {
  if (text.empty()) return;
  {
    MutexLock lock(stream->mutex);
    if (stream->over) return;
  }
  const http::Kept kept = stream->client.write(std::move(text));
  if (kept == http::Kept::kKept) return;
  if (kept == http::Kept::kGone) {
    leave(stream);
  } else {
    metrics_.slow_readers.add();
    stream->client.abort();
  }
  forget(stream);
}

void AnswerStreams::finish(const std::shared_ptr<Stream>& stream, std::string text) {
  {
    MutexLock lock(stream->mutex);
    if (stream->over) return;
  }
  forget(stream);
  // It says the whole answer again.
  http::end_with(stream->client, std::move(text));
}

}  // namespace sluice::producer
