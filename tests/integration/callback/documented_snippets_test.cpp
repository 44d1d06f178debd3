// The programs that docs/webhooks.md gives to receivers are run as they stand there, against signatures of
// ours.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "callback/signature/signature.h"
#include "common/crypto/crypto.h"
#include "tests/contract/support/servers.h"

namespace sluice::testing {
namespace {

std::string documentation() {
  std::ifstream file(SLUICE_SOURCE_DIR "/docs/webhooks.md");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The first block of code in that language.
std::string snippet(const std::string& language) {
  const std::string text = documentation();
  const std::string fence = "```" + language + "\n";
  const std::size_t begin = text.find(fence) + fence.size();
  return text.substr(begin, text.find("```", begin) - begin);
}

class DocumentedSnippets : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "sluice_snippets_" + std::to_string(::getpid());
    ASSERT_EQ(std::system(("mkdir -p " + folder_).c_str()), 0);
    write("body.json", body_);
  }
  void TearDown() override { static_cast<void>(std::system(("rm -r " + folder_).c_str())); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }
  int run(const std::string& command) {
    const int status = std::system(("cd " + folder_ + " && " + command).c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string signature(const std::string& body, std::int64_t timestamp_s) const {
    return callback::SigningKey::parse(Secret(secret_))->sign("evt_1", timestamp_s, body);
  }
  static std::int64_t now() { return unix_seconds(parts().clock.wall_now()); }
  // Arguments: the signature header and the timestamp.
  void expect_all(const std::string& program) {
    const std::string time = std::to_string(now());
    const std::string good = signature(body_, now());
    const auto verdict = [&](const std::string& header, const std::string& timestamp) {
      return run(program + " '" + secret_ + "' '" + header + "' " + timestamp);
    };
    EXPECT_EQ(verdict(good, time), 0);
    EXPECT_EQ(verdict("v1,AAAA " + good, time), 0);
    EXPECT_EQ(verdict(signature(body_ + " ", now()), time), 3);
    EXPECT_EQ(verdict(good, std::to_string(now() + 7)), 3);
    const std::int64_t old = now() - 400;
    EXPECT_EQ(verdict(signature(body_, old), std::to_string(old)), 3);
  }

  std::string folder_;
  const std::string secret_ =
      "whsec_" + base64_encode(std::string("\x00\x01\xff secret of 32 bytes, any one", 32));
  const std::string body_ = "{\"text\":\"gr\xc3\xbc\xc3\x9f\x65\"}";
};

TEST_F(DocumentedSnippets, Python) {
  write("check.py", snippet("python") + R"py(
import sys
headers = {"webhook-id": "evt_1", "webhook-timestamp": sys.argv[3], "webhook-signature": sys.argv[2]}
sys.exit(0 if verify(sys.argv[1], headers, open("body.json", "rb").read()) else 3)
)py");
  expect_all("python3 check.py");
}

TEST_F(DocumentedSnippets, Node) {
  if (run("command -v node >/dev/null") != 0) GTEST_SKIP() << "there is no node";
  write("check.mjs", snippet("js") + R"js(
import { readFileSync } from "node:fs";
const [secret, signature, timestamp] = process.argv.slice(2);
const headers = { "webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": signature };
process.exit(verify(secret, headers, readFileSync("body.json")) ? 0 : 3);
)js");
  expect_all("node check.mjs");
}

TEST_F(DocumentedSnippets, NodeWithAKeyPair) {
  if (run("command -v node >/dev/null") != 0) GTEST_SKIP() << "there is no node";
  write("check.mjs", snippet("javascript") + R"js(
import { readFileSync } from "node:fs";
const [publicKey, signature, timestamp] = process.argv.slice(2);
const headers = { "webhook-id": "evt_1", "webhook-timestamp": timestamp, "webhook-signature": signature };
process.exit(verify(publicKey, headers, readFileSync("body.json")) ? 0 : 3);
)js");
  const Secret secret("whsk_" + base64_encode(std::string(32, 's')));
  const std::string public_key = *webhook_public_key(*parse_webhook_secret(secret));
  const auto verdict = [&](const std::string& body, std::int64_t signed_at, std::int64_t said) {
    const std::string header = callback::SigningKey::parse(secret)->sign("evt_1", signed_at, body);
    return run("node check.mjs " + public_key + " 'v1a,AAAA " + header + "' " + std::to_string(said));
  };
  EXPECT_EQ(verdict(body_, now(), now()), 0);
  EXPECT_EQ(verdict(body_ + " ", now(), now()), 3);
  EXPECT_EQ(verdict(body_, now(), now() + 7), 3);
  EXPECT_EQ(verdict(body_, now() - 400, now() - 400), 3);
}

TEST_F(DocumentedSnippets, Shell) {
  write("check.sh", snippet("sh"));
  EXPECT_EQ(run("SLUICE_WEBHOOK_SECRET='" + secret_ + "' id=evt_1 timestamp=1700000000 sh check.sh >out"), 0);
  std::ifstream file(folder_ + "/out");
  std::string line;
  std::getline(file, line);
  EXPECT_EQ(line, signature(body_, 1'700'000'000));
}

}  // namespace
}  // namespace sluice::testing
