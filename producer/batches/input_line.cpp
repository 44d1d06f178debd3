#include "producer/batches/input_line.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/http/body_json.h"
#include "producer/api/url.h"
#include "producer/openai/completion_request.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

constexpr std::array kSurfaces = {Surface::kChat, Surface::kCompletion, Surface::kResponse};

struct LineReader {
  std::string custom_id;

  tl::unexpected<BadLine> bad(std::string code, std::string message, std::string param) const {
    return tl::unexpected(BadLine{{std::move(code), std::move(message), std::move(param), 0}, custom_id});
  }

  // The member, which must be a string.
  tl::expected<std::string, BadLine> text(const json& in, const std::string& name) const {
    const auto found = in.find(name);
    if (found == in.end() || found->is_null()) return bad("missing_field", name + " is required.", name);
    if (!found->is_string()) return bad("invalid_type", name + " must be a string.", name);
    return found->get<std::string>();
  }
};

}  // namespace

std::optional<Surface> batch_surface(std::string_view endpoint) {
  for (const Surface surface : kSurfaces) {
    if (surface_route(surface) == endpoint) return surface;
  }
  return std::nullopt;
}

tl::expected<InputLine, BadLine> parse_input_line(std::string_view text, std::string_view endpoint,
                                                  const ModelCatalog& models) {
  LineReader reader;
  const auto parsed = http::parse_json(text);
  if (!parsed) return reader.bad("invalid_json_line", "The line is no JSON: " + parsed.error().message, "");
  const json& in = *parsed;
  if (!in.is_object()) return reader.bad("invalid_type", "The line must be a JSON object.", "");
  const auto custom_id = reader.text(in, "custom_id");
  if (!custom_id) return tl::unexpected(custom_id.error());
  if (custom_id->empty() || custom_id->size() > kCustomIdBytesMax) {
    return reader.bad("out_of_range", "custom_id must be 1 to 512 bytes long.", "custom_id");
  }
  reader.custom_id = *custom_id;
  const auto method = reader.text(in, "method");
  if (!method) return tl::unexpected(method.error());
  if (*method != "POST") return reader.bad("invalid_method", "method must be POST.", "method");
  const auto url = reader.text(in, "url");
  if (!url) return tl::unexpected(url.error());
  if (*url != endpoint) {
    return reader.bad("invalid_url", "url must be the batch's endpoint, " + std::string(endpoint) + ".",
                      "url");
  }
  InputLine line;
  line.custom_id = *custom_id;
  if (const auto callback = in.find("callback_url"); callback != in.end() && !callback->is_null()) {
    if (!callback->is_string()) {
      return reader.bad("invalid_type", "callback_url must be a string.", "callback_url");
    }
    line.callback_url = callback->get<std::string>();
    if (const Status good = check_callback_url(line.callback_url); !good) {
      return reader.bad("invalid_value", "callback_url " + good.error().message + ".", "callback_url");
    }
  }
  const auto body = in.find("body");
  if (body == in.end() || !body->is_object()) {
    return reader.bad(body == in.end() ? "missing_field" : "invalid_type", "body must be an object.", "body");
  }
  auto request = parse_completion(*batch_surface(endpoint), *body, models);
  if (!request) {
    const SubmitRefusal& refusal = request.error();
    return reader.bad(refusal.code, refusal.message,
                      refusal.param.empty() ? "body" : "body." + refusal.param);
  }
  if (request->stream) {
    return reader.bad("invalid_value", "stream can't be true in a batch.", "body.stream");
  }
  for (const char* of_batch : {"priority", "expires_in", "cache", "session_id", "cancel_on_disconnect"}) {
    const auto given = body->find(of_batch);
    if (given == body->end() || given->is_null()) continue;
    return reader.bad("invalid_value", std::string(of_batch) + " can't be set for a line of a batch.",
                      std::string("body.") + of_batch);
  }
  line.spec = std::move(request->spec);
  return line;
}

}  // namespace sluice::producer
