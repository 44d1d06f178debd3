// A webhook receiver on loopback that does as it is told: it answers late, wrongly, endlessly or not at all.
// Safe for concurrent use. Ends its threads when destroyed.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace sluice::testing {

class Receiver {
 public:
  struct Request {
    std::string head;  // As it came.
    std::string method;
    std::string target;
    std::map<std::string, std::string> headers;  // Names in lower case.
    std::string body;
    int number = 0;  // From 1, in the order of arrival.
  };
  struct Reply {
    int status = 200;
    std::string headers;  // "Name: value\r\n" lines.
    std::string body;
    std::string raw;                     // If not empty, sent as it is instead.
    std::chrono::milliseconds delay{0};  // Before anything is sent.
    bool endless = false;                // After the rest, bytes until the client leaves.
    bool hang = false;                   // After the rest, nothing until the client leaves.
    bool reset = false;                  // After the rest, the connection is reset instead of closed.
    bool drip = false;                   // After the rest, a byte now and then until the client leaves.
  };
  using Answer = std::function<Reply(const Request&)>;

  Receiver();  // Answers 200 at once.
  explicit Receiver(Answer answer);
  ~Receiver();
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  int port() const { return port_; }
  std::string url(const std::string& path = "/hook") const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<Request> requests() const;
  int connections() const;
  // False: not that many within `longest`.
  bool wait_for(std::size_t requests, std::chrono::milliseconds longest = std::chrono::seconds(60)) const;

 private:
  void accept_loop();
  void serve(int fd);
  bool read_request(int fd, std::string& buffered, Request& request);
  bool pause(std::chrono::milliseconds time);

  const Answer answer_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool stopping_ = false;
  int connections_ = 0;
  std::vector<Request> requests_;
  std::list<int> open_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace sluice::testing
