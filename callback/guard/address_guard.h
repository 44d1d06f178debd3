// Which addresses a webhook may reach. A receiver's URL comes from a tenant: without this, whoever can submit
// a job could make us POST into our own network (SSRF). It looks at the real address of each connection, just
// before it is opened, so neither the spelling of a host nor its name server (rebinding) changes the answer.
//
// Pure functions; safe for concurrent use.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <string_view>

namespace sluice::callback {

struct GuardConfig {
  bool allow_loopback = false;  // For receivers on one's own machine: 127.0.0.0/8 and ::1.
};

// Why a webhook must not be sent to `address` ("loopback address"); nullopt: it may. Only addresses of the
// public unicast space pass; families other than IPv4 and IPv6 never do.
std::optional<std::string_view> address_refusal(const sockaddr& address, socklen_t size,
                                                const GuardConfig& config);

}  // namespace sluice::callback
