#include "callback/guard/address_guard.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>
#include <optional>
#include <string>

namespace sluice::callback {
namespace {

// "" = allowed. `text` goes through the system's own parser, so octal, hexadecimal and short forms are what a
// connection would see.
std::string refusal_of(const std::string& text, const GuardConfig& config = {}) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(text.c_str(), "443", &hints, &found) != 0) return "unparsable";
  const auto refusal = address_refusal(*found->ai_addr, found->ai_addrlen, config);
  freeaddrinfo(found);
  return std::string(refusal.value_or(""));
}

struct Case {
  const char* address;
  const char* reason;  // A part of it; "" = allowed.
};

TEST(AddressGuard, TheTable) {
  const Case cases[] = {
      // Public, and the neighbours of what is refused.
      {"1.1.1.1", ""},
      {"8.8.8.8", ""},
      {"9.255.255.255", ""},
      {"11.0.0.0", ""},
      {"100.63.255.255", ""},
      {"100.128.0.0", ""},
      {"126.255.255.255", ""},
      {"128.0.0.1", ""},
      {"168.63.129.15", ""},
      {"168.63.129.17", ""},
      {"169.253.255.255", ""},
      {"169.255.0.0", ""},
      {"172.15.255.255", ""},
      {"172.32.0.0", ""},
      {"191.255.255.255", ""},
      {"192.0.1.1", ""},
      {"192.0.3.1", ""},
      {"192.88.98.1", ""},
      {"192.88.100.1", ""},
      {"192.167.255.255", ""},
      {"192.169.0.0", ""},
      {"198.17.255.255", ""},
      {"198.20.0.0", ""},
      {"198.51.99.1", ""},
      {"203.0.112.255", ""},
      {"203.0.114.0", ""},
      {"223.255.255.255", ""},
      // IPv4 special purpose.
      {"0.0.0.0", "this network"},
      {"0.1.2.3", "this network"},
      {"10.0.0.1", "private"},
      {"10.255.255.255", "private"},
      {"100.64.0.1", "carrier NAT"},
      {"100.100.100.200", "carrier NAT"},
      {"100.127.255.255", "carrier NAT"},
      {"127.0.0.1", "loopback"},
      {"127.0.0.0", "loopback"},
      {"127.255.255.255", "loopback"},
      {"168.63.129.16", "metadata"},
      {"169.254.0.1", "link-local"},
      {"169.254.169.254", "metadata"},
      {"172.16.0.1", "private"},
      {"172.31.255.255", "private"},
      {"192.0.0.1", "protocol assignment"},
      {"192.0.0.192", "protocol assignment"},
      {"192.0.2.1", "documentation"},
      {"192.88.99.1", "6to4"},
      {"192.168.0.1", "private"},
      {"192.168.255.255", "private"},
      {"198.18.0.1", "benchmarking"},
      {"198.19.255.255", "benchmarking"},
      {"198.51.100.7", "documentation"},
      {"203.0.113.7", "documentation"},
      {"224.0.0.1", "multicast"},
      {"239.255.255.255", "multicast"},
      {"240.0.0.1", "reserved"},
      {"255.255.255.254", "reserved"},
      {"255.255.255.255", "broadcast"},
      // The same addresses spelt otherwise.
      {"2130706433", "loopback"},
      {"0x7f000001", "loopback"},
      {"0x7f.1", "loopback"},
      {"0177.0.0.1", "loopback"},
      {"017700000001", "loopback"},
      {"127.1", "loopback"},
      {"0", "this network"},
      {"10.1", "private"},
      {"0xa9fea9fe", "metadata"},
      {"2852039166", "metadata"},
      {"0251.0376.0251.0376", "metadata"},
      {"0xc0.0xa8.1.1", "private"},
      {"134744072", ""},  // 8.8.8.8
      // IPv6.
      {"2606:4700:4700::1111", ""},
      {"2a00:1450:4001:80b::200e", ""},
      {"2001:4860:4860::8888", ""},
      {"2001:200::1", ""},
      {"2003::1", ""},
      {"::", "unspecified"},
      {"::1", "loopback"},
      {"0:0:0:0:0:0:0:1", "loopback"},
      {"::2", "compatible"},
      {"::127.0.0.1", "compatible"},
      {"::8.8.8.8", "compatible"},
      {"::ffff:127.0.0.1", "mapped"},
      {"::ffff:10.0.0.1", "mapped"},
      {"::ffff:8.8.8.8", "mapped"},
      {"::ffff:a9fe:a9fe", "mapped"},
      {"::ffff:0:127.0.0.1", "outside"},  // SIIT
      {"64:ff9b::7f00:1", "NAT64"},
      {"64:ff9b::8.8.8.8", "NAT64"},
      {"64:ff9b:1::a00:1", "NAT64"},
      {"64:ff9b:1:ffff::1", "NAT64"},
      {"100::1", "discard"},
      {"100:0:0:1::1", "outside"},
      {"2001::1", "Teredo"},
      {"2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"},
      {"2001:2::1", "protocol assignment"},
      {"2001:10::1", "protocol assignment"},
      {"2001:20::1", "protocol assignment"},
      {"2001:1ff::1", "protocol assignment"},
      {"2001:db8::1", "documentation"},
      {"2001:db9::1", ""},
      {"2002:7f00:1::", "6to4"},
      {"2002:808:808::1", "6to4"},
      {"3fff::1", "documentation"},
      {"3fff:fff::1", "documentation"},
      {"3ffe::1", ""},
      {"4000::1", "outside"},
      {"5f00::1", "outside"},
      {"fc00::1", "unique local"},
      {"fd00:ec2::254", "unique local"},
      {"fdff::1", "unique local"},
      {"fe00::1", "outside"},
      {"fe80::1", "link-local"},
      {"febf::1", "link-local"},
      {"fec0::1", "site-local"},
      {"ff02::1", "multicast"},
      {"ff0e::1", "multicast"},
  };
  for (const Case& one : cases) {
    const std::string refusal = refusal_of(one.address);
    if (*one.reason == '\0') {
      EXPECT_EQ(refusal, "") << one.address;
    } else {
      EXPECT_NE(refusal.find(one.reason), std::string::npos) << one.address << ": " << refusal;
    }
  }
}

TEST(AddressGuard, LoopbackPassesOnlyWhereItIsAllowed) {
  const GuardConfig local{.allow_loopback = true};
  for (const char* address : {"127.0.0.1", "127.8.8.8", "0177.1", "::1"})
    EXPECT_EQ(refusal_of(address, local), "");
  // Nothing else comes with it.
  for (const char* address : {"::ffff:127.0.0.1", "::127.0.0.1", "0.0.0.0", "10.0.0.1", "169.254.169.254",
                              "::", "fe80::1", "64:ff9b::7f00:1", "2002:7f00:1::"}) {
    EXPECT_NE(refusal_of(address, local), "") << address;
  }
}

TEST(AddressGuard, OtherFamiliesAndShortAddressesAreRefused) {
  sockaddr_un local{};
  local.sun_family = AF_UNIX;
  EXPECT_TRUE(address_refusal(reinterpret_cast<const sockaddr&>(local), sizeof local, {}));
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = inet_addr("8.8.8.8");
  EXPECT_FALSE(address_refusal(reinterpret_cast<const sockaddr&>(v4), sizeof v4, {}));
  EXPECT_TRUE(address_refusal(reinterpret_cast<const sockaddr&>(v4), sizeof v4 - 1, {}));
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  ASSERT_EQ(inet_pton(AF_INET6, "2606:4700::1", &v6.sin6_addr), 1);
  EXPECT_FALSE(address_refusal(reinterpret_cast<const sockaddr&>(v6), sizeof v6, {}));
  EXPECT_TRUE(address_refusal(reinterpret_cast<const sockaddr&>(v6), sizeof(sockaddr_in), {}));
}

// Every /8 of IPv4, so that no refused range is wider or narrower than meant.
TEST(AddressGuard, WholeEighthsOfIpv4) {
  for (int first = 0; first < 256; ++first) {
    const bool refused = refusal_of(std::to_string(first) + ".77.200.9") != "";
    const bool expected =
        first == 0 || first == 10 || first == 127 || first >= 224 || (first == 100 && 77 / 64 == 1);
    EXPECT_EQ(refused, expected) << first;
  }
}

}  // namespace
}  // namespace sluice::callback
