#include "producer/api/sessions.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "producer/api/answers.h"
#include "producer/api/job_fields.h"

namespace sluice::producer {

namespace {

constexpr int kBusyRetryS = 1;
constexpr const char* kEcho = "session";  // Member of JobRequest::echo_json.

tl::unexpected<SessionRefusal> refuse(std::string code, http::Response answer) {
  return tl::unexpected(SessionRefusal{std::move(code), std::move(answer)});
}

tl::unexpected<SessionRefusal> refuse(const Error& error) {
  return refuse(std::string(error_code_name(error.code)), store_failure(error));
}

tl::unexpected<SessionRefusal> refuse(FieldErrors errors) {
  const SubmitRefusal refusal = refusal_of(std::move(errors));
  return refuse(refusal.code, refusal_answer(refusal));
}

auto behind_system(std::vector<RequestMessage>& messages) {
  return std::find_if(messages.begin(), messages.end(),
                      [](const RequestMessage& message) { return message.role != "system"; });
}

}  // namespace

std::string session_header(const SessionTurn& turn) {
  return std::string(turn.base.empty() ? "new" : "continued") + "; turn=" + std::to_string(turn.turn);
}

http::Response session_busy() {
  http::Response response =
      http::error_response(409, http::error_type::kConflict, "session_busy",
                           "Another turn of the session has not ended yet.", "session_id");
  response.headers.set("Retry-After", std::to_string(kBusyRetryS));
  response.headers.set("x-should-retry", "false");
  return response;
}

void put_before(std::vector<RequestMessage> earlier, std::vector<RequestMessage>& own) {
  const auto at = behind_system(own);
  if (at != own.begin()) earlier.erase(earlier.begin(), behind_system(earlier));
  own.insert(at, std::make_move_iterator(earlier.begin()), std::make_move_iterator(earlier.end()));
}

tl::expected<Sessions::Earlier, SessionRefusal> Sessions::read(const TenantId& tenant,
                                                               const std::string& session_id,
                                                               Deadline deadline) const {
  Earlier earlier;
  SessionTurn& turn = earlier.turn;
  turn.session_id = session_id;
  turn.keep_s = config_.keep.count();
  const auto record = sessions_.find_session(tenant, session_id, deadline);
  if (!record) return refuse(record.error());
  if (!*record) return earlier;
  const SessionRecord& last = **record;
  turn.after = last.job;
  Result<Job> job = reader_.get(tenant, last.job, deadline);
  if (!job && job.error().code != ErrorCode::kNotFound) return refuse(job.error());
  if (job && !is_final(job->state)) return refuse("session_busy", session_busy());
  const bool answered = job && job->result;
  turn.turn = answered ? last.turn + 1 : last.turn;
  turn.base = answered ? last.job : last.base;
  if (turn.base.empty()) return earlier;
  if (!answered) {
    job = reader_.get(tenant, turn.base, deadline);
    if (!job && job.error().code != ErrorCode::kNotFound) return refuse(job.error());
  }
  const auto text = jobs_.get_request(tenant, turn.base, deadline);
  if (!text && text.error().code != ErrorCode::kNotFound) return refuse(text.error());
  if (!text || !job || !job->result) {
    // What it would go on from is gone: it begins anew.
    turn.base = {};
    turn.turn = 1;
    return earlier;
  }
  auto asked = job_request_from_json(*text);
  if (!asked) return refuse(asked.error());
  earlier.messages = std::move(asked->messages);
  earlier.messages.push_back({"assistant", job->result->text});
  return earlier;
}

tl::expected<SessionTurn, SessionRefusal> Sessions::continue_with(const TenantId& tenant, JobSpec& spec,
                                                                  Deadline deadline) const {
  auto earlier = read(tenant, spec.session_id, deadline);
  if (!earlier) return tl::unexpected(std::move(earlier.error()));
  JobRequest& request = spec.request;
  if (!earlier->messages.empty()) {
    put_before(std::move(earlier->messages), request.messages);
    FieldErrors errors;
    if (request.messages.size() > kMessagesMax) {
      errors.add("session_id", "out_of_range", "leads to a conversation of more than 1000 messages");
    } else {
      measure_prompt(spec, "messages", errors);
    }
    if (!errors.empty()) return refuse(std::move(errors));
  }
  request.echo_json = http::dump_json({{kEcho, session_header(earlier->turn)}});
  return std::move(earlier->turn);
}

std::string Sessions::header_of(const TenantId& tenant, const JobId& id, Deadline deadline) const {
  const auto text = jobs_.get_request(tenant, id, deadline);
  const auto asked = text ? job_request_from_json(*text) : Result<JobRequest>(fail(text.error()));
  if (!asked || asked->echo_json.empty()) return {};
  const auto echo = nlohmann::json::parse(asked->echo_json, nullptr, false);
  if (!echo.is_object()) return {};
  const auto header = echo.find(kEcho);
  return header != echo.end() && header->is_string() ? header->get<std::string>() : std::string();
}

}  // namespace sluice::producer
