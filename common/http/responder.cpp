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
  bool answered GUARDED_BY(mutex) = false;   // Or a stream was begun.
  bool streaming GUARDED_BY(mutex) = false;  // And it has not been ended.
  bool cancelled GUARDED_BY(mutex) = false;
  bool gone GUARDED_BY(mutex) = false;
  std::function<void()> left GUARDED_BY(mutex);

  bool over() const REQUIRES(mutex) { return answered && !streaming; }
  void stream_over() {
    std::function<void()> let_go;  // After the lock.
    MutexLock lock(mutex);
    streaming = false;
    let_go.swap(left);
  }
};

struct ResponseStream::State {
  State(Responder owner, std::shared_ptr<StreamQueue> pieces)
      : responder(std::move(owner)), queue(std::move(pieces)) {}
  ~State() {
    queue->abort();
    responder.state_->stream_over();
  }

  const Responder responder;  // Keeps what on_disconnect() was told.
  const std::shared_ptr<StreamQueue> queue;
};

namespace {

constexpr std::size_t kPulledPieceBytes = 128 * 1024;
constexpr std::size_t kPulledQueueBytes = 512 * 1024;

void write_last(const ResponseStream& stream, const std::shared_ptr<const std::string>& piece) {
  const Kept kept = stream.write(*piece);
  if (kept == Kept::kKept) return stream.end();
  if (kept == Kept::kGone) return;
  stream.on_drained([stream, piece] { write_last(stream, piece); });
}

// Puts pieces together for a sink that takes only whole answers.
struct Collector {
  Collector(std::shared_ptr<Responder::Sink> to, Response head)
      : sink(std::move(to)), response(std::move(head)) {}

  const std::shared_ptr<Responder::Sink> sink;
  Response response;
  bool done = false;

  static void collect(const std::shared_ptr<Collector>& self, const std::shared_ptr<StreamQueue>& queue) {
    for (;;) {
      StreamQueue::Taken taken = queue->take(kPulledPieceBytes);
      self->response.body += taken.bytes;
      if ((taken.ended || taken.aborted) && !self->done) {
        self->done = true;
        if (taken.aborted) self->response.close = true;
        self->sink->answer(std::move(self->response));
        return queue->close();
      }
      if (taken.bytes.empty()) return;
      queue->sent(taken.bytes.size());
    }
  }
};

// Asks a source for pieces for as long as the client takes them. Each step is a task of its own, so that a
// large answer doesn't keep a handler thread from the others.
struct Pull : std::enable_shared_from_this<Pull> {
  Pull(std::shared_ptr<Responder::Sink> owner, ResponseStream to, PieceSource from)
      : sink(std::move(owner)), stream(std::move(to)), source(std::move(from)) {}

  void go_on() {
    if (!sink->run_on_stage([self = shared_from_this()] { self->step(); })) stream.abort();
  }
  void step() {
    if (piece.empty()) {
      Result<std::string> made = next();
      if (!made) return stream.abort();
      if (made->empty()) return stream.end();
      piece = std::move(*made);
    }
    const Kept kept = stream.write(piece);
    if (kept == Kept::kGone) return;
    // Full: other streams have taken the room that all share. It is written again when this one has drained.
    if (kept == Kept::kKept) piece.clear();
    stream.on_drained([self = shared_from_this()] { self->go_on(); });
  }
  Result<std::string> next() {
    try {
      return source(kPulledPieceBytes);
    } catch (...) {
      return fail(ErrorCode::kInternal, "the source of the content threw");
    }
  }

  const std::shared_ptr<Responder::Sink> sink;
  const ResponseStream stream;
  const PieceSource source;
  std::string piece;  // Made, and not kept by the stream yet. Steps follow each other, never side by side.
};

}  // namespace

void Responder::Sink::stream(Response head, std::shared_ptr<StreamQueue> pieces) {
  // The queue holds the collector, and the collector this sink, until the stream's end.
  const auto collector =
      std::make_shared<Collector>(std::shared_ptr<Sink>(std::shared_ptr<void>(), this), std::move(head));
  const std::weak_ptr<StreamQueue> queue = pieces;
  pieces->attach(
      [collector, queue] {
        if (const auto alive = queue.lock()) Collector::collect(collector, alive);
      },
      nullptr, 0);
  Collector::collect(collector, pieces);
}

bool Responder::Sink::run_on_stage(std::function<void()> task) {
  task();
  return true;
}

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

std::optional<ResponseStream> Responder::stream(Response head, StreamOptions options) const {
  {
    MutexLock lock(state_->mutex);
    if (state_->answered) return std::nullopt;
    state_->answered = true;
    state_->streaming = true;
  }
  const auto queue = std::make_shared<StreamQueue>(std::move(options));
  ResponseStream stream(std::make_shared<ResponseStream::State>(*this, queue));
  if (!head.body.empty()) stream.write(std::exchange(head.body, {}));
  state_->sink->stream(std::move(head), queue);
  return stream;
}

bool Responder::send_from(Response head, PieceSource source,
                          std::optional<std::uint64_t> content_length) const {
  std::optional<ResponseStream> stream =
      this->stream(std::move(head), {.content_length = content_length, .queue_bytes_max = kPulledQueueBytes});
  if (!stream) return false;
  std::make_shared<Pull>(state_->sink, std::move(*stream), std::move(source))->go_on();
  return true;
}

bool Responder::answered() const {
  MutexLock lock(state_->mutex);
  return state_->answered;
}

bool Responder::run_on_stage(std::function<void()> task) const {
  return state_->sink->run_on_stage(std::move(task));
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
    if (state_->over()) return;
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
    if (state->over()) return;
    state->gone = state->gone || gone;
    if (state->cancelled) return;
    state->cancelled = true;
    left = std::move(state->left);
    state->left = nullptr;
  }
  if (left) left();
}

Kept ResponseStream::write(std::string piece) const {
  return state_->queue->write(std::move(piece));
}

void ResponseStream::end() const {
  state_->queue->end();
  state_->responder.state_->stream_over();
}

void ResponseStream::abort() const {
  state_->queue->abort();
  state_->responder.state_->stream_over();
}

void ResponseStream::on_drained(std::function<void()> callback) const {
  state_->queue->on_drained(std::move(callback));
}

bool ResponseStream::cancelled() const {
  return state_->responder.cancelled();
}

bool ResponseStream::gone() const {
  return state_->queue->gone();
}

void ResponseStream::on_disconnect(std::function<void()> callback) const {
  state_->responder.on_disconnect(std::move(callback));
}

void end_with(const ResponseStream& stream, std::string last) {
  write_last(stream, std::make_shared<const std::string>(std::move(last)));
}

}  // namespace sluice::http
