// The way back for one request's answer. Copies share one answer: the first send() wins.
//
// Safe for concurrent use, from any thread, also after the server has stopped (the answer is then dropped).
// When the last copy goes away without an answer, the client gets a 500: no request is ever left hanging.
#pragma once

#include <functional>
#include <memory>

#include "common/http/message.h"

namespace sluice::http {

class Responder {
  struct State;

 public:
  // Where answers go: the server's connection, or a test.
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void answer(Response response) = 0;  // Called exactly once, from any thread.
  };
  explicit Responder(std::shared_ptr<Sink> sink);

  // False: an answer was given before, this one is dropped.
  bool send(Response response) const;
  bool answered() const;
  // The client has left, has shut down its sending side (it may still wait for the answer: send the best one
  // that is at hand), or the server gives up at stop. A long poll looks here before it waits on.
  bool cancelled() const;
  // The connection is gone: nobody can read an answer. Work that only an answer is for may be dropped.
  bool gone() const;
  // `callback` runs once when cancelled() becomes true, at once if it is already; never after an answer was
  // sent. It runs on a server thread and must not block. One callback for each request: a second replaces the
  // first.
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
  std::shared_ptr<State> state_;
};

}  // namespace sluice::http
