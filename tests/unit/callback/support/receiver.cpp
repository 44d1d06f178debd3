#include "tests/unit/callback/support/receiver.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace sluice::testing {

namespace {

bool send_all(int fd, const std::string& text) {
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t n = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<std::size_t>(n);
  }
  return true;
}

}  // namespace

Receiver::Receiver() : Receiver([](const Request&) { return Reply{}; }) {}

Receiver::Receiver(Answer answer) : answer_(std::move(answer)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 256) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_loop(); });
}

Receiver::~Receiver() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  changed_.notify_all();
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  for (std::thread& thread : threads_) thread.join();
  ::close(listener_);
}

std::vector<Receiver::Request> Receiver::requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

int Receiver::connections() const {
  std::lock_guard lock(mutex_);
  return connections_;
}

bool Receiver::wait_for(std::size_t requests, std::chrono::milliseconds longest) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, longest, [&] { return requests_.size() >= requests; });
}

void Receiver::accept_loop() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    std::lock_guard lock(mutex_);
    if (stopping_) {
      ::close(fd);
      return;
    }
    ++connections_;
    open_.push_back(fd);
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

bool Receiver::read_request(int fd, std::string& buffered, Request& request) {
  const auto more = [&] {
    char piece[16384];
    const ssize_t n = ::recv(fd, piece, sizeof piece, 0);
    if (n > 0) buffered.append(piece, static_cast<std::size_t>(n));
    return n > 0;
  };
  std::size_t end = 0;
  while ((end = buffered.find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return false;
  }
  request.head = buffered.substr(0, end + 2);
  buffered.erase(0, end + 4);
  std::istringstream lines(request.head);
  std::string line;
  std::getline(lines, line);
  std::istringstream(line) >> request.method >> request.target;
  while (std::getline(lines, line)) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    std::string value = line.substr(colon + 1);
    value.erase(0, value.find_first_not_of(' '));
    value.erase(value.find_last_not_of("\r ") + 1);
    request.headers[name] = value;
  }
  const std::size_t length = static_cast<std::size_t>(std::atol(request.headers["content-length"].c_str()));
  while (buffered.size() < length) {
    if (!more()) return false;
  }
  request.body = buffered.substr(0, length);
  buffered.erase(0, length);
  return true;
}

bool Receiver::pause(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  return !changed_.wait_for(lock, time, [this] { return stopping_; });
}

void Receiver::serve(int fd) {
  std::string buffered;
  for (Request request; read_request(fd, buffered, request); request = {}) {
    {
      std::lock_guard lock(mutex_);
      request.number = static_cast<int>(requests_.size()) + 1;
      requests_.push_back(request);
    }
    changed_.notify_all();
    const Reply reply = answer_(request);
    if (reply.delay.count() > 0 && !pause(reply.delay)) break;
    std::string text = reply.raw;
    if (text.empty()) {
      text = "HTTP/1.1 " + std::to_string(reply.status) + " Reason\r\n" + reply.headers;
      if (!reply.endless && !reply.hang && !reply.drip)
        text += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n";
      text += "\r\n" + reply.body;
    }
    if (!send_all(fd, text)) break;
    if (reply.hang) {
      char byte;
      while (::recv(fd, &byte, 1, 0) > 0) {
      }
      break;
    }
    if (reply.reset) {
      const linger at_once{1, 0};
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      break;
    }
    while (reply.drip && pause(std::chrono::milliseconds(20)) && send_all(fd, "x")) {
    }
    if (reply.drip) break;
    const std::string block(65536, 'x');
    while (reply.endless && send_all(fd, block)) {
    }
    if (reply.endless || !reply.raw.empty()) break;
  }
  std::lock_guard lock(mutex_);
  open_.remove(fd);
  ::close(fd);
}

}  // namespace sluice::testing
