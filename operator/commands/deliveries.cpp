// endpoints list, show and test; deliveries list, show and replay. They are those of the key's own tenant.
#include "operator/commands/commands.h"
#include "operator/output/table.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

constexpr const char* kEndpoints = "/v1/webhook_endpoints";
constexpr const char* kDeliveries = "/v1/webhook_deliveries";

std::string events_text(const json& endpoint) {
  std::string text;
  for (const json& event : member_in(endpoint, "events")) {
    if (!event.is_string()) continue;
    text += (text.empty() ? "" : ",") + event.get<std::string>();
  }
  return text;
}

std::string answer_text(const json& delivery, const char* status, const char* error) {
  if (const std::string text = text_in(delivery, error); !text.empty()) return text;
  const std::int64_t code = number_in(delivery, status);
  return code == 0 ? std::string() : "HTTP status " + std::to_string(code);
}

std::string due_text(const Tool& tool, const json& delivery) {
  const std::int64_t at = number_in(delivery, "next_attempt_at");
  if (at == 0) return "-";
  return at <= tool.now_s() ? "now" : "in " + duration_text(at - tool.now_s());
}

Cell state_cell(const json& object) {
  const std::string state = text_in(object, "status");
  const bool good = state == "delivered" || state == "enabled";
  return {state, good ? Style::kGood : state == "pending" ? Style::kPlain : Style::kBad};
}

Status replay_one(Tool& tool, const std::string& id) {
  SLUICE_ASSIGN(const json delivery,
                tool.api.post(std::string(kDeliveries) + "/" + path_part(id) + "/replay", json::object()));
  if (printed_json(tool, delivery)) return {};
  tool.out() << safe_text(id) << " is sent again now; how it goes: sluicectl deliveries show "
             << safe_text(id) << "\n";
  return {};
}

}  // namespace

Status list_endpoints(Tool& tool, const PageOptions& options) {
  SLUICE_ASSIGN(const json endpoints,
                get_list(tool.api, kEndpoints, {{"after", options.after}}, options.limit));
  if (printed_json(tool, endpoints)) return {};
  Table table({{"ENDPOINT"},
               {"STATUS"},
               {"FAILING", Align::kRight},
               {"AGE", Align::kRight},
               {"EVENTS"},
               {"URL", Align::kLeft, true}});
  for (const json& endpoint : data_in(endpoints)) {
    table.add({text_in(endpoint, "id"), state_cell(endpoint), age_in(tool, endpoint, "failing_since"),
               age_in(tool, endpoint, "created_at"), events_text(endpoint), text_in(endpoint, "url")});
  }
  if (table.empty()) tool.out() << "no webhook endpoints\n";
  table.print(tool.console);
  print_more(tool, endpoints);
  return {};
}

Status show_endpoint(Tool& tool, const std::string& id) {
  SLUICE_ASSIGN(const json endpoint, tool.api.get(std::string(kEndpoints) + "/" + path_part(id)));
  if (printed_json(tool, endpoint)) return {};
  Facts facts;
  facts.add("endpoint", text_in(endpoint, "id"));
  facts.add("status", state_cell(endpoint));
  if (const std::string why = text_in(endpoint, "disabled_reason"); !why.empty()) {
    facts.add("disabled", {when_in(tool, endpoint, "disabled_at") + ": " + why, Style::kBad});
  }
  facts.add("url", text_in(endpoint, "url"));
  facts.add("events", events_text(endpoint));
  if (const std::string text = text_in(endpoint, "description"); !text.empty())
    facts.add("description", text);
  facts.add("order", flag_in(endpoint, "ordered") ? "each job's events one after the other" : "none");
  facts.add("signing", text_in(endpoint, "signing"));
  if (const std::string key = text_in(endpoint, "public_key"); !key.empty()) facts.add("public key", key);
  facts.add("created", when_in(tool, endpoint, "created_at"));
  facts.add("failing since", when_in(tool, endpoint, "failing_since"));
  facts.print(tool.console);
  tool.out() << tool.console.styled("its deliveries: sluicectl deliveries list --endpoint " + safe_text(id),
                                    Style::kDim)
             << "\n";
  return {};
}

Status test_endpoint(Tool& tool, const std::string& id) {
  SLUICE_ASSIGN(const json delivery,
                tool.api.post(std::string(kEndpoints) + "/" + path_part(id) + "/test", json::object()));
  if (printed_json(tool, delivery)) return {};
  const std::string sent = safe_text(text_in(delivery, "id"));
  tool.out() << "a test event is on its way; how it goes: sluicectl deliveries show " << sent << "\n";
  return {};
}

Status list_deliveries(Tool& tool, const DeliveryListOptions& options) {
  Query query = {{"endpoint_id", options.endpoint},
                 {"job_id", options.job},
                 {"event_id", options.event},
                 {"status", options.status},
                 {"after", options.page.after}};
  SLUICE_ASSIGN(const json deliveries, get_list(tool.api, kDeliveries, std::move(query), options.page.limit));
  if (printed_json(tool, deliveries)) return {};
  Table table({{"DELIVERY"},
               {"STATUS"},
               {"ATTEMPTS", Align::kRight},
               {"NEXT", Align::kRight},
               {"AGE", Align::kRight},
               {"JOB"},
               {"LAST ANSWER"},
               {"URL", Align::kLeft, true}});
  for (const json& delivery : data_in(deliveries)) {
    table.add({text_in(delivery, "id"), state_cell(delivery), count_text(number_in(delivery, "attempts")),
               due_text(tool, delivery), age_in(tool, delivery, "created_at"), text_in(delivery, "job_id"),
               answer_text(delivery, "last_status", "last_error"), text_in(delivery, "url")});
  }
  if (table.empty()) tool.out() << "no such deliveries\n";
  table.print(tool.console);
  print_more(tool, deliveries);
  return {};
}

Status show_delivery(Tool& tool, const std::string& id) {
  const std::string path = std::string(kDeliveries) + "/" + path_part(id);
  SLUICE_ASSIGN(json delivery, tool.api.get(path));
  SLUICE_ASSIGN(const json attempts, tool.api.get(path + "/attempts"));
  delivery["attempt_log"] = data_in(attempts);
  if (printed_json(tool, delivery)) return {};
  Facts facts;
  facts.add("delivery", text_in(delivery, "id"));
  facts.add("status", state_cell(delivery));
  facts.add("url", text_in(delivery, "url"));
  facts.add("event", text_in(delivery, "event_id"));
  if (const std::string job = text_in(delivery, "job_id"); !job.empty()) facts.add("job", job);
  if (const std::string to = text_in(delivery, "endpoint_id"); !to.empty()) facts.add("endpoint", to);
  facts.add("created", when_in(tool, delivery, "created_at"));
  facts.add("next attempt", due_text(tool, delivery));
  facts.add("finished", when_in(tool, delivery, "finished_at"));
  facts.print(tool.console);
  Table table({{"ATTEMPT", Align::kRight},
               {"STARTED"},
               {"TOOK", Align::kRight},
               {"ANSWER"},
               {"RESPONSE", Align::kLeft, true}});
  for (const json& attempt : member_in(delivery, "attempt_log")) {
    table.add({count_text(number_in(attempt, "attempt")), time_text(number_in(attempt, "started_at")),
               count_text(number_in(attempt, "duration_ms")) + "ms", answer_text(attempt, "status", "error"),
               cut_text(safe_text(text_in(attempt, "response")), 200)});
  }
  if (!table.empty()) tool.out() << "\n";
  table.print(tool.console);
  return {};
}

Status replay_deliveries(Tool& tool, const DeliveryReplayOptions& options) {
  if (options.id.empty() == options.since.empty()) {
    return fail(ErrorCode::kInvalid, "replay: give either the id of a delivery or --since TIME");
  }
  if (!options.id.empty()) return replay_one(tool, options.id);
  const auto since = parse_time(options.since, tool.now_s());
  if (!since) {
    return fail(ErrorCode::kInvalid, "--since '" + safe_text(options.since) + "': " + since.error().message);
  }
  SLUICE_TRY(confirm(tool, "Send every " + std::string(options.any ? "" : "failed ") + "delivery since " +
                               time_text(*since) + " again?"));
  json body = {{"since", *since}};
  if (!options.endpoint.empty()) body["endpoint_id"] = options.endpoint;
  if (options.any) body["status"] = "any";
  if (!options.after.empty()) body["after"] = options.after;
  std::int64_t replayed = 0;
  Progress progress(tool.console);
  tool.waiter.hold();
  for (;;) {
    SLUICE_ASSIGN(const json page, tool.api.post(std::string(kDeliveries) + "/replay", body));
    replayed += number_in(page, "replayed");
    const std::string last = text_in(page, "last_id");
    if (!flag_in(page, "has_more") || last.empty()) break;
    body["after"] = last;
    progress.show("replayed " + count_text(replayed));
    if (tool.waiter.wait(std::chrono::milliseconds(0))) {
      return fail(ErrorCode::kCancelled, counted(replayed, "delivery is", "deliveries are") +
                                             " due again. Go on: sluicectl deliveries replay --since @" +
                                             std::to_string(*since) + " --after " + safe_text(last));
    }
  }
  progress.clear();
  if (printed_json(tool, {{"object", "webhook_replay"}, {"replayed", replayed}})) return {};
  tool.out() << counted(replayed, "delivery is", "deliveries are") << " due again\n";
  return {};
}

}  // namespace sluice::operate
