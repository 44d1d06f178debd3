// The admin API of a producer, as commands call it.
//
// Not safe for concurrent use: a command has one thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "common/base/result.h"

namespace sluice::operate {

using Query = std::vector<std::pair<std::string, std::string>>;

struct ApiRequest {
  std::string method = "GET";
  std::string path;     // "/v1/admin/status"; parts that came from people through path_part.
  Query query;          // Empty values are left out.
  nlohmann::json body;  // Null: none.
};

struct ApiReply {
  std::string text;        // The body as it came.
  nlohmann::json body;     // Null if the body is no JSON (an export has lines of JSON).
  std::string next_after;  // X-Next-After: there is more after this one.
};

class AdminApi {
 public:
  virtual ~AdminApi() = default;
  // Errors carry a whole message for people: what was wrong, which field, what to do next. kInvalid: the
  // server refused a value; kNotFound, kConflict, kUnavailable, kOutcomeUnknown as everywhere.
  virtual Result<ApiReply> call(const ApiRequest& request) = 0;
  // What people know the server by.
  virtual std::string name() const = 0;

  // The JSON body of the answer. kInternal: it has none.
  Result<nlohmann::json> get(std::string path, Query query = {});
  Result<nlohmann::json> post(std::string path, nlohmann::json body);
};

// Percent-encodes what may not stand in a path or query as it is.
std::string path_part(std::string_view text);

// The members of list answers (`data`), page after page until there are no more or `limit` are there; the
// answer is an object like one page's, with all data. `limit` 0: all.
Result<nlohmann::json> get_list(AdminApi& api, const std::string& path, Query query, int limit);

}  // namespace sluice::operate
