// A TCP proxy that breaks on demand: connections cut, new ones refused, answers swallowed. Put between a
// program and a real server, it is an outage that begins and ends within a moment.
//
// Safe for concurrent use.
#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace sluice::testing {

class TcpProxy {
 public:
  // Listens on a free port of 127.0.0.1.
  TcpProxy(std::string host, int port);
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  int port() const { return port_; }
  // Ends every connection, and refuses new ones until mend().
  void cut();
  void mend();
  // The next time that a client sends `text` after having sent `before` on the same connection, it is passed
  // on, its answer is not, and that connection ends; with `then_cut` all others do too, as by cut().
  void swallow_answer(std::string before, std::string text, bool then_cut);
  // Whether that has happened.
  bool swallowed() const { return swallowed_; }

 private:
  struct Link;
  void accept_loop();
  void serve(Link& link);
  // Whether the answer to what a client sent now must be swallowed.
  bool is_marked(const std::string& seen, bool& before_seen);

  const std::string host_;
  const int target_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> broken_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> swallowed_{false};
  std::mutex mutex_;
  std::string before_;
  std::string text_;  // Empty: nothing is to be swallowed.
  bool then_cut_ = false;
  std::list<std::unique_ptr<Link>> links_;
  std::thread accepting_;
};

}  // namespace sluice::testing
