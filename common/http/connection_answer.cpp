// How a connection answers: at once, or in pieces as they come.
#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <charconv>
#include <utility>

#include "common/http/connection.h"
#include "common/http/error_response.h"
#include "common/http/exchange.h"

namespace sluice::http {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t kBytesPerSecondMin = 64 * 1024;  // What a slow reader's time grows with.
constexpr std::size_t kBlockBytes = 64 * 1024;         // Of a stream, in one write.
constexpr int kBlocksAtOnce = 16;  // Then the other connections of this thread have their turn.

std::string_view status_class(int status) {
  constexpr std::array<std::string_view, 6> kClasses{"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};
  return kClasses[static_cast<std::size_t>(status / 100) % kClasses.size()];
}

std::string_view type_of_status(int status) {
  if (status == 404) return error_type::kNotFound;
  if (status == 503) return error_type::kUnavailable;
  return status >= 500 ? error_type::kServer : error_type::kInvalidRequest;
}

void append_chunk_size(std::size_t size, std::string& out) {
  std::array<char, 20> digits{};
  const auto [end, fault] = std::to_chars(digits.data(), digits.data() + digits.size(), size, 16);
  out.append(digits.data(), end).append("\r\n");
}

}  // namespace

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

bool Connection::awaits_answer_of(const Exchange* exchange) const {
  return exchange_.get() == exchange && (state_ == State::kHandler || state_ == State::kGate);
}

void Connection::on_answer(const Exchange* from, Response response) {
  if (awaits_answer_of(from)) respond(std::move(response));
}

void Connection::on_stream(const Exchange* from, Response head, std::shared_ptr<StreamQueue> pieces) {
  if (!awaits_answer_of(from)) return pieces->close();
  stream_ = std::move(pieces);
  respond(std::move(head));
}

void Connection::respond(Response response) {
  if (response.status < 200 || response.status > 599) {
    drop_stream();
    response = error_response(500, error_type::kServer, "internal_error", "the answer has no valid status");
  }
  if (exchange_) {
    for (const auto& [name, value] : exchange_->answer_headers) {
      if (!response.headers.contains(name)) response.headers.add(name, value);
    }
  }
  const bool lengthless = stream_ && !stream_->options.content_length;
  chunked_out_ = lengthless && exchange_->framing.http11;
  const bool keep_alive = exchange_ && exchange_->framing.keep_alive && !broken_ && !response.close &&
                          !stopping() && requests_ + 1 < core_->config.requests_per_connection_max &&
                          !(input_ended_ && input_.empty()) && (!lengthless || chunked_out_);
  clear_deadline();
  core_->release_body(std::exchange(body_reserved_, 0));
  let_go(std::move(sink_));
  status_ = response.status;
  close_after_ = !keep_alive;
  written_ = 0;
  bytes_out_ = 0;
  out_head_.clear();
  out_body_.clear();
  ResponseHead head{.close = close_after_,
                    .request_id = exchange_ ? std::string_view(exchange_->request_id) : std::string_view(),
                    .now = core_->clock.wall_now()};
  head.content_length = response.body.size();
  if (stream_) head.content_length = stream_->options.content_length;
  head.chunked = chunked_out_;
  const int left_out = append_response_head(response, head, out_head_);
  if (left_out > 0) core_->metrics.response_fields_left_out.add(left_out);

  const bool bodiless = status_ == 204 || status_ == 304 || (exchange_ && exchange_->method == Method::kHead);
  if (bodiless) drop_stream();
  if (stream_) return begin_stream();
  state_ = State::kWrite;
  if (!bodiless) out_body_ = std::move(response.body);
  bytes_out_ = out_body_.size();
  if (write_out()) finish_response();
}

bool Connection::write_out() {
  const std::size_t size = out_head_.size() + out_body_.size();
  while (written_ < size) {
    const std::size_t of_head = std::min(written_, out_head_.size());
    const std::size_t of_body = written_ - of_head;
    const std::array<asio::const_buffer, 2> rest{
        asio::buffer(out_head_.data() + of_head, out_head_.size() - of_head),
        asio::buffer(out_body_.data() + of_body, out_body_.size() - of_body)};
    error_code fault;
    const std::size_t now = wire_.write_some(rest, fault);
    written_ += now;
    if (fault == asio::error::would_block || fault == asio::error::try_again) {
      if (state_ == State::kStream) {
        time_stream(now);
      } else if (!has_deadline_) {
        set_deadline(core_->config.write_timeout + std::chrono::seconds(size / kBytesPerSecondMin));
      }
      wait_for_output();
      return false;
    }
    if (fault) {
      close();
      return false;
    }
    if (stalled_) time_stream(now);
  }
  return true;
}

void Connection::wait_for_output() {
  waiting_for_output_ = true;
  wire_.wait_for_output([self = shared_from_this()](error_code broken) {
    self->waiting_for_output_ = false;
    if (self->state_ != State::kWrite && self->state_ != State::kStream) return;
    if (broken) return self->close();
    if (self->state_ == State::kStream) return self->pump();
    if (self->write_out()) self->finish_response();
  });
}

void Connection::finish_response() {
  record();
  ++requests_;
  drop_stream();
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
  asio::post(wire_.get_executor(), [self = shared_from_this()] { self->advance(); });
}

// --- Streams.

void Connection::begin_stream() {
  state_ = State::kStream;
  stalled_ = false;
  stream_ends_ = false;
  block_loaded_ = false;
  heartbeat_due_ = false;
  block_bytes_ = 0;
  core_->metrics.streams.add();
  stream_->attach([exchange = exchange_] { exchange->wake(); }, core_->stream_bytes,
                  core_->config.streams_bytes_max);
  pump();
  if (state_ == State::kStream) wait_for_input();
}

void Connection::on_pieces(const Exchange* from) {
  if (exchange_.get() == from && state_ == State::kStream && !waiting_for_output_) pump();
}

// Writes blocks until the client takes no more, or there are none.
void Connection::pump() {
  for (int blocks = 0; blocks < kBlocksAtOnce; ++blocks) {
    if (!block_loaded_ && !next_block()) return;
    if (!write_out()) return;
    if (stream_ends_) return finish_response();
    block_loaded_ = false;
    out_head_.clear();
    out_body_.clear();
    written_ = 0;
    if (block_bytes_ > 0) stream_->sent(std::exchange(block_bytes_, 0));
  }
  asio::post(wire_.get_executor(),
             [self = shared_from_this(), exchange = exchange_] { self->on_pieces(exchange.get()); });
}

// False: there is nothing to write now, or the stream was broken off.
bool Connection::next_block() {
  StreamQueue::Taken taken = stream_->take(kBlockBytes);
  if (taken.aborted) {
    cut_stream("aborted");
    return false;
  }
  out_body_ = std::move(taken.bytes);
  block_bytes_ = out_body_.size();
  if (out_body_.empty() && !taken.ended && heartbeat_due_) out_body_ = stream_->options.heartbeat;
  heartbeat_due_ = false;
  stream_ends_ = taken.ended;
  bytes_out_ += out_body_.size();
  if (chunked_out_) {
    if (!out_body_.empty()) {
      append_chunk_size(out_body_.size(), out_head_);
      out_body_ += "\r\n";
    }
    if (stream_ends_) out_body_ += "0\r\n\r\n";
  }
  block_loaded_ =
      !out_head_.empty() || !out_body_.empty() || stream_ends_;  // First of all, the header goes out.
  if (block_loaded_) return true;
  stalled_ = false;
  if (stream_->options.heartbeat.empty() || stream_->options.content_length) {
    clear_deadline();
  } else {
    set_deadline(core_->config.stream_heartbeat);
  }
  return false;
}

// The client has taken `bytes` more and not everything. It may take its time, but not hold on forever to what
// others could use: what it takes buys it time, up to a limit.
void Connection::time_stream(std::size_t bytes) {
  using std::chrono::nanoseconds;
  const nanoseconds longest = core_->config.write_timeout;
  if (!std::exchange(stalled_, true)) return set_deadline(longest);
  const nanoseconds bought(bytes * 1'000'000'000ULL / kBytesPerSecondMin);
  set_deadline(std::min(until_deadline() + bought, longest));
}

void Connection::on_stream_timer() {
  if (stalled_) return cut_stream("too_slow");
  heartbeat_due_ = true;
  pump();
}

// Ends the connection so that the client sees that something is missing.
void Connection::cut_stream(std::string_view reason) {
  refusal_code_ = reason;
  if (!chunked_out_ && !stream_->options.content_length) {
    // The end of the connection is all that tells this client of the answer's end: it must not look regular.
    wire_.close_with_reset();
  }
  close();
}

void Connection::drop_stream() {
  if (!stream_) return;
  if (state_ == State::kStream) core_->metrics.streams.subtract();
  std::exchange(stream_, nullptr)->close();
}

// --- Accounting.

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
  record.bytes_out = bytes_out_;
  record.peer_address = peer_;
  core_->access_log(record);
}

}  // namespace sluice::http
