#include "common/crypto/crypto.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace sluice {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out.push_back(static_cast<char>(value));
  return out;
}

// FIPS 180-4 examples (and the empty message).
TEST(Sha256, PublishedVectors) {
  EXPECT_EQ(to_hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(to_hex(sha256(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// RFC 8032, section 7.1, tests 1 and 2.
TEST(Ed25519, PublishedVectors) {
  const std::string empty =
      bytes({0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
             0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60});
  EXPECT_EQ(to_hex(ed25519_public_key(empty)),
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_EQ(to_hex(ed25519_sign(empty, "")),
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b");
  const std::string one =
      bytes({0x4c, 0xcd, 0x08, 0x9b, 0x28, 0xff, 0x96, 0xda, 0x9d, 0xb6, 0xc3, 0x46, 0xec, 0x11, 0x4e, 0x0f,
             0x5b, 0x8a, 0x31, 0x9f, 0x35, 0xab, 0xa6, 0x24, 0xda, 0x8c, 0xf6, 0xed, 0x4f, 0xb8, 0xa6, 0xfb});
  EXPECT_EQ(to_hex(ed25519_public_key(one)),
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  EXPECT_EQ(to_hex(ed25519_sign(one, "\x72")),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            "387b2eaeb4302aeeb00d291612bb0c00");
}

struct HmacVector {
  std::string key;
  std::string data;
  std::string mac;
};

// RFC 4231, test cases 1-4, 6 and 7 (5 is truncated).
TEST(Sha256, PiecesComeToTheSame) {
  const std::string data(1000, 'x');
  for (const std::size_t piece : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{1000}}) {
    Sha256Stream stream;
    for (std::size_t at = 0; at < data.size(); at += piece)
      stream.add(std::string_view(data).substr(at, piece));
    EXPECT_EQ(stream.finish(), sha256(data)) << piece;
  }
  EXPECT_EQ(Sha256Stream().finish(), sha256(""));
}

TEST(HmacSha256, Rfc4231) {
  std::string counting;
  for (int i = 1; i <= 25; ++i) counting.push_back(static_cast<char>(i));
  const HmacVector vectors[] = {
      {std::string(20, '\x0b'), "Hi There",
       "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?",
       "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {counting, std::string(50, '\xcd'), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::string(131, '\xaa'),
       "This is a test using a larger than block-size key and a larger than block-size data. The key needs "
       "to "
       "be hashed before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
  };
  for (const HmacVector& vector : vectors)
    EXPECT_EQ(to_hex(hmac_sha256(vector.key, vector.data)), vector.mac);
}

TEST(HmacSha256, EmptyKeyAndData) {
  EXPECT_EQ(to_hex(hmac_sha256("", "")), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
  EXPECT_EQ(to_hex(hmac_sha256({}, {})), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

TEST(Base64, Rfc4648) {
  const std::pair<std::string, std::string> vectors[] = {
      {"", ""},
      {"f", "Zg=="},
      {"fo", "Zm8="},
      {"foo", "Zm9v"},
      {"foob", "Zm9vYg=="},
      {"fooba", "Zm9vYmE="},
      {"foobar", "Zm9vYmFy"},
  };
  for (const auto& [plain, text] : vectors) {
    EXPECT_EQ(base64_encode(plain), text);
    const auto decoded = base64_decode(text);
    ASSERT_TRUE(decoded) << text;
    EXPECT_EQ(*decoded, plain);
  }
  EXPECT_EQ(base64_encode(bytes({0xfb, 0xff, 0xfe})), "+//+");
}

TEST(Base64, RoundTripOfEveryLength) {
  SeededRng rng(7);
  for (std::size_t size = 0; size < 100; ++size) {
    std::string plain(size, '\0');
    rng.fill(std::span(reinterpret_cast<std::uint8_t*>(plain.data()), plain.size()));
    const auto decoded = base64_decode(base64_encode(plain));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, plain);
  }
}

TEST(Base64, RefusesAnythingElse) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "====", "=g==", "Zg=a", "Z===", "Zm9v\n", "Zm 9",
                           "Zm9-", "Zm9_", "Zh==", "Zm9=", "Zg==Zg==", "\xff\xff\xff\xff"}) {
    const auto decoded = base64_decode(text);
    ASSERT_FALSE(decoded) << text;
    EXPECT_EQ(decoded.error().code, ErrorCode::kInvalid);
  }
}

TEST(EqualConstantTime, ComparesWholeStrings) {
  EXPECT_TRUE(equal_constant_time("", ""));
  EXPECT_TRUE(equal_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_constant_time("abc", "ab"));
  EXPECT_FALSE(equal_constant_time("", "a"));
  EXPECT_FALSE(equal_constant_time(std::string("a\0b", 3), std::string("a\0c", 3)));
}

class Sealing : public testing::Test {
 protected:
  static Sealer sealer(char fill) { return *Sealer::make(Secret(base64_encode(std::string(32, fill)))); }
  SeededRng rng_{1};
};

TEST_F(Sealing, RoundTrip) {
  for (const std::string& plain : {std::string(), std::string("whsec_abc"), std::string(5000, '\x01')}) {
    const std::string sealed = sealer('k').seal(Secret(plain), "tenant:default", rng_);
    EXPECT_EQ(sealed.size(), plain.size() + 28);
    const auto opened = sealer('k').open(sealed, "tenant:default");
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->reveal(), plain);
  }
}

TEST_F(Sealing, NeverTwiceTheSame) {
  const Sealer one = sealer('k');
  EXPECT_NE(one.seal(Secret("x"), "c", rng_), one.seal(Secret("x"), "c", rng_));
}

// Computed with two other implementations of AES-256-GCM: key 32 x 0x6b, nonce
// 00 01 … 0b, AAD "ctx", text "secret".
TEST_F(Sealing, LayoutIsNonceTextTag) {
  class CountingRng final : public Rng {
   public:
    void fill(std::span<std::uint8_t> out) override {
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::uint8_t>(i);
    }
  } counting;
  const std::string sealed = sealer('k').seal(Secret("secret"), "ctx", counting);
  EXPECT_EQ(to_hex(std::span(reinterpret_cast<const std::uint8_t*>(sealed.data()), sealed.size())),
            "000102030405060708090a0b19b8975c61a45a836216b1d80261ccba009b310e334f");
}

TEST_F(Sealing, AnyChangedByteIsCorrupt) {
  const std::string sealed = sealer('k').seal(Secret("whsec_abc"), "tenant:default", rng_);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    const auto opened = sealer('k').open(changed, "tenant:default");
    ASSERT_FALSE(opened) << i;
    EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  }
}

TEST_F(Sealing, OtherKeyContextOrLengthIsCorrupt) {
  const std::string sealed = sealer('k').seal(Secret("whsec_abc"), "tenant:a", rng_);
  EXPECT_EQ(sealer('l').open(sealed, "tenant:a").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(sealer('k').open(sealed, "tenant:b").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(sealer('k').open(sealed.substr(0, sealed.size() - 1), "tenant:a").error().code,
            ErrorCode::kCorrupt);
  EXPECT_EQ(sealer('k').open("", "tenant:a").error().code, ErrorCode::kCorrupt);
}

TEST_F(Sealing, KeyMustBeBase64Of32Bytes) {
  for (const std::string& key :
       {std::string(), std::string("not base64"), base64_encode(std::string(31, 'k')),
        base64_encode(std::string(33, 'k')), std::string(32, 'k')}) {
    const auto made = Sealer::make(Secret(key));
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::kInvalid);
  }
}

TEST(SecretFile, DropsOneLineEnd) {
  const std::string path = testing::TempDir() + "sluice_secret_file_test";
  const auto read_back = [&path](std::string_view content) {
    std::ofstream(path, std::ios::binary) << content;
    return read_secret_file(path);
  };
  EXPECT_EQ(read_back("abc\n")->reveal(), "abc");
  EXPECT_EQ(read_back("abc")->reveal(), "abc");
  EXPECT_EQ(read_back("a b\n\n")->reveal(), "a b\n");
  EXPECT_EQ(read_back("").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(read_back("\n").error().code, ErrorCode::kInvalid);
  EXPECT_EQ(read_back(std::string(70'000, 'a')).error().code, ErrorCode::kInvalid);
  std::remove(path.c_str());
  EXPECT_EQ(read_secret_file(path).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(read_secret_file("/").error().code, ErrorCode::kInvalid);
}

}  // namespace
}  // namespace sluice
