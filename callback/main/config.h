// Everything that can be set about the callback service; `sluice-callback --help` lists it.
#pragma once

#include <string>

#include "callback/batches/batch_closer.h"
#include "callback/courier/courier.h"
#include "callback/courier/endpoint_gate.h"
#include "callback/intake/intake.h"
#include "callback/payload/payload.h"
#include "callback/schedule/retry_schedule.h"
#include "callback/sender/curl_sender.h"
#include "common/base/secret.h"
#include "common/config/settings.h"
#include "common/http/config.h"
#include "common/log/log.h"
#include "common/mysql/mysql.h"
#include "common/rabbitmq/config.h"

namespace sluice::callback {

struct CallbackConfig {
  LogLevel log_level = LogLevel::kInfo;
  http::ServerConfig http;
  MysqlConfig mysql;
  RabbitmqConfig rabbitmq;
  Secret master_key;  // Base64 of 32 bytes: opens the tenants' webhook secrets.
  PayloadConfig payload;
  IntakeConfig intake;
  CourierConfig courier;
  GateConfig gate;
  SenderConfig sender;
  RetryConfig retry;
  BatchCloserConfig batches;
  std::chrono::milliseconds disable_after = kEndpointDisableAfter;
  std::chrono::milliseconds secret_keep{
      10'000};  // Longer asks the database less and follows a new secret later.
  // At stop: how long attempts under way may still take. What is left then is sent again later.
  std::chrono::milliseconds stop_grace{22'000};
};

// Binds every field; `config` must outlive the loading.
void bind(config::Settings& settings, CallbackConfig& config);

// "0s", "5s", "5m" …: the waits before each attempt. kInvalid: says which is none.
Result<std::vector<std::chrono::milliseconds>> parse_delays(const std::vector<std::string>& texts);

}  // namespace sluice::callback
