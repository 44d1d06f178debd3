#include "producer/batches/batch_api.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "common/base/failpoint.h"
#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "common/openai/batch_line.h"
#include "producer/api/answers.h"
#include "producer/api/webhook_answers.h"
#include "producer/batches/batch_json.h"
#include "producer/batches/batch_request.h"
#include "producer/batches/input_check.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

constexpr std::size_t kBodyMax = 64'000;
constexpr int kBusyRetryS = 5;
constexpr std::size_t kErrorsInLists = 10;
constexpr const char* kInputPurpose = "batch";

http::Response no_such_batch() {
  return http::error_response(404, http::error_type::kNotFound, "batch_not_found", "There is no such batch.",
                              "id");
}

std::optional<BatchId> batch_id_of(const http::Request& request) {
  const std::string_view id = request.path_param("id");
  if (!is_well_formed_id(id, BatchIdTag::kPrefix)) return std::nullopt;
  return BatchId{std::string(id)};
}

http::Response failure(const Error& error, std::string_view conflict_code) {
  if (error.code == ErrorCode::kNotFound) return no_such_batch();
  if (error.code == ErrorCode::kConflict) {
    return http::error_response(409, http::error_type::kConflict, conflict_code,
                                "This can't be done now: " + error.message + ".");
  }
  return store_failure(error);
}

http::Response answer(const Result<FileBatch>& batch, std::string_view conflict_code = "conflict") {
  if (!batch) return failure(batch.error(), conflict_code);
  return http::json_response(200, batch_to_json(*batch, batch->errors.kept.size()));
}

// Clients repeat a 503 by themselves, which here might do it twice.
http::Response outcome_unknown(const BatchId& id) {
  http::Response response =
      http::error_response(503, http::error_type::kUnavailable, "outcome_unknown",
                           "It is not known whether this was done: look at the batch before you repeat it.",
                           std::nullopt, {{"batch_id", id.value}});
  response.headers.set("x-should-retry", "false");
  return response;
}

}  // namespace

BatchApi::BatchApi(BatchApiParts parts, BatchApiConfig config)
    : parts_(std::move(parts)),
      config_(config),
      dry_runs_(parts_.files, parts_.models, parts_.estimate, config_.dry_runs, parts_.clock) {}

void BatchApi::add_routes(http::Router& router) {
  using http::Method;
  using Api = BatchApi;
  http::Route made;
  made.body_max = kBodyMax;
  made.authenticate = parts_.authenticator.require(kScopeSubmit);
  made.handler = [this](http::Request request, http::Responder responder) { create(request, responder); };
  router.add(Method::kPost, "/v1/batches", std::move(made));
  const auto add = webhook_routes(router, parts_.authenticator, this);
  add(Method::kGet, "/v1/batches", kScopeRead, 0, &Api::list, true);
  add(Method::kGet, "/v1/batches/{id}", kScopeRead, 0, &Api::get);
  add(Method::kPost, "/v1/batches/{id}/cancel", kScopeSubmit, kBodyMax, &Api::cancel);
  add(Method::kPost, "/v1/batches/{id}/pause", kScopeSubmit, kBodyMax, &Api::pause);
  add(Method::kPost, "/v1/batches/{id}/resume", kScopeSubmit, kBodyMax, &Api::resume);
  add(Method::kPost, "/v1/batches/{id}/retry", kScopeSubmit, kBodyMax, &Api::retry);
  add(Method::kGet, "/v1/batches/{id}/output", kScopeRead, 0, &Api::output, true);
  add(Method::kGet, "/v1/batches/{id}/errors", kScopeRead, 0, &Api::errors, true);
}

void BatchApi::create(const http::Request& request, const http::Responder& responder) {
  if (const auto none = read_no_query(request); !none) {
    responder.send(bad_query(none.error()));
    return;
  }
  auto parsed = parse_batch_request(request.body);
  if (!parsed) {
    responder.send(refusal_answer(parsed.error()));
    return;
  }
  NewFileBatch& batch = parsed->batch;
  batch.tenant = tenant_of(request);
  json body;  // Of a request that may be a repetition; others need it no more.
  std::optional<IdempotencyClaim> claim;
  if (!parsed->validate_only && may_be_repeated(request)) {
    // Before the file is looked for: a repetition is answered though the file is gone by now.
    body = http::parse_json(request.body).value_or(nullptr);
    auto looked = look(request, batch.tenant, body);
    if (!looked) {
      responder.send(std::move(looked.error()));
      return;
    }
    if (looked->existing) {
      responder.send(made_before(batch.tenant, *looked->existing));
      return;
    }
    claim = std::move(looked->claim);
  }
  if (!is_well_formed_id(batch.input_file_id.value, FileIdTag::kPrefix)) {
    responder.send(no_such_input_file());
    return;
  }
  const auto file = parts_.files.get(batch.tenant, batch.input_file_id, call_deadline());
  if (!file) {
    responder.send(file.error().code == ErrorCode::kNotFound ? no_such_input_file()
                                                             : store_failure(file.error()));
    return;
  }
  if (file->purpose != kInputPurpose) {
    responder.send(http::error_response(400, http::error_type::kInvalidRequest, "invalid_file_purpose",
                                        "input_file_id must be a file with purpose batch.", "input_file_id"));
    return;
  }
  if (file->bytes > kBatchFileBytesMax) {
    responder.send(http::error_response(400, http::error_type::kInvalidRequest, "file_too_large",
                                        "A batch's file has at most 200 MB.", "input_file_id"));
    return;
  }
  if (!parsed->validate_only) {
    responder.send(start(request, body, std::move(batch), claim));
  } else if (!dry_runs_.submit(batch, responder)) {
    responder.send(http::busy_response(503, "overloaded", "Too many files wait to be checked.", kBusyRetryS));
  }
}

http::Response BatchApi::made_before(const TenantId& tenant, const IdempotencyRecord& record) {
  return answer(parts_.batches.get(tenant, BatchId{record.resource_id}, call_deadline()));
}

tl::expected<RequestClaims::Looked, http::Response> BatchApi::look(const http::Request& request,
                                                                   const TenantId& tenant, const json& body) {
  return parts_.claims.look(request, tenant, "/v1/batches", body, RequestClaims::KnownBy::kKeyOrBody,
                            call_deadline());
}

http::Response BatchApi::start(const http::Request& request, const json& body, NewFileBatch batch,
                               const std::optional<IdempotencyClaim>& claim) {
  batch.id = parts_.ids.make<BatchId>(shard_of_tenant(batch.tenant));
  auto made = parts_.batches.create(batch, claim, call_deadline());
  const bool unknown = !made && made.error().code == ErrorCode::kOutcomeUnknown;
  if (unknown) made = parts_.batches.create(batch, claim, call_deadline());
  if (!made && made.error().code == ErrorCode::kConflict && claim) {
    // The same key came at the same time, and was faster.
    auto again = look(request, batch.tenant, body);
    if (!again) return std::move(again.error());
    if (again->existing) return made_before(batch.tenant, *again->existing);
    return std::move(parts_.claims.settle(*claim, std::nullopt).error());
  }
  if (!made && (unknown || made.error().code == ErrorCode::kOutcomeUnknown)) return outcome_unknown(batch.id);
  if (!made)
    return made.error().code == ErrorCode::kNotFound ? no_such_input_file() : store_failure(made.error());
  SLUICE_FAILPOINT("producer.after_batch_commit");
  parts_.log.info("batch_created", {{"batch_id", batch.id.value},
                                    {"tenant", batch.tenant.value},
                                    {"input_file_id", batch.input_file_id.value}});
  parts_.on_work();
  return answer(made);
}

http::Response BatchApi::list(const http::Request& request) {
  const auto page = read_batch_query(request);
  if (!page) return bad_query(page.error());
  auto found = parts_.batches.list(tenant_of(request), page->after, page->limit + 1, call_deadline());
  if (!found) return store_failure(found.error());
  const bool more = found->size() > static_cast<std::size_t>(page->limit);
  if (more) found->resize(static_cast<std::size_t>(page->limit));
  json data = json::array();
  for (const FileBatch& batch : *found) data.push_back(batch_to_json(batch, kErrorsInLists));
  const auto id = [](const FileBatch& batch) { return json(batch.asked.id.value); };
  return http::json_response(200, {{"object", "list"},
                                   {"data", std::move(data)},
                                   {"first_id", found->empty() ? json() : id(found->front())},
                                   {"last_id", found->empty() ? json() : id(found->back())},
                                   {"has_more", more}});
}

http::Response BatchApi::get(const http::Request& request) {
  const auto id = batch_id_of(request);
  if (!id) return no_such_batch();
  return answer(parts_.batches.get(tenant_of(request), *id, call_deadline()));
}

http::Response BatchApi::cancel(const http::Request& request) {
  const auto id = batch_id_of(request);
  if (!id) return no_such_batch();
  const auto batch = parts_.batches.cancel(tenant_of(request), *id, call_deadline());
  if (batch) parts_.on_work();
  return answer(batch);
}

http::Response BatchApi::pause(const http::Request& request) {
  return set_paused(request, true);
}

http::Response BatchApi::resume(const http::Request& request) {
  return set_paused(request, false);
}

http::Response BatchApi::set_paused(const http::Request& request, bool paused) {
  const auto id = batch_id_of(request);
  if (!id) return no_such_batch();
  const auto batch = parts_.batches.set_paused(tenant_of(request), *id, paused, call_deadline());
  if (batch) parts_.on_work();
  if (batch && !paused) parts_.on_runnable();
  return answer(batch, "batch_not_running");
}

http::Response BatchApi::retry(const http::Request& request) {
  const auto id = batch_id_of(request);
  if (!id) return no_such_batch();
  const auto batch = parts_.batches.retry(tenant_of(request), *id, call_deadline());
  if (!batch && batch.error().code == ErrorCode::kOutcomeUnknown) return outcome_unknown(*id);
  if (batch) parts_.on_work();
  return answer(batch, "batch_not_retryable");
}

http::Response BatchApi::output(const http::Request& request) {
  return lines(request, LineKind::kSucceeded);
}

http::Response BatchApi::errors(const http::Request& request) {
  return lines(request, LineKind::kOthers);
}

http::Response BatchApi::lines(const http::Request& request, LineKind kind) {
  const auto id = batch_id_of(request);
  if (!id) return no_such_batch();
  const auto page = read_lines_query(request);
  if (!page) return bad_query(page.error());
  // The batch first: lines that end between the two questions are in the answer, and it says that more may
  // come.
  const auto batch = parts_.batches.get(tenant_of(request), *id, call_deadline());
  if (!batch) return failure(batch.error(), "conflict");
  constexpr int kTogether = 500;  // Read at a time: most of a large page may not fit into the answer.
  http::Response response;
  response.headers.set("Content-Type", "application/jsonl");
  std::int64_t after = page->after;
  int left = page->limit;
  bool all = false;
  while (left > 0 && !all && response.body.size() < config_.answer_bytes_max) {
    const int wanted = std::min(left, kTogether);
    const auto ended = parts_.batches.ended_lines(*id, kind, after, wanted, call_deadline());
    if (!ended) return store_failure(ended.error());
    bool full = false;
    for (const EndedLine& line : ended->lines) {
      full = response.body.size() >= config_.answer_bytes_max;
      if (full) break;
      response.body += openai::batch_line(line.custom_id, line.job, line.request_json);
      after = line.seq;
      --left;
    }
    if (full) break;
    all = ended->all;
    after = ended->looked_to;
  }
  response.headers.set("X-Next-After", std::to_string(after));
  response.headers.set("X-Complete", all && is_final(batch->status) ? "true" : "false");
  response.headers.set("X-Batch-Status", std::string(batch_status_name(batch->status)));
  return response;
}

}  // namespace sluice::producer
