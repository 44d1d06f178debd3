// Certificate and key of a server that speaks TLS, and what it offers: TLS 1.2 and 1.3 with forward secrecy,
// HTTP/1.1. The files are looked at again while the server runs, so that a renewed certificate is used
// without a restart; one that can't be used leaves the old one in place.
#pragma once

#include <openssl/types.h>

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace sluice::http {

class TlsContext {
 public:
  struct Free {
    void operator()(SSL_CTX* context) const;
  };
  using ContextPtr = std::unique_ptr<SSL_CTX, Free>;

  // PEM files: the certificate with its chain, and its key without a passphrase. kInvalid: one of them can't
  // be read, or they don't belong together; the message says which, and why.
  static Result<std::unique_ptr<TlsContext>> load(std::string certificate_file, std::string key_file);

  // For one new connection. Not safe for concurrent use: one thread accepts. Looks at the files at most every
  // ten seconds. `failed` is set if they changed and can't be used.
  SSL_CTX* current(SteadyTime now, bool& failed);

 private:
  // Changes when one of the two files does.
  using Stamp = std::string;

  TlsContext(std::string certificate_file, std::string key_file)
      : certificate_file_(std::move(certificate_file)), key_file_(std::move(key_file)) {}
  Stamp stamp() const;
  Result<ContextPtr> read() const;

  const std::string certificate_file_;
  const std::string key_file_;
  ContextPtr context_;
  Stamp stamp_;
  SteadyTime looked_at_{};
};

}  // namespace sluice::http
