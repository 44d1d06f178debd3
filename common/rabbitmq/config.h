// What every connection to RabbitMQ needs to know. Plain data.
#pragma once

#include <chrono>
#include <string>

#include "common/base/backoff.h"
#include "common/base/secret.h"

namespace sluice {

struct RabbitmqConfig {
  std::string host = "127.0.0.1";
  int port = 5672;
  std::string user = "guest";
  Secret password;
  std::string vhost = "/";
  std::string connection_name = "sluice";  // Shown by RabbitMQ's own tools.
  std::chrono::seconds heartbeat{15};      // A silent broker is noticed after about twice this.
  std::chrono::milliseconds connect_timeout{3000};
  std::chrono::milliseconds rpc_timeout{5000};  // Declaring, subscribing, cancelling.
  BackoffConfig reconnect{std::chrono::milliseconds(100), std::chrono::seconds(3), 0.2};
};

}  // namespace sluice
