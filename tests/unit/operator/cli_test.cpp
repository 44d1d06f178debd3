#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <vector>

#include "operator/cli/app.h"
#include "operator/cli/completion.h"
#include "operator/cli/describe.h"
#include "operator/cli/man_page.h"
#include "operator/cli/run.h"

namespace sluice::operate {
namespace {

class CommandLine : public ::testing::Test {
 protected:
  // The words parse, and something is to be done.
  bool takes(const std::string& words) {
    invocation_ = {};
    app_ = make_app(invocation_);
    try {
      app_->parse(words);
    } catch (const CLI::ParseError&) {
      return false;
    }
    return invocation_.call != nullptr || invocation_.print != nullptr;
  }
  Invocation invocation_;
  std::unique_ptr<CLI::App> app_ = make_app(invocation_);
};

TEST_F(CommandLine, TakesWhatTheManPageShows) {
  for (const char* words : {"dlq list",
                            "dlq list --json",
                            "--json dlq list",
                            "dlq list --each --state any -n 5",
                            "dlq show 0123456789abcdef",
                            "dlq redrive job_1 job_2",
                            "dlq redrive --all --canary 10 --rate 2.5 --yes",
                            "dlq discard --error bad --before 2h -y",
                            "dlq export -o f",
                            "dlq replay job_1 --set a=b --set c=d",
                            "dlq watch op_1 --outcome",
                            "dlq continue op_1",
                            "dlq stop op_1",
                            "status",
                            "queues",
                            "workers --json",
                            "drain w1 --wait",
                            "undrain w1",
                            "jobs list --status dead -n 5",
                            "jobs show job_1",
                            "jobs cancel job_1 job_2 -y",
                            "pause model m --reason 'new weights'",
                            "resume tenant t",
                            "pauses",
                            "limits list",
                            "limits set per-key --quota 100 --window 60 --route submit",
                            "limits set all --quota 9 --window 1 --unit tokens --tenant t --keys-together",
                            "limits unset per-key",
                            "keys list",
                            "keys create --name n --scope read --scope admin",
                            "keys revoke key_1",
                            "dlq operations",
                            "endpoints list",
                            "endpoints show we_1",
                            "endpoints test we_1",
                            "deliveries list --status failed --endpoint we_1",
                            "deliveries show dlv_1",
                            "deliveries replay dlv_1",
                            "deliveries replay --since 2h --any -y",
                            "audit --action keys.",
                            "completion bash",
                            "completion zsh",
                            "man",
                            "audit --url http://h --timeout 5s"}) {
    EXPECT_TRUE(takes(words)) << words;
  }
}

TEST_F(CommandLine, RefusesWhatMakesNoSense) {
  for (const char* words : {"",
                            "frob",
                            "dlq",
                            "dlq frob",
                            "audit extra",
                            "dlq show",
                            "dlq list --state sideways",
                            "dlq list -n -1",
                            "dlq redrive --canary 0",
                            "dlq redrive --rate -1",
                            "dlq discard --canary 1",
                            "completion fish",
                            "audit dlq",
                            "dlq replay",
                            "endpoints test",
                            "deliveries list --status x",
                            "--frob audit",
                            "status extra",
                            "status queues",
                            "drain",
                            "jobs list --status sideways",
                            "jobs cancel",
                            "pause planet x",
                            "pause model",
                            "keys create",
                            "keys create --name n --scope root"}) {
    EXPECT_FALSE(takes(words)) << words;
  }
}

TEST_F(CommandLine, SeveralValuesDoNotSwallowTheWordsAfterThem) {
  EXPECT_TRUE(takes("dlq replay --set a=b --set c=d job_1"));
  EXPECT_TRUE(takes("dlq replay --set a=b job_1"));
  EXPECT_FALSE(takes("dlq replay job_1 --set a=b c=d"));
  EXPECT_TRUE(takes("keys create --scope read --scope submit --name n"));
  EXPECT_FALSE(takes("keys create --name n --scope read submit"));
}

TEST_F(CommandLine, AnEmptyValueIsNotTheSameAsNone) {
  for (const std::string option : {"--fingerprint", "--error", "--model", "--tenant", "--from", "--before"}) {
    for (const std::string command : {"dlq discard", "dlq redrive", "dlq export", "dlq list"}) {
      EXPECT_FALSE(takes(command + " --reason failed " + option + " ''")) << command << option;
      EXPECT_TRUE(takes(command + " --reason failed " + option + " x")) << command << option;
    }
  }
  EXPECT_FALSE(takes("dlq list --each --after ''"));
  EXPECT_FALSE(takes("dlq redrive --all --expires-in ''"));
  EXPECT_FALSE(takes("jobs list --tenant ''"));
}

TEST(RunCommandLine, SaysThatSetUpComesFirst) {
  const char* words[] = {"sluicectl", "--json", "migrate", "status"};
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run_command_line(4, words), 2);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("must come first"), std::string::npos);
}

TEST(RunCommandLine, ANumberThatIsNoneIsAnsweredPlainly) {
  const auto said = [](std::vector<const char*> words) {
    words.insert(words.begin(), "sluicectl");
    ::testing::internal::CaptureStderr();
    EXPECT_EQ(run_command_line(static_cast<int>(words.size()), words.data()), 2);
    const std::string text = ::testing::internal::GetCapturedStderr();
    return text.substr(0, text.find('\n'));
  };
  for (const char* window : {"10s", "0", "-1", "1.5", "86401", "99999999999999999999", "0x10", ""}) {
    EXPECT_EQ(said({"limits", "set", "a", "--quota", "3", "--window", window}),
              "sluicectl: --window: must be a whole number from 1 to 86400")
        << window;
  }
  EXPECT_EQ(said({"limits", "set", "a", "--window", "1", "--quota", "-1"}),
            "sluicectl: --quota: must be a whole number from 1 to 1000000000000");
  EXPECT_EQ(said({"jobs", "list", "--limit", "abc"}),
            "sluicectl: --limit: must be a whole number from 0 to 1000000000");
  EXPECT_EQ(said({"dlq", "redrive", "--all", "--canary", "2.5"}),
            "sluicectl: --canary: must be a whole number from 1 to 1000000");
  for (const char* rate : {"0", "fast", "nan", "inf", "1e9"}) {
    EXPECT_EQ(said({"dlq", "redrive", "--all", "--rate", rate}),
              "sluicectl: --rate: must be a number from 0.001 to 100000")
        << rate;
  }
}

TEST(ExitCodes, TellWhoIsToActNext) {
  EXPECT_EQ(exit_code(ErrorCode::kInvalid), 2);
  EXPECT_EQ(exit_code(ErrorCode::kCancelled), 130);
  for (const ErrorCode code : {ErrorCode::kNotFound, ErrorCode::kConflict, ErrorCode::kUnavailable,
                               ErrorCode::kOutcomeUnknown, ErrorCode::kInternal}) {
    EXPECT_EQ(exit_code(code), 1);
  }
}

TEST_F(CommandLine, EveryWordIsDescribed) {
  for (const DescribedCommand& command : describe(*app_)) {
    EXPECT_FALSE(command.help.empty()) << command.path;
    for (const DescribedOption& option : command.options) {
      EXPECT_FALSE(option.help.empty()) << command.path << " " << option.names.front();
    }
  }
}

TEST_F(CommandLine, TheManPageIsThatOfTheseCommands) {
  std::stringstream text;
  text << std::ifstream(SLUICE_SOURCE_DIR "/docs/man/sluicectl.1").rdbuf();
  EXPECT_EQ(text.str(), man_page(*app_)) << "make it anew: sluicectl man > docs/man/sluicectl.1";
}

// What bash offers after these words; the last one is the one that is being written.
std::string completed(const std::string& script, const std::string& words) {
  const std::string path = ::testing::TempDir() + "sluicectl_completion_" + std::to_string(getpid());
  std::ofstream(path) << script << "COMP_WORDS=(" << words << ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
                      << "_sluicectl\necho \"${COMPREPLY[*]}\"\n";
  std::string out;
  FILE* pipe = popen(("bash " + path + " 2>&1").c_str(), "r");
  char piece[4096];
  while (const std::size_t got = fread(piece, 1, sizeof piece, pipe)) out.append(piece, got);
  pclose(pipe);
  std::remove(path.c_str());
  return out;
}

TEST_F(CommandLine, BashCompletesWords) {
  const std::string script = completion_script(*app_, "bash");
  EXPECT_EQ(completed(script, "sluicectl aud"), "audit\n");
  EXPECT_EQ(completed(script, "sluicectl dlq re"), "redrive replay\n");
  EXPECT_EQ(completed(script, "sluicectl --json dlq redrive --can"), "--canary\n");
  EXPECT_EQ(completed(script, "sluicectl dlq list --state d"), "dead discarded\n");
  EXPECT_EQ(completed(script, "sluicectl dlq list --reason ''"), "attempts poison failed expired\n");
  EXPECT_EQ(completed(script, "sluicectl completion b"), "bash\n");
  EXPECT_EQ(completed(script, "sluicectl pause m"), "model\n");
  EXPECT_EQ(completed(script, "sluicectl migrate d"), "down\n");
  EXPECT_EQ(completed(script, "sluicectl dlq show --js"), "--json\n");
  EXPECT_EQ(completed(script, "sluicectl --url dlq"), "\n");
}

}  // namespace
}  // namespace sluice::operate
