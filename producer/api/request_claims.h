// Requests that are sent again: by clients that name them (Idempotency-Key), and by OpenAI's SDKs, which
// repeat a request by themselves and say so (X-Stainless-Retry-Count).
//
// Safe for concurrent use. What it is given must outlive it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>
#include <tl/expected.hpp>

#include "common/base/clock.h"
#include "common/http/message.h"
#include "common/store/idempotency_store.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct RequestClaimsConfig {
  std::int64_t keep_s = 86'400;  // A key is known for so long.
  // After so long a request of an SDK is no repetition any more. SDKs give up on an answer after ten minutes.
  std::int64_t retry_window_s = 1'200;
};

class RequestClaims {
 public:
  RequestClaims(IdempotencyStore& store, RequestClaimsConfig config, ApiMetrics metrics)
      : store_(store), config_(config), metrics_(std::move(metrics)) {}

  struct Looked {
    std::optional<IdempotencyClaim> claim;      // Goes into the submission; none: an ordinary request.
    std::optional<IdempotencyRecord> existing;  // The same request made this before: answer with it.
  };
  // What tells a request that is sent again from one that happens to be equal.
  enum class KnownBy {
    kKeyOrBody,  // Without a key an SDK's repetition is known by its route and body.
    kKeyAlone,   // Equal bodies ask for different things, as the turns of a session do: "Go on." twice.
  };
  // Before anything is made; reads the database only if the request is one of these. Refused: 400 for a
  // malformed key, 422 for one that another request had, 503 where the database can't tell.
  tl::expected<Looked, http::Response> look(const http::RequestHead& head, const TenantId& tenant,
                                            std::string_view route, const nlohmann::json& body,
                                            KnownBy known_by, Deadline deadline) const;

  // The claim of a request that names itself, still without its fingerprint; nullopt: it doesn't. Refused:
  // 400 for a malformed key.
  tl::expected<std::optional<IdempotencyClaim>, http::Response> named(const http::RequestHead& head) const;
  // What the request with this claim made before; nullopt: nothing. Refused: 422 if another request had the
  // key, 503 where the database can't tell.
  tl::expected<std::optional<IdempotencyRecord>, http::Response> find(const TenantId& tenant,
                                                                      const IdempotencyClaim& claim,
                                                                      Deadline deadline) const;

  // What a submission whose key was taken meanwhile comes to. Refused: 422 for another request's key, 409 if
  // it can't be told yet what has it.
  tl::expected<IdempotencyRecord, http::Response> settle(
      const IdempotencyClaim& claim, const std::optional<IdempotencyRecord>& existing) const;

 private:
  IdempotencyStore& store_;
  const RequestClaimsConfig config_;
  const ApiMetrics metrics_;
};

// The key of `Idempotency-Key: "…"` (an RFC 8941 string, or bare); nullopt: not 1 to 255 visible characters.
std::optional<std::string> parse_idempotency_key(std::string_view value);
// Whether look() would do anything.
bool may_be_repeated(const http::RequestHead& head);

}  // namespace sluice::producer
