#include "common/http/responder.h"

#include <utility>

#include "common/base/mutex.h"
#include "common/http/error_response.h"

namespace sluice::http {

struct Responder::State {
  explicit State(std::shared_ptr<Sink> sink_of_answer) : sink(std::move(sink_of_answer)) {}
  ~State() {
    if (answered) return;
    sink->answer(error_response(500, error_type::kServer, "internal_error", "the request was not answered"));
  }

  const std::shared_ptr<Sink> sink;
  Mutex mutex;
  bool answered GUARDED_BY(mutex) = false;
  bool cancelled GUARDED_BY(mutex) = false;
  bool gone GUARDED_BY(mutex) = false;
  std::function<void()> left GUARDED_BY(mutex);
};

Responder::Responder(std::shared_ptr<Sink> sink) : state_(std::make_shared<State>(std::move(sink))) {}

bool Responder::send(Response response) const {
  // Goes after the lock does: it may hold the last copy of something that locks in turn.
  std::function<void()> left;
  {
    MutexLock lock(state_->mutex);
    if (state_->answered) return false;
    state_->answered = true;
    left = std::move(state_->left);
    state_->left = nullptr;
  }
  state_->sink->answer(std::move(response));
  return true;
}

bool Responder::answered() const {
  MutexLock lock(state_->mutex);
  return state_->answered;
}

bool Responder::cancelled() const {
  MutexLock lock(state_->mutex);
  return state_->cancelled;
}

bool Responder::gone() const {
  MutexLock lock(state_->mutex);
  return state_->gone;
}

void Responder::on_disconnect(std::function<void()> callback) const {
  {
    MutexLock lock(state_->mutex);
    if (state_->answered) return;
    if (!state_->cancelled) {
      std::swap(state_->left, callback);
      return;
    }
  }
  callback();
}

Responder::Canceller Responder::canceller() const {
  Canceller canceller;
  canceller.state_ = state_;
  return canceller;
}

void Responder::Canceller::cancel(bool gone) const {
  const std::shared_ptr<State> state = state_.lock();
  if (!state) return;
  std::function<void()> left;
  {
    MutexLock lock(state->mutex);
    if (state->answered) return;
    state->gone = state->gone || gone;
    if (state->cancelled) return;
    state->cancelled = true;
    left = std::move(state->left);
    state->left = nullptr;
  }
  if (left) left();
}

}  // namespace sluice::http
