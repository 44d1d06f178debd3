#include "common/store/key_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/crypto/crypto.h"
#include "common/store/mysql_account_store.h"
#include "common/store/mysql_audit_store.h"
#include "common/store/mysql_key_store.h"
#include "tests/support/mysql_test.h"

namespace sluice {
namespace {

using ::testing::SizeIs;

const Actor kActor{TenantId{"ops"}, "night shift ...1234"};

class Keys : public testing::MysqlTest {
 protected:
  void prepare() override {
    database_->clear_jobs();
    database_->execute("DELETE FROM api_key");
    ids_ = std::make_unique<IdMaker>(database_->clock(), database_->rng());
    accounts_ = std::make_unique<MysqlAccountStore>(
        database_->pool(), database_->rng(),
        Sealer::make(Secret(base64_encode(std::string(32, 'k')))).value());
    keys_ = std::make_unique<MysqlKeyStore>(database_->pool(), *ids_);
    ASSERT_TRUE(accounts_->put_tenant(TenantId{"acme"}, "acme", Secret("whsec_x"), soon()).has_value());
  }

  std::unique_ptr<IdMaker> ids_;
  std::unique_ptr<MysqlAccountStore> accounts_;
  std::unique_ptr<MysqlKeyStore> keys_;
};

TEST_F(Keys, AMadeKeyWorksUntilItIsRevoked) {
  const Secret key("sk-sluice-made-for-a-test-0001");
  const auto made = keys_->create_key(TenantId{"acme"}, "ci", key, kScopeRead, kActor, soon());
  ASSERT_TRUE(made.has_value()) << made.error().message;
  EXPECT_TRUE(is_key_id(made->id));
  EXPECT_EQ(made->hint, "...0001");
  EXPECT_EQ(made->scopes, kScopeRead);
  EXPECT_EQ(made->revoked_us, 0);
  EXPECT_EQ(accounts_->find_key(key, soon())->key_name, "ci");

  const auto revoked = keys_->revoke_key(made->id, kActor, soon());
  ASSERT_TRUE(revoked.has_value());
  EXPECT_GT(revoked->revoked_us, 0);
  EXPECT_EQ(accounts_->find_key(key, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(keys_->revoke_key(made->id, kActor, soon())->revoked_us, revoked->revoked_us) << "once is enough";

  MysqlAuditStore audit(database_->pool(), *ids_);
  const auto entries = *audit.list_audit({"keys.", {}, 20}, soon());
  ASSERT_THAT(entries, SizeIs(2));
  EXPECT_EQ(entries[0].action, "keys.revoke");
  EXPECT_EQ(entries[1].target, made->id);
}

TEST_F(Keys, AreListedByTenantWithoutTheirValue) {
  ASSERT_TRUE(accounts_->put_tenant(TenantId{"other"}, "o", Secret("whsec_x"), soon()).has_value());
  ASSERT_TRUE(keys_->create_key(TenantId{"acme"}, "a", Secret("sk-a-0123456789012345"), 1, kActor, soon())
                  .has_value());
  ASSERT_TRUE(keys_->create_key(TenantId{"other"}, "b", Secret("sk-b-0123456789012345"), 7, kActor, soon())
                  .has_value());
  EXPECT_THAT(*keys_->list_keys(TenantId{}, soon()), SizeIs(2));
  const auto own = *keys_->list_keys(TenantId{"other"}, soon());
  ASSERT_THAT(own, SizeIs(1));
  EXPECT_EQ(own[0].name, "b");
  EXPECT_EQ(own[0].scopes, 7U);
}

TEST_F(Keys, UnknownTenantsAndIdsAreRefused) {
  EXPECT_EQ(keys_->create_key(TenantId{"nobody"}, "a", Secret("sk-a-0123456789012345"), 1, kActor, soon())
                .error()
                .code,
            ErrorCode::kNotFound);
  for (const char* id :
       {"key_0123456789abcdef", "key_", "sk-a", "key_0123456789ABCDEF", "key_0123456789abcdef' OR 1"}) {
    EXPECT_EQ(keys_->revoke_key(id, kActor, soon()).error().code, ErrorCode::kNotFound) << id;
  }
}

}  // namespace
}  // namespace sluice
