#include "common/http/connection.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <utility>

#include "common/http/error_response.h"
#include "common/http/exchange.h"

namespace sluice::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t kReadAheadBytes = 64 * 1024;
constexpr int kReadsAtOnce = 16;  // Then the other connections of this thread have their turn.
constexpr std::size_t kLingerBytesMax = 64 * 1024 * 1024;
constexpr std::chrono::seconds kLingerTime{2};

std::string_view media_type(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  return type;
}

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
    responder.send(not_handled());
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

Connection::Connection(std::shared_ptr<Core> core, Wire::Socket socket, SSL_CTX* tls, std::string peer,
                       std::string address_key)
    : core_(std::move(core)),
      wire_(std::move(socket), tls),
      peer_(std::move(peer)),
      address_key_(std::move(address_key)),
      input_(std::max(kReadAheadBytes, core_->config.header_bytes_max)),
      scan_(core_->header_limits),
      timer_(wire_.get_executor()) {}

Connection::~Connection() = default;

void Connection::start() {
  asio::dispatch(wire_.get_executor(), [self = shared_from_this()] {
    if (self->wire_.secure()) {
      self->state_ = State::kHandshake;
      self->set_deadline(self->core_->config.header_timeout);
    } else {
      self->set_deadline(self->core_->config.idle_timeout);
    }
    self->advance();
  });
}

void Connection::stop() {
  asio::post(wire_.get_executor(), [self = shared_from_this()] {
    // Between two requests a client must expect a closed connection at any time.
    if (self->state_ == State::kHandshake || (self->state_ == State::kHead && self->input_.empty())) {
      self->close();
    }
  });
}

void Connection::abort() {
  asio::post(wire_.get_executor(), [self = shared_from_this()] {
    self->aborting_ = true;
    self->close();
  });
}

void Connection::turn_away() {
  // Best effort, in one piece: a client that can't take it learns by the closed connection.
  constexpr std::string_view kBusy =
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  // Inside TLS, a handshake only to say no would cost the most when there is the least to spare.
  error_code ignored;
  if (!wire_.secure()) wire_.write_some({asio::buffer(kBusy)}, ignored);
  wire_.close();
}

// --- Input.

void Connection::shake_hands() {
  error_code fault;
  if (wire_.shake_hands(fault)) {
    state_ = State::kHead;
    set_deadline(core_->config.idle_timeout);
    return advance();
  }
  if (!fault) return wait_for_input();
  core_->metrics.refused.with({"tls_handshake"}).add();  // Not TLS, too old a version, or no trust in us.
  close();
}

void Connection::wait_for_input() {
  if (waiting_for_input_ || input_ended_ || state_ == State::kClosed || input_.full()) return;
  waiting_for_input_ = true;
  wire_.wait_for_input([self = shared_from_this()](error_code fault) {
    self->waiting_for_input_ = false;
    self->on_input(fault);
  });
}

void Connection::on_input(error_code fault) {
  if (state_ == State::kClosed) return;
  if (fault) return close();
  if (state_ == State::kHandshake) return shake_hands();
  for (int reads = 0; reads < kReadsAtOnce && !input_.full(); ++reads) {
    std::size_t size = 0;
    char* room = input_.room(size);
    const std::size_t got = wire_.read_some(room, size, fault);
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
    if (got < size && !wire_.secure()) break;  // TLS comes in records, however much there is.
  }
  advance();
}

// The client will send no more. It may still read: who sends a request and shuts down its side gets the
// answer.
void Connection::on_end_of_input() {
  input_ended_ = true;
  if (state_ == State::kStream) return exchange_->client_left(false);
  if (state_ != State::kHandler && state_ != State::kGate) return;
  core_->metrics.clients_left.add();
  exchange_->client_left(false);
}

void Connection::advance() {
  switch (state_) {
    case State::kHandshake:
      return shake_hands();
    case State::kHead:
      return read_header();
    case State::kBody:
      return read_body();
    case State::kLinger:
      if (input_ended_ || lingered_bytes_ > kLingerBytesMax) return close();
      return wait_for_input();
    case State::kGate:
    case State::kPiece:
    case State::kHandler:
    case State::kStream:
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
  if (sink_) return read_piece();
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
  if (route.gate_on == RunOn::kIoThread) {
    std::optional<Response> refusal = pass_gate(route, exchange_->request);
    exchange_->answer_headers = std::move(exchange_->request.answer_headers);
    return after_gate(std::move(refusal));
  }
  submit([self = shared_from_this(), exchange = exchange_, &route] {
    std::optional<Response> refusal = pass_gate(route, exchange->request);
    exchange->answer_headers = std::move(exchange->request.answer_headers);
    Refusal ignored;
    if (!refusal && !exchange->request.has_body && !route.open_body && route.handler_on == RunOn::kStage &&
        body_allowed(route, exchange->request, ignored)) {
      // Nothing to read, so go on here and save two changes of thread.
      return call_handler(route, std::move(exchange->request), exchange->make_responder());
    }
    asio::post(self->wire_.get_executor(), [self, exchange, refusal = std::move(refusal)]() mutable {
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
  if (exchange_->match.route->open_body) return open_sink();
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
    if (wire_.write_some({asio::buffer(kContinue)}, fault) != kContinue.size()) return close();
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

// --- Time and end.

void Connection::set_deadline(std::chrono::nanoseconds from_now) {
  has_deadline_ = true;
  deadline_ = std::chrono::steady_clock::now() + from_now;
  // A timer that fires too early looks at the deadline again, so most requests never touch it.
  if (!timer_armed_ || deadline_ < timer_at_) arm_timer();
}

std::chrono::nanoseconds Connection::until_deadline() const {
  return deadline_ - std::chrono::steady_clock::now();
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
  if (state_ == State::kHandshake) core_->metrics.refused.with({"tls_handshake_timeout"}).add();
  if (state_ == State::kStream) return on_stream_timer();
  if (state_ == State::kWrite) core_->metrics.refused.with({"write_timeout"}).add();
  close();
}

void Connection::linger() {
  if (input_ended_) return close();
  state_ = State::kLinger;
  input_.use(input_.bytes().size());
  error_code fault;
  wire_.shut_down_sending(fault);
  if (fault) return close();
  set_deadline(kLingerTime);
  wait_for_input();
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  const bool unanswered = state_ == State::kHandler || state_ == State::kGate;
  const bool cut = state_ == State::kStream;
  if (cut) {
    if (refusal_code_.empty()) refusal_code_ = aborting_ ? "stopped" : "client_left";
    core_->metrics.streams_cut.with({refusal_code_}).add();
    record();
    drop_stream();
  }
  state_ = State::kClosed;
  has_deadline_ = false;
  timer_.cancel();
  wire_.close();
  core_->release_body(std::exchange(body_reserved_, 0));
  let_go(std::move(sink_));
  if (exchange_) {
    if (unanswered && !input_ended_) core_->metrics.clients_left.add();
    if (unanswered || cut) exchange_->client_left(true);
    exchange_->detach();
    exchange_.reset();
  }
  core_->metrics.connections.subtract();
  core_->book.remove(this, address_key_);
}

}  // namespace sluice::http
