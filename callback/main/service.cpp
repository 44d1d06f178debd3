#include "callback/main/service.h"

#include "callback/batches/line_grouper.h"
#include "callback/intake/decider.h"
#include "callback/metrics/callback_metrics.h"
#include "callback/signature/key_cache.h"
#include "callback/store/mysql_delivery_store.h"
#include "common/crypto/crypto.h"
#include "common/http/server.h"
#include "common/http/service_endpoints.h"
#include "common/migrations/migrator.h"
#include "common/rabbitmq/consumer.h"
#include "common/store/mysql_account_store.h"
#include "common/store/mysql_file_store.h"
#include "common/store/mysql_job_store.h"
#include "common/store/webhook_endpoint_store.h"

namespace sluice::callback {

namespace {

constexpr std::chrono::seconds kReadyTimeout{2};
constexpr std::chrono::seconds kBacklogEvery{5};
constexpr std::chrono::seconds kRecordGrace{5};
constexpr std::int64_t kBacklogCountMax = 100'000;

ConsumerConfig consumer_config(int prefetch) {
  ConsumerConfig config;
  config.exchanges = Topology::builtin().exchanges();
  for (const BoundQueue& queue : Topology::builtin().queues()) {
    if (queue.queue.name == kCallbackQueue) config.subscriptions.push_back({queue, prefetch});
  }
  return config;
}

class RealService final : public Service {
 public:
  RealService(CallbackConfig config, Sealer sealer, Clock& clock, Rng& rng)
      : config_(std::move(config)),
        clock_(clock),
        log_("callback", config_.log_level, clock),
        ids_(clock, rng),
        pool_(config_.mysql, clock, rng, log_),
        accounts_(pool_, rng, sealer),
        endpoints_(pool_, ids_, rng, std::move(sealer)),
        jobs_(pool_, ids_, JobRules{}),
        batches_(pool_),
        closing_(pool_, ids_),
        files_(pool_),
        store_(pool_, ids_, config_.disable_after),
        metrics_(make_callback_metrics(registry_)),
        keys_(accounts_, endpoints_, clock, config_.secret_keep),
        sender_(config_.sender, resolver_, clock, log_),
        schedule_(config_.retry, clock, rng),
        gate_(config_.gate, clock, rng),
        courier_(config_.courier, store_, keys_, sender_, schedule_, gate_, clock, log_, metrics_.courier),
        decider_(config_.payload, store_, jobs_, ids_),
        intake_(
            config_.intake, decider_, broker(), [this] { courier_.wake(); }, clock, rng, log_,
            metrics_.intake),
        consumer_(
            config_.rabbitmq, consumer_config(config_.intake.prefetch),
            [this](Delivery&& message) { intake_.offer(std::move(message)); }, clock, rng, log_),
        batch_closer_(batches_, closing_, files_, config_.batches, clock, log_, metrics_.batches),
        line_groups_(pool_, ids_),
        line_grouper_(
            line_groups_, [this] { courier_.wake(); }, LineGrouperConfig{}, clock, log_,
            metrics_.batches.line_groups),
        backlog_("webhook-backlog", clock, [this] { return look_at_backlog(); }),
        http_(config_.http, router(), registry_, clock, rng) {}

  ~RealService() override { stop(); }

  Status start() override {
    SLUICE_TRY(http_.start());
    SLUICE_TRY(sender_.start());
    courier_.start();
    intake_.start();
    consumer_.start();
    batch_closer_.start();
    line_grouper_.start();
    backlog_.start();
    log_.info("started", {{"http_port", http_.port()}, {"version", SLUICE_VERSION}});
    return {};
  }

  int http_port() const override { return http_.port(); }

  void stop() override {
    if (stopped_) return;
    stopped_ = true;
    log_.info("stopping", {{"under_way", gate_.under_way()}});
    batch_closer_.stop();
    line_grouper_.stop();
    intake_.stop();
    consumer_.stop();  // After the intake: it sends the acks of what was decided.
    courier_.stop_claiming();
    courier_.drain(Deadline::in(clock_, config_.stop_grace));
    sender_.stop();
    courier_.stop(Deadline::in(clock_, kRecordGrace));
    backlog_.stop();
    http_.stop();
    log_.info("stopped");
  }

 private:
  IntakeBroker broker() {
    return {[this](std::span<const DeliveryTag> tags) { consumer_.ack(tags); },
            [this](const DeliveryTag& tag) { consumer_.reject(tag, true); }};
  }

  http::Router router() {
    http::Router router;
    const auto ready_by = [this] { return Deadline::in(clock_, kReadyTimeout); };
    std::vector<http::ReadyCheck> checks;
    checks.push_back({"mysql", [this, ready_by] { return Migrator(pool_).verify(ready_by()); }});
    checks.push_back({"rabbitmq", [this]() -> Status {
                        if (consumer_.connected()) return {};
                        return fail(ErrorCode::kUnavailable, "not subscribed to events.callback");
                      }});
    http::add_service_endpoints(router, registry_, std::move(checks));
    return router;
  }

  Duration look_at_backlog() {
    const auto backlog = store_.backlog(kBacklogCountMax, Deadline::in(clock_, kReadyTimeout));
    if (backlog) {
      metrics_.backlog.pending.set(static_cast<double>(backlog->pending));
      metrics_.backlog.disabled_endpoints.set(static_cast<double>(backlog->disabled_endpoints));
      metrics_.backlog.oldest_due_seconds.set(std::chrono::duration<double>(backlog->oldest_due).count());
    }
    return kBacklogEvery;
  }

  const CallbackConfig config_;
  Clock& clock_;
  const Log log_;
  metrics::Registry registry_;
  IdMaker ids_;
  MysqlPool pool_;
  MysqlAccountStore accounts_;
  WebhookEndpointStore endpoints_;
  MysqlJobStore jobs_;
  BatchStore batches_;
  BatchClosing closing_;
  MysqlFileStore files_;
  MysqlDeliveryStore store_;
  const CallbackMetrics metrics_;
  KeyCache keys_;
  SystemResolver resolver_;
  CurlSender sender_;
  const RetrySchedule schedule_;
  EndpointGate gate_;
  Courier courier_;
  Decider decider_;
  Intake intake_;
  Consumer consumer_;
  BatchCloser batch_closer_;
  LineGroups line_groups_;
  LineGrouper line_grouper_;
  Loop backlog_;
  http::Server http_;
  bool stopped_ = false;
};

}  // namespace

Result<std::unique_ptr<Service>> Service::make(CallbackConfig config, Clock& clock, Rng& rng) {
  SLUICE_ASSIGN(Sealer sealer, Sealer::make(config.master_key));
  return std::unique_ptr<Service>(
      std::make_unique<RealService>(std::move(config), std::move(sealer), clock, rng));
}

}  // namespace sluice::callback
