#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/crypto/crypto.h"

namespace sluice {

namespace {

constexpr std::size_t kSecretBytesMax = 64 * 1024;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace

Result<Secret> read_secret_file(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    return fail(ErrorCode::kInvalid, "secret file " + path + ": " + std::strerror(errno));
  }
  std::string text;
  char piece[4096];
  for (;;) {
    const ssize_t got = ::read(file.get(), piece, sizeof piece);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(ErrorCode::kInvalid, "secret file " + path + ": " + std::strerror(errno));
    if (got == 0) break;
    text.append(piece, static_cast<std::size_t>(got));
    if (text.size() > kSecretBytesMax) return fail(ErrorCode::kInvalid, "secret file " + path + ": too long");
  }
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  if (text.empty()) return fail(ErrorCode::kInvalid, "secret file " + path + ": empty");
  return Secret(std::move(text));
}

}  // namespace sluice
