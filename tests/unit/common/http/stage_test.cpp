#include "common/http/stage.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "common/config/settings.h"
#include "common/http/config.h"

namespace sluice::http {
namespace {

TEST(Stage, RefusesWhenFullAndAfterItsEnd) {
  Stage stage("test", 1, 2);
  stage.start();
  std::promise<void> entered;
  std::promise<void> release;
  std::atomic<int> ran{0};
  ASSERT_TRUE(stage.submit([&] {
    entered.set_value();
    release.get_future().wait();
    ++ran;
  }));
  entered.get_future().wait();
  EXPECT_TRUE(stage.submit([&] { ++ran; }));
  EXPECT_TRUE(stage.submit([&] { ++ran; }));
  EXPECT_EQ(stage.waiting(), 2u);
  EXPECT_FALSE(stage.submit([&] { ++ran; }));
  std::promise<void> done;
  release.set_value();
  while (!stage.submit([&] { done.set_value(); })) std::this_thread::yield();
  done.get_future().wait();
  EXPECT_EQ(ran, 3);
  stage.stop();
  stage.stop();
  EXPECT_FALSE(stage.submit([&] { ++ran; }));
  EXPECT_EQ(ran, 3);
}

TEST(Stage, StopDropsWhatWaits) {
  Stage stage("test", 1, 10);
  stage.stop();
  Stage other("test", 1, 10);
  const auto held = std::make_shared<int>(1);
  ASSERT_TRUE(other.submit([held] {}));
  other.stop();
  EXPECT_EQ(held.use_count(), 1);
}

TEST(ServerConfig, EveryFieldIsASettingAndTheDefaultsAreInRange) {
  config::Settings settings("test", "");
  ServerConfig config;
  bind(settings, config);
  config::Environment environment;
  for (const auto& [name, value] : settings.shown()) {
    std::string variable = "SLUICE_" + name;
    for (char& c : variable)
      c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    environment[variable] = value;
  }
  const config::Parsed parsed =
      settings.parse({"--http-port", "0", "--http-idle-timeout", "2m"}, environment);
  for (const config::Fault& fault : parsed.faults) ADD_FAILURE() << fault.place << ": " << fault.message;
  EXPECT_EQ(config.port, 0);
  EXPECT_EQ(config.idle_timeout, std::chrono::minutes(2));
  EXPECT_EQ(environment.size(), 23u);
}

}  // namespace
}  // namespace sluice::http
