#include "common/http/connection.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "common/http/error_response.h"

namespace sluice::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t kReadAheadBytes = 64 * 1024;
constexpr int kReadsAtOnce = 16;  // Then the other connections of this thread have their turn.
constexpr std::size_t kLingerBytesMax = 64 * 1024 * 1024;
constexpr std::chrono::seconds kLingerTime{2};
constexpr std::size_t kBytesPerSecondMin = 64 * 1024;  // What a slow reader's time grows with.

std::string_view status_class(int status) {
  constexpr std::array<std::string_view, 6> kClasses{"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};
  return kClasses[static_cast<std::size_t>(status / 100) % kClasses.size()];
}

std::string_view type_of_status(int status) {
  if (status == 404) return error_type::kNotFound;
  if (status == 503) return error_type::kUnavailable;
  return status >= 500 ? error_type::kServer : error_type::kInvalidRequest;
}

std::string_view media_type(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return type;
}

}  // namespace

// One request, and where its answer goes. Outlives the connection if a handler holds on to it.
struct Connection::Exchange final : public Responder::Sink {
  explicit Exchange(std::shared_ptr<Connection> owner) : connection(std::move(owner)) {}

  void answer(Response response) override {
    MutexLock lock(mutex);
    if (!connection) return;
    // Under the lock: once the connection is detached nothing more is put onto its strand, which may then go.
    asio::post(connection->socket_.get_executor(),
               [held = connection, this, response = std::move(response)]() mutable {
                 held->on_answer(this, std::move(response));
               });
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

namespace {

// Authentication and admission. Must not throw, but a defect there must cost one request only.
std::optional<Response> pass_gate(const Route& route, RequestHead& head) {
  try {
    if (route.authenticate) {
      if (std::optional<Response> refusal = route.authenticate(head)) return refusal;
    }
    if (route.admit) return route.admit(head);
    return std::nullopt;
  } catch (...) {
    return error_response(500, error_type::kServer, "internal_error", "the request could not be checked");
  }
}

void call_handler(const Route& route, Request request, const Responder& responder) {
  try {
    route.handler(std::move(request), responder);
  } catch (...) {
    responder.send(
        error_response(500, error_type::kServer, "internal_error", "the request could not be handled"));
  }
}

// What the route says about bodies; looked at after authentication, so that strangers learn nothing.
bool body_allowed(const Route& route, const RequestHead& head, Refusal& refusal) {
  if (!head.has_body) {
    if (route.content_type.empty() || head.content_length) return true;
    refusal = {411, "length_required", "the request needs a body"};
    return false;
  }
  if (head.content_length && *head.content_length > route.body_max) {
    refusal = {413, "body_too_large",
               "the request body may have at most " + std::to_string(route.body_max) + " bytes"};
    return false;
  }
  const std::string_view encoding = head.headers.get("Content-Encoding").value_or("identity");
  if (!equals_ignoring_case(encoding, "identity")) {
    refusal = {415, "unknown_content_encoding", "the request body must not be compressed"};
    return false;
  }
  const std::string_view type = head.headers.get("Content-Type").value_or(route.content_type);
  if (!route.content_type.empty() && !equals_ignoring_case(media_type(type), route.content_type)) {
    refusal = {415, "unsupported_media_type", "the request body must be " + route.content_type};
    return false;
  }
  return true;
}

}  // namespace

Connection::Connection(std::shared_ptr<Core> core, Socket socket, std::string peer, std::string address_key)
    : core_(std::move(core)),
      socket_(std::move(socket)),
      peer_(std::move(peer)),
      address_key_(std::move(address_key)),
      input_(std::max(kReadAheadBytes, core_->config.header_bytes_max)),
      scan_(core_->header_limits),
      timer_(socket_.get_executor()) {}

Connection::~Connection() = default;

void Connection::start() {
  asio::dispatch(socket_.get_executor(), [self = shared_from_this()] {
    self->set_deadline(self->core_->config.idle_timeout);
    self->advance();
  });
}

void Connection::stop() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    // Between two requests a client must expect a closed connection at any time.
    if (self->state_ == State::kHead && self->input_.empty()) self->close();
  });
}

void Connection::abort() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->close(); });
}

void Connection::turn_away() {
  // Best effort, in one piece: a client that can't take it learns by the closed connection.
  constexpr std::string_view kBusy =
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  error_code ignored;
  socket_.write_some(asio::buffer(kBusy), ignored);
  socket_.close(ignored);
}

// --- Input.

void Connection::wait_for_input() {
  if (waiting_for_input_ || input_ended_ || state_ == State::kClosed || input_.full()) return;
  waiting_for_input_ = true;
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](error_code fault) {
    self->waiting_for_input_ = false;
    self->on_input(fault);
  });
}

void Connection::on_input(error_code fault) {
  if (state_ == State::kClosed) return;
  if (fault) return close();
  for (int reads = 0; reads < kReadsAtOnce && !input_.full(); ++reads) {
    std::size_t size = 0;
    char* room = input_.room(size);
    const std::size_t got = socket_.read_some(asio::buffer(room, size), fault);
    if (fault == asio::error::would_block || fault == asio::error::try_again) break;
    if (fault == asio::error::eof) {
      on_end_of_input();
      break;
    }
    if (fault) return close();
    if (state_ == State::kLinger) {
      lingered_bytes_ += got;  // Nothing of it is kept: the next read overwrites it.
    } else {
      input_.filled(got);
    }
    if (got < size) break;
  }
  advance();
}

// The client will send no more. It may still read: who sends a request and shuts down its side gets the
// answer.
void Connection::on_end_of_input() {
  input_ended_ = true;
  if (state_ != State::kHandler && state_ != State::kGate) return;
  core_->metrics.clients_left.add();
  exchange_->client_left(false);
}

void Connection::advance() {
  switch (state_) {
    case State::kHead:
      return read_header();
    case State::kBody:
      return read_body();
    case State::kLinger:
      if (input_ended_ || lingered_bytes_ > kLingerBytesMax) return close();
      return wait_for_input();
    case State::kGate:
    case State::kHandler:
      return wait_for_input();
    case State::kWrite:
    case State::kClosed:
      return;
  }
}

void Connection::read_header() {
  // A client may send an empty line after a body; RFC 9112 asks to skip one.
  if (requests_ > 0 && scan_.size() == 0 && input_.bytes().starts_with("\r\n")) input_.use(2);
  if (!timing_ && !input_.empty()) {
    timing_ = true;
    started_ = core_->clock.steady_now();
  }
  switch (scan_.scan(input_.bytes())) {
    case HeaderScan::State::kBad:
      broken_ = true;
      return refuse(scan_.refusal());
    case HeaderScan::State::kMore:
      if (input_ended_ || (input_.empty() && stopping())) return close();
      if (input_.empty()) {
        input_.release_if_empty();
      } else if (!phase_timed_) {
        phase_timed_ = true;
        set_deadline(core_->config.header_timeout);
      }
      return wait_for_input();
    case HeaderScan::State::kDone:
      break;
  }
  ParsedHead parsed;
  Refusal refusal;
  const bool good = parse_head(input_.bytes().substr(0, scan_.size()), parsed, refusal);
  input_.use(scan_.size());
  scan_.reset();
  phase_timed_ = false;
  if (!good) {
    broken_ = true;
    return refuse(std::move(refusal));
  }
  begin_exchange(std::move(parsed));
}

void Connection::read_body() {
  Request& request = exchange_->request;
  bool done = false;
  if (chunks_) {
    // A chunk's data is never longer than what has come.
    if (!reserve_body(request.body.size() + input_.bytes().size())) return;
    std::size_t used = 0;
    const ChunkDecoder::State state = chunks_->decode(input_.bytes(), request.body, used);
    input_.use(used);
    if (state == ChunkDecoder::State::kBad) return refuse(chunks_->refusal());
    done = state == ChunkDecoder::State::kDone;
  } else {
    const std::size_t length = static_cast<std::size_t>(*request.content_length);
    const std::size_t taken = std::min(length - request.body.size(), input_.bytes().size());
    if (!reserve_body(request.body.size() + taken)) return;
    request.body.append(input_.bytes().substr(0, taken));
    input_.use(taken);
    done = request.body.size() == length;
  }
  if (done) {
    broken_ = false;
    return run_handler();
  }
  if (input_ended_) return close();
  if (!phase_timed_) {
    phase_timed_ = true;
    set_deadline(core_->config.body_timeout);
  }
  wait_for_input();
}

bool Connection::reserve_body(std::size_t bytes) {
  if (bytes <= body_reserved_) return true;
  // In growing steps, as the string grows: what a client announces costs nothing until it comes.
  const std::uint64_t most = exchange_->request.content_length.value_or(exchange_->match.route->body_max);
  const std::size_t wanted = std::max(bytes, std::min<std::size_t>(2 * body_reserved_, most));
  if (!core_->reserve_body(wanted - body_reserved_)) {
    refuse_busy("too_many_bodies", "too many request bodies are being read; try again");
    return false;
  }
  body_reserved_ = wanted;
  return true;
}

// --- A request's way.

void Connection::begin_exchange(ParsedHead parsed) {
  exchange_ = std::make_shared<Exchange>(shared_from_this());
  Exchange& exchange = *exchange_;
  exchange.self = exchange_;
  exchange.framing = parsed.framing;
  exchange.method = parsed.head.method;
  exchange.request_id = core_->next_request_id();
  if (input_ended_) exchange.client_left(false);
  static_cast<RequestHead&>(exchange.request) = std::move(parsed.head);
  Request& request = exchange.request;
  request.id = exchange.request_id;
  request.peer_address = peer_;
  broken_ = request.has_body;  // Until the body is read.

  exchange.match = core_->router.match(request.method, request.path);
  const Router::Match& match = exchange.match;
  if (match.route == nullptr && request.method == Method::kOptions &&
      (match.pattern || parsed.options_for_server)) {
    Response response = Response::empty(204);
    response.headers.add("Allow",
                         match.pattern ? match.allow : "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    return respond(std::move(response));
  }
  if (match.pattern == nullptr) return refuse({404, "route_not_found", "there is nothing at this path"});
  if (match.route == nullptr)
    return refuse({405, "method_not_allowed", "this path knows other methods"}, match.allow);
  if (match.bad_escape) return refuse({400, "bad_target", "the path has a broken escape"});
  request.pattern = *match.pattern;
  request.path_params = std::move(exchange.match.path_params);
  run_gate();
}

void Connection::run_gate() {
  const Route& route = *exchange_->match.route;
  if (!route.authenticate && !route.admit) return after_gate(std::nullopt);
  state_ = State::kGate;
  clear_deadline();
  if (route.gate_on == RunOn::kIoThread) return after_gate(pass_gate(route, exchange_->request));
  submit([self = shared_from_this(), exchange = exchange_, &route] {
    std::optional<Response> refusal = pass_gate(route, exchange->request);
    Refusal ignored;
    if (!refusal && !exchange->request.has_body && route.handler_on == RunOn::kStage &&
        body_allowed(route, exchange->request, ignored)) {
      // Nothing to read, so go on here and save two changes of thread.
      return call_handler(route, std::move(exchange->request), exchange->make_responder());
    }
    asio::post(self->socket_.get_executor(), [self, exchange, refusal = std::move(refusal)]() mutable {
      if (self->exchange_ == exchange && self->state_ == State::kGate) self->after_gate(std::move(refusal));
    });
  });
  wait_for_input();
}

void Connection::after_gate(std::optional<Response> refusal) {
  if (refusal) return respond(std::move(*refusal));
  Refusal not_allowed;
  if (!body_allowed(*exchange_->match.route, exchange_->request, not_allowed))
    return refuse(std::move(not_allowed));
  if (!exchange_->request.has_body) return run_handler();
  begin_body();
}

void Connection::begin_body() {
  state_ = State::kBody;
  if (exchange_->framing.chunked) chunks_.emplace(exchange_->match.route->body_max);
  if (exchange_->framing.expects_continue && input_.empty()) {
    // Every answer before this one is in the kernel's hands, so these few bytes fit, or the client reads
    // nothing.
    constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    error_code fault;
    if (socket_.write_some(asio::buffer(kContinue), fault) != kContinue.size()) return close();
  }
  read_body();
}

void Connection::run_handler() {
  state_ = State::kHandler;
  phase_timed_ = false;
  clear_deadline();
  exchange_->body_bytes = exchange_->request.body.size();
  const Route& route = *exchange_->match.route;
  if (route.handler_on == RunOn::kIoThread) {
    call_handler(route, std::move(exchange_->request), exchange_->make_responder());
  } else {
    submit([exchange = exchange_, &route] {
      call_handler(route, std::move(exchange->request), exchange->make_responder());
    });
  }
  if (state_ == State::kHandler) wait_for_input();
}

void Connection::submit(std::function<void()> task) {
  if (core_->stage.submit(std::move(task))) return;
  refuse_busy("handlers_busy", "the server is busy; try again");
}

// --- Answers.

void Connection::refuse(Refusal refusal, std::string_view allow) {
  refusal_code_ = refusal.code;
  core_->metrics.refused.with({refusal.code}).add();
  Response response =
      error_response(refusal.status, type_of_status(refusal.status), refusal.code, refusal.message);
  if (!allow.empty()) response.headers.add("Allow", std::string(allow));
  respond(std::move(response));
}

void Connection::refuse_busy(std::string_view code, std::string_view message) {
  refusal_code_ = code;
  core_->metrics.refused.with({code}).add();
  respond(busy_response(503, code, message, 1));
}

void Connection::on_answer(const Exchange* from, Response response) {
  if (exchange_.get() != from || (state_ != State::kHandler && state_ != State::kGate)) return;
  respond(std::move(response));
}

void Connection::respond(Response response) {
  if (response.status < 200 || response.status > 599) {
    response = error_response(500, error_type::kServer, "internal_error", "the answer has no valid status");
  }
  const bool keep_alive = exchange_ && exchange_->framing.keep_alive && !broken_ && !response.close &&
                          !stopping() && requests_ + 1 < core_->config.requests_per_connection_max &&
                          !(input_ended_ && input_.empty());
  state_ = State::kWrite;
  clear_deadline();
  core_->release_body(std::exchange(body_reserved_, 0));
  status_ = response.status;
  close_after_ = !keep_alive;
  written_ = 0;
  out_head_.clear();
  const ResponseHead head{
      .close = close_after_,
      .request_id = exchange_ ? std::string_view(exchange_->request_id) : std::string_view(),
      .now = core_->clock.wall_now()};
  const int left_out = append_response_head(response, head, out_head_);
  if (left_out > 0) core_->metrics.response_fields_left_out.add(left_out);
  out_body_ = std::move(response.body);
  const bool bodiless = status_ == 204 || status_ == 304 || (exchange_ && exchange_->method == Method::kHead);
  if (bodiless) out_body_.clear();
  write_some();
}

void Connection::write_some() {
  if (state_ != State::kWrite) return;
  const std::size_t size = out_head_.size() + out_body_.size();
  while (written_ < size) {
    const std::size_t of_head = std::min(written_, out_head_.size());
    const std::size_t of_body = written_ - of_head;
    const std::array<asio::const_buffer, 2> rest{
        asio::buffer(out_head_.data() + of_head, out_head_.size() - of_head),
        asio::buffer(out_body_.data() + of_body, out_body_.size() - of_body)};
    error_code fault;
    written_ += socket_.write_some(rest, fault);
    if (fault == asio::error::would_block || fault == asio::error::try_again) {
      if (!has_deadline_) {
        set_deadline(core_->config.write_timeout + std::chrono::seconds(size / kBytesPerSecondMin));
      }
      socket_.async_wait(Socket::wait_write, [self = shared_from_this()](error_code broken) {
        if (self->state_ != State::kWrite) return;
        if (broken) return self->close();
        self->write_some();
      });
      return;
    }
    if (fault) return close();
  }
  finish_response();
}

void Connection::finish_response() {
  record();
  ++requests_;
  if (exchange_) exchange_->detach();
  exchange_.reset();
  chunks_.reset();
  timing_ = false;
  phase_timed_ = false;
  refusal_code_ = {};
  out_body_ = std::string();
  if (close_after_) return linger();
  state_ = State::kHead;
  set_deadline(core_->config.idle_timeout);
  if (input_.empty()) return advance();
  // Not from here: a thousand requests in one piece must not become a stack a thousand calls deep.
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->advance(); });
}

void Connection::record() {
  const bool known = exchange_ && exchange_->match.route != nullptr;
  const std::string_view pattern = known ? std::string_view(*exchange_->match.pattern) : "-";
  const std::string_view method = exchange_ ? method_name(exchange_->method) : "-";
  const Duration duration = timing_ ? core_->clock.steady_now() - started_ : Duration::zero();
  core_->metrics.requests.with({pattern, method, status_class(status_)}).add();
  core_->metrics.seconds.with({pattern}).observe(std::chrono::duration<double>(duration).count());
  if (!core_->access_log) return;
  AccessRecord record;
  record.request_id = exchange_ ? std::string_view(exchange_->request_id) : std::string_view();
  record.method = method;
  record.pattern = pattern;
  record.status = status_;
  record.code = refusal_code_;
  record.duration = duration;
  record.bytes_in = exchange_ ? exchange_->body_bytes : 0;
  record.bytes_out = out_body_.size();
  record.peer_address = peer_;
  core_->access_log(record);
}

// --- Time and end.

void Connection::set_deadline(std::chrono::nanoseconds from_now) {
  has_deadline_ = true;
  deadline_ = std::chrono::steady_clock::now() + from_now;
  // A timer that fires too early looks at the deadline again, so most requests never touch it.
  if (!timer_armed_ || deadline_ < timer_at_) arm_timer();
}

void Connection::arm_timer() {
  timer_armed_ = true;
  timer_at_ = deadline_;
  timer_.expires_at(deadline_);
  timer_.async_wait([self = shared_from_this(), at = timer_at_](error_code fault) {
    if (fault || self->timer_at_ != at) return;  // Moved meanwhile.
    self->timer_armed_ = false;
    self->on_timer();
  });
}

void Connection::on_timer() {
  if (!has_deadline_ || state_ == State::kClosed) return;
  if (std::chrono::steady_clock::now() < deadline_) return arm_timer();
  has_deadline_ = false;
  if (state_ == State::kHead && timing_) {
    broken_ = true;
    return refuse({408, "header_timeout", "the request header took too long"});
  }
  if (state_ == State::kBody) return refuse({408, "body_timeout", "the request body took too long"});
  if (state_ == State::kWrite) core_->metrics.refused.with({"write_timeout"}).add();
  close();
}

void Connection::linger() {
  if (input_ended_) return close();
  state_ = State::kLinger;
  input_.use(input_.bytes().size());
  error_code fault;
  socket_.shutdown(Socket::shutdown_send, fault);
  if (fault) return close();
  set_deadline(kLingerTime);
  wait_for_input();
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  const bool unanswered = state_ == State::kHandler || state_ == State::kGate;
  state_ = State::kClosed;
  has_deadline_ = false;
  timer_.cancel();
  error_code fault;
  socket_.close(fault);
  core_->release_body(std::exchange(body_reserved_, 0));
  if (exchange_) {
    if (unanswered && !input_ended_) core_->metrics.clients_left.add();
    if (unanswered) exchange_->client_left(true);
    exchange_->detach();
    exchange_.reset();
  }
  core_->metrics.connections.subtract();
  core_->book.remove(this, address_key_);
}

}  // namespace sluice::http
