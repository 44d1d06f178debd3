// https receivers: a certificate that can't be trusted is no receiver. The receiver is Python's own server.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tests/integration/callback/world.h"

namespace sluice::testing {
namespace {

constexpr const char* kServer = R"py(
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()
    def log_message(self, *a):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
)py";

class Tls : public CallbackWorld {
 protected:
  void SetUp() override {
    CallbackWorld::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    folder_ = ::testing::TempDir() + "sluice_tls_" + std::to_string(::getpid());
    const std::string command =
        "mkdir -p " + folder_ + " && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout " + folder_ +
        "/key.pem -out " + folder_ +
        "/cert.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
    std::ofstream(folder_ + "/server.py") << kServer;
    int channel[2];
    ASSERT_EQ(::pipe(channel), 0);
    server_ = ::fork();
    if (server_ == 0) {
      ::dup2(channel[1], 1);
      ::execlp("python3", "python3", (folder_ + "/server.py").c_str(), (folder_ + "/cert.pem").c_str(),
               (folder_ + "/key.pem").c_str(), nullptr);
      ::_exit(127);
    }
    ::close(channel[1]);
    FILE* const lines = ::fdopen(channel[0], "r");
    ASSERT_EQ(std::fscanf(lines, "%d", &port_), 1);
    std::fclose(lines);
  }
  void TearDown() override {
    if (server_ > 0) {
      ::kill(server_, SIGKILL);
      ::waitpid(server_, nullptr, 0);
    }
    if (!folder_.empty()) static_cast<void>(std::system(("rm -r " + folder_).c_str()));
    CallbackWorld::TearDown();
  }
  std::string url(const std::string& host) const {
    return "https://" + host + ":" + std::to_string(port_) + "/";
  }

  std::string folder_;
  pid_t server_ = -1;
  int port_ = 0;
};

TEST_F(Tls, ATrustedCertificateForTheNameIsDelivered) {
  start({{"SLUICE_WEBHOOK_TLS_CA_FILE", folder_ + "/cert.pem"},
         {"SLUICE_WEBHOOK_TIMEOUT", "10s"},
         {"SLUICE_WEBHOOK_HOLD", "60s"}});
  const JobId job = end_job(url("localhost"));
  publish();
  EXPECT_TRUE(wait_state(job, "delivered"));
}

TEST_F(Tls, AnotherNameOrAnUnknownIssuerIsNot) {
  start({{"SLUICE_WEBHOOK_TLS_CA_FILE", folder_ + "/cert.pem"}});
  const JobId other_name = end_job(url("127.0.0.1"));
  publish();
  ASSERT_TRUE(wait_attempts(other_name, 1));
  // The attempt is in the database a moment before it is counted.
  EXPECT_TRUE(
      eventually([this] { return service_->metric("sluice_webhook_attempts_total{outcome=\"tls\"}") >= 1; }));
  EXPECT_EQ(service_->metric("sluice_webhook_attempts_total{outcome=\"success\"}"), 0);
  start();
  const JobId unknown = end_job(url("localhost"));
  publish();
  ASSERT_TRUE(wait_attempts(unknown, 1));
  // The attempt is in the database a moment before it is counted.
  EXPECT_TRUE(
      eventually([this] { return service_->metric("sluice_webhook_attempts_total{outcome=\"tls\"}") >= 1; }));
  EXPECT_EQ(service_->metric("sluice_webhook_attempts_total{outcome=\"success\"}"), 0);
}

}  // namespace
}  // namespace sluice::testing
