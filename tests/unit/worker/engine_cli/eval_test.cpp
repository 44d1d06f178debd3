#include <gtest/gtest.h>

#include <fstream>

#include "tests/unit/worker/engine_cli/run_command.h"
#include "tests/unit/worker/model/random_model.h"

namespace sluice::engine_cli {
namespace {

class Eval : public ::testing::Test {
 protected:
  Ran run_lines(const std::string& lines, bool json = true, bool wrong = false) {
    std::ofstream(folder_.path("eval.jsonl"), std::ios::trunc) << lines;
    SeededRng rng(1);
    EvalOptions options;
    options.path = folder_.path("eval.jsonl");
    options.wrong = wrong;
    return run("", [&](const Io& io) { return eval(with_model(kTinyModel, json), options, rng, io); });
  }
  testmodel::TemporaryFolder folder_;
};

const char* const kLines =
    R"({"id": "1", "task": "add", "messages": [{"role": "user", "content": "What is 27 + 58?"}], "expected": "85"}

{"id": "2", "task": "chat", "messages": [{"role": "user", "content": "Hello!"}], "expected": "x", "accepted": ["y", "Hello! How can I help you today?"]}
{"id": "3", "task": "add", "messages": [{"role": "user", "content": "What is 27 + 58?"}], "expected": "850"}
)";

TEST_F(Eval, CountsExactAndAcceptedAnswersByTask) {
  const Ran ran = run_lines(kLines, true, true);
  ASSERT_EQ(ran.code, 0) << ran.err;
  const nlohmann::json got = ran.json();
  EXPECT_EQ(got["tasks"]["add"]["right"], 1);
  EXPECT_EQ(got["tasks"]["add"]["n"], 2);
  EXPECT_EQ(got["tasks"]["chat"]["accuracy"], 1.0);
  EXPECT_EQ(got["all"]["right"], 2);
  EXPECT_EQ(got["all"]["n"], 3);
  EXPECT_EQ(got["wrong"], nlohmann::json::parse(R"([{"id": "3", "expected": "850", "answer": "85"}])"));
  const std::string text = run_lines(kLines, false).out;
  EXPECT_NE(text.find("add                      1 of     2   50.0 %\n"), std::string::npos) << text;
  EXPECT_NE(text.find("all                      2 of     3   66.7 %\n"), std::string::npos) << text;
}

TEST_F(Eval, MalformedLinesAreNamed) {
  for (const char* line :
       {"nonsense", "[]", R"({"task": "a"})", R"({"task": "a", "messages": [], "expected": "x"})",
        R"({"task": "a", "messages": [{"role": "user", "content": 3}], "expected": "x"})",
        R"({"task": 1, "messages": [{"role": "user", "content": "b"}], "expected": "x"})"}) {
    const Ran ran = run_lines(std::string(kLines) + line + "\n");
    EXPECT_EQ(ran.code, 1);
    EXPECT_NE(ran.err.find("line 5"), std::string::npos) << ran.err;
    EXPECT_TRUE(ran.out.empty());
  }
}

TEST_F(Eval, EmptyAndMissingFilesAreRefused) {
  EXPECT_EQ(run_lines("").code, 1);
  SeededRng rng(1);
  EvalOptions options;
  options.path = folder_.path("none.jsonl");
  EXPECT_EQ(run("", [&](const Io& io) { return eval(with_model(), options, rng, io); }).code, 1);
}

TEST(Bench, PrintsRatesForEachNumberOfSequences) {
  SystemClock clock;
  BenchOptions options;
  options.prefill = 16;
  options.decode = 4;
  options.sequences = {1, 2};
  options.repeats = 1;
  const Ran ran = run("", [&](const Io& io) { return bench(with_model(), options, clock, io); });
  ASSERT_EQ(ran.code, 0) << ran.err;
  const nlohmann::json got = ran.json();
  ASSERT_EQ(got["runs"].size(), 2U);
  for (const auto& one : got["runs"]) {
    EXPECT_GT(one["prefill_tokens_per_s"].get<double>(), 0.0);
    EXPECT_GT(one["decode_tokens_per_s"].get<double>(), 0.0);
  }
  EXPECT_FALSE(got.contains("prefill_tokens_per_s"));
  EXPECT_GT(got["machine"]["read_gb_per_s"].get<double>(), 0.0);
  EXPECT_GT(got["gemm_gop_per_s"].get<double>(), 0.0);
  EXPECT_GT(got["runs"][0]["decode_bandwidth_share"].get<double>(), 0.0);
  options.sequences = {2};
  const Ran single = run("", [&](const Io& io) { return bench(with_model(), options, clock, io); });
  EXPECT_EQ(single.json()["sequences"], 2);
  EXPECT_GT(single.json()["decode_tokens_per_s"].get<double>(), 0.0);
}

TEST(Bench, LeavesTheMachineUnmeasuredWhereNobodyAsks) {
  SystemClock clock;
  BenchOptions options;
  options.prefill = 16;
  options.decode = 4;
  options.sequences = {2};
  options.repeats = 1;
  options.ceilings = false;
  const auto print = [&](bool json) {
    return run("", [&](const Io& io) { return bench(with_model(kTinyModel, json), options, clock, io); });
  };
  const nlohmann::json got = print(true).json();
  EXPECT_GT(got["decode_tokens_per_s"].get<double>(), 0.0);
  for (const char* key : {"machine", "gemm_gop_per_s", "gemm_share", "decode_bandwidth_share"})
    EXPECT_FALSE(got.contains(key)) << key;
  const std::string text = print(false).out;
  EXPECT_NE(text.find("   2 sequences: prefill"), std::string::npos) << text;
  EXPECT_EQ(text.find('%'), std::string::npos) << text;
  options.ceilings = true;
  EXPECT_NE(print(false).out.find("% of bandwidth"), std::string::npos);
}

}  // namespace
}  // namespace sluice::engine_cli
