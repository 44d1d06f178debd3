#include "producer/admin/fleet_api.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "common/crypto/crypto.h"
#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "common/rabbitmq/topology.h"
#include "common/text/unicode.h"
#include "producer/admin/admin_input.h"
#include "producer/admin/admin_json.h"
#include "producer/admin/admin_route.h"
#include "producer/admin/body_members.h"
#include "producer/api/answers.h"
#include "producer/api/json_fields.h"

namespace sluice::producer {

using nlohmann::json;

namespace {

constexpr std::size_t kNameBytesMax = 128;
constexpr std::size_t kReasonCharactersMax = 300;
constexpr std::size_t kKeyNameCharactersMax = 200;
constexpr std::size_t kKeyBytes = 32;

json pause_json(const Pause& pause) {
  return {{"object", "pause"},
          {"kind", pause_kind_name(pause.kind)},
          {"name", pause.name},
          {"reason", text_or_null(pause.reason)},
          {"since", seconds_or_null(pause.since_us)},
          {"actor", actor_json(pause.actor)}};
}

std::string_view worker_state(const WorkerInfo& worker) {
  if (worker.silent_ms > kWorkerSilentAfter.count()) return "silent";
  if (!worker.draining) return "working";
  return worker.beat.held_jobs == 0 ? "drained" : "draining";
}

json worker_json(const WorkerInfo& worker) {
  return {{"id", worker.beat.id},
          {"object", "worker"},
          {"state", worker_state(worker)},
          {"model", worker.beat.model},
          {"engine", worker.beat.engine},
          {"version", worker.beat.version},
          {"jobs_max", worker.beat.jobs_max},
          {"held_jobs", worker.beat.held_jobs},
          {"started_at", seconds_or_null(worker.started_us)},
          {"seen_at", seconds_or_null(worker.seen_us)},
          {"silent_seconds", worker.silent_ms / 1000}};
}

constexpr std::array<std::pair<std::string_view, Scope>, 3> kScopes = {
    {{"submit", kScopeSubmit}, {"read", kScopeRead}, {"admin", kScopeAdmin}}};

json key_json(const KeyInfo& key) {
  json scopes = json::array();
  for (const auto& [name, scope] : kScopes) {
    if ((key.scopes & scope) != 0) scopes.push_back(name);
  }
  return {{"id", key.id},
          {"object", "api_key"},
          {"tenant", key.tenant.value},
          {"name", key.name},
          {"hint", key.hint},
          {"scopes", std::move(scopes)},
          {"created_at", seconds_or_null(key.created_us)},
          {"revoked_at", seconds_or_null(key.revoked_us)}};
}

json admin_job_json(const Job& job) {
  json out = job_to_json(job);
  out["tenant"] = job.tenant.value;
  out["callback_url"] = text_or_null(job.callback_url);
  return out;
}

std::optional<PauseKind> read_kind(BodyMembers& body) {
  const std::string kind = body.text("kind", kNameBytesMax, true);
  if (kind == "model") return PauseKind::kModel;
  if (kind == "tenant") return PauseKind::kTenant;
  if (!kind.empty()) body.errors.add("kind", "invalid_value", "must be model or tenant");
  return std::nullopt;
}

unsigned read_scopes(BodyMembers& body) {
  const auto found = body.members.find("scopes");
  if (found == body.members.end()) return kScopeSubmit | kScopeRead;
  unsigned scopes = 0;
  bool good = found->is_array() && !found->empty();
  if (good) {
    for (const json& name : *found) {
      const auto scope = std::find_if(kScopes.begin(), kScopes.end(), [&name](const auto& entry) {
        return name == std::string(entry.first);
      });
      good = good && scope != kScopes.end();
      if (good) scopes |= scope->second;
    }
  }
  if (!good) body.errors.add("scopes", "invalid_value", "must be an array of submit, read and admin");
  return scopes;
}

}  // namespace

void FleetApi::add_routes(http::Router& router) {
  using http::Method;
  const auto add = admin_routes(router, parts_.authenticator, this);
  add(Method::kGet, "/v1/admin/status", 0, &FleetApi::status);
  add(Method::kGet, "/v1/admin/queues", 0, &FleetApi::queues);
  add(Method::kGet, "/v1/admin/workers", 0, &FleetApi::workers);
  add(Method::kPost, "/v1/admin/workers/{id}/drain", kAdminBodyBytesMax, &FleetApi::drain);
  add(Method::kPost, "/v1/admin/workers/{id}/undrain", kAdminBodyBytesMax, &FleetApi::undrain);
  add(Method::kGet, "/v1/admin/jobs", 0, &FleetApi::list_jobs);
  add(Method::kGet, "/v1/admin/jobs/{id}", 0, &FleetApi::get_job);
  add(Method::kPost, "/v1/admin/jobs/{id}/cancel", kAdminBodyBytesMax, &FleetApi::cancel_job);
  add(Method::kGet, "/v1/admin/pauses", 0, &FleetApi::list_pauses);
  add(Method::kPost, "/v1/admin/pauses", kAdminBodyBytesMax, &FleetApi::set_pause);
  add(Method::kPost, "/v1/admin/pauses/end", kAdminBodyBytesMax, &FleetApi::end_pause);
  add(Method::kGet, "/v1/admin/keys", 0, &FleetApi::list_keys);
  add(Method::kPost, "/v1/admin/keys", kAdminBodyBytesMax, &FleetApi::create_key);
  add(Method::kPost, "/v1/admin/keys/{id}/revoke", kAdminBodyBytesMax, &FleetApi::revoke_key);
}

http::Response FleetApi::status(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto overview = parts_.fleet.overview(call_deadline());
  if (!overview) return store_failure(overview.error());
  const auto workers = parts_.fleet.list_workers(call_deadline());
  if (!workers) return store_failure(workers.error());
  const auto pauses = parts_.fleet.list_pauses(call_deadline());
  if (!pauses) return store_failure(pauses.error());
  json by_state = {{"working", 0}, {"draining", 0}, {"drained", 0}, {"silent", 0}};
  for (const WorkerInfo& worker : *workers) {
    json& count = by_state[std::string(worker_state(worker))];
    count = count.get<int>() + 1;
  }
  json paused = json::array();
  for (const Pause& pause : *pauses) paused.push_back(pause_json(pause));
  return http::json_response(200, {{"object", "status"},
                                   {"version", SLUICE_VERSION},
                                   {"region", parts_.region},
                                   {"jobs", {{"queued", overview->queued}, {"running", overview->running}}},
                                   {"dead_letters", overview->dead_letters},
                                   {"undecided_events", overview->undecided_events},
                                   {"pending_deliveries", overview->pending_deliveries},
                                   {"open_operations", overview->running_operations},
                                   {"shards_owned", overview->shards_owned},
                                   {"workers", std::move(by_state)},
                                   {"pauses", std::move(paused)},
                                   {"broker", {{"publishing", parts_.broker.ready()}}}});
}

http::Response FleetApi::queues(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto waiting = parts_.fleet.waiting_jobs(call_deadline());
  if (!waiting) return store_failure(waiting.error());
  const auto pauses = parts_.fleet.list_pauses(call_deadline());
  if (!pauses) return store_failure(pauses.error());
  std::map<std::pair<std::string, Priority>, WaitingJobs> rows;
  for (const auto& model : parts_.models.all()) {
    for (int p = 0; p < kPriorities; ++p) {
      const auto priority = static_cast<Priority>(p);
      rows[{model->name(), priority}] = WaitingJobs{model->name(), priority};
    }
  }
  for (const WaitingJobs& row : *waiting) rows[{row.model, row.priority}] = row;

  const auto at_broker = [this](const std::string& queue) -> json {
    const auto depth = parts_.broker.depth(queue, call_deadline());
    if (!depth) return nullptr;
    return {{"ready", depth->ready}, {"consumers", depth->consumers}};
  };
  json data = json::array();
  for (const auto& [key, row] : rows) {
    const bool paused = std::any_of(pauses->begin(), pauses->end(), [&row = row](const Pause& pause) {
      return pause.kind == PauseKind::kModel && pause.name == row.model;
    });
    data.push_back({{"object", "queue"},
                    {"model", row.model},
                    {"priority", priority_name(row.priority)},
                    {"queued", row.queued},
                    {"overdue", row.overdue},
                    {"running", row.running},
                    {"paused", paused},
                    {"broker", at_broker(task_queue_name(row.model, row.priority))}});
  }
  json system = json::array();
  for (const std::string_view name : {kDeadQueue, kReturnedQueue, kCallbackQueue}) {
    system.push_back({{"name", name}, {"broker", at_broker(std::string(name))}});
  }
  return http::json_response(200,
                             {{"object", "list"}, {"data", std::move(data)}, {"system", std::move(system)}});
}

http::Response FleetApi::workers(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto workers = parts_.fleet.list_workers(call_deadline());
  if (!workers) return store_failure(workers.error());
  json data = json::array();
  for (const WorkerInfo& worker : *workers) data.push_back(worker_json(worker));
  return http::json_response(200, {{"object", "list"}, {"data", std::move(data)}});
}

http::Response FleetApi::set_draining(const http::Request& request, bool draining) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto worker = parts_.fleet.set_draining(std::string(request.path_param("id")), draining,
                                                actor_of(request), call_deadline());
  if (!worker) return admin_failure(worker.error(), "worker_not_found", "There is no such worker.");
  return http::json_response(200, worker_json(*worker));
}

http::Response FleetApi::list_jobs(const http::Request& request) {
  // The tenant is the operators' own parameter; the rest is read as for everybody.
  http::RequestHead rest = request;
  JobFilter filter;
  std::string tenant;
  for (auto at = rest.query.begin(); at != rest.query.end();) {
    if (at->first != "tenant") {
      ++at;
      continue;
    }
    if (!tenant.empty() || at->second.empty() || !utf8_valid(at->second))
      return bad_query({"tenant", "must be given once, with a name"});
    tenant = at->second;
    at = rest.query.erase(at);
  }
  auto read = read_list_query(rest);
  if (!read) return bad_query(read.error());
  filter = std::move(*read);
  filter.tenant.value = tenant;
  const int limit = filter.limit;
  filter.limit = limit + 1;
  const auto jobs = parts_.jobs.list(filter, call_deadline());
  if (!jobs) return admin_failure(jobs.error(), "job_not_found", "There is no such job.");
  json data = json::array();
  for (const Job& job : *jobs) data.push_back(admin_job_json(job));
  return http::json_response(200, list_json(std::move(data), limit, "id"));
}

http::Response FleetApi::get_job(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const std::string_view id = request.path_param("id");
  if (!is_well_formed_id(id, JobIdTag::kPrefix)) return no_such_job();
  const auto job = parts_.jobs.get(TenantId{}, JobId{std::string(id)}, call_deadline());
  return job ? http::json_response(200, admin_job_json(*job)) : store_failure(job.error());
}

http::Response FleetApi::cancel_job(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const JobId id{std::string(request.path_param("id"))};
  if (!is_well_formed_id(id.value, JobIdTag::kPrefix)) return no_such_job();
  if (const Status done = parts_.fleet.cancel_job(id, actor_of(request), call_deadline()); !done)
    return store_failure(done.error());
  const auto job = parts_.jobs.get(TenantId{}, id, call_deadline());
  return job ? http::json_response(200, admin_job_json(*job)) : store_failure(job.error());
}

http::Response FleetApi::list_pauses(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto pauses = parts_.fleet.list_pauses(call_deadline());
  if (!pauses) return store_failure(pauses.error());
  json data = json::array();
  for (const Pause& pause : *pauses) data.push_back(pause_json(pause));
  return http::json_response(200, {{"object", "list"}, {"data", std::move(data)}});
}

http::Response FleetApi::set_pause(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  BodyMembers body(request.body, {"kind", "name", "reason"});
  Pause pause;
  const auto kind = read_kind(body);
  pause.name = body.text("name", kNameBytesMax, true);
  pause.reason = body.text("reason", kReasonCharactersMax, false);
  if (!body.errors.empty()) return body.refusal();
  pause.kind = *kind;
  pause.actor = actor_of(request);
  const auto made = parts_.fleet.set_pause(pause, call_deadline());
  return made ? http::json_response(200, pause_json(*made)) : store_failure(made.error());
}

http::Response FleetApi::end_pause(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  BodyMembers body(request.body, {"kind", "name"});
  const auto kind = read_kind(body);
  const std::string name = body.text("name", kNameBytesMax, true);
  if (!body.errors.empty()) return body.refusal();
  const Status done = parts_.fleet.resume(*kind, name, actor_of(request), call_deadline());
  if (!done) return admin_failure(done.error(), "not_paused", "It is not paused.");
  parts_.on_resumed();
  return http::json_response(
      200, {{"object", "pause"}, {"kind", pause_kind_name(*kind)}, {"name", name}, {"ended", true}});
}

http::Response FleetApi::list_keys(const http::Request& request) {
  QueryReader reader(request);
  TenantId tenant;
  if (const std::string* name = reader.take("tenant")) {
    tenant.value = *name;
    if (tenant.empty() || !utf8_valid(*name)) reader.refuse("tenant", "must be the name of a tenant");
  }
  if (const auto bad = reader.finish()) return bad_query(*bad);
  const auto keys = parts_.keys.list_keys(tenant, call_deadline());
  if (!keys) return admin_failure(keys.error(), "key_not_found", "There is no such key.");
  json data = json::array();
  for (const KeyInfo& key : *keys) data.push_back(key_json(key));
  return http::json_response(200, {{"object", "list"}, {"data", std::move(data)}});
}

http::Response FleetApi::create_key(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  BodyMembers body(request.body, {"tenant", "name", "scopes"});
  const TenantId tenant{body.text("tenant", kNameBytesMax, true)};
  const std::string name = body.text("name", kKeyNameCharactersMax, true);
  const unsigned scopes = read_scopes(body);
  if (!body.errors.empty()) return body.refusal();
  std::array<std::uint8_t, kKeyBytes> random{};
  parts_.rng.fill(random);
  const Secret value("sk_" + to_hex(random));
  const auto made = parts_.keys.create_key(tenant, name, value, scopes, actor_of(request), call_deadline());
  if (!made) return admin_failure(made.error(), "tenant_not_found", "There is no such tenant.");
  json out = key_json(*made);
  out["key"] = value.reveal();  // Here and never again.
  return http::json_response(201, out);
}

http::Response FleetApi::revoke_key(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto key =
      parts_.keys.revoke_key(std::string(request.path_param("id")), actor_of(request), call_deadline());
  if (!key) return admin_failure(key.error(), "key_not_found", "There is no such key.");
  return http::json_response(200, key_json(*key));
}

}  // namespace sluice::producer
