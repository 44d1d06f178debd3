#include "tests/integration/callback/world.h"

#include "common/crypto/crypto.h"
#include "common/rabbitmq/topology.h"
#include "tests/support/due_tasks.h"

namespace sluice::testing {

namespace {

const TenantId kTenant{"acme"};

std::string secret_bytes() {
  return std::string(32, 's');
}
std::string master_key() {
  return base64_encode(std::string(32, 'm'));
}

RabbitmqConfig rabbitmq() {
  RabbitmqConfig config;
  config.host = env_or("SLUICE_RABBITMQ_HOST", "127.0.0.1");
  config.port = std::atoi(env_or("SLUICE_RABBITMQ_PORT", "5672").c_str());
  config.user = env_or("SLUICE_RABBITMQ_USER", "sluice");
  config.password = Secret(env_or("SLUICE_RABBITMQ_PASSWORD", ""));
  config.vhost = env_or("SLUICE_RABBITMQ_VHOST", "sluice");
  return config;
}

}  // namespace

void CallbackWorld::SetUp() {
  SLUICE_REQUIRE_SERVER("SLUICE_MYSQL_HOST");
  SLUICE_REQUIRE_SERVER("SLUICE_RABBITMQ_HOST");
  database_ = MysqlDatabase::instance();
  database_->clear_jobs();
  ids_ = std::make_unique<IdMaker>(database_->clock(), database_->rng());
  jobs_ = std::make_unique<MysqlJobStore>(database_->pool(), *ids_, JobRules{});
  events_ = std::make_unique<MysqlEventStore>(database_->pool(), std::chrono::milliseconds(0));
  MysqlAccountStore accounts(database_->pool(), database_->rng(), *Sealer::make(Secret(master_key())));
  ASSERT_TRUE(accounts.put_tenant(kTenant, "Acme", Secret("whsec_" + base64_encode(secret_bytes())), soon()));
  broker_ = std::make_unique<BrokerControl>(rabbitmq(), parts().clock);
  const Status declared = broker_->declare(Topology::builtin(), soon());
  ASSERT_TRUE(declared) << declared.error().message;
  ASSERT_TRUE(broker_->purge(kCallbackQueue, soon()));
  publisher_ =
      std::make_unique<Publisher>(rabbitmq(), PublisherConfig{}, parts().clock, parts().rng, parts().log);
  publisher_->start();
}

void CallbackWorld::TearDown() {
  service_.reset();
  if (publisher_ != nullptr) publisher_->stop();
}

std::unique_ptr<ServiceProcess> CallbackWorld::make_service(const Settings& more) {
  const MysqlConfig& mysql = database_->config();
  const RabbitmqConfig broker = rabbitmq();
  Settings settings = {
      {"SLUICE_MYSQL_HOST", mysql.host},
      {"SLUICE_MYSQL_PORT", std::to_string(mysql.port)},
      {"SLUICE_MYSQL_USER", mysql.user},
      {"SLUICE_MYSQL_PASSWORD", mysql.password.reveal()},
      {"SLUICE_MYSQL_DATABASE", mysql.database},
      {"SLUICE_RABBITMQ_HOST", broker.host},
      {"SLUICE_RABBITMQ_PORT", std::to_string(broker.port)},
      {"SLUICE_RABBITMQ_USER", broker.user},
      {"SLUICE_RABBITMQ_PASSWORD", broker.password.reveal()},
      {"SLUICE_RABBITMQ_VHOST", broker.vhost},
      {"SLUICE_MASTER_KEY", master_key()},
      {"SLUICE_WEBHOOK_ALLOW_LOOPBACK", "true"},
      {"SLUICE_WEBHOOK_TIMEOUT", "10s"},
      {"SLUICE_WEBHOOK_HOLD", "60s"},
      {"SLUICE_WEBHOOK_POLL", "20ms"},
      {"SLUICE_WEBHOOK_RETRY_WAITS", "0s,100ms,200ms,1h"},
  };
  for (const auto& [name, value] : more) settings[name] = value;
  return std::make_unique<ServiceProcess>(settings);
}

void CallbackWorld::start(const Settings& more) {
  service_.reset();
  service_ = make_service(more);
  ASSERT_TRUE(service_->wait_ready()) << service_->get("/ready").second;
}

JobId CallbackWorld::end_job(const std::string& callback_url, const std::string& text, bool succeeds) {
  Submission submission;
  NewJob& job = submission.jobs.emplace_back();
  job.job.id = ids_->make<JobId>(shard_of_tenant(kTenant));
  job.job.tenant = kTenant;
  job.job.model = "m";
  job.job.callback_url = callback_url;
  job.request_json = "{}";
  const auto accepted = jobs_->submit(std::span(&submission, 1), soon());
  EXPECT_TRUE(accepted.front()) << accepted.front().error().message;
  const TaskRef task{job.job.id, 1, 0};
  const auto claimed = jobs_->claim(std::span(&task, 1), "w", soon());
  EXPECT_TRUE(claimed && claimed->size() == 1);
  Ending ending{claimed->front().ref, "w", Succeeded{JobResult{text, "", "stop", 1, 1}}};
  if (!succeeds) ending.how = Failed{JobError{"bad_request", "no", "invalid_request_error", ""}, true};
  const auto ended = jobs_->finish(std::span(&ending, 1), soon());
  EXPECT_TRUE(ended && ended->front().outcome == EndingOutcome::kEnded);
  return job.job.id;
}

int CallbackWorld::publish(int times) {
  const auto due = events_->due_events(all_shards(), 1000, soon());
  EXPECT_TRUE(due);
  std::vector<Message> messages;
  for (int i = 0; i < times; ++i) {
    for (const DueEvent& event : *due) {
      Message message;
      message.exchange = kEventsExchange;
      message.routing_key = event.ref.type;
      message.body = event_ref_to_json(event.ref);
      messages.push_back(std::move(message));
    }
  }
  EXPECT_TRUE(publisher_->wait_ready(soon()));
  for (const Status& status : publisher_->publish_all(std::move(messages), soon())) {
    EXPECT_TRUE(status) << status.error().message;
  }
  return static_cast<int>(due->size());
}

void CallbackWorld::publish_text(const std::string& body) {
  Message message;
  message.exchange = kEventsExchange;
  message.routing_key = "job.succeeded";
  message.body = body;
  EXPECT_TRUE(publisher_->wait_ready(soon()));
  EXPECT_TRUE(publisher_->publish(std::move(message), soon()));
}

std::vector<CallbackWorld::Row> CallbackWorld::rows(const JobId& job) {
  Sql sql(
      "SELECT d.id, d.state, d.attempts, (SELECT COUNT(*) FROM delivery_attempt a WHERE a.delivery_id = "
      "d.id), "
      "COALESCE(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), d.attempt_due) / 1000000, 0), d.last_error, "
      "d.last_status, "
      "(SELECT COUNT(*) FROM delivery_attempt a WHERE a.delivery_id = d.id AND a.status = 200) "
      "FROM delivery d WHERE d.job_id = ?");
  const auto found = database_->pool().query(sql.bind(job.value), soon());
  EXPECT_TRUE(found) << found.error().message;
  std::vector<Row> all;
  if (!found) return all;
  for (const auto& one : *found) {
    all.push_back({one.str(0), one.str(1), static_cast<int>(one.int64(2)), static_cast<int>(one.int64(3)),
                   static_cast<int>(one.int64(7)), one.float64(4), one.str_or(5, ""),
                   static_cast<int>(one.int64_or(6, 0))});
  }
  return all;
}

CallbackWorld::Row CallbackWorld::row(const JobId& job) {
  const auto all = rows(job);
  EXPECT_EQ(all.size(), 1u);
  return all.empty() ? Row{} : all.front();
}

bool CallbackWorld::wait_state(const JobId& job, const std::string& state,
                               std::chrono::milliseconds longest) {
  return eventually(
      [&] {
        const auto all = rows(job);
        return all.size() == 1 && all.front().state == state;
      },
      longest);
}

bool CallbackWorld::wait_attempts(const JobId& job, int attempts, std::chrono::milliseconds longest) {
  return eventually(
      [&] {
        const auto all = rows(job);
        return all.size() == 1 && all.front().attempts >= attempts;
      },
      longest);
}

void CallbackWorld::make_due(const JobId& job) {
  Sql sql("UPDATE delivery SET attempt_due = UTC_TIMESTAMP(6) WHERE state = 'pending' AND job_id = ?");
  EXPECT_TRUE(database_->pool().execute(sql.bind(job.value), soon()));
}

std::int64_t CallbackWorld::undecided() {
  const auto rows =
      database_->pool().query(Sql("SELECT COUNT(*) FROM event WHERE publish_due IS NOT NULL"), soon());
  EXPECT_TRUE(rows);
  return rows ? rows->front().int64(0) : -1;
}

std::uint64_t CallbackWorld::messages_ready() {
  const auto depth = broker_->depth(kCallbackQueue, soon());
  EXPECT_TRUE(depth) << depth.error().message;
  return depth ? depth->ready : 0;
}

bool CallbackWorld::signed_well(const Receiver::Request& request) const {
  const std::string id = request.headers.at("webhook-id");
  const std::string time = request.headers.at("webhook-timestamp");
  const Sha256 mac = hmac_sha256(secret_bytes(), id + "." + time + "." + request.body);
  const std::string expected = "v1," + base64_encode({reinterpret_cast<const char*>(mac.data()), mac.size()});
  const std::int64_t age = unix_seconds(database_->clock().wall_now()) - std::stoll(time);
  return request.headers.at("webhook-signature") == expected && age >= -1 && age < 60;
}

}  // namespace sluice::testing
