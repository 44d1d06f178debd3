#include "callback/guard/address_guard.h"

#include <netinet/in.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace sluice::callback {

namespace {

struct Range4 {
  std::uint8_t a, b, c, d;
  int bits;
  std::string_view reason;
};

// IANA's special-purpose registry, and what cloud machines find their credentials at.
constexpr Range4 kRefused4[] = {
    {0, 0, 0, 0, 8, "address of this network"},
    {10, 0, 0, 0, 8, "private address"},
    {100, 64, 0, 0, 10, "shared (carrier NAT) address"},
    {169, 254, 0, 0, 16, "link-local or metadata address"},
    {168, 63, 129, 16, 32, "metadata address"},
    {172, 16, 0, 0, 12, "private address"},
    {192, 0, 0, 0, 24, "protocol assignment address"},
    {192, 0, 2, 0, 24, "documentation address"},
    {192, 88, 99, 0, 24, "6to4 relay address"},
    {192, 168, 0, 0, 16, "private address"},
    {198, 18, 0, 0, 15, "benchmarking address"},
    {198, 51, 100, 0, 24, "documentation address"},
    {203, 0, 113, 0, 24, "documentation address"},
    {224, 0, 0, 0, 4, "multicast address"},
    {255, 255, 255, 255, 32, "broadcast address"},
    {240, 0, 0, 0, 4, "reserved address"},
};
constexpr Range4 kLoopback4 = {127, 0, 0, 0, 8, "loopback address"};

struct Range6 {
  std::array<std::uint16_t, 8> groups;
  int bits;
  std::string_view reason;
};

constexpr Range6 kRefused6[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0}, 128, "unspecified address"},
    {{0, 0, 0, 0, 0, 0xffff}, 96, "IPv4-mapped address"},
    {{0}, 96, "IPv4-compatible address"},
    {{0x64, 0xff9b}, 96, "NAT64 address"},
    {{0x64, 0xff9b, 1}, 48, "NAT64 address"},
    {{0x100}, 64, "discard-only address"},
    {{0x2001}, 32, "Teredo address"},
    {{0x2001}, 23, "protocol assignment address"},
    {{0x2001, 0xdb8}, 32, "documentation address"},
    {{0x2002}, 16, "6to4 address"},
    {{0x3fff}, 20, "documentation address"},
    {{0xfc00}, 7, "private (unique local) address"},
    {{0xfe80}, 10, "link-local address"},
    {{0xfec0}, 10, "site-local address"},
    {{0xff00}, 8, "multicast address"},
};
constexpr Range6 kLoopback6 = {{0, 0, 0, 0, 0, 0, 0, 1}, 128, "loopback address"};
constexpr Range6 kGlobalUnicast6 = {{0x2000}, 3, ""};

bool contains(const Range4& range, std::uint32_t address) {
  const std::uint32_t prefix = static_cast<std::uint32_t>(range.a) << 24 |
                               static_cast<std::uint32_t>(range.b) << 16 |
                               static_cast<std::uint32_t>(range.c) << 8 | range.d;
  const std::uint32_t mask = ~std::uint32_t{0} << (32 - range.bits);
  return (address & mask) == (prefix & mask);
}

bool contains(const Range6& range, const std::array<std::uint16_t, 8>& address) {
  int bits = range.bits;
  for (std::size_t i = 0; i < address.size() && bits > 0; ++i, bits -= 16) {
    const int shift = bits >= 16 ? 0 : 16 - bits;
    if (address[i] >> shift != range.groups[i] >> shift) return false;
  }
  return true;
}

std::optional<std::string_view> refusal4(std::uint32_t address, const GuardConfig& config) {
  if (contains(kLoopback4, address)) {
    if (config.allow_loopback) return std::nullopt;
    return kLoopback4.reason;
  }
  for (const Range4& range : kRefused4) {
    if (contains(range, address)) return range.reason;
  }
  return std::nullopt;
}

std::optional<std::string_view> refusal6(const std::array<std::uint16_t, 8>& address,
                                         const GuardConfig& config) {
  if (contains(kLoopback6, address)) {
    if (config.allow_loopback) return std::nullopt;
    return kLoopback6.reason;
  }
  for (const Range6& range : kRefused6) {
    if (contains(range, address)) return range.reason;
  }
  if (!contains(kGlobalUnicast6, address)) return "address outside the public unicast space";
  return std::nullopt;
}

}  // namespace

std::optional<std::string_view> address_refusal(const sockaddr& address, socklen_t size,
                                                const GuardConfig& config) {
  // Copied, because a sockaddr need not be aligned for what it holds.
  if (address.sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof v4);
    return refusal4(ntohl(v4.sin_addr.s_addr), config);
  }
  if (address.sa_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address, sizeof v6);
    std::array<std::uint16_t, 8> groups;
    for (std::size_t i = 0; i < groups.size(); ++i) {
      groups[i] =
          static_cast<std::uint16_t>(v6.sin6_addr.s6_addr[2 * i] << 8 | v6.sin6_addr.s6_addr[2 * i + 1]);
    }
    return refusal6(groups, config);
  }
  return "address of another family than IPv4 and IPv6";
}

}  // namespace sluice::callback
