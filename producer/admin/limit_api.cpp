#include "producer/admin/limit_api.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "producer/admin/admin_json.h"
#include "producer/admin/admin_route.h"
#include "producer/admin/body_members.h"
#include "producer/api/answers.h"
#include "producer/api/query.h"

namespace sluice::producer {

using nlohmann::json;

namespace {

constexpr std::size_t kNameBytesMax = 64;
constexpr std::size_t kKeyNameCharactersMax = 200;
constexpr std::size_t kRouteBytesMax = 128;
constexpr std::int64_t kQuotaMax = 1'000'000'000'000;
constexpr std::int64_t kWindowMaxS = 86'400;

json limit_json(const RateLimit& limit) {
  return {{"name", limit.name},
          {"object", "limit"},
          {"tenant", limit.tenant},
          {"key", limit.key.empty() ? json(nullptr) : json(limit.key)},
          {"region", limit.region},
          {"route", limit.route},
          {"unit", limit_unit_name(limit.unit)},
          {"quota", limit.quota},
          {"window", limit.window_s},
          {"changed_at", seconds_or_null(limit.changed_us)}};
}

// It stands in headers and in the buckets' names.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() <= kNameBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

std::string read_name(BodyMembers& body) {
  std::string name = body.text("name", kNameBytesMax, true);
  if (body.errors.empty() && !is_plain_name(name)) {
    body.errors.add("name", "invalid_value", "must have small letters, digits, '-', '_' and '.' only");
  }
  return name;
}

}  // namespace

void LimitApi::add_routes(http::Router& router) {
  using http::Method;
  const auto add = admin_routes(router, parts_.authenticator, this);
  add(Method::kGet, "/v1/admin/limits", 0, &LimitApi::list);
  add(Method::kPost, "/v1/admin/limits", kAdminBodyBytesMax, &LimitApi::set);
  add(Method::kPost, "/v1/admin/limits/unset", kAdminBodyBytesMax, &LimitApi::unset);
}

http::Response LimitApi::list(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  const auto limits = parts_.limits.list_limits(call_deadline());
  if (!limits) return store_failure(limits.error());
  json data = json::array();
  for (const RateLimit& limit : *limits) data.push_back(limit_json(limit));
  return http::json_response(200, {{"object", "list"}, {"data", std::move(data)}});
}

http::Response LimitApi::set(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  BodyMembers body(request.body, {"name", "tenant", "key", "region", "route", "unit", "quota", "window"});
  RateLimit limit;
  limit.name = read_name(body);
  const auto text_or = [&body](const char* name, std::size_t max, std::string otherwise) {
    std::string given = body.text(name, max, false);
    return given.empty() ? std::move(otherwise) : given;
  };
  limit.tenant = text_or("tenant", kNameBytesMax, "*");
  limit.region = text_or("region", kNameBytesMax, "*");
  limit.route = text_or("route", kRouteBytesMax, "*");
  // Null means something here: all keys of the tenant together.
  const auto key = body.members.find("key");
  limit.key = key != body.members.end() && key->is_null() ? std::string()
                                                          : text_or("key", kKeyNameCharactersMax, "*");
  const std::string unit = text_or("unit", kNameBytesMax, "requests");
  if (unit != "requests" && unit != "tokens") {
    body.errors.add("unit", "invalid_value", "must be requests or tokens");
  }
  limit.unit = unit == "tokens" ? LimitUnit::kTokens : LimitUnit::kRequests;
  limit.quota = body.whole("quota", 1, kQuotaMax);
  limit.window_s = body.whole("window", 1, kWindowMaxS);
  if (!body.errors.empty()) return body.refusal();
  const auto made = parts_.limits.set_limit(limit, actor_of(request), call_deadline());
  if (!made) return admin_failure(made.error(), "limit_not_found", "There is no such limit.");
  parts_.on_changed();
  return http::json_response(200, limit_json(*made));
}

http::Response LimitApi::unset(const http::Request& request) {
  if (const auto none = read_no_query(request); !none) return bad_query(none.error());
  BodyMembers body(request.body, {"name"});
  const std::string name = read_name(body);
  if (!body.errors.empty()) return body.refusal();
  const Status done = parts_.limits.unset_limit(name, actor_of(request), call_deadline());
  if (!done) return admin_failure(done.error(), "limit_not_found", "There is no such limit.");
  parts_.on_changed();
  return http::json_response(200, {{"object", "limit"}, {"name", name}, {"unset", true}});
}

}  // namespace sluice::producer
