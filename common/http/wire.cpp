#include "common/http/wire.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cerrno>
#include <cstring>

namespace sluice::http {

namespace asio = boost::asio;

namespace {
constexpr std::size_t kRecordBytes = 16 * 1024;
}

void Wire::Free::operator()(SSL* tls) const {
  SSL_free(tls);
}

Wire::Wire(Socket socket, SSL_CTX* tls) : socket_(std::move(socket)) {
  if (tls == nullptr) return;
  tls_.reset(SSL_new(tls));
  // Without memory for it the handshake fails.
  if (tls_) SSL_set_fd(tls_.get(), static_cast<int>(socket_.native_handle()));
}

Wire::~Wire() = default;

bool Wire::shake_hands(Fault& fault) {
  ERR_clear_error();
  const int result = SSL_accept(tls_.get());
  if (result == 1) {
    open_ = true;
    return true;
  }
  fault = fault_of(result, read_waits_for_);
  if (fault == asio::error::would_block) fault = {};
  return false;
}

std::size_t Wire::read_some(char* into, std::size_t size, Fault& fault) {
  if (!tls_) return socket_.read_some(asio::buffer(into, size), fault);
  ERR_clear_error();
  std::size_t got = 0;
  const int result = SSL_read_ex(tls_.get(), into, size, &got);
  fault = result == 1 ? Fault() : fault_of(result, read_waits_for_);
  return got;
}

std::size_t Wire::write_some(const Buffers& buffers, Fault& fault) {
  if (!tls_) return socket_.write_some(buffers, fault);
  ERR_clear_error();
  const auto* data = static_cast<const char*>(buffers[0].data());
  std::size_t size = buffers[0].size();
  std::array<char, kRecordBytes> joined;
  if (size == 0) {
    data = static_cast<const char*>(buffers[1].data());
    size = buffers[1].size();
  } else if (size < kRecordBytes && buffers[1].size() > 0) {
    // A header and what follows it make one record. A second try joins the same bytes.
    const std::size_t more = std::min(kRecordBytes - size, buffers[1].size());
    std::memcpy(joined.data(), data, size);
    std::memcpy(joined.data() + size, buffers[1].data(), more);
    data = joined.data();
    size += more;
  }
  fault = {};
  if (size == 0) return 0;
  std::size_t put = 0;
  const int result = SSL_write_ex(tls_.get(), data, size, &put);
  if (result != 1) fault = fault_of(result, write_waits_for_);
  return put;
}

void Wire::shut_down_sending(Fault& fault) {
  say_goodbye();
  socket_.shutdown(Socket::shutdown_send, fault);
}

void Wire::close() {
  say_goodbye();
  Fault ignored;
  socket_.close(ignored);
}

void Wire::close_with_reset() {
  open_ = false;
  Fault ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
}

bool Wire::has_decrypted() const {
  return tls_ && SSL_pending(tls_.get()) > 0;
}

Wire::Fault Wire::fault_of(int result, Socket::wait_type& waits_for) {
  switch (SSL_get_error(tls_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      waits_for = Socket::wait_read;
      return asio::error::would_block;
    case SSL_ERROR_WANT_WRITE:
      waits_for = Socket::wait_write;
      return asio::error::would_block;
    case SSL_ERROR_ZERO_RETURN:
      return asio::error::eof;
    default:
      open_ = false;  // Nothing may be sent any more.
      ERR_clear_error();
      return asio::error::connection_reset;
  }
}

// Tells the client that the end is meant; as much as goes out now.
void Wire::say_goodbye() {
  if (!std::exchange(open_, false)) return;
  ERR_clear_error();
  SSL_shutdown(tls_.get());
  ERR_clear_error();
}

}  // namespace sluice::http
