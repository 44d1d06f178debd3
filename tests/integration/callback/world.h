// The callback service among real servers: jobs end in the database as a worker ends them, their events are
// published as the relay publishes them, and receivers listen on loopback.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "common/ids/ids.h"
#include "common/rabbitmq/broker_control.h"
#include "common/rabbitmq/publisher.h"
#include "common/store/event_store.h"
#include "common/store/mysql_account_store.h"
#include "common/store/mysql_event_store.h"
#include "common/store/mysql_job_store.h"
#include "tests/contract/support/servers.h"
#include "tests/integration/callback/service_process.h"
#include "tests/support/mysql_database.h"
#include "tests/unit/callback/support/receiver.h"

namespace sluice::testing {

class CallbackWorld : public ::testing::Test {
 protected:
  using Settings = std::map<std::string, std::string>;

  void SetUp() override;
  void TearDown() override;

  // Starts the service and waits until it is ready. Short waits unless `more` says otherwise.
  void start(const Settings& more = {});
  std::unique_ptr<ServiceProcess> make_service(const Settings& more = {});
  // A job that has ended; its event waits in the outbox.
  JobId end_job(const std::string& callback_url, const std::string& text = "42", bool succeeds = true);
  // What the relay does: publishes all events that nobody has decided about, `times` over. Answers how many
  // there were.
  int publish(int times = 1);
  void publish_text(const std::string& body);

  // The delivery of a job.
  struct Row {
    std::string id;
    std::string state;
    int attempts = 0;
    int recorded = 0;  // Rows in delivery_attempt.
    int taken = 0;     // Of these, with an answer of 200.
    double due_in_s = 0;
    std::string last_error;
    int last_status = 0;
  };
  std::vector<Row> rows(const JobId& job);
  Row row(const JobId& job);
  bool wait_state(const JobId& job, const std::string& state,
                  std::chrono::milliseconds longest = std::chrono::seconds(60));
  bool wait_attempts(const JobId& job, int attempts,
                     std::chrono::milliseconds longest = std::chrono::seconds(60));
  void make_due(const JobId& job);
  std::int64_t undecided();
  std::uint64_t messages_ready();
  // The signature header that `request` should have, computed here; false if it has another.
  bool signed_well(const Receiver::Request& request) const;
  Deadline soon() { return database_->soon(); }

  MysqlDatabase* database_ = nullptr;
  std::unique_ptr<IdMaker> ids_;
  std::unique_ptr<MysqlJobStore> jobs_;
  std::unique_ptr<MysqlEventStore> events_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<BrokerControl> broker_;
  std::unique_ptr<ServiceProcess> service_;
};

}  // namespace sluice::testing
