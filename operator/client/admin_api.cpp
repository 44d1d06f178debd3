#include "operator/client/admin_api.h"

#include <algorithm>

namespace sluice::operate {

using nlohmann::json;

namespace {

constexpr int kPageMax = 100;

Result<json> body_of(Result<ApiReply> reply) {
  if (!reply) return fail(std::move(reply).error());
  if (!reply->body.is_object()) {
    return fail(ErrorCode::kInternal,
                "the server's answer is not what this sluicectl understands: are both of one version?");
  }
  return std::move(reply->body);
}

}  // namespace

Result<json> AdminApi::get(std::string path, Query query) {
  return body_of(call({"GET", std::move(path), std::move(query), nullptr}));
}

Result<json> AdminApi::post(std::string path, json body) {
  return body_of(call({"POST", std::move(path), {}, std::move(body)}));
}

std::string path_part(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

Result<json> get_list(AdminApi& api, const std::string& path, Query query, int limit) {
  json all;
  std::string after;
  for (;;) {
    Query page_query = query;
    const int have = all.is_null() ? 0 : static_cast<int>(all["data"].size());
    const int ask = limit == 0 ? kPageMax : std::min(kPageMax, limit - have);
    page_query.emplace_back("limit", std::to_string(ask));
    if (!after.empty()) {
      std::erase_if(page_query, [](const auto& pair) { return pair.first == "after"; });
      page_query.emplace_back("after", after);
    }
    SLUICE_ASSIGN(json page, api.get(path, std::move(page_query)));
    const auto data = page.find("data");
    if (data == page.end() || !data->is_array()) {
      return fail(ErrorCode::kInternal, "the server's answer is no list: are both of one version?");
    }
    const bool more = page.value("has_more", false) && !data->empty();
    const std::string last = page.contains("last_id") && page["last_id"].is_string()
                                 ? page["last_id"].get<std::string>()
                                 : std::string();
    if (all.is_null()) {
      all = std::move(page);
    } else {
      for (json& item : *data) all["data"].push_back(std::move(item));
      all["has_more"] = more;
      all["last_id"] = page["last_id"];
    }
    const bool enough = limit > 0 && static_cast<int>(all["data"].size()) >= limit;
    if (!more || enough || last.empty() || last == after) return all;
    after = last;
  }
}

}  // namespace sluice::operate
