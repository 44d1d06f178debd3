// One client's connection: reads requests, has them answered one after the other, writes the answers.
//
// Everything but stop(), abort() and the answers of handlers happens on the connection's strand. At any time
// there is at most one wait for input, one for output and one for the clock. While a handler works the
// connection keeps listening, so that a client's leaving is noticed, and keeps what a pipelining client
// sends, up to a limit.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/http/chunk_decoder.h"
#include "common/http/core.h"
#include "common/http/head.h"
#include "common/http/input_buffer.h"
#include "common/http/responder.h"
#include "common/http/response_head.h"
#include "common/http/wire.h"

namespace sluice::http {

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  // `socket` runs on a strand of its own. `tls` null: plain; it is only borrowed for the call.
  Connection(std::shared_ptr<Core> core, Wire::Socket socket, SSL_CTX* tls, std::string peer,
             std::string address_key);
  ~Connection();

  void start();      // After the book admitted it.
  void stop();       // Finishes what runs, then closes. Any thread.
  void abort();      // Closes now. Any thread.
  void turn_away();  // Instead of start(): says 503 and closes.

 private:
  static constexpr std::size_t kPieceBytes = 64 * 1024;

  struct Exchange;
  struct OpenSink;

  enum class State {
    kHandshake,  // TLS is being agreed on.
    kHead,       // Waits for a request, or for the rest of its header.
    kGate,       // The route's authenticator and admission run.
    kBody,       // Waits for the rest of the body.
    kPiece,      // The route's sink works on a piece of the body.
    kHandler,    // The route's handler has it.
    kWrite,      // The answer goes out.
    kStream,     // The answer goes out in pieces, as the handler makes them.
    kLinger,     // Nothing more is answered; what still comes is thrown away, lest a reset eats the answer.
    kClosed,
  };

  // Input.
  void shake_hands();
  void wait_for_input();
  void on_input(boost::system::error_code fault);
  void on_end_of_input();
  void advance();
  void read_header();
  void read_body();
  bool reserve_body(std::size_t bytes);  // False: there is no room, and the request was refused.

  // A request's way.
  void begin_exchange(ParsedHead parsed);
  void run_gate();
  void after_gate(std::optional<Response> refusal);
  void begin_body();
  void run_handler();
  void submit(std::function<void()> task);

  // Bodies in pieces.
  void open_sink();
  void on_sink(const Exchange* from, std::shared_ptr<OpenSink> sink, std::optional<Response> refusal);
  void read_piece();
  void hand_over(std::string piece, bool last);
  void on_taken(const Exchange* from, bool last, std::optional<Response> refusal);
  void finish_sink();
  void let_go(std::shared_ptr<OpenSink> sink);

  // Answers.
  void refuse(Refusal refusal, std::string_view allow = {});
  void refuse_busy(std::string_view code, std::string_view message);
  bool awaits_answer_of(const Exchange* exchange) const;
  void on_answer(const Exchange* from, Response response);
  void respond(Response response);
  bool write_out();  // False: the client takes no more now, or the connection is closed.
  void wait_for_output();
  void finish_response();
  void record();

  // Streams.
  void on_stream(const Exchange* from, Response head, std::shared_ptr<StreamQueue> pieces);
  void begin_stream();
  void on_pieces(const Exchange* from);
  void pump();
  bool next_block();
  void time_stream(std::size_t bytes);
  void on_stream_timer();
  void cut_stream(std::string_view reason);
  void drop_stream();

  // Time and end.
  void set_deadline(std::chrono::nanoseconds from_now);
  std::chrono::nanoseconds until_deadline() const;
  void clear_deadline() { has_deadline_ = false; }
  void arm_timer();
  void on_timer();
  void linger();
  void close();
  bool stopping() const { return core_->stopping.load(); }

  const std::shared_ptr<Core> core_;  // First: it owns what the members below stand on.
  Wire wire_;
  const std::string peer_;
  const std::string address_key_;

  State state_ = State::kHead;
  InputBuffer input_;
  bool waiting_for_input_ = false;
  bool input_ended_ = false;
  HeaderScan scan_;
  int requests_ = 0;  // Answered.
  std::size_t lingered_bytes_ = 0;

  // The request in hand.
  std::shared_ptr<Exchange> exchange_;  // From the end of its header on.
  bool timing_ = false;                 // Its first byte has come, at `started_`.
  SteadyTime started_;
  bool phase_timed_ = false;  // The limit for its header, or its body, runs.
  bool broken_ =
      false;  // Nobody knows where the next request would start, or this one's body is left unread.
  std::string_view refusal_code_;
  std::optional<ChunkDecoder> chunks_;
  std::size_t body_reserved_ = 0;
  std::shared_ptr<OpenSink> sink_;         // Takes the body, if the route has such.
  std::chrono::nanoseconds body_left_{0};  // For the next piece.

  // The answer in hand; of a stream, the block in hand.
  int status_ = 0;
  bool close_after_ = false;
  std::string out_head_;
  std::string out_body_;
  std::size_t written_ = 0;
  std::uint64_t bytes_out_ = 0;  // Of the body.
  bool waiting_for_output_ = false;

  std::shared_ptr<StreamQueue> stream_;
  bool chunked_out_ = false;
  bool block_loaded_ = false;
  bool stream_ends_ = false;     // With the block in hand.
  std::size_t block_bytes_ = 0;  // Of the queue's, in the block in hand.
  bool stalled_ = false;         // The client takes less than there is, and the clock runs against it.
  bool heartbeat_due_ = false;

  boost::asio::steady_timer timer_;
  bool aborting_ = false;  // The server's end cuts it.
  bool has_deadline_ = false;
  std::chrono::steady_clock::time_point deadline_;
  bool timer_armed_ = false;
  std::chrono::steady_clock::time_point timer_at_;
};

}  // namespace sluice::http
