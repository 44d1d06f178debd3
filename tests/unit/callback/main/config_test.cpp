#include "callback/main/config.h"

#include <gtest/gtest.h>

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;

struct Loaded {
  CallbackConfig config;
  std::vector<config::Fault> faults;
};

Loaded load(const config::Environment& more) {
  Loaded loaded;
  config::Settings settings("sluice-callback", "");
  bind(settings, loaded.config);
  config::Environment environment = {{"SLUICE_MASTER_KEY", "a2V5"}};
  for (const auto& [name, value] : more) environment[name] = value;
  loaded.faults = settings.parse({}, environment).faults;
  return loaded;
}

TEST(CallbackConfig, DefaultsAreThoseOfTheDocumentation) {
  const Loaded loaded = load({});
  ASSERT_TRUE(loaded.faults.empty()) << loaded.faults.front().place << loaded.faults.front().message;
  EXPECT_EQ(loaded.config.retry.delays, default_retry_delays());
  EXPECT_EQ(loaded.config.sender.connect_timeout, 10s);
  EXPECT_EQ(loaded.config.sender.total_timeout, 20s);
  EXPECT_FALSE(loaded.config.sender.guard.allow_loopback);
  EXPECT_EQ(loaded.config.payload.result_bytes_max, 256u * 1024);
  EXPECT_EQ(loaded.config.courier.give_up_after, 72h);
  EXPECT_GT(loaded.config.courier.hold, loaded.config.sender.total_timeout);
}

TEST(CallbackConfig, WaitsAreAList) {
  const Loaded loaded =
      load({{"SLUICE_WEBHOOK_RETRY_WAITS", "0s, 1.5s,10ms"}, {"SLUICE_WEBHOOK_ALLOW_LOOPBACK", "true"}});
  ASSERT_TRUE(loaded.faults.empty());
  EXPECT_EQ(loaded.config.retry.delays, (std::vector<std::chrono::milliseconds>{0ms, 1500ms, 10ms}));
  EXPECT_TRUE(loaded.config.sender.guard.allow_loopback);
}

TEST(CallbackConfig, FaultsAreFound) {
  const std::pair<const char*, const char*> faulty[] = {
      {"SLUICE_WEBHOOK_RETRY_WAITS", "0s,soon"},
      {"SLUICE_WEBHOOK_RETRY_WAITS", "-1s"},
      {"SLUICE_WEBHOOK_HOLD", "25s"},
      {"SLUICE_WEBHOOK_HOLD", "61s"},
      {"SLUICE_WEBHOOK_RETRY_JITTER", "1.5"},
      {"SLUICE_WEBHOOK_CONCURRENCY", "0"},
      {"SLUICE_WEBHOOK_TIMEOUT", "20"},
      {"SLUICE_LOG_LEVEL", "loud"},
      {"SLUICE_WEBHOOK_ALLOW_LOOPBACK", "2"},
  };
  for (const auto& [name, value] : faulty) {
    EXPECT_EQ(load({{name, value}}).faults.size(), 1u) << name << "=" << value;
  }
  EXPECT_EQ(load({{"SLUICE_MASTER_KEY", ""}}).faults.size(), 1u);
}

}  // namespace
}  // namespace sluice::callback
