#include "producer/api/request_claims.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "producer/api/sessions.h"
#include "tests/support/fake_job_store.h"

namespace sluice::producer {
namespace {

using std::chrono::seconds;
using KnownBy = RequestClaims::KnownBy;

class RequestClaimsTest : public ::testing::Test {
 protected:
  static http::RequestHead head(const char* name, const char* value) {
    http::RequestHead head;
    head.headers.set(name, value);
    return head;
  }
  RequestClaims::Looked look(const http::RequestHead& head, KnownBy known_by) {
    return claims_.look(head, kTenant, "/v1/chat/completions", body_, known_by, soon()).value();
  }
  // The job that a request with this claim makes.
  std::string accept(std::optional<IdempotencyClaim> claim) {
    std::vector<Submission> all(1);
    NewJob& fresh = all[0].jobs.emplace_back();
    fresh.job.id = ids_.make<JobId>(0);
    fresh.job.tenant = kTenant;
    fresh.job.model = "m";
    all[0].claim = std::move(claim);
    EXPECT_TRUE(store_.submit(all, soon())[0].has_value());
    return all[0].resource_id();
  }
  Deadline soon() { return Deadline::in(clock_, seconds(5)); }

  const TenantId kTenant{"t"};
  const nlohmann::json body_ = {{"messages", {{{"role", "user"}, {"content", "Go on."}}}}};
  const http::RequestHead first_ = head("X-Stainless-Retry-Count", "0");
  const http::RequestHead again_ = head("X-Stainless-Retry-Count", "1");
  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  testing::FakeJobStore store_{clock_, ids_};
  RequestClaims claims_{store_, {}, {}};
};

TEST_F(RequestClaimsTest, AnSdksRepetitionIsKnownByItsBody) {
  RequestClaims::Looked first = look(first_, KnownBy::kKeyOrBody);
  ASSERT_TRUE(first.claim.has_value());
  EXPECT_FALSE(first.existing.has_value());
  const std::string job = accept(std::move(first.claim));
  EXPECT_FALSE(look(first_, KnownBy::kKeyOrBody).existing.has_value()) << "an equal request";
  const auto again = look(again_, KnownBy::kKeyOrBody);
  ASSERT_TRUE(again.existing.has_value());
  EXPECT_EQ(again.existing->resource_id, job);
}

// Its first try was refused, so the only equal request that made a job is an earlier turn.
TEST_F(RequestClaimsTest, ATurnWithoutAKeyIsNoEarlierTurnSentAgain) {
  EXPECT_EQ(claims_of_turn(false), KnownBy::kKeyOrBody);
  ASSERT_EQ(claims_of_turn(true), KnownBy::kKeyAlone);
  const RequestClaims::Looked first = look(first_, claims_of_turn(true));
  EXPECT_FALSE(first.claim.has_value());
  (void)accept(look(first_, KnownBy::kKeyOrBody).claim);
  const RequestClaims::Looked next = look(again_, claims_of_turn(true));
  EXPECT_FALSE(next.existing.has_value());
  EXPECT_FALSE(next.claim.has_value());
}

TEST_F(RequestClaimsTest, ATurnWithAKeyIsKnownByThat) {
  const http::RequestHead keyed = head("Idempotency-Key", "turn");
  RequestClaims::Looked first = look(keyed, claims_of_turn(true));
  ASSERT_TRUE(first.claim.has_value());
  const std::string job = accept(std::move(first.claim));
  const auto again = look(keyed, claims_of_turn(true));
  ASSERT_TRUE(again.existing.has_value());
  EXPECT_EQ(again.existing->resource_id, job);
  EXPECT_FALSE(claims_.look(head("Idempotency-Key", ""), kTenant, "/", body_, claims_of_turn(true), soon())
                   .has_value());
}

}  // namespace
}  // namespace sluice::producer
