// The way back for one request's answer. Copies share one answer: the first send() or stream() wins.
//
// Safe for concurrent use, from any thread, also after the server has stopped (the answer is then dropped).
// When the last copy goes away without an answer, the client gets a 500: no request is ever left hanging.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/base/result.h"
#include "common/http/message.h"
#include "common/http/response_stream.h"

namespace sluice::http {

// Makes content as it is asked for. Returns the next piece, of about `bytes_wanted` bytes; an empty one after
// the last. An error ends the connection, so that the client sees that something is missing. Calls come one
// after the other, on handler threads: it may block for a while.
using PieceSource = std::function<Result<std::string>(std::size_t bytes_wanted)>;

class Responder {
  struct State;

 public:
  // Where answers go: the server's connection, or a test.
  class Sink {
   public:
    virtual ~Sink() = default;
    // One of these two is called exactly once, from any thread.
    virtual void answer(Response response) = 0;
    // The answer's pieces come through `pieces`. Unless overridden, they are collected for answer(), with
    // `close` set if the stream was aborted: enough for a test of a handler.
    virtual void stream(Response head, std::shared_ptr<StreamQueue> pieces);
    // Runs `task` on a handler thread, behind what waits there, and however much does: it goes on with work
    // that was let in before. False: the server has stopped. Unless overridden, runs it here and now.
    virtual bool run_on_stage(std::function<void()> task);
  };
  explicit Responder(std::shared_ptr<Sink> sink);

  // False: an answer was given before, this one is dropped.
  bool send(Response response) const;
  bool answered() const;
  // Goes on with the request on a handler thread, behind what waits there: for code that learns on a thread
  // of its own that there is more to do. False: the server or the connection is gone, and `task` won't run.
  bool run_on_stage(std::function<void()> task) const;

  // Turns the answer into a stream: status and fields of `head` go out at once, its body is the first piece.
  // Empty: an answer was given before.
  std::optional<ResponseStream> stream(Response head, StreamOptions options = {}) const;
  // For content that is there already but too large to be held: `source` is asked for the next piece
  // whenever the client's queue has room. False: an answer was given before.
  bool send_from(Response head, PieceSource source,
                 std::optional<std::uint64_t> content_length = std::nullopt) const;

  // The client has left, has shut down its sending side (it may still wait for the answer: send the best one
  // that is at hand), or the server gives up at stop. A long poll looks here before it waits on.
  bool cancelled() const;
  // The connection is gone: nobody can read an answer. Work that only an answer is for may be dropped.
  bool gone() const;
  // `callback` runs once when cancelled() becomes true, at once if it is already; never after an answer was
  // sent or a stream was ended. It runs on a server thread and must not block. One callback for each request:
  // a second replaces the first.
  void on_disconnect(std::function<void()> callback) const;

  // Tells the responder that the client has left or, with `gone`, that the connection is no more; without
  // keeping it from being dropped.
  class Canceller {
   public:
    Canceller() = default;
    void cancel(bool gone) const;

   private:
    friend class Responder;
    std::weak_ptr<State> state_;
  };
  Canceller canceller() const;

 private:
  friend class ResponseStream;
  std::shared_ptr<State> state_;
};

// Writes the last piece and ends the stream; in place of end(). The piece may be larger than the stream's
// queue: if it finds no room it goes out once what was written before has, and nothing is broken off. As
// nothing comes behind it, it is all that a slow client can make wait.
void end_with(const ResponseStream& stream, std::string last);

}  // namespace sluice::http
