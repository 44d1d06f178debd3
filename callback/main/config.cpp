#include "callback/main/config.h"

#include <memory>

#include "common/mysql/settings.h"
#include "common/rabbitmq/settings.h"
#include "common/store/webhook_delivery_log.h"

namespace sluice::callback {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

Result<std::vector<milliseconds>> parse_delays(const std::vector<std::string>& texts) {
  if (texts.empty()) return fail(ErrorCode::kInvalid, "must hold at least one wait");
  std::vector<milliseconds> delays;
  for (const std::string& text : texts) {
    const auto delay = config::parse_duration(text);
    if (!delay || *delay < seconds(0) || *delay > hours(24 * 30)) {
      return fail(ErrorCode::kInvalid, "must be waits of 0s to 30 days, such as 0s,5s,5m");
    }
    delays.push_back(std::chrono::duration_cast<milliseconds>(*delay));
  }
  return delays;
}

namespace {

void bind_courier(config::Settings& settings, CallbackConfig& config) {
  settings.add("webhook-poll", config.courier.poll, "How often to look for deliveries that became due")
      .range(milliseconds(10), seconds(60));
  settings
      .add("webhook-hold", config.courier.hold,
           "How long a claim holds a delivery; after it a lost sender's work is done again")
      .range(seconds(1), kDeliveryHoldMax);
  settings
      .add("webhook-give-up-after", config.courier.give_up_after,
           "Deliveries that waited longer behind an endpoint that only fails are failed")
      .range(seconds(1), hours(24 * 365));
  settings.add("webhook-concurrency", config.gate.total_max, "Deliveries under way at a time")
      .range(1, 10'000);
  settings
      .add("webhook-endpoint-concurrency", config.gate.endpoint_max,
           "Of these, to one endpoint: more drains a fast one sooner and burdens a weak one more")
      .range(1, 1'000);
  settings
      .add("webhook-failures-to-rest", config.gate.failures_to_rest,
           "Failures in a row after which an endpoint is tried one delivery at a time, with pauses")
      .range(1, 1'000'000);
  settings
      .add("webhook-disable-after", config.disable_after,
           "A registered endpoint that only failed for this long is disabled")
      .range(milliseconds(0), hours(24 * 365));
  settings.add("webhook-secret-keep", config.secret_keep, "How long a tenant's secret is kept in memory")
      .range(milliseconds(0), hours(1));
  settings.add("webhook-stop-grace", config.stop_grace, "How long attempts under way may take at stop")
      .range(milliseconds(0), hours(1));
  settings.add_check([&config]() -> Status {
    if (config.courier.hold < config.sender.total_timeout + seconds(10)) {
      return fail(ErrorCode::kInvalid,
                  "webhook-hold must exceed webhook-timeout by 10s, or receivers get deliveries twice");
    }
    return {};
  });
}

void bind_sender(config::Settings& settings, CallbackConfig& config) {
  settings
      .add("webhook-connect-timeout", config.sender.connect_timeout,
           "Longest wait for a receiver's connection")
      .range(milliseconds(10), seconds(300));
  settings.add("webhook-timeout", config.sender.total_timeout, "Longest time of one attempt")
      .range(milliseconds(10), seconds(300));
  settings.add_size("webhook-response-max", config.sender.response_bytes_max,
                    "Of an answer no more is read; its status decides");
  settings.add("webhook-tls-ca-file", config.sender.tls_ca_file,
               "Certificates that receivers' must descend from, instead of the system's");
  settings.add("webhook-allow-loopback", config.sender.guard.allow_loopback,
               "Allow receivers on this machine: for a local stack, never in production");
}

void bind_retry(config::Settings& settings, CallbackConfig& config) {
  // The settings know lists of text; the waits are made of it once all is read.
  auto texts = std::make_shared<std::vector<std::string>>();
  for (const milliseconds delay : config.retry.delays) texts->push_back(config::format_duration(delay));
  settings.add("webhook-retry-waits", *texts, "Waits before each attempt, from the one before")
      .check([](const std::vector<std::string>& given) -> Status {
        SLUICE_TRY(parse_delays(given));
        return {};
      });
  settings.add_check([texts, &config]() -> Status {
    SLUICE_ASSIGN(config.retry.delays, parse_delays(*texts));
    return {};
  });
  settings.add("webhook-retry-jitter", config.retry.jitter, "Each wait is scaled by 1 - this to 1 + this")
      .range(0.0, 1.0);
  settings
      .add("webhook-retry-after-max", config.retry.retry_after_max,
           "Longest wait that a receiver may ask for")
      .range(seconds(0), hours(24 * 30));
}

}  // namespace

void bind(config::Settings& settings, CallbackConfig& config) {
  config.http.port = 8082;
  config.rabbitmq.connection_name = "sluice-callback";
  settings.add_enum("log-level", config.log_level,
                    {{"debug", LogLevel::kDebug},
                     {"info", LogLevel::kInfo},
                     {"warn", LogLevel::kWarn},
                     {"error", LogLevel::kError}},
                    "Least important lines that are logged");
  settings
      .add("master-key", config.master_key,
           "Base64 of 32 bytes: opens the tenants' webhook secrets; see -file")
      .required();
  settings.add("public-url", config.payload.public_url,
               "Where clients reach the producer (https://…): begins result_url of large results");
  settings.add_size("webhook-result-max", config.payload.result_bytes_max,
                    "Larger results are left to result_url");
  settings.add("events-prefetch", config.intake.prefetch, "Event messages held unacked").range(1, 10'000);
  settings.add("events-batch-max", config.intake.batch_max, "Events decided in one transaction")
      .range(1, 2'000);
  settings
      .add("batch-poll", config.batches.look_every,
           "How often to look for batches whose lines have all ended")
      .range(milliseconds(10), seconds(60));
  settings
      .add("batch-hold", config.batches.hold,
           "How long a batch is held while its files are made; after it a lost process's batch is made anew")
      .range(seconds(1), hours(1));
  bind_retry(settings, config);
  bind_sender(settings, config);
  bind_courier(settings, config);
  bind(settings, config.mysql);
  bind(settings, config.rabbitmq);
  http::bind(settings, config.http);
}

}  // namespace sluice::callback
