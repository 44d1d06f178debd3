// A CurlSender and one way to call it.
#pragma once

#include <gtest/gtest.h>

#include <future>

#include "callback/sender/curl_sender.h"
#include "tests/unit/callback/support/receiver.h"

namespace sluice::callback::testing {

// Names lead where the test says; others where the system says.
class PinnedResolver final : public Resolver {
 public:
  std::optional<std::vector<std::string>> addresses(const std::string& host, std::uint16_t) override {
    std::lock_guard lock(mutex_);
    const auto found = pins_.find(host);
    if (found == pins_.end()) return std::nullopt;
    std::vector<std::string> now = found->second.front();
    if (found->second.size() > 1) found->second.erase(found->second.begin());
    return now;
  }
  // One list of addresses for each question in turn; the last stays.
  void pin(const std::string& host, std::vector<std::vector<std::string>> answers) {
    std::lock_guard lock(mutex_);
    pins_[host] = std::move(answers);
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<std::vector<std::string>>> pins_;
};

class Sending : public ::testing::Test {
 protected:
  void start(SenderConfig config) {
    sender_ = std::make_unique<CurlSender>(config, resolver_, clock_, log_);
    ASSERT_TRUE(sender_->start());
  }
  static SenderConfig local() {
    SenderConfig config;
    config.guard.allow_loopback = true;
    config.connect_timeout =
        std::chrono::seconds(60);  // No test waits for these, and none fails where a machine is slow.
    config.total_timeout = std::chrono::seconds(60);
    return config;
  }
  std::future<AttemptReport> post(const std::string& url, std::string body = "{}",
                                  std::vector<std::string> headers = {}) {
    auto promise = std::make_shared<std::promise<AttemptReport>>();
    auto future = promise->get_future();
    sender_->send({url, std::move(headers), std::move(body)},
                  [promise](AttemptReport report) { promise->set_value(std::move(report)); });
    return future;
  }
  AttemptReport report(const std::string& url) { return post(url).get(); }

  SystemClock clock_;
  Log log_{"test", LogLevel::kError, clock_};
  PinnedResolver resolver_;
  std::unique_ptr<CurlSender> sender_;
};

}  // namespace sluice::callback::testing
