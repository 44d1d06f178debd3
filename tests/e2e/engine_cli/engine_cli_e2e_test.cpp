// The program sluice-engine as users run it.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace {

const std::string kModels = SLUICE_SOURCE_DIR "/models/sluice-tiny/";
const std::string kModel = kModels + "sluice-tiny-f16.gguf";

class EngineCli : public ::testing::Test {
 protected:
  struct Ran {
    int code = 0;
    std::string out;
    std::string err;
  };

  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-engine-cli-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  // `arguments` go through the shell as they are.
  Ran run(const std::string& arguments, const std::string& input = "") const {
    std::ofstream(path("in"), std::ios::binary | std::ios::trunc) << input;
    const std::string command = SLUICE_BINARY_DIR "/sluice-engine " + arguments + " < " + path("in") + " > " +
                                path("out") + " 2> " + path("err");
    const int status = std::system(command.c_str());
    EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
    return {WEXITSTATUS(status), read("out"), read("err")};
  }

  std::string read(const std::string& name) const {
    std::ifstream in(path(name), std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }

  double accuracy(const std::string& model) const {
    const Ran ran = run("eval " + kModels + "eval.jsonl --json --model " + model);
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(ran.err, "");  // Progress is for terminals.
    const nlohmann::json all = nlohmann::json::parse(ran.out).at("all");
    EXPECT_EQ(all.at("n"), 642);
    return 100.0 * all.at("accuracy").get<double>();
  }

  std::string folder_;
};

TEST_F(EngineCli, F16AnswersTheEvaluationSetAsTheCardSays) {
  EXPECT_NEAR(accuracy(kModel), 96.4, 0.5);
}

TEST_F(EngineCli, TheQuantizedModelAnswersNearlyAsWell) {
  const Ran ran = run("quantize " + kModel + " " + path("q8.gguf") + " --type Q8_0");
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_LT(std::filesystem::file_size(path("q8.gguf")), 24'000'000U);
  EXPECT_NEAR(accuracy(path("q8.gguf")), 96.3, 0.5);
}

TEST_F(EngineCli, TextIsReadByteForByte) {
  const std::string bytes("a\r\n\0b \n\n", 8);
  const Ran all = run("tokenize --json --model " + kModel, bytes);
  ASSERT_EQ(all.code, 0) << all.err;
  const Ran less = run("tokenize --json --model " + kModel, bytes.substr(0, 7));
  EXPECT_NE(all.out, less.out);
  EXPECT_EQ(run("tokenize --model " + kModel, "Hello world").out, "[42,928,81,3463]\n");
}

TEST_F(EngineCli, GeneratesWithThreadsAndKernelsAsTold) {
  for (const char* extra : {"--threads 1", "--threads 3", "--kernels portable"}) {
    const Ran ran =
        run("generate --json --max-tokens 20 --model " + kModel + " " + extra, "What is 27 + 58?");
    ASSERT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(nlohmann::json::parse(ran.out).at("text"), "85");
  }
}

TEST_F(EngineCli, WrongUsageIsCodeTwoAndFailureCodeOne) {
  EXPECT_EQ(run("").code, 2);
  EXPECT_EQ(run("dance").code, 2);
  EXPECT_EQ(run("generate").code, 2);
  EXPECT_EQ(run("generate --model x --max-tokens many").code, 2);
  EXPECT_EQ(run("generate --model x --threads -1").code, 2);
  EXPECT_EQ(run("--help").code, 0);
  EXPECT_EQ(run("eval --help").code, 0);
  const std::vector<std::string> commands = {"info",     "tokenize", "logits",
                                             "generate", "bench",    "eval " + kModels + "eval.jsonl"};
  for (const std::string& command : commands) {
    const Ran ran = run(command + " --model " + path("none.gguf"), "Hello");
    EXPECT_EQ(ran.code, 1) << command;
    EXPECT_EQ(ran.out, "") << command;
    EXPECT_NE(ran.err.find("none.gguf"), std::string::npos) << ran.err;
  }
}

TEST_F(EngineCli, AFullDiskIsReported) {
  const std::string command = "echo Hello | " SLUICE_BINARY_DIR "/sluice-engine tokenize --model " + kModel +
                              " > /dev/full 2> " + path("err");
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1);
  EXPECT_NE(read("err").find("standard output"), std::string::npos);
}

}  // namespace
