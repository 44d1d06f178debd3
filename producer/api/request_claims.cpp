#include "producer/api/request_claims.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "common/crypto/crypto.h"
#include "common/http/body_json.h"
#include "common/http/error_response.h"
#include "producer/api/answers.h"

namespace sluice::producer {

namespace {

constexpr std::string_view kKey = "Idempotency-Key";
constexpr std::string_view kRetryCount = "X-Stainless-Retry-Count";
constexpr std::size_t kKeyCharactersMax = 255;

std::string hash(std::string_view text) {
  return to_hex(sha256(text));
}

// Members in one order and without blanks: the same request has the same text.
std::string fingerprint_of(std::string_view route, const nlohmann::json& body) {
  return hash(std::string(route) + "\n" + http::dump_json(body));
}

http::Response bad_key() {
  return http::error_response(400, http::error_type::kInvalidRequest, "invalid_idempotency_key",
                              "Idempotency-Key must be a string of 1 to 255 visible characters.", kKey);
}

http::Response other_request() {
  return http::error_response(422, http::error_type::kInvalidRequest, "idempotency_key_reused",
                              "Another request was made with this Idempotency-Key.", kKey);
}

}  // namespace

std::optional<std::string> parse_idempotency_key(std::string_view value) {
  std::string key;
  if (value.starts_with('"')) {
    if (value.size() < 2 || value.back() != '"') return std::nullopt;
    value = value.substr(1, value.size() - 2);
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (value[i] == '"') return std::nullopt;
      if (value[i] == '\\') {
        if (++i == value.size() || (value[i] != '"' && value[i] != '\\')) return std::nullopt;
      }
      key += value[i];
    }
  } else {
    key = value;
  }
  const bool visible = std::all_of(key.begin(), key.end(), [](char c) { return c >= ' ' && c <= '~'; });
  if (key.empty() || key.size() > kKeyCharactersMax || !visible) return std::nullopt;
  return key;
}

bool may_be_repeated(const http::RequestHead& head) {
  return head.headers.contains(kKey) || head.headers.contains(kRetryCount);
}

tl::expected<RequestClaims::Looked, http::Response> RequestClaims::look(
    const http::RequestHead& head, const TenantId& tenant, std::string_view route, const nlohmann::json& body,
    KnownBy known_by, Deadline deadline) const {
  Looked looked;
  if (!may_be_repeated(head)) return looked;
  auto key = named(head);
  if (!key) return tl::unexpected(std::move(key.error()));
  const bool has_key = key->has_value();
  // No claim either: nobody would ever ask for it.
  if (!has_key && known_by == KnownBy::kKeyAlone) return looked;
  IdempotencyClaim claim = has_key ? std::move(**key) : IdempotencyClaim{"", "", config_.retry_window_s};
  claim.fingerprint = fingerprint_of(route, body);
  if (has_key) {
    auto existing = find(tenant, claim, deadline);
    if (!existing) return tl::unexpected(std::move(existing.error()));
    looked.existing = std::move(*existing);
  } else {
    const auto count = *head.headers.get(kRetryCount);
    if (!count.empty() && count != "0") {
      // If this can't be read the request is as good as a new one.
      auto existing = store_.find_request(tenant, claim.fingerprint, config_.retry_window_s, deadline);
      if (existing && *existing) {
        metrics_.repeated.with({"retry"}).add();
        looked.existing = std::move(**existing);
      }
    }
  }
  looked.claim = std::move(claim);
  return looked;
}

tl::expected<std::optional<IdempotencyClaim>, http::Response> RequestClaims::named(
    const http::RequestHead& head) const {
  const auto given = head.headers.get(kKey);
  if (!given) return std::nullopt;
  const auto key = parse_idempotency_key(*given);
  if (!key) return tl::unexpected(bad_key());
  return IdempotencyClaim{hash(*key), "", config_.keep_s};
}

tl::expected<std::optional<IdempotencyRecord>, http::Response> RequestClaims::find(
    const TenantId& tenant, const IdempotencyClaim& claim, Deadline deadline) const {
  const auto existing = store_.find_key(tenant, claim.key_hash, deadline);
  if (!existing) return tl::unexpected(store_failure(existing.error()));
  if (!*existing) return std::nullopt;
  auto same = settle(claim, *existing);
  if (!same) return tl::unexpected(std::move(same.error()));
  return std::move(*same);
}

tl::expected<IdempotencyRecord, http::Response> RequestClaims::settle(
    const IdempotencyClaim& claim, const std::optional<IdempotencyRecord>& existing) const {
  if (!existing) {
    metrics_.repeated.with({"unsettled"}).add();
    http::Response response = http::error_response(409, http::error_type::kConflict, "idempotency_key_in_use",
                                                   "A request with this Idempotency-Key is under way.", kKey);
    response.headers.set("Retry-After", "1");
    return tl::unexpected(std::move(response));
  }
  if (existing->fingerprint != claim.fingerprint) {
    metrics_.repeated.with({"other"}).add();
    return tl::unexpected(other_request());
  }
  metrics_.repeated.with({"key"}).add();
  return *existing;
}

}  // namespace sluice::producer
