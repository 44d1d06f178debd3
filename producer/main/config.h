// Everything that can be set about the producer; `sluice-producer --help` lists it.
#pragma once

#include <string>

#include "common/config/settings.h"
#include "common/http/config.h"
#include "common/log/log.h"
#include "common/mysql/mysql.h"
#include "common/rabbitmq/config.h"
#include "common/redis/redis.h"
#include "common/store/job_store.h"
#include "common/store/mysql_file_store.h"
#include "common/store/operation_store.h"
#include "producer/api/admission.h"
#include "producer/api/authenticator.h"
#include "producer/api/job_api.h"
#include "producer/api/request_claims.h"
#include "producer/api/sessions.h"
#include "producer/api/webhook_api.h"
#include "producer/batches/batch_api.h"
#include "producer/batches/batch_loop.h"
#include "producer/cache/answer_cache.h"
#include "producer/dispatch/dead_mirror.h"
#include "producer/dispatch/dispatcher.h"
#include "producer/dispatch/operation_runner.h"
#include "producer/dispatch/relay.h"
#include "producer/dispatch/rescuer.h"
#include "producer/dispatch/shard_owner.h"
#include "producer/files/file_api.h"
#include "producer/files/file_sweeper.h"
#include "producer/guard/guard.h"
#include "producer/live/token_feed.h"
#include "producer/openai/completion_waits.h"
#include "producer/submit/coalescer.h"
#include "producer/wait/left_jobs.h"
#include "producer/wait/waiters.h"

namespace sluice::producer {

enum class EngineKind { kNative, kEcho };

struct ProducerConfig {
  LogLevel log_level = LogLevel::kInfo;
  std::string region = "local";  // Where this producer runs; shown in logs and metrics.
  EngineKind engine = EngineKind::kNative;
  std::string model;  // The file that the workers serve; needed unless the engine is echo.
  http::ServerConfig http;
  MysqlConfig mysql;
  RabbitmqConfig rabbitmq;
  RedisConfig redis;
  JobRules rules;
  AuthenticatorConfig authenticator;
  AdmissionConfig admission;
  LimitBookConfig limits;
  GuardConfig guard;
  JobApiConfig api;
  AnswerCacheConfig answers;
  CompletionWaitConfig completions;
  RequestClaimsConfig claims;
  SessionsConfig sessions;
  LeftJobsConfig left_jobs;
  WebhookApiConfig webhooks;
  Secret master_key;  // Base64 of 32 bytes: seals the secrets of webhook endpoints. Empty: there can be none.
  CoalescerConfig coalescer;
  DispatcherConfig dispatcher;
  RelayConfig relay;
  RescuerConfig rescuer;
  OperationRules operations;
  OperationRunnerConfig operation_runner;
  DeadMirrorConfig dead_mirror;
  BatchApiConfig batches;
  BatchLoopConfig batch_loop;
  ShardOwnerConfig shards;
  FileRules file_rules;
  FileApiConfig files;
  FileSweeperConfig file_sweeper;
  WaitConfig wait;
  FeedConfig live;
  std::string docs_viewer;  // Folder of swagger-ui-dist, for /docs. Empty: plain HTML.
  bool print_routes = false;
};

// Binds every field; `config` must outlive the loading.
void bind(config::Settings& settings, ProducerConfig& config);

}  // namespace sluice::producer
