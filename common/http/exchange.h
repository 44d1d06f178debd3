// What the connection keeps of the request in hand. For connection*.cpp only.
#pragma once

#include <boost/asio/post.hpp>
#include <memory>
#include <string>
#include <utility>

#include "common/base/mutex.h"
#include "common/http/connection.h"
#include "common/http/error_response.h"

namespace sluice::http {

// For a request whose handler, or sink, threw.
inline Response not_handled() {
  return error_response(500, error_type::kServer, "internal_error", "the request could not be handled");
}

// A sink, and whether it has heard how the body ended. Who drops the last copy must be allowed to block.
struct Connection::OpenSink {
  explicit OpenSink(std::unique_ptr<BodySink> opened) : sink(std::move(opened)) {}
  ~OpenSink() {
    if (!over) sink->aborted();
  }
  OpenSink(const OpenSink&) = delete;
  OpenSink& operator=(const OpenSink&) = delete;

  const std::unique_ptr<BodySink> sink;
  bool over = false;
};

// One request, and where its answer goes. Outlives the connection if a handler holds on to it.
struct Connection::Exchange final : public Responder::Sink {
  explicit Exchange(std::shared_ptr<Connection> owner) : connection(std::move(owner)) {}

  void answer(Response response) override {
    MutexLock lock(mutex);
    if (!connection) return;
    // Under the lock: once the connection is detached nothing more is put onto its strand, which may then go.
    boost::asio::post(connection->wire_.get_executor(),
                      [held = connection, this, response = std::move(response)]() mutable {
                        held->on_answer(this, std::move(response));
                      });
  }
  void stream(Response head, std::shared_ptr<StreamQueue> pieces) override {
    {
      MutexLock lock(mutex);
      if (connection) {
        boost::asio::post(connection->wire_.get_executor(), [held = connection, this, head = std::move(head),
                                                             pieces = std::move(pieces)]() mutable {
          held->on_stream(this, std::move(head), std::move(pieces));
        });
        return;
      }
    }
    pieces->close();
  }
  // There is something to do for the stream.
  void wake() {
    MutexLock lock(mutex);
    if (!connection) return;
    boost::asio::post(connection->wire_.get_executor(), [held = connection, this] { held->on_pieces(this); });
  }
  bool run_on_stage(std::function<void()> task) override {
    MutexLock lock(mutex);
    return connection && connection->core_->stage.resume(std::move(task));
  }
  void detach() {
    std::shared_ptr<Connection> gone;  // Let go after the lock.
    MutexLock lock(mutex);
    gone.swap(connection);
  }
  Responder make_responder() {
    Responder responder(self.lock());
    bool cancel = false;
    bool no_more = false;
    {
      MutexLock lock(mutex);
      canceller = responder.canceller();
      cancel = left;
      no_more = gone;
    }
    if (cancel) responder.canceller().cancel(no_more);
    return responder;
  }
  // `no_more`: the connection is gone; else the client has only ended its side.
  void client_left(bool no_more) {
    Responder::Canceller running;
    {
      MutexLock lock(mutex);
      left = true;
      gone = gone || no_more;
      running = canceller;
    }
    running.cancel(no_more);
  }

  // Written before the request leaves the strand, read only from then on.
  std::weak_ptr<Exchange> self;
  Request request;  // The handler's, once it runs.
  Headers answer_headers;
  Framing framing;
  Router::Match match;
  std::string request_id;
  Method method = Method::kGet;
  std::uint64_t body_bytes = 0;

  Mutex mutex;
  std::shared_ptr<Connection> connection GUARDED_BY(mutex);
  Responder::Canceller canceller GUARDED_BY(mutex);
  bool left GUARDED_BY(mutex) = false;
  bool gone GUARDED_BY(mutex) = false;
};

}  // namespace sluice::http
