// Workers as processes of their own among real servers, with the echo engine. The test submits jobs to a
// database of its own, and a thread does what the producer's loops do: publishes what is due, rescues lapsed
// leases.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/base/loop.h"
#include "common/job/request.h"
#include "common/rabbitmq/broker_control.h"
#include "common/rabbitmq/publisher.h"
#include "common/redis/redis.h"
#include "common/store/mysql_job_store.h"
#include "tests/contract/support/servers.h"
#include "tests/integration/callback/service_process.h"
#include "tests/support/mysql_database.h"

namespace sluice::testing {

class WorkerWorld : public ::testing::Test {
 protected:
  using Settings = std::map<std::string, std::string>;

  void SetUp() override;
  void TearDown() override;

  std::unique_ptr<ServiceProcess> make_worker(const Settings& more = {});
  // The same, and waits until it is ready.
  std::unique_ptr<ServiceProcess> start_worker(const Settings& more = {});

  std::vector<JobId> submit(int count, const JobParameters& parameters = {},
                            Priority priority = Priority::kNormal);
  static JobParameters fault(RequestFaultKind kind, std::optional<int> attempts = std::nullopt, int ms = 0);
  // What the producer does, again and again: publishes each due job's message `copies` times.
  void start_loops(int copies = 1);
  void publish(const std::string& body, Priority priority = Priority::kNormal);

  Job job(const JobId& id);
  std::int64_t number(const std::string& query);
  std::int64_t in_state(JobState state);
  bool wait_state(const std::vector<JobId>& ids, JobState state,
                  std::chrono::milliseconds longest = std::chrono::seconds(60));
  // Each job ended in `state` and there is exactly one event for it.
  void expect_ended_once(const std::vector<JobId>& ids, JobState state);
  std::uint64_t messages(std::string_view queue);
  Deadline soon() { return database_->soon(); }

  MysqlDatabase* database_ = nullptr;
  std::unique_ptr<IdMaker> ids_;
  std::unique_ptr<MysqlJobStore> store_;
  std::unique_ptr<BrokerControl> broker_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<Loop> loops_;

 private:
  void run_loops(int copies);
};

}  // namespace sluice::testing
