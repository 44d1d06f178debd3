#include "tests/integration/callback/service_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "tests/contract/support/servers.h"

namespace sluice::testing {

namespace {

// Free now; the service takes it at once.
int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

}  // namespace

ServiceProcess::ServiceProcess(const std::map<std::string, std::string>& settings, const std::string& program)
    : program_(program), port_(free_port()) {
  static int runs = 0;
  log_path_ =
      ::testing::TempDir() + program_ + "_" + std::to_string(::getpid()) + "_" + std::to_string(++runs);
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::string(*entry).rfind("SLUICE_", 0) != 0) environment.emplace_back(*entry);
  }
  for (const auto& [name, value] : settings) environment.push_back(name + "=" + value);
  environment.push_back("SLUICE_HTTP_PORT=" + std::to_string(port_));
  std::vector<char*> pointers;
  for (std::string& entry : environment) pointers.push_back(entry.data());
  pointers.push_back(nullptr);
  const std::string path = SLUICE_BINARY_DIR "/" + program_;
  const int log = ::open(log_path_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(log, 1);
    ::dup2(log, 2);
    char* const arguments[] = {const_cast<char*>(path.c_str()), nullptr};
    ::execve(path.c_str(), arguments, pointers.data());
    ::_exit(127);
  }
  ::close(log);
}

ServiceProcess::~ServiceProcess() {
  if (running()) {
    ::kill(pid_, SIGKILL);
    wait_end();
  }
  if (::testing::Test::HasFailure()) std::fprintf(stderr, "--- %s:\n%s\n", program_.c_str(), log().c_str());
  ::unlink(log_path_.c_str());
}

bool ServiceProcess::running() {
  return wait_end(std::chrono::milliseconds(0)) == -1;
}

int ServiceProcess::wait_end(std::chrono::milliseconds longest) {
  if (ended_ != -1) return ended_;
  eventually(
      [this] {
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
        ended_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        return true;
      },
      longest);
  return ended_;
}

void ServiceProcess::signal(int number) {
  ::kill(pid_, number);
}

std::string ServiceProcess::log() const {
  std::ifstream file(log_path_);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::pair<int, std::string> ServiceProcess::get(const std::string& path) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port_));
  std::string answer;
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
      char piece[16384];
      for (ssize_t n; (n = ::recv(fd, piece, sizeof piece, 0)) > 0;)
        answer.append(piece, static_cast<std::size_t>(n));
    }
  }
  ::close(fd);
  const std::size_t body = answer.find("\r\n\r\n");
  if (body == std::string::npos || answer.size() < 12) return {0, ""};
  return {std::atoi(answer.c_str() + 9), answer.substr(body + 4)};
}

bool ServiceProcess::wait_ready(std::chrono::milliseconds longest) {
  return eventually([this] { return get("/ready").first == 200 || !running(); }, longest) && running();
}

double ServiceProcess::metric(const std::string& series) {
  const std::string text = get("/metrics").second;
  const std::size_t at = text.find("\n" + series + " ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + series.size() + 2));
}

}  // namespace sluice::testing
