#include "worker/main/service.h"

#include <atomic>
#include <utility>

#include "common/http/server.h"
#include "common/http/service_endpoints.h"
#include "common/migrations/migrator.h"
#include "common/store/mysql_fleet_store.h"
#include "common/store/mysql_job_store.h"
#include "worker/consumer/presence.h"
#include "worker/main/rabbit_task_source.h"
#include "worker/main/redis_live_sink.h"
#include "worker/main/redis_result_cache.h"

namespace sluice::worker {

namespace {

constexpr std::chrono::seconds kReadyTimeout{2};

class RealService final : public Service {
 public:
  RealService(WorkerConfig config, std::unique_ptr<Engine> engine, Clock& clock, Rng& rng)
      : config_(std::move(config)),
        clock_(clock),
        worker_id_(make_worker_id(rng)),
        log_(Log("worker", config_.log_level, clock).with({{"worker_id", worker_id_}})),
        engine_(std::move(engine)),
        ids_(clock, rng),
        mysql_(config_.mysql, clock, rng, log_),
        redis_(config_.redis, clock, rng, log_),
        store_(mysql_, ids_, config_.rules),
        fleet_(mysql_, ids_),
        cache_(redis_),
        live_sink_(redis_),
        source_(
            config_.rabbitmq, engine_->info().model, prefetch(),
            [this](Priority lane, Delivery&& delivery) { runner_.deliver(lane, std::move(delivery)); }, clock,
            rng, log_),
        runner_(runner_config(), worker_id_, store_, *engine_, source_, cache_, live_sink_, clock, rng, log_,
                registry_),
        presence_({}, self(), fleet_, runner_, clock, log_),
        http_(config_.http, router(), registry_, clock, rng) {
    const EngineInfo& info = engine_->info();
    registry_
        .gauge("sluice_worker_info", "Always 1; says what this worker computes with",
               {{"version", SLUICE_VERSION},
                {"engine", info.engine},
                {"model", info.model},
                {"weight_type", info.weight_type},
                {"fast_weight_type", info.fast_weight_type}})
        .set(1);
  }

  ~RealService() override { stop(); }

  Status start() override {
    SLUICE_TRY(http_.start());
    runner_.start();
    source_.start();
    presence_.start();
    const EngineInfo& info = engine_->info();
    log_.info("started", {{"http_port", http_.port()},
                          {"engine", info.engine},
                          {"engine_version", info.version},
                          {"model", info.model},
                          {"weight_type", info.weight_type},
                          {"fast_weight_type", info.fast_weight_type},
                          {"context_tokens", info.context_tokens},
                          {"kv_tokens_max", info.kv_tokens_max},
                          {"jobs_max", config_.runner.batcher.jobs_max},
                          {"prefetch", prefetch()},
                          {"version", SLUICE_VERSION}});
    return {};
  }

  int http_port() const override { return http_.port(); }

  void stop() override {
    if (stopping_.exchange(true)) return;
    runner_.drain();
    presence_.stop();  // After the drain: operators see what is still held.
    source_.stop();    // As late, for it sends the acks of what ended.
    presence_.sign_off();
    http_.stop();
    log_.info("stopped");
  }

 private:
  WorkerBeat self() const {
    const EngineInfo& info = engine_->info();
    return {worker_id_, info.model, info.engine, SLUICE_VERSION, config_.runner.batcher.jobs_max, 0};
  }

  int prefetch() const {
    return config_.prefetch > 0 ? config_.prefetch : 2 * config_.runner.batcher.jobs_max;
  }

  JobRunnerConfig runner_config() const {
    JobRunnerConfig runner = config_.runner;
    runner.intake.suspect_lapses = config_.rules.suspect_lapses();
    return runner;
  }

  http::Router router() {
    http::Router router;
    std::vector<http::ReadyCheck> checks;
    checks.push_back(
        {"mysql", [this] { return Migrator(mysql_).verify(Deadline::in(clock_, kReadyTimeout)); }});
    checks.push_back({"rabbitmq", [this]() -> Status {
                        if (source_.connected()) return {};
                        return fail(ErrorCode::kUnavailable, "not subscribed to the model's task queues");
                      }});
    checks.push_back({"redis",
                      [this]() -> Status {
                        const auto pong = redis_.command({"PING"}, Deadline::in(clock_, kReadyTimeout));
                        if (!pong) return fail(pong.error());
                        return {};
                      },
                      false});
    checks.push_back({"accepting", [this]() -> Status {
                        if (!stopping_) return {};
                        return fail(ErrorCode::kCancelled, "the worker is stopping");
                      }});
    http::add_service_endpoints(router, registry_, std::move(checks));
    return router;
  }

  const WorkerConfig config_;
  Clock& clock_;
  const std::string worker_id_;
  const Log log_;
  metrics::Registry registry_;
  const std::unique_ptr<Engine> engine_;
  IdMaker ids_;
  MysqlPool mysql_;
  RedisPool redis_;
  MysqlJobStore store_;
  MysqlFleetStore fleet_;
  RedisResultCache cache_;
  RedisLiveSink live_sink_;
  RabbitTaskSource source_;
  JobRunner runner_;
  Presence presence_;
  http::Server http_;
  std::atomic<bool> stopping_{false};
};

}  // namespace

std::unique_ptr<Service> Service::make(WorkerConfig config, std::unique_ptr<Engine> engine, Clock& clock,
                                       Rng& rng) {
  return std::make_unique<RealService>(std::move(config), std::move(engine), clock, rng);
}

}  // namespace sluice::worker
