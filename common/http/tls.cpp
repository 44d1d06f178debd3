#include "common/http/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <string_view>
#include <utility>

namespace sluice::http {

namespace {

constexpr std::chrono::seconds kLookEvery{10};

std::string reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "unknown reason" : text;
}

int no_passphrase(char*, int, int, void*) {
  return 0;  // Else the library would ask on the terminal.
}

// HTTP/1.1 is all that is spoken here; a client that offers only others is answered in it nevertheless.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int offered_size, void*) {
  static constexpr unsigned char kHttp11[] = "\x08http/1.1";
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, chosen_size, kHttp11, sizeof(kHttp11) - 1, offered, offered_size) !=
      OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_NOACK;
  }
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

// The library writes to sockets without asking not to be killed for it.
void ignore_broken_pipes() {
  struct sigaction current {};
  if (sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL)
    std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

void TlsContext::Free::operator()(SSL_CTX* context) const {
  SSL_CTX_free(context);
}

Result<std::unique_ptr<TlsContext>> TlsContext::load(std::string certificate_file, std::string key_file) {
  ignore_broken_pipes();
  std::unique_ptr<TlsContext> tls(new TlsContext(std::move(certificate_file), std::move(key_file)));
  tls->stamp_ = tls->stamp();
  SLUICE_ASSIGN(tls->context_, tls->read());
  return tls;
}

SSL_CTX* TlsContext::current(SteadyTime now, bool& failed) {
  failed = false;
  if (now - looked_at_ < kLookEvery) return context_.get();
  looked_at_ = now;
  Stamp found = stamp();
  if (found == stamp_) return context_.get();
  // Connections that use the old one hold it for themselves.
  Result<ContextPtr> renewed = read();
  failed = !renewed.has_value();
  if (renewed) {
    context_ = std::move(*renewed);
    stamp_ = std::move(found);
  }
  return context_.get();
}

TlsContext::Stamp TlsContext::stamp() const {
  Stamp stamp;
  for (const std::string& file : {certificate_file_, key_file_}) {
    struct stat about {};
    if (stat(file.c_str(), &about) != 0) return "unreadable";
    for (const auto number :
         {static_cast<std::int64_t>(about.st_ino), static_cast<std::int64_t>(about.st_size),
          static_cast<std::int64_t>(about.st_mtim.tv_sec),
          static_cast<std::int64_t>(about.st_mtim.tv_nsec)}) {
      stamp += std::to_string(number) + " ";
    }
  }
  return stamp;
}

Result<TlsContext::ContextPtr> TlsContext::read() const {
  ERR_clear_error();
  ContextPtr context(SSL_CTX_new(TLS_server_method()));
  if (!context) return fail(ErrorCode::kInternal, "TLS can't be set up: " + reason());
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(raw, "ECDHE+AESGCM:ECDHE+CHACHA20");  // Of TLS 1.2; 1.3 has no others.
  SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(
      raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);  // Tickets do, and cost no memory.
  SSL_CTX_set_alpn_select_cb(raw, choose_protocol, nullptr);
  SSL_CTX_set_default_passwd_cb(raw, no_passphrase);
  if (SSL_CTX_use_certificate_chain_file(raw, certificate_file_.c_str()) != 1) {
    return fail(ErrorCode::kInvalid,
                "the TLS certificate " + certificate_file_ + " can't be used: " + reason());
  }
  if (SSL_CTX_use_PrivateKey_file(raw, key_file_.c_str(), SSL_FILETYPE_PEM) != 1) {
    return fail(ErrorCode::kInvalid, "the TLS key " + key_file_ + " can't be used: " + reason());
  }
  if (SSL_CTX_check_private_key(raw) != 1) {
    return fail(ErrorCode::kInvalid, "the TLS key " + key_file_ + " isn't that of " + certificate_file_);
  }
  return context;
}

}  // namespace sluice::http
