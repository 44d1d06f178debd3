// An answer that goes out in pieces, as they are made. Comes from Responder::stream().
//
//   std::optional<ResponseStream> stream = responder.stream(head);
//   if (!stream) return;  // Answered before.
//   …
//   if (stream->write(std::move(text)) == Kept::kFull) stream->abort();
//   …
//   stream->end();
//
// Copies share one stream. Safe for concurrent use from any thread, but who writes from several threads puts
// the pieces in order himself. When the last copy goes away before end(), the stream is aborted: what is
// incomplete never looks complete. A HEAD, and an answer without a body (204, 304), is gone at once.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/http/stream_queue.h"

namespace sluice::http {

class Responder;

class ResponseStream {
 public:
  // See Kept. Never blocks. An empty piece does nothing.
  Kept write(std::string piece) const;
  // The answer is complete. Nothing happens if it was ended or aborted before.
  void end() const;
  // Closes the connection without an end, so that the client knows that something is missing. What waited
  // is dropped.
  void abort() const;

  // `callback` runs once, as soon as there is room for about half a queue again and for the piece that was
  // refused last; at once if there is already. Also when the client is gone: the next write() says so. It
  // runs on a server thread, or on the caller's, and must not block.
  void on_drained(std::function<void()> callback) const;

  // As the responder's. These go on working until the stream is ended.
  bool cancelled() const;
  bool gone() const;
  void on_disconnect(std::function<void()> callback) const;

 private:
  friend class Responder;
  struct State;
  explicit ResponseStream(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace sluice::http
