// A producer in this process on real servers, with a database and a model of the test's own, a client, and a
// worker that can be held back.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "common/rabbitmq/broker_control.h"
#include "common/rabbitmq/consumer.h"
#include "common/redis/redis.h"
#include "common/store/mysql_job_store.h"
#include "producer/main/service.h"
#include "tests/support/mysql_database.h"
#include "tests/support/tcp_proxy.h"

namespace sluice::producer {

struct Reply {
  int status = 0;                              // 0: no answer came.
  std::map<std::string, std::string> headers;  // Names in lower case.
  std::string body;
  nlohmann::json json;  // Discarded if the body is none.
};

// Blocking, over one connection that it keeps. For one thread.
class Client {
 public:
  Client(std::string base_url, std::string key);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  Reply get(const std::string& path, std::vector<std::string> headers = {});
  Reply post(const std::string& path, const std::string& body, std::vector<std::string> headers = {});
  Reply post(const std::string& path, const nlohmann::json& body) { return post(path, body.dump()); }
  Reply remove(const std::string& path);
  // From now on it closes its connection if an answer isn't whole by then.
  void leave_after(std::chrono::milliseconds time) { longest_ = time; }

 private:
  Reply perform(const std::string& path, const std::string* body, std::vector<std::string> headers,
                const char* method = nullptr);
  const std::string base_url_;
  const std::string key_;
  std::chrono::milliseconds longest_{90'000};
  void* curl_;
};

// Takes tasks, claims them, and answers "done".
class FakeWorker {
 public:
  FakeWorker(RabbitmqConfig rabbitmq, const std::string& model, MysqlPool& pool, Clock& clock, Rng& rng);
  ~FakeWorker();
  int started_jobs() const;
  int deliveries() const;

 private:
  void take(Delivery&& delivery);
  Clock& clock_;
  IdMaker ids_;
  MysqlJobStore store_;
  mutable std::mutex mutex_;
  int started_ = 0;
  int deliveries_ = 0;
  std::vector<Delivery> waiting_;
  std::condition_variable filled_;
  bool stopping_ = false;
  std::thread thread_;
  std::unique_ptr<Consumer> consumer_;
};

class ProducerWorld : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // A producer with `change` applied to its settings.
  std::unique_ptr<Service> make_service(const std::function<void(ProducerConfig&)>& change = {});
  ProducerConfig config() const;
  Client client(const Service& service, const std::string& key = kKey);
  void start_worker();
  void stop_worker() { worker_.reset(); }

  static bool eventually(const std::function<bool()>& condition,
                         std::chrono::milliseconds longest = std::chrono::seconds(20));
  Deadline soon() { return Deadline::in(clock_, std::chrono::seconds(20)); }
  std::int64_t number(const std::string& query);
  std::int64_t in_state(const std::string& state) {
    return number("SELECT COUNT(*) FROM job WHERE state = '" + state + "'");
  }
  // Every job ended well at its first start, each with one event.
  void expect_all_done(int count);
  std::uint64_t ready(Priority priority = Priority::kNormal);
  void purge_all();
  // Jobs are for this model; its queues are there and empty.
  void use_model(const std::string& model);
  nlohmann::json prompts(int count, const std::string& priority = "normal");

  static constexpr const char* kKey = "sluice_test_key_of_tenant_one";
  static constexpr const char* kOtherKey = "sluice_test_key_of_tenant_two";
  static constexpr const char* kAdminKey = "sluice_test_key_of_an_operator";
  static constexpr const char* kReadKey = "sluice_test_key_that_only_reads";

  SystemClock clock_;
  SystemRng rng_;
  testing::MysqlDatabase* database_ = nullptr;
  std::string model_;
  std::unique_ptr<IdMaker> ids_;
  std::unique_ptr<MysqlJobStore> store_;
  std::unique_ptr<BrokerControl> control_;
  std::unique_ptr<FakeWorker> worker_;
};

}  // namespace sluice::producer
