// How a connection hands a body over in pieces (body_sink.h).
#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "common/http/connection.h"
#include "common/http/exchange.h"

namespace sluice::http {

namespace asio = boost::asio;

namespace {

// A sink must not throw; a defect there must cost one request only.
OpenedBody open_body(const Route& route, const RequestHead& head) {
  try {
    return route.open_body(head);
  } catch (...) {
    return tl::unexpected<Response>(not_handled());
  }
}

std::optional<Response> take_piece(BodySink& sink, std::string_view piece) {
  try {
    return sink.take(piece);
  } catch (...) {
    return not_handled();
  }
}

}  // namespace

void Connection::open_sink() {
  state_ = State::kGate;
  clear_deadline();
  submit([self = shared_from_this(), exchange = exchange_, &route = *exchange_->match.route] {
    OpenedBody opened = open_body(route, exchange->request);
    std::shared_ptr<OpenSink> sink;
    std::optional<Response> refusal;
    if (opened) {
      sink = std::make_shared<OpenSink>(std::move(*opened));
    } else {
      refusal = std::move(opened.error());
    }
    asio::post(self->wire_.get_executor(),
               [self, exchange, sink = std::move(sink), refusal = std::move(refusal)]() mutable {
                 self->on_sink(exchange.get(), std::move(sink), std::move(refusal));
               });
  });
  if (state_ == State::kGate) wait_for_input();
}

void Connection::on_sink(const Exchange* from, std::shared_ptr<OpenSink> sink,
                         std::optional<Response> refusal) {
  if (exchange_.get() != from || state_ != State::kGate) return let_go(std::move(sink));
  if (refusal) return respond(std::move(*refusal));
  sink_ = std::move(sink);
  body_left_ = core_->config.body_timeout;
  if (!exchange_->request.has_body) return finish_sink();
  if (!reserve_body(kPieceBytes)) return;
  begin_body();
}

void Connection::read_piece() {
  std::string piece;
  bool done = false;
  if (chunks_) {
    std::size_t used = 0;
    const ChunkDecoder::State state = chunks_->decode(input_.bytes().substr(0, kPieceBytes), piece, used);
    input_.use(used);
    if (state == ChunkDecoder::State::kBad) return refuse(chunks_->refusal());
    done = state == ChunkDecoder::State::kDone;
  } else {
    const std::uint64_t left = *exchange_->request.content_length - exchange_->body_bytes;
    piece = input_.bytes().substr(
        0, static_cast<std::size_t>(std::min<std::uint64_t>({left, input_.bytes().size(), kPieceBytes})));
    input_.use(piece.size());
    done = piece.size() == left;
  }
  exchange_->body_bytes += piece.size();
  if (done) broken_ = false;
  if (!piece.empty()) return hand_over(std::move(piece), done);
  if (done) return finish_sink();
  if (input_ended_) return close();
  if (!has_deadline_) set_deadline(body_left_);
  if (input_.empty()) return wait_for_input();
  read_piece();  // Framing that was longer than a piece.
}

void Connection::hand_over(std::string piece, bool last) {
  state_ = State::kPiece;
  // What comes buys time, up to the limit for one wait, and the clock stands still while we work.
  using std::chrono::nanoseconds;
  if (has_deadline_) body_left_ = until_deadline();
  const nanoseconds bought(piece.size() * 1'000'000'000ULL / core_->config.upload_bytes_per_second_min);
  body_left_ = std::min<nanoseconds>(body_left_ + bought, core_->config.body_timeout);
  clear_deadline();
  // Dropped if the server stops; the connection is then cut anyway.
  (void)core_->stage.resume([self = shared_from_this(), exchange = exchange_, sink = sink_,
                             piece = std::move(piece), last]() mutable {
    std::optional<Response> refusal = take_piece(*sink->sink, piece);
    asio::post(self->wire_.get_executor(), [self, exchange, last, refusal = std::move(refusal)]() mutable {
      self->on_taken(exchange.get(), last, std::move(refusal));
    });
    sink.reset();  // Here, if the client has left meanwhile.
  });
  wait_for_input();
}

void Connection::on_taken(const Exchange* from, bool last, std::optional<Response> refusal) {
  if (exchange_.get() != from || state_ != State::kPiece) return;
  if (refusal) return respond(std::move(*refusal));
  if (last) return finish_sink();
  state_ = State::kBody;
  read_piece();
}

void Connection::finish_sink() {
  state_ = State::kHandler;
  phase_timed_ = false;
  clear_deadline();
  (void)core_->stage.resume([exchange = exchange_, sink = std::move(sink_)] {
    sink->over = true;
    const Responder responder = exchange->make_responder();
    try {
      sink->sink->finish(std::move(exchange->request), responder);
    } catch (...) {
      responder.send(not_handled());
    }
  });
  sink_.reset();
  if (state_ == State::kHandler) wait_for_input();
}

// The sink hears that it ends on a handler thread: it may have to tidy up.
void Connection::let_go(std::shared_ptr<OpenSink> sink) {
  if (sink) (void)core_->stage.resume([sink = std::move(sink)]() mutable { sink.reset(); });
}

}  // namespace sluice::http
