#include "producer/api/webhook_answers.h"

#include "common/http/body_json.h"
#include "common/http/error_response.h"

namespace sluice::producer {

using nlohmann::json;

json delivery_json(const LoggedDelivery& one) {
  const bool of_batch = is_well_formed_id(one.job_id.value, BatchIdTag::kPrefix);
  return {{"id", one.id.value},
          {"object", "webhook_delivery"},
          {"event_id", one.event_id.value},
          {"endpoint_id", text_or_null(one.endpoint_id.value)},
          {"job_id", of_batch ? json() : text_or_null(one.job_id.value)},
          {"batch_id", of_batch ? json(one.job_id.value) : json()},
          {"url", one.url},
          {"status", one.state},
          {"attempts", one.attempts},
          {"last_status", one.last_status ? json(*one.last_status) : json()},
          {"last_error", text_or_null(one.last_error)},
          {"created_at", seconds_or_null(one.created_us)},
          {"next_attempt_at", seconds_or_null(one.next_attempt_us)},
          {"finished_at", seconds_or_null(one.finished_us)}};
}

http::Response no_such_webhook_endpoint() {
  return http::error_response(404, http::error_type::kNotFound, "webhook_endpoint_not_found",
                              "There is no such webhook endpoint.", "id");
}

http::Response no_such_webhook_delivery() {
  return http::error_response(404, http::error_type::kNotFound, "webhook_delivery_not_found",
                              "There is no such webhook delivery.", "id");
}

http::Response webhook_endpoint_disabled() {
  return http::error_response(409, http::error_type::kConflict, "webhook_endpoint_disabled",
                              "The webhook endpoint is disabled or gone: nothing is sent to it.");
}

http::Response webhook_failure(const Error& error, http::Response (*not_found)()) {
  if (error.code == ErrorCode::kNotFound) return not_found();
  if (error.code == ErrorCode::kConflict) return webhook_endpoint_disabled();
  return store_failure(error);
}

http::Handler webhook_handler(std::function<http::Response(const http::Request&)> handle, bool takes_query) {
  return [handle = std::move(handle), takes_query](http::Request request, http::Responder responder) {
    const auto query = takes_query ? tl::expected<void, BadQuery>() : read_no_query(request);
    responder.send(query ? handle(request) : bad_query(query.error()));
  };
}

}  // namespace sluice::producer
