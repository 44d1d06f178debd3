#include "producer/main/service.h"

#include <unistd.h>

#include <array>
#include <optional>

#include "common/base/loop.h"
#include "common/crypto/crypto.h"
#include "common/http/server.h"
#include "common/http/service_endpoints.h"
#include "common/migrations/migrator.h"
#include "common/rabbitmq/broker_control.h"
#include "common/rabbitmq/publisher.h"
#include "common/redis/redis.h"
#include "common/store/batch_store.h"
#include "common/store/batch_work.h"
#include "common/store/mysql_account_store.h"
#include "common/store/mysql_answer_store.h"
#include "common/store/mysql_audit_store.h"
#include "common/store/mysql_backlog_store.h"
#include "common/store/mysql_dead_letter_mirror.h"
#include "common/store/mysql_dead_letter_store.h"
#include "common/store/mysql_event_store.h"
#include "common/store/mysql_file_store.h"
#include "common/store/mysql_fleet_store.h"
#include "common/store/mysql_idempotency_store.h"
#include "common/store/mysql_job_store.h"
#include "common/store/mysql_key_store.h"
#include "common/store/mysql_limit_store.h"
#include "common/store/mysql_live_store.h"
#include "common/store/mysql_operation_store.h"
#include "common/store/mysql_session_store.h"
#include "common/store/mysql_shard_leases.h"
#include "producer/admin/dead_letter_api.h"
#include "producer/admin/fleet_api.h"
#include "producer/admin/limit_api.h"
#include "producer/api/job_events.h"
#include "producer/api/webhook_delivery_api.h"
#include "producer/batches/batch_api.h"
#include "producer/batches/batch_loop.h"
#include "producer/cache/redis_answers.h"
#include "producer/dispatch/dead_mirror.h"
#include "producer/dispatch/rabbit_broker.h"
#include "producer/dispatch/rabbit_dead_queue.h"
#include "producer/docs/docs_api.h"
#include "producer/files/file_api.h"
#include "producer/files/file_sweeper.h"
#include "producer/guard/local_buckets.h"
#include "producer/guard/redis_buckets.h"
#include "producer/live/estimator.h"
#include "producer/live/redis_live_streams.h"
#include "producer/live/token_feed.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/openai/completion_api.h"
#include "producer/wait/final_events.h"
#include "producer/wait/hot_jobs.h"
#include "producer/wait/left_jobs.h"

namespace sluice::producer {

namespace {

constexpr std::chrono::seconds kReadyTimeout{2};
// Of what is kept no longer: in small steps, for deletions hold locks.
constexpr int kSweepMax = 500;
constexpr std::chrono::seconds kSweepTimeout{5};
constexpr std::chrono::seconds kSweepPause{60};
constexpr std::chrono::seconds kMeterPause{5};  // Below the usual pauses between two scrapes.

// Names this process among all producers: the host for people, the rest to be unique.
std::string make_owner_name(Rng& rng) {
  std::array<char, 64> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  std::array<std::uint8_t, 4> random{};
  rng.fill(random);
  return "producer-" + std::string(host.data()) + "-" + std::to_string(getpid()) + "-" + to_hex(random);
}

FileRules reading_removed(FileRules rules) {
  rules.reads_removed = true;
  return rules;
}

// The feed reads all the time while somebody watches: it has a connection that no request waits for.
RedisConfig for_live_text(RedisConfig config) {
  config.connections_max = 1;
  return config;
}

// None: there is no master key; a wrong one was refused with the settings.
std::optional<Sealer> sealer_of(const Secret& master_key) {
  if (master_key.reveal().empty()) return std::nullopt;
  auto sealer = Sealer::make(master_key);
  return sealer ? std::optional(std::move(*sealer)) : std::nullopt;
}

class RealService final : public Service {
 public:
  RealService(ProducerConfig config, ModelCatalog models, Clock& clock, Rng& rng)
      : config_(std::move(config)),
        models_(std::move(models)),
        clock_(clock),
        log_(Log("producer", config_.log_level, clock).with({{"region", config_.region}})),
        metrics_(make_producer_metrics(registry_, config_.region)),
        ids_(clock, rng),
        mysql_(config_.mysql, clock, rng, log_),
        redis_(config_.redis, clock, rng, log_),
        live_redis_(for_live_text(config_.redis), clock, rng, log_),
        jobs_(mysql_, ids_, config_.rules),
        events_(mysql_, config_.rules.republish_after),
        accounts_(mysql_, rng, std::nullopt),
        endpoints_(mysql_, ids_, rng, sealer_of(config_.master_key)),
        deliveries_(mysql_),
        leases_(mysql_),
        letters_(mysql_, ids_, config_.rules),
        operations_(mysql_, ids_, config_.rules, config_.operations),
        audit_(mysql_, ids_),
        mirrored_letters_(mysql_),
        fleet_(mysql_, ids_),
        keys_(mysql_, ids_),
        files_(mysql_, config_.file_rules),
        batch_inputs_(mysql_, reading_removed(config_.file_rules)),
        batches_(mysql_),
        batch_work_(mysql_, ids_, config_.rules),
        limit_store_(mysql_, ids_),
        backlog_(mysql_),
        publisher_(config_.rabbitmq, PublisherConfig{}, clock, rng, log_),
        control_(config_.rabbitmq, clock),
        broker_(publisher_, control_),
        hot_(redis_),
        reader_(jobs_, hot_, clock, metrics_.api),
        waiters_(reader_, config_.wait, clock, log_, metrics_.wait),
        live_store_(mysql_),
        live_streams_(live_redis_),
        estimator_(live_store_, jobs_, model_names(), {}, clock, log_),
        feed_(waiters_, live_store_, live_streams_, config_.live, clock, log_, metrics_.live),
        shards_(leases_, make_owner_name(rng), config_.shards, clock, log_, metrics_.dispatch),
        dispatcher_(
            jobs_, broker_, model_names(), [this] { return shards_.owned(); }, config_.dispatcher, clock, rng,
            log_, metrics_.dispatch),
        relay_(
            events_, broker_, [this] { return shards_.owned(); },
            [this](const EventRef& event) { waiters_.notify(event.job_id); }, config_.relay, clock, rng, log_,
            metrics_.loops),
        rescuer_(
            jobs_, [this] { return shards_.owned(); }, [this] { dispatcher_.wake(); }, config_.rescuer, clock,
            log_, metrics_.loops),
        operation_runner_(
            operations_, letters_, hot_, [this] { dispatcher_.wake(); }, config_.operation_runner, clock,
            log_, metrics_.loops),
        dead_mirror_(
            mirrored_letters_, broker_,
            [this, &clock, &rng] {
              return std::make_unique<RabbitDeadQueue>(config_.rabbitmq, config_.dead_mirror.batch_max, clock,
                                                       rng, log_);
            },
            [this] { return shards_.owned(); }, config_.dead_mirror, clock, log_, metrics_.loops),
        file_sweeper_(
            files_, [this] { return shards_.owned(); }, config_.file_sweeper, clock, log_, metrics_.files,
            metrics_.loops),
        batch_loop_({batch_work_, batch_inputs_, models_, ids_, clock, [this] { return shards_.owned(); },
                     [this] { dispatcher_.wake(); }},
                    config_.batch_loop, log_, metrics_.loops),
        final_events_(
            config_.rabbitmq, [this](const JobId& id) { waiters_.notify(id); },
            [this] { waiters_.look_again(); }, clock, rng, log_, metrics_.loops),
        coalescer_(jobs_, dispatcher_, config_.coalescer, clock, log_, metrics_.submit),
        admission_(jobs_, backlog_, model_names(), config_.admission, clock, metrics_.api, token_rate()),
        queued_meter_("queued-meter", clock,
                      [this]() -> Duration {
                        admission_.measure(model_names());
                        return kMeterPause;
                      }),
        limits_(limit_store_, config_.region, config_.limits, clock, log_),
        shared_buckets_(redis_),
        own_buckets_(clock),
        guard_(
            limits_, shared_buckets_, own_buckets_, config_.guard,
            [this] { return admission_.predicted_wait(); }, clock, metrics_.guard),
        authenticator_(accounts_, config_.authenticator, clock, metrics_.api, &guard_),
        idempotency_(mysql_),
        claims_(idempotency_, config_.claims, metrics_.api),
        session_store_(mysql_),
        sessions_(session_store_, jobs_, reader_, config_.sessions),
        answer_store_(mysql_),
        shared_answers_(redis_),
        answers_(shared_answers_, answer_store_, config_.answers, clock, metrics_.cache),
        sweeper_("sweeper", clock, [this] { return sweep(); }),
        intake_(coalescer_, admission_, claims_, ids_, log_, metrics_.api,
                config_.answers.enabled ? &answers_ : nullptr),
        api_({jobs_, reader_, waiters_, intake_, claims_, sessions_, authenticator_, models_, clock, &guard_,
              [this](const NewJob& fresh) -> std::optional<Estimate> {
                if (!fresh.is_to_run()) return std::nullopt;
                return estimator_.of_new(fresh.job.model, fresh.job.priority, fresh.tokens_max);
              }},
             config_.api),
        left_jobs_(jobs_, waiters_, config_.left_jobs, clock, log_, metrics_.api),
        completion_waits_(waiters_, config_.completions, clock, metrics_.api),
        answer_streams_(feed_, metrics_.api),
        completion_api_({jobs_, reader_, waiters_, completion_waits_, answer_streams_, intake_, claims_,
                         sessions_, left_jobs_, hot_, authenticator_, models_, clock, rng, &guard_},
                        config_.api.call_timeout),
        job_events_api_({reader_, feed_, authenticator_, clock,
                         [this](const JobGlance& job) { return estimator_.of(job); }},
                        config_.api.call_timeout),
        dead_letter_api_(
            {letters_, operations_, audit_, authenticator_, models_, ids_, clock, config_.operations,
             [this] { operation_runner_.wake(); }, [this] { dispatcher_.wake(); }},
            config_.api.call_timeout),
        fleet_api_({fleet_, jobs_, keys_, broker_, authenticator_, models_, clock, rng, config_.region,
                    [this] { dispatcher_.wake(); }},
                   config_.api.call_timeout),
        limit_api_({limit_store_, authenticator_, clock, [this] { limits_.wake(); }},
                   config_.api.call_timeout),
        webhook_api_({endpoints_, deliveries_, authenticator_, ids_, clock, rng}, config_.webhooks),
        webhook_delivery_api_({endpoints_, deliveries_, authenticator_, clock}),
        file_api_({files_, authenticator_, claims_, ids_, clock}, config_.files, metrics_.files),
        batch_api_({batches_, files_, authenticator_, claims_, models_, ids_, clock, log_,
                    [this] { batch_loop_.wake(); }, [this] { dispatcher_.wake(); },
                    [this](const std::string& model, Priority priority, const BatchDemand& demand,
                           Deadline deadline) {
                      return estimator_.of_batch(model, priority, demand.jobs, demand.tokens_max, deadline);
                    }},
                   config_.batches),
        docs_(config_.docs_viewer),
        http_(config_.http, router(), registry_, clock, rng) {}

  ~RealService() override { stop(); }

  Status start() override {
    publisher_.start();
    final_events_.start();
    shards_.start();
    dispatcher_.start();
    relay_.start();
    rescuer_.start();
    operation_runner_.start();
    dead_mirror_.start();
    file_sweeper_.start();
    batch_loop_.start();
    waiters_.start();
    feed_.start();
    limits_.start();
    estimator_.start();
    coalescer_.start();
    queued_meter_.start();
    sweeper_.start();
    left_jobs_.start();
    SLUICE_TRY(http_.start());
    log_.info("started", {{"http_port", http_.port()},
                          {"model", models_.default_model().name()},
                          {"context_tokens", models_.default_model().context_tokens()},
                          {"version", SLUICE_VERSION}});
    return {};
  }

  int http_port() const override { return http_.port(); }

  std::string routes() const override {
    std::string text;
    for (const auto& [method, pattern] : routes_) {
      text += std::string(http::method_name(method)) + " " + pattern + "\n";
    }
    return text;
  }

  void stop() override {
    if (stopped_) return;
    stopped_ = true;
    log_.info("stopping", {{"waiters", waiters_.size()}});
    waiters_.stop();    // Whoever waits gets the job as it is, so that the server need not wait for them.
    feed_.stop();       // Likewise whoever reads along.
    batch_api_.stop();  // And whoever waits for the check of a file.
    estimator_.stop();
    http_.stop();       // Running requests still get their commits.
    coalescer_.stop();  // What waits is committed; nobody may read the answer, but the jobs are there.
    api_.stop();
    batch_loop_.stop();
    queued_meter_.stop();
    sweeper_.stop();
    left_jobs_.stop();  // After the server: clients that left before it stopped are among them.
    limits_.stop();
    relay_.stop();
    rescuer_.stop();
    operation_runner_.stop();
    dead_mirror_.stop();
    file_sweeper_.stop();
    dispatcher_.stop();  // After the last commit: publishes what it was handed.
    shards_.stop();      // After the loops that ran under the leases.
    final_events_.stop();
    publisher_.stop();
    log_.info("stopped");
  }

 private:
  std::vector<std::string> model_names() const {
    std::vector<std::string> names;
    for (const auto& model : models_.all()) names.push_back(model->name());
    return names;
  }

  // What is kept no longer.
  Duration sweep() {
    const auto soon = [this] { return Deadline::in(clock_, kSweepTimeout); };
    const auto keys = idempotency_.forget_expired(kSweepMax, soon());
    const auto answers = answer_store_.forget_answers(kSweepMax, soon());
    const auto sessions = session_store_.forget_sessions(kSweepMax, soon());
    const bool more = (keys && *keys == kSweepMax) || (answers && *answers == kSweepMax) ||
                      (sessions && *sessions == kSweepMax);
    return more ? Duration::zero() : kSweepPause;
  }

  // Asked only where somebody goes by it.
  Admission::TokenRate token_rate() {
    if (!config_.admission.refuse_late && config_.guard.tighten_wait.count() == 0) return {};
    return [this](const std::string& model) -> std::optional<double> {
      const auto rate = live_store_.fleet_rate(model, Deadline::in(clock_, config_.admission.call_timeout));
      if (!rate || rate->tokens_per_s <= 0) return std::nullopt;
      return static_cast<double>(rate->tokens_per_s);
    };
  }

  http::Router router() {
    http::Router router;
    api_.add_routes(router);
    completion_api_.add_routes(router);
    job_events_api_.add_routes(router);
    dead_letter_api_.add_routes(router);
    fleet_api_.add_routes(router);
    limit_api_.add_routes(router);
    webhook_api_.add_routes(router);
    webhook_delivery_api_.add_routes(router);
    file_api_.add_routes(router);
    batch_api_.add_routes(router);
    const auto ready_by = [this] { return Deadline::in(clock_, kReadyTimeout); };
    std::vector<http::ReadyCheck> checks;
    checks.push_back({"mysql", [this, ready_by] { return Migrator(mysql_).verify(ready_by()); }});
    // Without these jobs are still accepted, and wait in the database.
    checks.push_back({"rabbitmq",
                      [this, ready_by]() -> Status {
                        if (!publisher_.ready()) return fail(ErrorCode::kUnavailable, "can't publish");
                        return control_.verify(Topology::builtin(), ready_by());
                      },
                      false});
    checks.push_back({"redis",
                      [this, ready_by]() -> Status {
                        SLUICE_TRY(redis_.command({"PING"}, ready_by()));
                        return {};
                      },
                      false});
    http::add_service_endpoints(router, registry_, std::move(checks));
    docs_.add_routes(router);
    routes_ = router.routes();
    return router;
  }

  const ProducerConfig config_;
  const ModelCatalog models_;
  Clock& clock_;
  const Log log_;
  metrics::Registry registry_;
  const ProducerMetrics metrics_;
  IdMaker ids_;
  MysqlPool mysql_;
  RedisPool redis_;
  RedisPool live_redis_;
  MysqlJobStore jobs_;
  MysqlEventStore events_;
  MysqlAccountStore accounts_;
  WebhookEndpointStore endpoints_;
  WebhookDeliveryLog deliveries_;
  MysqlShardLeases leases_;
  MysqlDeadLetterStore letters_;
  MysqlOperationStore operations_;
  MysqlAuditStore audit_;
  MysqlDeadLetterMirror mirrored_letters_;
  MysqlFleetStore fleet_;
  MysqlKeyStore keys_;
  MysqlFileStore files_;
  MysqlFileStore batch_inputs_;
  BatchStore batches_;
  BatchWork batch_work_;
  MysqlLimitStore limit_store_;
  MysqlBacklogStore backlog_;
  Publisher publisher_;
  BrokerControl control_;
  RabbitBroker broker_;
  RedisHotJobs hot_;
  JobReader reader_;
  Waiters waiters_;
  MysqlLiveStore live_store_;
  RedisLiveStreams live_streams_;
  Estimator estimator_;
  TokenFeed feed_;
  ShardOwner shards_;
  Dispatcher dispatcher_;
  Relay relay_;
  Rescuer rescuer_;
  OperationRunner operation_runner_;
  DeadMirror dead_mirror_;
  FileSweeper file_sweeper_;
  BatchLoop batch_loop_;
  FinalEvents final_events_;
  SubmitCoalescer coalescer_;
  Admission admission_;
  Loop queued_meter_;
  LimitBook limits_;
  RedisBuckets shared_buckets_;
  LocalBuckets own_buckets_;
  Guard guard_;
  Authenticator authenticator_;
  MysqlIdempotencyStore idempotency_;
  RequestClaims claims_;
  MysqlSessionStore session_store_;
  Sessions sessions_;
  MysqlAnswerStore answer_store_;
  RedisAnswers shared_answers_;
  AnswerCache answers_;
  Loop sweeper_;
  JobIntake intake_;
  JobApi api_;
  LeftJobs left_jobs_;
  CompletionWaits completion_waits_;
  AnswerStreams answer_streams_;
  CompletionApi completion_api_;
  JobEventsApi job_events_api_;
  DeadLetterApi dead_letter_api_;
  FleetApi fleet_api_;
  LimitApi limit_api_;
  WebhookApi webhook_api_;
  WebhookDeliveryApi webhook_delivery_api_;
  FileApi file_api_;
  BatchApi batch_api_;
  const DocsApi docs_;
  std::vector<std::pair<http::Method, std::string>> routes_;  // Filled with the router: before the server.
  http::Server http_;
  bool stopped_ = false;
};

}  // namespace

Result<std::unique_ptr<Service>> Service::make(ProducerConfig config, Clock& clock, Rng& rng) {
  ModelCatalog models;
  if (config.engine == EngineKind::kEcho) {
    models.add(make_echo_model());
  } else {
    SLUICE_ASSIGN(auto model, open_model_file(config.model));
    models.add(std::move(model));
  }
  return make(std::move(config), std::move(models), clock, rng);
}

std::unique_ptr<Service> Service::make(ProducerConfig config, ModelCatalog models, Clock& clock, Rng& rng) {
  return std::make_unique<RealService>(std::move(config), std::move(models), clock, rng);
}

}  // namespace sluice::producer
