#include <gtest/gtest.h>

#include "common/crypto/crypto.h"
#include "common/store/webhook_endpoint_store.h"
#include "common/store/webhook_events.h"
#include "tests/support/mysql_test.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

class WebhookEndpoints : public testing::MysqlTest {
 protected:
  void prepare() override {
    database_->clear_jobs();
    for (const char* tenant : {"t", "other"}) {
      database_->execute(std::string("INSERT IGNORE INTO tenant (id, name, created_at) VALUES ('") + tenant +
                         "', 'x', UTC_TIMESTAMP(6))");
    }
    ids_ = std::make_unique<IdMaker>(database_->clock(), database_->rng());
    store_ = std::make_unique<WebhookEndpointStore>(database_->pool(), *ids_, database_->rng(), sealer('k'));
  }
  static std::optional<Sealer> sealer(char key_byte) {
    return *Sealer::make(Secret(base64_encode(std::string(32, key_byte))));
  }
  static Secret secret(char byte) { return Secret("whsec_" + base64_encode(std::string(32, byte))); }
  WebhookEndpoint fresh(const TenantId& tenant = TenantId{"t"}) {
    WebhookEndpoint endpoint;
    endpoint.id = ids_->make<WebhookEndpointId>(1);
    endpoint.tenant = tenant;
    endpoint.url = "https://a.example/hook";
    endpoint.description = "the warehouse's \xc3\xa9t\xc3\xa9";
    endpoint.events = "job.failed,job.dead";
    return endpoint;
  }
  WebhookEndpointId made(char byte = 'a', const TenantId& tenant = TenantId{"t"}) {
    const auto done = store_->create(fresh(tenant), secret(byte), soon());
    EXPECT_TRUE(done) << done.error().message;
    return done->id;
  }
  std::vector<std::string> secrets(const WebhookEndpointId& id) {
    const auto found = store_->secrets(id, soon());
    EXPECT_TRUE(found) << found.error().message;
    std::vector<std::string> values;
    for (const Secret& one : *found) values.push_back(one.reveal());
    return values;
  }
  std::int64_t number(const std::string& question) {
    const auto rows = database_->pool().query(Sql(question), soon());
    EXPECT_TRUE(rows) << rows.error().message;
    return rows->front().int64(0);
  }

  const TenantId tenant_{"t"};
  const TenantId other_{"other"};
  std::unique_ptr<IdMaker> ids_;
  std::unique_ptr<WebhookEndpointStore> store_;
};

TEST_F(WebhookEndpoints, AreFoundAsTheyWereMade) {
  const WebhookEndpoint wanted = fresh();
  const auto made = store_->create(wanted, secret('a'), soon());
  ASSERT_TRUE(made) << made.error().message;
  const auto found = store_->get(tenant_, wanted.id, soon());
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->url, wanted.url);
  EXPECT_EQ(found->description, wanted.description);
  EXPECT_EQ(found->events, wanted.events);
  EXPECT_TRUE(found->enabled);
  EXPECT_EQ(found->disabled_reason, "");
  EXPECT_GT(found->created_us, 0);
  EXPECT_EQ(found->failing_since_us + found->disabled_us + found->old_secret_until_us, 0);
}

TEST_F(WebhookEndpoints, ACreationThatIsRepeatedMakesOneWithTheSameSecret) {
  const WebhookEndpoint wanted = fresh();
  ASSERT_TRUE(store_->create(wanted, secret('a'), soon()));
  ASSERT_TRUE(store_->create(wanted, secret('a'), soon()));
  EXPECT_EQ(store_->list(tenant_, {}, 10, soon())->size(), 1U);
  EXPECT_EQ(secrets(wanted.id), std::vector{secret('a').reveal()});
}

TEST_F(WebhookEndpoints, ATenantHasAtMostSoMany) {
  for (int i = 0; i < kEndpointsMax; ++i) made();
  EXPECT_EQ(store_->create(fresh(), secret('a'), soon()).error().code, ErrorCode::kExhausted);
  EXPECT_TRUE(store_->create(fresh(other_), secret('a'), soon()));
}

TEST_F(WebhookEndpoints, ArePagedNewestFirst) {
  std::vector<WebhookEndpointId> all;
  for (int i = 0; i < 3; ++i) all.push_back(made());
  made('a', other_);
  const auto first = store_->list(tenant_, {}, 2, soon());
  ASSERT_EQ(first->size(), 2U);
  EXPECT_EQ(first->front().id, all[2]);
  const auto rest = store_->list(tenant_, first->back().id, 2, soon());
  ASSERT_EQ(rest->size(), 1U);
  EXPECT_EQ(rest->front().id, all[0]);
}

TEST_F(WebhookEndpoints, BelongToTheirTenantAlone) {
  const WebhookEndpointId id = made();
  EXPECT_EQ(store_->get(other_, id, soon()).error().code, ErrorCode::kNotFound);
  EndpointChanges changes;
  changes.enabled = false;
  EXPECT_EQ(store_->update(other_, id, changes, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store_->rotate(other_, id, secret('b'), hours(24), soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store_->send_test(other_, id, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store_->remove(other_, id, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(store_->get(tenant_, id, soon())->enabled);
  EXPECT_EQ(secrets(id), std::vector{secret('a').reveal()});
}

TEST_F(WebhookEndpoints, ChangeAsAskedAndOnlyThat) {
  const WebhookEndpointId id = made();
  EndpointChanges changes;
  changes.events = "*";
  changes.enabled = false;
  auto changed = store_->update(tenant_, id, changes, soon());
  ASSERT_TRUE(changed);
  EXPECT_EQ(changed->events, "*");
  EXPECT_EQ(changed->url, "https://a.example/hook");
  EXPECT_FALSE(changed->enabled);
  EXPECT_EQ(changed->disabled_reason, "request");
  EXPECT_GT(changed->disabled_us, 0);
  // Disabling it again keeps why and since when.
  database_->execute(
      "UPDATE webhook_endpoint SET disabled_reason = 'gone', failing_since = UTC_TIMESTAMP(6)");
  EXPECT_EQ(store_->update(tenant_, id, changes, soon())->disabled_reason, "gone");
  changes = {};
  changes.enabled = true;
  changed = store_->update(tenant_, id, changes, soon());
  EXPECT_TRUE(changed->enabled);
  EXPECT_EQ(changed->disabled_reason, "");
  EXPECT_EQ(changed->failing_since_us, 0);
}

TEST_F(WebhookEndpoints, WhatWaitsForTheOrderGoesOnOnceItIsNotAskedForAnyMore) {
  WebhookEndpoint wanted = fresh();
  wanted.ordered = true;
  const auto made = store_->create(wanted, secret('a'), soon());
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(made->ordered);
  ASSERT_TRUE(store_->send_test(tenant_, wanted.id, soon()));
  const auto retried = store_->send_test(tenant_, wanted.id, soon());
  database_->execute("UPDATE delivery SET behind = 1, attempt_due = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR");
  database_->execute("UPDATE delivery SET behind = 0 WHERE id = '" + retried->value + "'");
  const auto due = [&] {
    return number("SELECT COUNT(*) FROM delivery WHERE attempt_due <= UTC_TIMESTAMP(6)");
  };
  EndpointChanges changes;
  changes.description = "still in order";
  EXPECT_TRUE(store_->update(tenant_, wanted.id, changes, soon())->ordered);
  EXPECT_EQ(due(), 0);
  changes.ordered = false;
  EXPECT_FALSE(store_->update(tenant_, wanted.id, changes, soon())->ordered);
  EXPECT_EQ(due(), 1);  // What waits for another attempt goes on waiting.
}

TEST_F(WebhookEndpoints, WhatWaitsForTheOrderIsLookedAtAgainWheneverItMayBeLeftWaiting) {
  const WebhookEndpointId id = made();
  ASSERT_TRUE(store_->send_test(tenant_, id, soon()));
  const auto due_after = [&](const EndpointChanges& changes) {
    database_->execute("UPDATE delivery SET behind = 1, attempt_due = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR");
    EXPECT_TRUE(store_->update(tenant_, id, changes, soon()));
    return number("SELECT COUNT(*) FROM delivery WHERE attempt_due <= UTC_TIMESTAMP(6)");
  };
  EndpointChanges described;
  described.description = "as before";
  EndpointChanges unordered;
  unordered.ordered = false;  // As it is: an earlier call may have been cut off.
  EndpointChanges disabled;
  disabled.enabled = false;
  EndpointChanges enabled;
  enabled.enabled = true;
  EXPECT_EQ(due_after(described), 0);
  EXPECT_EQ(due_after(unordered), 1);
  EXPECT_EQ(due_after(disabled), 0);
  EXPECT_EQ(due_after(enabled), 1);  // What it waited for may have failed unsent meanwhile.
  EXPECT_EQ(due_after(enabled), 1);
}

TEST_F(WebhookEndpoints, AChangeStandsThoughNothingThatWaitsCanBeWoken) {
  const WebhookEndpointId id = made();
  ASSERT_TRUE(store_->send_test(tenant_, id, soon()));
  database_->execute("UPDATE delivery SET behind = 1, attempt_due = UTC_TIMESTAMP(6) + INTERVAL 1 HOUR");
  database_->execute("UPDATE webhook_endpoint SET ordered = 1");
  EndpointChanges changes;
  changes.ordered = false;
  const auto held = database_->pool().transaction(soon(), [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_TRY(db.query(Sql("SELECT id FROM delivery FOR UPDATE"), soon()));
    const auto changed = store_->update(tenant_, id, changes, Deadline::in(database_->clock(), seconds(1)));
    EXPECT_TRUE(changed) << changed.error().message;
    EXPECT_FALSE(changed && changed->ordered);
    return true;
  });
  EXPECT_TRUE(held) << held.error().message;
  EXPECT_EQ(number("SELECT ordered FROM webhook_endpoint"), 0);
}

TEST_F(WebhookEndpoints, EnablingOrANewUrlForgetsTheFailingOfAnEnabledOne) {
  const WebhookEndpointId id = made();
  EndpointChanges described;
  described.description = "failing all the same";
  described.url = "https://a.example/hook";  // Where it is.
  EndpointChanges enabled;
  enabled.enabled = true;
  EndpointChanges moved;
  moved.url = "https://b.example/hook";
  const std::pair<EndpointChanges, bool> cases[] = {{described, false}, {enabled, true}, {moved, true}};
  for (const auto& [changes, forgets] : cases) {
    database_->execute("UPDATE webhook_endpoint SET failing_since = UTC_TIMESTAMP(6)");
    const auto changed = store_->update(tenant_, id, changes, soon());
    ASSERT_TRUE(changed) << changed.error().message;
    EXPECT_EQ(changed->failing_since_us == 0, forgets);
  }
}

TEST_F(WebhookEndpoints, ARemovedOneIsGone) {
  const WebhookEndpointId id = made();
  ASSERT_TRUE(store_->remove(tenant_, id, soon()));
  EXPECT_EQ(store_->get(tenant_, id, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store_->secrets(id, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(store_->remove(tenant_, id, soon()).error().code, ErrorCode::kNotFound);
}

TEST_F(WebhookEndpoints, SecretsAreSealedForTheirEndpointAndKey) {
  const WebhookEndpointId id = made();
  EXPECT_EQ(number("SELECT COUNT(*) FROM webhook_endpoint WHERE INSTR(secret_sealed, 'whsec_') > 0"), 0);
  WebhookEndpointStore stranger(database_->pool(), *ids_, database_->rng(), sealer('x'));
  EXPECT_EQ(stranger.secrets(id, soon()).error().code, ErrorCode::kCorrupt);
  const WebhookEndpointId thief = made('b');
  database_->execute(
      "UPDATE webhook_endpoint a, webhook_endpoint b SET a.secret_sealed = b.secret_sealed WHERE a.id = '" +
      thief.value + "' AND b.id = '" + id.value + "'");
  EXPECT_EQ(store_->secrets(thief, soon()).error().code, ErrorCode::kCorrupt);
  WebhookEndpointStore keyless(database_->pool(), *ids_, database_->rng(), std::nullopt);
  EXPECT_FALSE(keyless.can_seal());
  EXPECT_EQ(keyless.create(fresh(), secret('a'), soon()).error().code, ErrorCode::kInternal);
  EXPECT_EQ(keyless.secrets(id, soon()).error().code, ErrorCode::kInternal);
}

TEST_F(WebhookEndpoints, BothSecretsSignUntilTheOldOneEnds) {
  const WebhookEndpointId id = made('a');
  const auto rotated = store_->rotate(tenant_, id, secret('b'), hours(24), soon());
  ASSERT_TRUE(rotated) << rotated.error().message;
  EXPECT_GT(rotated->old_secret_until_us, rotated->created_us);
  EXPECT_EQ(secrets(id), (std::vector{secret('b').reveal(), secret('a').reveal()}));
  EXPECT_EQ(number("SELECT secret_old_until BETWEEN UTC_TIMESTAMP(6) + INTERVAL 23 HOUR AND UTC_TIMESTAMP(6) "
                   "+ INTERVAL "
                   "24 HOUR FROM webhook_endpoint"),
            1);
  database_->execute("UPDATE webhook_endpoint SET secret_old_until = UTC_TIMESTAMP(6)");
  EXPECT_EQ(secrets(id), std::vector{secret('b').reveal()});
  EXPECT_EQ(store_->get(tenant_, id, soon())->old_secret_until_us, 0);
}

TEST_F(WebhookEndpoints, ARotationThatIsRepeatedKeepsTheSecretBefore) {
  const WebhookEndpointId id = made('a');
  ASSERT_TRUE(store_->rotate(tenant_, id, secret('b'), hours(24), soon()));
  ASSERT_TRUE(store_->rotate(tenant_, id, secret('b'), hours(24), soon()));
  EXPECT_EQ(secrets(id), (std::vector{secret('b').reveal(), secret('a').reveal()}));
}

TEST_F(WebhookEndpoints, RotatingMendsASecretThatCannotBeOpened) {
  const WebhookEndpointId id = made('a');
  WebhookEndpointStore other(database_->pool(), *ids_, database_->rng(), sealer('x'));
  ASSERT_TRUE(other.rotate(tenant_, id, secret('b'), hours(24), soon()));
  auto found = other.secrets(id, soon());
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->size(), 1U);
  EXPECT_EQ(other.get(tenant_, id, soon())->old_secret_until_us, 0);
  // An old one that can't be opened, however it came there, leaves the newest to sign.
  ASSERT_TRUE(other.rotate(tenant_, id, secret('c'), hours(24), soon()));
  database_->execute("UPDATE webhook_endpoint SET secret_old_sealed = 'x'");
  found = other.secrets(id, soon());
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->size(), 1U);
  EXPECT_EQ(found->front().reveal(), secret('c').reveal());
}

TEST_F(WebhookEndpoints, ARotationWithoutOverlapEndsTheOldSecretNow) {
  const WebhookEndpointId id = made('a');
  ASSERT_TRUE(store_->rotate(tenant_, id, secret('b'), hours(24), soon()));
  ASSERT_TRUE(store_->rotate(tenant_, id, secret('c'), seconds(0), soon()));
  EXPECT_EQ(secrets(id), std::vector{secret('c').reveal()});
}

TEST_F(WebhookEndpoints, AKeyPairsPublicKeyIsToldAndChangesWithIt) {
  WebhookEndpoint wanted = fresh();
  wanted.signing = WebhookSigning::kEd25519;
  const Secret first = make_webhook_secret(WebhookSigning::kEd25519, database_->rng());
  const Secret second = make_webhook_secret(WebhookSigning::kEd25519, database_->rng());
  const auto public_key = [](const Secret& one) { return webhook_public_key(*parse_webhook_secret(one)); };
  EXPECT_EQ(store_->create(wanted, secret('a'), soon()).error().code, ErrorCode::kInvalid);
  const auto made = store_->create(wanted, first, soon());
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->signing, WebhookSigning::kEd25519);
  EXPECT_EQ(made->public_key, public_key(first));
  EXPECT_EQ(store_->rotate(tenant_, wanted.id, secret('a'), hours(24), soon()).error().code,
            ErrorCode::kInvalid);
  const auto rotated = store_->rotate(tenant_, wanted.id, second, hours(24), soon());
  ASSERT_TRUE(rotated) << rotated.error().message;
  EXPECT_EQ(rotated->public_key, public_key(second));
  EXPECT_EQ(secrets(wanted.id), (std::vector{second.reveal(), first.reveal()}));
  const auto shared = store_->get(tenant_, this->made(), soon());
  EXPECT_EQ(shared->signing, WebhookSigning::kHmac);
  EXPECT_EQ(shared->public_key, "");
}

TEST_F(WebhookEndpoints, ATestEventIsADeliveryToThatEndpointAlone) {
  const WebhookEndpointId id = made();
  made();
  const auto sent = store_->send_test(tenant_, id, soon());
  ASSERT_TRUE(sent) << sent.error().message;
  EXPECT_EQ(number("SELECT COUNT(*) FROM delivery"), 1);
  EXPECT_EQ(
      number(
          "SELECT COUNT(*) FROM delivery d JOIN event_payload p ON p.event_id = d.event_id WHERE d.id = '" +
          sent->value + "' AND d.endpoint_id = '" + id.value +
          "' AND d.tenant_id = 't' AND d.state = 'pending' " +
          "AND d.endpoint = d.endpoint_id AND p.body LIKE '%\"webhook_endpoint.test\"%'"),
      1);
  EndpointChanges off;
  off.enabled = false;
  ASSERT_TRUE(store_->update(tenant_, id, off, soon()));
  EXPECT_EQ(store_->send_test(tenant_, id, soon()).error().code, ErrorCode::kConflict);
}

TEST(WebhookEventTypes, AListHoldsWholeTypes) {
  EXPECT_TRUE(chosen_events_hold("*", "job.dead"));
  EXPECT_TRUE(chosen_events_hold("job.failed,job.dead", "job.dead"));
  EXPECT_TRUE(chosen_events_hold("job.dead,job.failed", "job.dead"));
  EXPECT_FALSE(chosen_events_hold("job.failed", "job.dead"));
  EXPECT_FALSE(chosen_events_hold("job.deadly,a.job.dead", "job.dead"));
  EXPECT_FALSE(chosen_events_hold("", "job.dead"));
}

}  // namespace
}  // namespace sluice
