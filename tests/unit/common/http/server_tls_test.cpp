// TLS in the server itself: everything works as without, and what isn't TLS 1.2 or newer is turned away.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/http/tls.h"
#include "server_fixture.h"

namespace sluice::http {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// Writes a key and a certificate of its own for `name`.
void make_certificate(const fs::path& folder, const std::string& name) {
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  const std::unique_ptr<X509, void (*)(X509*)> certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_NAME* subject = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), subject);
  X509_set_pubkey(certificate.get(), key.get());
  ASSERT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  const File key_file(std::fopen((folder / "key.pem").c_str(), "w"), std::fclose);
  const File certificate_file(std::fopen((folder / "cert.pem").c_str(), "w"), std::fclose);
  ASSERT_EQ(PEM_write_PrivateKey(key_file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr), 1);
  ASSERT_EQ(PEM_write_X509(certificate_file.get(), certificate.get()), 1);
}

// A blocking client. Reads end after ten seconds.
class TlsClient {
 public:
  explicit TlsClient(std::uint16_t port, int newest = TLS1_3_VERSION)
      : context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free), tls_(nullptr, SSL_free) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) return;
    SSL_CTX_set_security_level(context_.get(), 0);  // The old versions are to be refused by the server.
    SSL_CTX_set_min_proto_version(context_.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context_.get(), newest);
    tls_.reset(SSL_new(context_.get()));
    SSL_set_fd(tls_.get(), fd_);
    agreed_ = SSL_connect(tls_.get()) == 1;
    ERR_clear_error();
  }
  ~TlsClient() {
    tls_.reset();
    if (fd_ >= 0) ::close(fd_);
  }
  bool agreed() const { return agreed_; }
  std::string version() const { return SSL_get_version(tls_.get()); }
  std::string peer() const {
    const std::unique_ptr<X509, void (*)(X509*)> shown(SSL_get1_peer_certificate(tls_.get()), X509_free);
    std::array<char, 64> name{};
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name.data(), name.size());
    return name.data();
  }
  bool send(std::string_view bytes) {
    std::size_t put = 0;
    return SSL_write_ex(tls_.get(), bytes.data(), bytes.size(), &put) == 1 && put == bytes.size();
  }
  // Until `end` has come; empty if it never did.
  std::string receive_until(std::string_view end) {
    std::string all;
    std::array<char, 65536> piece{};
    std::size_t got = 0;
    while (!all.ends_with(end)) {
      if (SSL_read_ex(tls_.get(), piece.data(), piece.size(), &got) != 1) return {};
      all.append(piece.data(), got);
    }
    return all;
  }
  // True: the server ended it in order.
  bool wait_closed() {
    char byte = 0;
    std::size_t got = 0;
    return SSL_read_ex(tls_.get(), &byte, 1, &got) != 1 &&
           SSL_get_error(tls_.get(), 0) == SSL_ERROR_ZERO_RETURN;
  }

 private:
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  std::unique_ptr<SSL, void (*)(SSL*)> tls_;
  int fd_ = -1;
  bool agreed_ = false;
};

class ServerTls : public ServerFixture {
 protected:
  ServerTls() {
    folder_ = fs::path(::testing::TempDir()) / ("sluice-tls-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    make_certificate(folder_, "sluice.test");
    config_.tls_cert = folder_ / "cert.pem";
    config_.tls_key = folder_ / "key.pem";
  }
  ~ServerTls() override { fs::remove_all(folder_); }
  double refused(const std::string& reason) {
    return metric("sluice_http_refused_total{reason=\"" + reason + "\"}");
  }
  fs::path folder_;
};

TEST_F(ServerTls, EverythingWorksAsWithout) {
  start();
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    TlsClient client(server_->port(), version);
    ASSERT_TRUE(client.agreed());
    EXPECT_EQ(client.version(), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    EXPECT_EQ(client.peer(), "sluice.test");
    ASSERT_TRUE(client.send(kHello));
    EXPECT_NE(client.receive_until("\r\n\r\nhello"), "");
    ASSERT_TRUE(client.send("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nab"));
    ASSERT_TRUE(client.send("cd" + std::string(kHello) + std::string(kHello)));
    EXPECT_NE(client.receive_until("\r\n\r\nabcd"), "");
    EXPECT_NE(client.receive_until("\r\n\r\nhello"), "");
    EXPECT_NE(client.receive_until("\r\n\r\nhello"), "");
    ASSERT_TRUE(client.send("GET /pull HTTP/1.1\r\nHost: t\r\n\r\n"));
    EXPECT_GT(client.receive_until("\r\n0\r\n\r\n").size(), kPulledBytes);
    ASSERT_TRUE(client.send("GET /large HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
    EXPECT_NE(client.receive_until(std::string(8 << 20, 'x')), "");
    EXPECT_TRUE(client.wait_closed());
  }
}

TEST_F(ServerTls, OldVersionsAndPlainTextAreTurnedAway) {
  start();
  EXPECT_FALSE(TlsClient(server_->port(), TLS1_1_VERSION).agreed());
  RawClient plain = connect();
  plain.send(kHello);
  std::string rest;
  EXPECT_TRUE(plain.wait_closed(&rest));
  EXPECT_EQ(rest.find("HTTP"), std::string::npos);
  // A client may see its end before the server has counted it.
  while (refused("tls_handshake") < 2) ::poll(nullptr, 0, 2);
  EXPECT_EQ(handled_, 0);
  EXPECT_TRUE(TlsClient(server_->port()).agreed());
  EXPECT_EQ(refused("tls_handshake"), 2);
}

TEST_F(ServerTls, WhoNeverShakesHandsIsClosed) {
  config_.header_timeout = 100ms;
  start();
  RawClient silent = connect();
  EXPECT_TRUE(silent.wait_closed());
  RawClient half = connect();
  half.send(std::string_view("\x16\x03\x01\x02\x00\x01", 6));
  EXPECT_TRUE(half.wait_closed());
  while (refused("tls_handshake_timeout") < 2) ::poll(nullptr, 0, 2);
  EXPECT_EQ(refused("tls_handshake_timeout"), 2);
}

TEST_F(ServerTls, AStreamThatIsBrokenOffDoesNotEndInOrder) {
  start();
  TlsClient client(server_->port());
  client.send("GET /stream HTTP/1.0\r\nHost: t\r\n\r\n");
  stream(0).write("one");
  ASSERT_NE(client.receive_until("one"), "");
  stream(0).abort();
  EXPECT_FALSE(client.wait_closed());
}

TEST_F(ServerTls, WhatCannotBeUsedIsSaidAtTheStart) {
  const auto why = [this](const std::string& certificate, const std::string& key) {
    ServerConfig config = config_;
    config.tls_cert = certificate;
    config.tls_key = key;
    metrics::Registry registry;
    Server server(config, Router(), registry, clock_, rng_);
    const Status started = server.start();
    if (started) return std::string("started");
    EXPECT_EQ(started.error().code, ErrorCode::kInvalid);
    return started.error().message;
  };
  const std::string certificate = config_.tls_cert;
  const std::string key = config_.tls_key;
  EXPECT_EQ(why(certificate, key), "started");
  EXPECT_NE(why(certificate, "").find("both"), std::string::npos);
  EXPECT_NE(why("", key).find("both"), std::string::npos);
  EXPECT_NE(why("/absent/cert.pem", key).find("/absent/cert.pem"), std::string::npos);
  EXPECT_NE(why(certificate, "/absent/key.pem").find("/absent/key.pem"), std::string::npos);
  EXPECT_NE(why(key, key).find("certificate"), std::string::npos);
  fs::create_directories(folder_ / "other");
  make_certificate(folder_ / "other", "other.test");
  EXPECT_NE(why(certificate, folder_ / "other" / "key.pem").find("key"), std::string::npos);
}

TEST_F(ServerTls, ARenewedCertificateIsTakenAndABrokenOneIsNot) {
  auto tls = TlsContext::load(config_.tls_cert, config_.tls_key);
  ASSERT_TRUE(tls) << tls.error().message;
  SteadyTime now{1h};
  bool failed = true;
  SSL_CTX* const first = (*tls)->current(now, failed);
  EXPECT_FALSE(failed);
  std::ofstream(config_.tls_cert) << "half of a certif";
  EXPECT_EQ((*tls)->current(now + 9s, failed), first);
  EXPECT_FALSE(failed);  // Not looked at yet.
  EXPECT_EQ((*tls)->current(now + 11s, failed), first);
  EXPECT_TRUE(failed);
  make_certificate(folder_, "renewed.test");
  SSL_CTX* const second = (*tls)->current(now + 22s, failed);
  EXPECT_FALSE(failed);
  ASSERT_NE(second, nullptr);
  X509_NAME* subject = X509_get_subject_name(SSL_CTX_get0_certificate(second));
  std::array<char, 64> name{};
  X509_NAME_get_text_by_NID(subject, NID_commonName, name.data(), name.size());
  EXPECT_STREQ(name.data(), "renewed.test");
  EXPECT_EQ((*tls)->current(now + 33s, failed), second);
}

}  // namespace
}  // namespace sluice::http
