#include "tests/integration/producer/world.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "common/crypto/crypto.h"
#include "common/rabbitmq/topology.h"
#include "common/store/mysql_account_store.h"
#include "common/store/task_message.h"
#include "tests/support/broker_queue.h"

namespace sluice::producer {

namespace {

std::string variable(const char* name, const char* otherwise = "") {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

Log quiet(Clock& clock) {
  return Log("test", std::getenv("SLUICE_TEST_LOG") == nullptr ? LogLevel::kError : LogLevel::kDebug, clock);
}

std::size_t take_bytes(char* data, std::size_t size, std::size_t count, void* target) {
  static_cast<std::string*>(target)->append(data, size * count);
  return size * count;
}

std::size_t take_header(char* data, std::size_t size, std::size_t count, void* target) {
  const std::string line(data, size * count);
  const std::size_t colon = line.find(':');
  if (colon != std::string::npos) {
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    std::string value = line.substr(colon + 1);
    value.erase(0, value.find_first_not_of(" \t"));
    value.erase(value.find_last_not_of(" \t\r\n") + 1);
    (*static_cast<std::map<std::string, std::string>*>(target))[name] = value;
  }
  return size * count;
}

}  // namespace

Client::Client(std::string base_url, std::string key)
    : base_url_(std::move(base_url)), key_(std::move(key)), curl_(curl_easy_init()) {}

Client::~Client() {
  curl_easy_cleanup(curl_);
}

Reply Client::get(const std::string& path, std::vector<std::string> headers) {
  return perform(path, nullptr, std::move(headers));
}

Reply Client::post(const std::string& path, const std::string& body, std::vector<std::string> headers) {
  return perform(path, &body, std::move(headers));
}

Reply Client::remove(const std::string& path) {
  return perform(path, nullptr, {}, "DELETE");
}

Reply Client::perform(const std::string& path, const std::string* body, std::vector<std::string> headers,
                      const char* method) {
  Reply reply;
  curl_easy_reset(curl_);
  const std::string url = base_url_ + path;
  curl_easy_setopt(curl_, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl_, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl_, CURLOPT_TIMEOUT_MS, static_cast<long>(longest_.count()));
  curl_easy_setopt(curl_, CURLOPT_WRITEFUNCTION, take_bytes);
  curl_easy_setopt(curl_, CURLOPT_WRITEDATA, &reply.body);
  curl_easy_setopt(curl_, CURLOPT_HEADERFUNCTION, take_header);
  curl_easy_setopt(curl_, CURLOPT_HEADERDATA, &reply.headers);
  if (method != nullptr) curl_easy_setopt(curl_, CURLOPT_CUSTOMREQUEST, method);
  if (!key_.empty()) headers.push_back("Authorization: Bearer " + key_);
  if (body != nullptr) {
    headers.emplace_back("Content-Type: application/json");
    headers.emplace_back("Expect:");
    curl_easy_setopt(curl_, CURLOPT_POST, 1L);
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDS, body->data());
    curl_easy_setopt(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body->size()));
  }
  curl_slist* list = nullptr;
  for (const std::string& header : headers) list = curl_slist_append(list, header.c_str());
  curl_easy_setopt(curl_, CURLOPT_HTTPHEADER, list);
  if (curl_easy_perform(curl_) == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(curl_, CURLINFO_RESPONSE_CODE, &status);
    reply.status = static_cast<int>(status);
  }
  curl_slist_free_all(list);
  reply.json = nlohmann::json::parse(reply.body, nullptr, false);
  return reply;
}

FakeWorker::FakeWorker(RabbitmqConfig rabbitmq, const std::string& model, MysqlPool& pool, Clock& clock,
                       Rng& rng)
    : clock_(clock), ids_(clock, rng), store_(pool, ids_, JobRules{}) {
  ConsumerConfig config;
  config.exchanges = Topology::builtin().exchanges();
  for (int p = 0; p < kPriorities; ++p) {
    Subscription subscription;
    subscription.queue = Topology::builtin().task_queue(model, static_cast<Priority>(p));
    subscription.prefetch = 64;
    config.subscriptions.push_back(std::move(subscription));
  }
  consumer_ = std::make_unique<Consumer>(
      std::move(rabbitmq), std::move(config), [this](Delivery&& delivery) { take(std::move(delivery)); },
      clock, rng, quiet(clock));
  thread_ = std::thread([this] {
    for (;;) {
      std::vector<Delivery> taken;
      {
        std::unique_lock lock(mutex_);
        filled_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
        if (stopping_) return;
        taken.swap(waiting_);
      }
      std::vector<TaskRef> tasks;
      for (const Delivery& delivery : taken) tasks.push_back(task_from_json(delivery.body).value());
      const Deadline deadline = Deadline::in(clock_, std::chrono::seconds(10));
      const auto claimed = store_.claim(tasks, "fake-worker", deadline);
      std::vector<Ending> endings;
      if (claimed) {
        for (const ClaimedJob& job : *claimed) {
          endings.push_back({job.ref, "fake-worker", Succeeded{JobResult{"done", "", "stop", 1, 1}}});
        }
        (void)store_.finish(endings, deadline);
      }
      {
        std::lock_guard lock(mutex_);
        started_ += static_cast<int>(endings.size());
      }
      for (const Delivery& delivery : taken) consumer_->ack(delivery.tag);
    }
  });
  consumer_->start();
}

FakeWorker::~FakeWorker() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  filled_.notify_all();
  thread_.join();
  consumer_->stop();
}

void FakeWorker::take(Delivery&& delivery) {
  {
    std::lock_guard lock(mutex_);
    ++deliveries_;
    waiting_.push_back(std::move(delivery));
  }
  filled_.notify_all();
}

int FakeWorker::started_jobs() const {
  std::lock_guard lock(mutex_);
  return started_;
}

int FakeWorker::deliveries() const {
  std::lock_guard lock(mutex_);
  return deliveries_;
}

void ProducerWorld::SetUp() {
  database_ = testing::MysqlDatabase::instance();
  if (database_ == nullptr || std::getenv("SLUICE_RABBITMQ_HOST") == nullptr ||
      std::getenv("SLUICE_REDIS_HOST") == nullptr) {
    GTEST_SKIP() << "SLUICE_MYSQL_HOST, SLUICE_RABBITMQ_HOST and SLUICE_REDIS_HOST name no servers";
  }
  curl_global_init(CURL_GLOBAL_DEFAULT);
  database_->clear_jobs();
  model_ = "producer-test";
  ids_ = std::make_unique<IdMaker>(clock_, rng_);
  store_ = std::make_unique<MysqlJobStore>(database_->pool(), *ids_, JobRules{});
  control_ = std::make_unique<BrokerControl>(config().rabbitmq, clock_);
  ASSERT_TRUE(control_->declare(Topology::builtin(), soon()).has_value());
  ASSERT_TRUE(control_->purge(kCallbackQueue, soon()).has_value());
  use_model(model_);
  MysqlAccountStore accounts(database_->pool(), rng_,
                             Sealer::make(Secret(base64_encode(std::string(32, 'k')))).value());
  for (const char* tenant : {"one", "two"}) {
    ASSERT_TRUE(accounts.put_tenant(TenantId{tenant}, tenant, Secret("whsec_x"), soon()).has_value());
  }
  const unsigned both = kScopeSubmit | kScopeRead;
  ASSERT_TRUE(accounts.put_key(TenantId{"one"}, "k", Secret(kKey), both, soon()).has_value());
  ASSERT_TRUE(accounts.put_key(TenantId{"two"}, "k", Secret(kOtherKey), both, soon()).has_value());
  ASSERT_TRUE(
      accounts.put_key(TenantId{"ops"}, "night shift", Secret(kAdminKey), kScopeAdmin, soon()).has_value());
  ASSERT_TRUE(accounts.put_key(TenantId{"one"}, "r", Secret(kReadKey), kScopeRead, soon()).has_value());
}

void ProducerWorld::TearDown() {
  worker_.reset();
}

void ProducerWorld::use_model(const std::string& model) {
  model_ = model;
  for (int p = 0; p < kPriorities; ++p) {
    const BoundQueue queue = Topology::builtin().task_queue(model_, static_cast<Priority>(p));
    ASSERT_TRUE(control_->declare(queue, soon()).has_value());
    testing::empty_queue(*control_, queue.queue.name);
  }
}

ProducerConfig ProducerWorld::config() const {
  ProducerConfig config;
  config.log_level = std::getenv("SLUICE_TEST_LOG") == nullptr ? LogLevel::kError : LogLevel::kDebug;
  config.http.port = 0;
  config.mysql = database_->config();
  config.rabbitmq.host = variable("SLUICE_RABBITMQ_HOST");
  config.rabbitmq.port = std::atoi(variable("SLUICE_RABBITMQ_PORT", "5672").c_str());
  config.rabbitmq.user = variable("SLUICE_RABBITMQ_USER", "guest");
  config.rabbitmq.password = Secret(variable("SLUICE_RABBITMQ_PASSWORD", "guest"));
  config.rabbitmq.vhost = variable("SLUICE_RABBITMQ_VHOST", "/");
  config.rabbitmq.reconnect.max = std::chrono::milliseconds(500);
  config.redis.host = variable("SLUICE_REDIS_HOST");
  config.redis.port = std::atoi(variable("SLUICE_REDIS_PORT", "6379").c_str());
  config.redis.password = Secret(variable("SLUICE_REDIS_PASSWORD"));
  return config;
}

std::unique_ptr<Service> ProducerWorld::make_service(const std::function<void(ProducerConfig&)>& change) {
  ProducerConfig changed = config();
  if (change) change(changed);
  ModelCatalog models;
  models.add(make_echo_model(model_));
  auto service = Service::make(std::move(changed), std::move(models), clock_, rng_);
  const Status started = service->start();
  EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().message);
  return service;
}

Client ProducerWorld::client(const Service& service, const std::string& key) {
  return Client("http://127.0.0.1:" + std::to_string(service.http_port()), key);
}

void ProducerWorld::start_worker() {
  worker_ = std::make_unique<FakeWorker>(config().rabbitmq, model_, database_->pool(), clock_, rng_);
}

bool ProducerWorld::eventually(const std::function<bool()>& condition, std::chrono::milliseconds longest) {
  const auto until = std::chrono::steady_clock::now() + longest;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

std::int64_t ProducerWorld::number(const std::string& query) {
  const auto rows = database_->pool().query(Sql(query), soon());
  EXPECT_TRUE(rows.has_value()) << (rows ? "" : rows.error().message);
  return rows && !rows->empty() ? rows->front().int64_or(0, -1) : -1;
}

void ProducerWorld::expect_all_done(int count) {
  EXPECT_TRUE(eventually([&] { return in_state("succeeded") == count; }, std::chrono::seconds(60)))
      << in_state("queued") << " queued, " << in_state("succeeded") << " succeeded";
  EXPECT_EQ(number("SELECT COUNT(*) FROM job"), count);
  EXPECT_EQ(number("SELECT COUNT(*) FROM event"), count);
  EXPECT_EQ(number("SELECT MAX(attempt) FROM job"), 1);
}

std::uint64_t ProducerWorld::ready(Priority priority) {
  const auto depth = control_->depth(task_queue_name(model_, priority), soon());
  return depth ? depth->ready : 0;
}

void ProducerWorld::purge_all() {
  for (int p = 0; p < kPriorities; ++p) {
    (void)control_->purge(task_queue_name(model_, static_cast<Priority>(p)), soon());
  }
}

nlohmann::json ProducerWorld::prompts(int count, const std::string& priority) {
  nlohmann::json requests = nlohmann::json::array();
  for (int i = 0; i < count; ++i) {
    requests.push_back({{"prompt", "prompt " + std::to_string(i)}, {"priority", priority}});
  }
  return {{"requests", std::move(requests)}};
}

}  // namespace sluice::producer
