#include "tests/integration/worker/world.h"

#include "common/rabbitmq/topology.h"
#include "common/store/task_message.h"
#include "tests/support/broker_queue.h"
#include "tests/support/due_tasks.h"

namespace sluice::testing {

namespace {

const TenantId kTenant{"acme"};
constexpr const char* kModel = "echo";
constexpr Priority kClasses[] = {Priority::kHigh, Priority::kNormal, Priority::kLow};

RabbitmqConfig rabbitmq() {
  RabbitmqConfig config;
  config.host = env_or("SLUICE_RABBITMQ_HOST", "127.0.0.1");
  config.port = std::atoi(env_or("SLUICE_RABBITMQ_PORT", "5672").c_str());
  config.user = env_or("SLUICE_RABBITMQ_USER", "sluice");
  config.password = Secret(env_or("SLUICE_RABBITMQ_PASSWORD", ""));
  config.vhost = env_or("SLUICE_RABBITMQ_VHOST", "sluice");
  return config;
}

// Short times, so that a lost worker is noticed while a test waits.
JobRules rules() {
  JobRules rules;
  rules.lease = std::chrono::milliseconds(2'000);
  rules.retry_first = std::chrono::milliseconds(50);
  rules.republish_after = std::chrono::milliseconds(1'000);
  return rules;
}

Message task_message(std::string body, Priority priority) {
  Message message;
  message.exchange = kTasksExchange;
  message.routing_key = task_queue_name(kModel, priority);
  message.body = std::move(body);
  return message;
}

}  // namespace

void WorkerWorld::SetUp() {
  SLUICE_REQUIRE_SERVER("SLUICE_MYSQL_HOST");
  SLUICE_REQUIRE_SERVER("SLUICE_RABBITMQ_HOST");
  database_ = MysqlDatabase::instance();
  database_->clear_jobs();
  ids_ = std::make_unique<IdMaker>(database_->clock(), database_->rng());
  store_ = std::make_unique<MysqlJobStore>(database_->pool(), *ids_, rules());
  broker_ = std::make_unique<BrokerControl>(rabbitmq(), parts().clock);
  ASSERT_TRUE(eventually([this] { return broker_->declare(Topology::builtin(), soon()).has_value(); },
                         std::chrono::seconds(60)));
  for (const Priority priority : kClasses) {
    ASSERT_TRUE(broker_->declare(Topology::builtin().task_queue(kModel, priority), soon()));
    empty_queue(*broker_, task_queue_name(kModel, priority));
  }
  ASSERT_TRUE(broker_->purge(kReturnedQueue, soon()));
  publisher_ =
      std::make_unique<Publisher>(rabbitmq(), PublisherConfig{}, parts().clock, parts().rng, parts().log);
  publisher_->start();
  ASSERT_TRUE(publisher_->wait_ready(soon()));
}

void WorkerWorld::TearDown() {
  if (loops_ != nullptr) loops_->stop();
  if (publisher_ != nullptr) publisher_->stop();
}

std::unique_ptr<ServiceProcess> WorkerWorld::make_worker(const Settings& more) {
  const MysqlConfig& mysql = database_->config();
  const RabbitmqConfig broker = rabbitmq();
  Settings settings = {
      {"SLUICE_ENGINE", "echo"},
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
      {"SLUICE_REDIS_HOST", env_or("SLUICE_REDIS_HOST", "127.0.0.1")},
      {"SLUICE_REDIS_PORT", env_or("SLUICE_REDIS_PORT", "1")},
      {"SLUICE_REDIS_PASSWORD", env_or("SLUICE_REDIS_PASSWORD", "")},
      {"SLUICE_LEASE", "2s"},
      {"SLUICE_HEARTBEAT_INTERVAL", "200ms"},
      {"SLUICE_RETRY_FIRST", "50ms"},
  };
  for (const auto& [name, value] : more) settings[name] = value;
  return std::make_unique<ServiceProcess>(settings, "sluice-worker");
}

std::unique_ptr<ServiceProcess> WorkerWorld::start_worker(const Settings& more) {
  auto worker = make_worker(more);
  EXPECT_TRUE(worker->wait_ready()) << worker->get("/ready").second;
  return worker;
}

JobParameters WorkerWorld::fault(RequestFaultKind kind, std::optional<int> attempts, int ms) {
  JobParameters parameters;
  parameters.fault = RequestFault{kind, attempts, ms};
  return parameters;
}

std::vector<JobId> WorkerWorld::submit(int count, const JobParameters& parameters, Priority priority) {
  Submission submission;
  std::vector<JobId> ids;
  for (int i = 0; i < count; ++i) {
    NewJob& fresh = submission.jobs.emplace_back();
    fresh.job.id = ids_->make<JobId>(shard_of_tenant(kTenant));
    fresh.job.tenant = kTenant;
    fresh.job.model = kModel;
    fresh.job.priority = priority;
    JobRequest request;
    request.prompt = "prompt " + std::to_string(i);
    request.parameters = parameters;
    fresh.request_json = job_request_to_json(request);
    ids.push_back(fresh.job.id);
  }
  const auto accepted = store_->submit(std::span(&submission, 1), soon());
  EXPECT_TRUE(accepted.front()) << accepted.front().error().message;
  return ids;
}

void WorkerWorld::start_loops(int copies) {
  loops_ = std::make_unique<Loop>("test-loops", parts().clock, [this, copies]() -> Duration {
    run_loops(copies);
    return std::chrono::milliseconds(30);
  });
  loops_->start();
}

// Failures are left to the next round: the servers may be away on purpose.
void WorkerWorld::run_loops(int copies) {
  (void)store_->rescue_lapsed(1000, soon());
  for (const Priority priority : kClasses) {
    const auto due = all_due_tasks(*store_, kModel, priority, 500, soon());
    if (!due || due->empty()) continue;
    std::vector<Message> messages;
    std::vector<TaskRef> refs;
    for (const DueTask& task : *due) {
      refs.push_back(task.ref);
      for (int i = 0; i < copies; ++i) messages.push_back(task_message(task_to_json(task.ref), priority));
    }
    bool all = true;
    for (const Status& status :
         publisher_->publish_all(std::move(messages), parts().in(std::chrono::seconds(5)))) {
      all = all && status.has_value();
    }
    if (all) (void)store_->mark_tasks(refs, true, soon());
  }
}

void WorkerWorld::publish(const std::string& body, Priority priority) {
  EXPECT_TRUE(publisher_->publish(task_message(body, priority), soon()));
}

Job WorkerWorld::job(const JobId& id) {
  auto found = store_->get({}, id, soon());
  EXPECT_TRUE(found) << found.error().message;
  return found ? *found : Job{};
}

std::int64_t WorkerWorld::number(const std::string& query) {
  const auto rows = database_->pool().query(Sql(query), soon());
  EXPECT_TRUE(rows) << rows.error().message;
  return rows && !rows->empty() ? rows->front().int64_or(0, 0) : -1;
}

std::int64_t WorkerWorld::in_state(JobState state) {
  return number("SELECT COUNT(*) FROM job WHERE state = '" + std::string(job_state_name(state)) + "'");
}

bool WorkerWorld::wait_state(const std::vector<JobId>& ids, JobState state,
                             std::chrono::milliseconds longest) {
  return eventually(
      [&] {
        return std::all_of(ids.begin(), ids.end(), [&](const JobId& id) { return job(id).state == state; });
      },
      longest);
}

void WorkerWorld::expect_ended_once(const std::vector<JobId>& ids, JobState state) {
  for (const JobId& id : ids) {
    EXPECT_EQ(job_state_name(job(id).state), job_state_name(state)) << id.value;
    EXPECT_EQ(number("SELECT COUNT(*) FROM event WHERE job_id = '" + id.value + "'"), 1) << id.value;
  }
}

std::uint64_t WorkerWorld::messages(std::string_view queue) {
  const auto depth = broker_->depth(queue, soon());
  return depth ? depth->ready : 0;
}

}  // namespace sluice::testing
