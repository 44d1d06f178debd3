// What reading the bodies and queries of the webhook routes shares. Pure functions.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "common/http/message.h"
#include "producer/api/field_errors.h"
#include "producer/api/query.h"
#include "producer/api/submit_request.h"

namespace sluice::producer {

inline constexpr std::size_t kWebhookBodyBytesMax = 64'000;

// Reads a member of an object; false: there is no field of this name.
using ReadField =
    std::function<bool(const std::string& name, const nlohmann::json& value, FieldErrors& errors)>;

// All that is wrong with the fields; the first of them stands for the whole.
tl::unexpected<SubmitRefusal> refuse_fields(FieldErrors errors);
// An object whose members `read` knows; an empty body is an empty object.
tl::expected<void, SubmitRefusal> read_object(std::string_view body, FieldErrors& errors,
                                              const ReadField& read);
tl::unexpected<BadQuery> bad_param(std::string_view param, std::string message);
// Sets `limit`; false: it is none from 1 to `max`.
bool read_limit(std::string_view value, int& limit, int max = kListLimitMax);
bool is_given_twice(const http::RequestHead& head, const std::string& name);

}  // namespace sluice::producer
