// The bytes of one connection, plain or inside TLS. Never blocks: what can't be done now says so, and the
// owner waits. Used on one strand.
//
// TLS is OpenSSL on the socket itself and not Asio's stream, which keeps bytes that a full socket didn't take
// and loses them unless each write is one asynchronous operation; here a connection tries first and waits
// only if it must.
#pragma once

#include <openssl/types.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace sluice::http {

class Wire {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Fault = boost::system::error_code;
  using Buffers = std::array<boost::asio::const_buffer, 2>;

  // `tls` null: plain. It is only borrowed for the call.
  Wire(Socket socket, SSL_CTX* tls);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  Socket::executor_type get_executor() { return socket_.get_executor(); }
  bool secure() const { return tls_ != nullptr; }

  // Of a secure wire, before anything else. True: done. False without a fault: wait for input and try again.
  bool shake_hands(Fault& fault);

  // As a non-blocking socket: would_block if nothing can be done now, eof at the end of the input.
  std::size_t read_some(char* into, std::size_t size, Fault& fault);
  std::size_t write_some(const Buffers& buffers, Fault& fault);

  // `done(Fault)` runs once when the last read_some() or shake_hands(), or write_some(), is worth another
  // try.
  template <class Done>
  void wait_for_input(Done done) {
    if (has_decrypted()) {
      boost::asio::post(socket_.get_executor(), [done = std::move(done)]() mutable { done(Fault()); });
    } else {
      socket_.async_wait(read_waits_for_, std::move(done));
    }
  }
  template <class Done>
  void wait_for_output(Done done) {
    socket_.async_wait(write_waits_for_, std::move(done));
  }

  void shut_down_sending(Fault& fault);
  void close();
  // The close to come is to be seen as a failure.
  void close_with_reset();

 private:
  struct Free {
    void operator()(SSL* tls) const;
  };
  bool has_decrypted() const;
  Fault fault_of(int result, Socket::wait_type& waits_for);
  void say_goodbye();

  Socket socket_;
  std::unique_ptr<SSL, Free> tls_;
  Socket::wait_type read_waits_for_ = Socket::wait_read;
  Socket::wait_type write_waits_for_ = Socket::wait_write;
  bool open_ = false;  // Inside TLS, and our side has not been ended.
};

}  // namespace sluice::http
