#include "bench/load/http_load.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <deque>
#include <memory>
#include <utility>

namespace sluice::bench {

namespace {

constexpr int kWatchersMax = 64;
constexpr std::size_t kErrorsShown = 5;
constexpr Duration kRefusedPause = std::chrono::milliseconds(200);

struct Address {
  sockaddr_in socket{};
  std::string host;
  std::string path;
};

Result<Address> parse_url(const std::string& url) {
  const std::string scheme = "http://";
  if (!url.starts_with(scheme)) return fail(ErrorCode::kInvalid, url + ": must begin with http://");
  const std::size_t slash = url.find('/', scheme.size());
  Address address;
  address.host = url.substr(scheme.size(), slash == std::string::npos ? slash : slash - scheme.size());
  address.path = slash == std::string::npos ? "/" : url.substr(slash);
  const std::size_t colon = address.host.rfind(':');
  const std::string name = address.host.substr(0, colon);
  const std::string port = colon == std::string::npos ? "80" : address.host.substr(colon + 1);
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(name.c_str(), port.c_str(), &hints, &found) != 0) {
    return fail(ErrorCode::kInvalid, url + ": no such address");
  }
  address.socket = *reinterpret_cast<sockaddr_in*>(found->ai_addr);
  freeaddrinfo(found);
  return address;
}

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<Fd> connect_to(const Address& address, bool nonblocking) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.socket), sizeof address.socket) != 0) {
    return fail(ErrorCode::kUnavailable, address.host + ": nobody listens");
  }
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (nonblocking) {
    // Only reads may wait: requests are small and sent whole.
    const timeval patience{30, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  return fd;
}

Status send_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent <= 0) return fail(ErrorCode::kUnavailable, "the connection was lost");
    data.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

// An answer, as far as it has come.
struct Answer {
  std::string text;
  std::size_t body = std::string::npos;
  std::size_t length = 0;

  // True when it is complete.
  bool complete() {
    if (body == std::string::npos) {
      const std::size_t end = text.find("\r\n\r\n");
      if (end == std::string::npos) return false;
      body = end + 4;
      std::string head = text.substr(0, end);
      for (char& c : head) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      const std::size_t field = head.find("\r\ncontent-length:");
      if (field == std::string::npos) return true;
      const char* first = head.data() + field + 17;
      while (*first == ' ') ++first;
      std::from_chars(first, head.data() + head.size(), length);
    }
    return text.size() >= body + length;
  }
  int status() const { return text.size() > 12 ? std::atoi(text.c_str() + 9) : 0; }
  std::string_view content() const { return std::string_view(text).substr(std::min(body, text.size())); }
};

std::string_view first_job_id(std::string_view body) {
  const std::size_t at = body.find("\"job_");
  if (at == std::string_view::npos) return {};
  const std::size_t end = body.find('"', at + 1);
  return body.substr(at + 1, end - at - 1);
}

class Run {
 public:
  Run(const Options& options, const std::vector<Submission>& submissions, Address address, Clock& clock)
      : options_(options),
        submissions_(submissions),
        address_(std::move(address)),
        clock_(clock),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        until_(clock.steady_now() + options.timeout) {}

  Result<LoadResult> run() {
    for (std::size_t i = 0; i < submissions_.size(); ++i) to_submit_.push_back(i);
    const int submitters = std::min<int>(options_.concurrency, static_cast<int>(submissions_.size()));
    for (int i = 0; i < submitters; ++i) SLUICE_TRY(open(false));
    const int watchers = options_.watch_every > 0 ? std::min(kWatchersMax, watched_in_all()) : 0;
    for (int i = 0; i < watchers; ++i) SLUICE_TRY(open(true));
    const SteadyTime begin = clock_.steady_now();
    last_accept_ = begin;
    while (!done()) {
      if (clock_.steady_now() >= until_)
        return fail(ErrorCode::kDeadline, "the run took longer than its timeout");
      SLUICE_TRY(give_work());
      SLUICE_TRY(wait_for_answers());
    }
    result_.submit_seconds = std::chrono::duration<double>(last_accept_ - begin).count();
    return std::move(result_);
  }

 private:
  struct Connection {
    Fd fd;
    bool watches = false;
    bool busy = false;
    std::size_t submission = 0;  // Submitters.
    SteadyTime began;            // Of the request; watchers: of the watched job's submission.
    std::string job_id;          // Watchers.
    Answer answer;
  };
  struct Watched {
    std::string job_id;
    SteadyTime submitted;
  };

  int watched_in_all() const { return static_cast<int>(submissions_.size()) / options_.watch_every + 1; }
  bool done() const { return to_submit_.empty() && refused_.empty() && to_watch_.empty() && busy_ == 0; }

  Status open(bool watches) {
    auto connection = std::make_unique<Connection>();
    connection->watches = watches;
    connections_.push_back(std::move(connection));
    return reopen(*connections_.back());
  }

  Status reopen(Connection& connection) {
    SLUICE_ASSIGN(connection.fd, connect_to(address_, true));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &connection;
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.fd.get(), &event);
    return {};
  }

  Status give_work() {
    const SteadyTime now = clock_.steady_now();
    while (!refused_.empty() && refused_.front().second <= now) {
      to_submit_.push_back(refused_.front().first);
      refused_.pop_front();
    }
    for (auto& connection : connections_) {
      if (connection->busy) continue;
      if (connection->watches && !to_watch_.empty()) {
        connection->job_id = std::move(to_watch_.front().job_id);
        connection->began = to_watch_.front().submitted;
        to_watch_.pop_front();
        SLUICE_TRY(send(*connection, get_request(connection->job_id)));
      } else if (!connection->watches && !to_submit_.empty()) {
        connection->submission = to_submit_.front();
        to_submit_.pop_front();
        connection->began = clock_.steady_now();
        SLUICE_TRY(send(*connection, post_request(submissions_[connection->submission].body)));
      }
    }
    return {};
  }

  Status send(Connection& connection, const std::string& request) {
    connection.busy = true;
    connection.answer = Answer{};
    ++busy_;
    if (send_all(connection.fd.get(), request)) return {};
    // A connection that the server ended between two requests: once more on a new one.
    SLUICE_TRY(reopen(connection));
    return send_all(connection.fd.get(), request);
  }

  std::string fields() const {
    return " HTTP/1.1\r\nHost: " + address_.host + "\r\nAuthorization: Bearer " + options_.api_key.reveal() +
           "\r\n";
  }
  std::string post_request(const std::string& body) const {
    return "POST /v1/jobs" + fields() +
           "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body;
  }
  std::string get_request(const std::string& job_id) const {
    return "GET /v1/jobs/" + job_id + "?wait=60" + fields() + "\r\n";
  }

  Status wait_for_answers() {
    epoll_event events[64];
    const int count = ::epoll_wait(epoll_.get(), events, 64, 50);
    for (int i = 0; i < count; ++i) {
      SLUICE_TRY(receive(*static_cast<Connection*>(events[i].data.ptr)));
    }
    return {};
  }

  Status receive(Connection& connection) {
    char piece[65536];
    const ssize_t got = ::recv(connection.fd.get(), piece, sizeof piece, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return {};
    if (got <= 0) {
      if (connection.busy)
        return fail(ErrorCode::kUnavailable, "the producer closed a connection without an answer");
      return reopen(connection);
    }
    connection.answer.text.append(piece, static_cast<std::size_t>(got));
    if (!connection.busy || !connection.answer.complete()) return {};
    connection.busy = false;
    --busy_;
    if (connection.watches) {
      take_watched(connection);
    } else {
      take_accepted(connection);
    }
    return {};
  }

  void take_accepted(Connection& connection) {
    const SteadyTime now = clock_.steady_now();
    const int status = connection.answer.status();
    if (status == 429 || status == 503) {
      ++result_.refusals;
      refused_.emplace_back(connection.submission,
                            now + std::chrono::duration_cast<SteadyTime::duration>(kRefusedPause));
      return;
    }
    if (status != 202) {
      ++result_.failed_requests;
      if (result_.errors.size() < kErrorsShown) {
        result_.errors.push_back(std::to_string(status) + " " +
                                 std::string(connection.answer.content().substr(0, 300)));
      }
      return;
    }
    last_accept_ = now;
    result_.accept_ms.push_back(milliseconds(now - connection.began));
    result_.accepted_jobs += submissions_[connection.submission].jobs;
    if (options_.watch_every > 0 && ++accepted_ % options_.watch_every == 0) {
      to_watch_.push_back({std::string(first_job_id(connection.answer.content())), connection.began});
    }
  }

  void take_watched(Connection& connection) {
    const std::string_view body = connection.answer.content();
    const bool ended = body.find("\"finished_at\":null") == std::string_view::npos;
    if (connection.answer.status() == 200 && !ended) {
      to_watch_.push_back({connection.job_id, connection.began});  // The wait was over first.
      return;
    }
    result_.watched_ms.push_back(milliseconds(clock_.steady_now() - connection.began));
  }

  static double milliseconds(Duration duration) {
    return std::chrono::duration<double, std::milli>(duration).count();
  }

  const Options& options_;
  const std::vector<Submission>& submissions_;
  const Address address_;
  Clock& clock_;
  const Fd epoll_;
  const SteadyTime until_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::deque<std::size_t> to_submit_;
  std::deque<std::pair<std::size_t, SteadyTime>> refused_;
  std::deque<Watched> to_watch_;
  int busy_ = 0;
  int accepted_ = 0;
  SteadyTime last_accept_;
  LoadResult result_;
};

}  // namespace

Result<LoadResult> run_load(const Options& options, const std::vector<Submission>& submissions,
                            Clock& clock) {
  SLUICE_ASSIGN(Address address, parse_url(options.url));
  return Run(options, submissions, std::move(address), clock).run();
}

Result<std::string> http_get(const std::string& url) {
  SLUICE_ASSIGN(const Address address, parse_url(url));
  SLUICE_ASSIGN(const Fd fd, connect_to(address, false));
  SLUICE_TRY(send_all(fd.get(), "GET " + address.path + " HTTP/1.1\r\nHost: " + address.host + "\r\n\r\n"));
  Answer answer;
  char piece[65536];
  while (!answer.complete()) {
    const ssize_t got = ::recv(fd.get(), piece, sizeof piece, 0);
    if (got <= 0) return fail(ErrorCode::kUnavailable, url + ": no answer");
    answer.text.append(piece, static_cast<std::size_t>(got));
  }
  return std::string(answer.content());
}

}  // namespace sluice::bench
