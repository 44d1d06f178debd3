#include <gtest/gtest.h>

#include "common/crypto/crypto.h"
#include "common/store/mysql_account_store.h"
#include "tests/support/mysql_test.h"

namespace sluice {
namespace {

class Accounts : public testing::MysqlTest {
 protected:
  MysqlAccountStore store(char key_byte = 'k') {
    const auto sealer = Sealer::make(Secret(base64_encode(std::string(32, key_byte))));
    EXPECT_TRUE(sealer.has_value());
    return MysqlAccountStore(database_->pool(), database_->rng(), *sealer);
  }
};

TEST_F(Accounts, AKeyIsFoundByItsValueAloneAndNeverStored) {
  auto accounts = store();
  const Secret key("sk-sluice-test-0123456789");
  ASSERT_TRUE(accounts.put_key(TenantId{"acme"}, "ci", key, kScopeSubmit | kScopeRead, soon()).has_value());
  const auto principal = accounts.find_key(key, soon());
  ASSERT_TRUE(principal.has_value());
  EXPECT_EQ(principal->tenant.value, "acme");
  EXPECT_EQ(principal->scopes, kScopeSubmit | kScopeRead);
  EXPECT_EQ(principal->key_hint, "...6789");
  EXPECT_EQ(accounts.find_key(Secret("sk-sluice-test-012345678"), soon()).error().code, ErrorCode::kNotFound);
  const auto rows = database_->pool().query(Sql("SELECT * FROM api_key WHERE tenant_id = 'acme'"), soon());
  for (std::size_t i = 0; i < rows->columns(); ++i) {
    const bool leaked =
        !rows->front().is_null(i) && rows->front().text(i).find(key.reveal()) != std::string_view::npos;
    EXPECT_FALSE(leaked) << "column " << i;
  }
}

TEST_F(Accounts, PuttingAKeyAgainChangesItsScopes) {
  auto accounts = store();
  const Secret key("sk-again");
  ASSERT_TRUE(accounts.put_key(TenantId{"t"}, "n", key, kScopeRead, soon()).has_value());
  ASSERT_TRUE(accounts.put_key(TenantId{"t"}, "n", key, kScopeRead | kScopeAdmin, soon()).has_value());
  // Of another tenant it isn't made: whoever has it would lose all that is its own.
  EXPECT_EQ(accounts.put_key(TenantId{"other"}, "n", key, kScopeRead, soon()).error().code,
            ErrorCode::kConflict);
  EXPECT_EQ(accounts.find_key(key, soon())->scopes, kScopeRead | kScopeAdmin);
}

TEST_F(Accounts, ARevokedKeyIsUnknown) {
  auto accounts = store();
  const Secret key("sk-revoked");
  ASSERT_TRUE(accounts.put_key(TenantId{"revoked"}, "n", key, kScopeRead, soon()).has_value());
  database_->execute("UPDATE api_key SET revoked_at = UTC_TIMESTAMP(6) WHERE tenant_id = 'revoked'");
  EXPECT_EQ(accounts.find_key(key, soon()).error().code, ErrorCode::kNotFound);
}

TEST_F(Accounts, AWebhookSecretIsSealedForItsTenantAndKey) {
  auto accounts = store();
  const Secret secret("whsec_bm90IGEgcmVhbCBzZWNyZXQgYXQgYWxs");
  ASSERT_TRUE(accounts.put_tenant(TenantId{"seal"}, "Seal", secret, soon()).has_value());
  EXPECT_EQ(accounts.webhook_secret(TenantId{"seal"}, soon())->reveal(), secret.reveal());
  EXPECT_EQ(store('x').webhook_secret(TenantId{"seal"}, soon()).error().code, ErrorCode::kCorrupt);
  database_->execute(
      "INSERT INTO tenant (id, name, webhook_secret_sealed, created_at) SELECT 'thief', 'Thief', "
      "webhook_secret_sealed, created_at FROM tenant WHERE id = 'seal'");
  EXPECT_EQ(accounts.webhook_secret(TenantId{"thief"}, soon()).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(accounts.webhook_secret(TenantId{"nobody"}, soon()).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace sluice
