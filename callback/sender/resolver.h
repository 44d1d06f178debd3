// Where a host's name leads. A seam: tests pin names to addresses here, changing ones too (DNS rebinding).
// Whatever it answers, the guard looks at the address of each connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace sluice::callback {

// Safe for concurrent use.
class Resolver {
 public:
  virtual ~Resolver() = default;
  // Numeric addresses to use for this transfer; empty: there are none. nullopt: ask the system.
  virtual std::optional<std::vector<std::string>> addresses(const std::string& host, std::uint16_t port) = 0;
};

// The system's resolver, as libcurl asks it: on a thread for each transfer, so that a slow name server holds
// up nobody but those who named it.
class SystemResolver final : public Resolver {
 public:
  std::optional<std::vector<std::string>> addresses(const std::string&, std::uint16_t) override {
    return std::nullopt;
  }
};

}  // namespace sluice::callback
