// The client against a server that answers as the test says, byte for byte.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "operator/client/http_admin_api.h"

namespace sluice::operate {
namespace {

using nlohmann::json;

// Answers the first requests with {} and lets their connection stay; reads those after them whole, and ends
// their connections without a word.
class FallingServer {
 public:
  explicit FallingServer(int answered) : answered_(answered) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 8) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      ADD_FAILURE() << "no port to listen on";
    }
    url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  ~FallingServer() { stop(); }
  FallingServer(const FallingServer&) = delete;
  FallingServer& operator=(const FallingServer&) = delete;

  // How many requests came.
  int stop() {
    if (thread_.joinable()) {
      shutdown(listener_, SHUT_RDWR);
      thread_.join();
      close(listener_);
    }
    return requests_;
  }

  std::string url;

 private:
  void serve() {
    for (int peer = 0; (peer = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; close(peer)) {
      while (read_request(peer)) {
        if (++requests_ > answered_) break;
        const std::string answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        if (send(peer, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) break;
      }
    }
  }

  // Requests here have no body, or {}.
  static bool read_request(int peer) {
    std::string request;
    char piece[4096];
    for (;;) {
      const std::size_t head = request.find("\r\n\r\n");
      if (head != std::string::npos && (request.starts_with("GET") || request.ends_with("{}"))) return true;
      const ssize_t got = recv(peer, piece, sizeof piece, 0);
      if (got <= 0) return false;
      request.append(piece, static_cast<std::size_t>(got));
    }
  }

  const int answered_;
  int listener_ = -1;
  int requests_ = 0;  // The thread's until it is joined.
  std::thread thread_;
};

TEST(HttpAdminApi, NeverSendsAChangeTwice) {
  FallingServer server(1);
  {
    const auto api = HttpAdminApi::open({server.url, Secret("sk_1"), std::chrono::seconds(20)});
    ASSERT_TRUE(api) << api.error().message;
    ASSERT_TRUE((*api)->post("/v1/admin/dead_letters/discard", json::object()));
    const auto lost = (*api)->post("/v1/admin/dead_letters/discard", json::object());
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, ErrorCode::kOutcomeUnknown) << lost.error().message;
  }
  EXPECT_EQ(server.stop(), 2);
}

}  // namespace
}  // namespace sluice::operate
