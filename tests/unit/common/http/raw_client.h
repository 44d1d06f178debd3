// A client that sends exactly the bytes it is told to, over a socket on the loopback. Every wait ends after
// ten seconds.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::http {

struct RawResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // Names in lower case; the last of a name counts.
  std::string body;
};

class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer_bytes = 0);
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  // False: the server has closed or reset the connection.
  bool send(std::string_view bytes);
  // Sends until the server takes no more for a while. How many bytes went.
  std::size_t send_until_blocked(std::string_view bytes);
  // One answer, with Content-Length or in chunks (or without a body, to a HEAD). Empty: the connection ended
  // first, or time was up.
  std::optional<RawResponse> receive(bool to_head = false);
  // The data of the next chunk; empty: the last one. Empty optional as above.
  std::optional<std::string> receive_chunk();
  std::optional<std::string> receive_bytes(std::size_t size);
  // Waits for exactly this text.
  bool receive_text(std::string_view expected);
  // True once the server has closed; `rest` gets what came before.
  bool wait_closed(std::string* rest = nullptr);
  bool was_reset() const { return reset_; }  // Rather than closed in order.
  void shut_down_sending();
  void reset();  // Closes with a RST.
  void close();

 private:
  bool take(std::size_t size, std::string& out);
  bool fill();  // Reads some more; false at the end or when time is up.

  int fd_ = -1;
  bool ended_ = false;
  bool reset_ = false;
  std::string buffer_;
};

}  // namespace sluice::http
