#include "common/config/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace sluice::config {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

enum class Engine { kNative, kEcho };

struct Everything {
  int port = 8080;
  std::uint8_t small = 1;
  double share = 0.5;
  bool archive = false;
  std::string name = "here";
  Secret password;
  std::chrono::milliseconds linger{50};
  std::size_t body_max = 8'000'000;
  std::vector<std::string> hosts{"a", "b"};
  std::optional<int> depth;
  Engine engine = Engine::kNative;
};

class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() : settings_("sluice-test", "Tests.") {
    settings_.add("port", all_.port, "Port").range(0, 65535);
    settings_.add("small", all_.small, "A byte");
    settings_.add("share", all_.share, "A share").range(0.0, 1.0);
    settings_.add("archive", all_.archive, "Whether to archive");
    settings_.add("name", all_.name, "Name");
    settings_.add("db-password", all_.password, "Password");
    settings_.add("linger", all_.linger, "Wait").range(0ms, 10s);
    settings_.add_size("body-max", all_.body_max, "Largest body");
    settings_.add("hosts", all_.hosts, "Hosts");
    settings_.add("depth", all_.depth, "Depth").unit("jobs");
    settings_.add_enum("engine", all_.engine, {{"native", Engine::kNative}, {"echo", Engine::kEcho}},
                       "Engine");
    folder_ = std::filesystem::temp_directory_path() / ("sluice_config_test_" + std::to_string(getpid()));
    std::filesystem::create_directory(folder_);
  }
  ~SettingsTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder_ / name;
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  std::vector<std::string> places(const Parsed& parsed) {
    std::vector<std::string> all;
    for (const Fault& fault : parsed.faults) all.push_back(fault.place);
    return all;
  }

  Everything all_;
  Settings settings_;
  std::filesystem::path folder_;
};

TEST_F(SettingsTest, DefaultsStandWhenNothingIsSaid) {
  EXPECT_TRUE(settings_.parse({}, {}).faults.empty());
  EXPECT_EQ(all_.port, 8080);
  EXPECT_EQ(all_.linger, 50ms);
  EXPECT_FALSE(all_.depth.has_value());
}

TEST_F(SettingsTest, EveryTypeIsReadFromFlags) {
  const Parsed parsed =
      settings_.parse({"--port", "1", "--small=255", "--share", "0.25", "--archive", "--name", "-x y",
                       "--db-password", "hunter2", "--linger", "1.5s", "--body-max", "16KiB", "--hosts",
                       "x,y", "--depth=7", "--engine", "echo"},
                      {});
  EXPECT_TRUE(parsed.faults.empty());
  EXPECT_EQ(all_.port, 1);
  EXPECT_EQ(all_.small, 255);
  EXPECT_EQ(all_.share, 0.25);
  EXPECT_TRUE(all_.archive);
  EXPECT_EQ(all_.name, "-x y");
  EXPECT_EQ(all_.password.reveal(), "hunter2");
  EXPECT_EQ(all_.linger, 1500ms);
  EXPECT_EQ(all_.body_max, 16384u);
  EXPECT_EQ(all_.hosts, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(all_.depth, 7);
  EXPECT_EQ(all_.engine, Engine::kEcho);
}

TEST_F(SettingsTest, FlagBeatsVariableBeatsFileBeatsDefault) {
  const std::string file =
      write("a.conf", "# a comment\n\nport = 10\nsmall = 10\n name=\" file \"\r\nbody_max = 10\n");
  const Environment environment{
      {"SLUICE_PORT", "20"}, {"SLUICE_SMALL", "20"}, {"SLUICE_UNKNOWN", "x"}, {"SLUICE_HOSTS", ""}};
  EXPECT_TRUE(settings_.parse({"--port", "30", "--config", file}, environment).faults.empty());
  EXPECT_EQ(all_.port, 30);
  EXPECT_EQ(all_.small, 20);
  EXPECT_EQ(all_.name, " file ");
  EXPECT_EQ(all_.body_max, 10u);
  EXPECT_EQ(all_.share, 0.5);
  EXPECT_EQ(all_.hosts.size(), 2u);  // An empty variable says nothing.
}

TEST_F(SettingsTest, AFileMayBeJson) {
  const std::string file =
      write("a.json", R"({"port": 10, "archive": true, "hosts": ["x", "y"], "linger": "1s"})");
  EXPECT_TRUE(settings_.parse({}, {{"SLUICE_CONFIG", file}}).faults.empty());
  EXPECT_EQ(all_.port, 10);
  EXPECT_TRUE(all_.archive);
  EXPECT_EQ(all_.hosts, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(all_.linger, 1s);
}

TEST_F(SettingsTest, EveryFaultIsReportedAtOnceWithItsPlace) {
  std::string wanted;
  settings_.add("wanted", wanted, "Must be given").required();
  const std::string file = write("a.conf", "prot = 1\nshare = 2\nno equals sign\nlinger = 5\nlinger = 6\n");
  const Parsed parsed = settings_.parse({"--port", "70000", "--nonsense=1", "--small", "256", "stray", "-v",
                                         "--engine=gpu", "--config=" + file},
                                        {{"SLUICE_ARCHIVE", "perhaps"}, {"SLUICE_BODY_MAX", "-1"}});
  EXPECT_THAT(places(parsed),
              ::testing::UnorderedElementsAre("--port", "--nonsense", "--small", "argument 6", "-v",
                                              "--engine", file + ":1", file + ":2", file + ":3", file + ":4",
                                              file + ":5", "SLUICE_ARCHIVE", "SLUICE_BODY_MAX", "wanted"));
}

TEST_F(SettingsTest, AFaultLeavesTheFieldAsItWas) {
  EXPECT_FALSE(settings_.parse({"--port", "70000"}, {}).faults.empty());
  EXPECT_EQ(all_.port, 8080);
}

TEST_F(SettingsTest, ASecretIsNeverShown) {
  const Parsed parsed = settings_.parse({"--db-password", "hunter2"}, {});
  EXPECT_TRUE(parsed.faults.empty());
  EXPECT_THAT(settings_.print_config_text(), Not(HasSubstr("hunter2")));
  EXPECT_THAT(settings_.print_config_text(), HasSubstr("db-password = ****"));
  EXPECT_THAT(settings_.help_text(), Not(HasSubstr("hunter2")));
  for (const auto& [name, value] : settings_.shown()) EXPECT_THAT(value, Not(HasSubstr("hunter2")));
}

TEST_F(SettingsTest, AFaultNeverRepeatsAValue) {
  Secret key;
  settings_.add("key", key, "Key").check([](const Secret& secret) -> Status {
    if (secret.reveal().size() < 32) return fail(ErrorCode::kInvalid, "must have at least 32 characters");
    return {};
  });
  const Parsed parsed =
      settings_.parse({"--key", "hunter2", "--db-pasword=hunter2", "--port", "hunter2"}, {});
  ASSERT_EQ(parsed.faults.size(), 3u);
  for (const Fault& fault : parsed.faults)
    EXPECT_THAT(fault.place + fault.message, Not(HasSubstr("hunter2")));
}

TEST_F(SettingsTest, ASecretIsReadFromAFile) {
  const std::string file = write("password", "hunter2\n");
  EXPECT_TRUE(settings_.parse({}, {{"SLUICE_DB_PASSWORD_FILE", file}}).faults.empty());
  EXPECT_EQ(all_.password.reveal(), "hunter2");
}

TEST_F(SettingsTest, AMissingSecretFileIsAFaultOnce) {
  Secret key;
  settings_.add("key", key, "Key").required();
  const Parsed parsed = settings_.parse({"--key-file", (folder_ / "absent").string()}, {});
  EXPECT_THAT(places(parsed), ::testing::ElementsAre("--key-file"));
}

TEST_F(SettingsTest, ASecretGivenTwiceAtOnePlaceIsAFault) {
  const std::string file = write("password", "a");
  const Parsed parsed = settings_.parse({}, {{"SLUICE_DB_PASSWORD", "b"}, {"SLUICE_DB_PASSWORD_FILE", file}});
  EXPECT_THAT(places(parsed), ::testing::ElementsAre("SLUICE_DB_PASSWORD_FILE"));
}

TEST_F(SettingsTest, OnlySecretsHaveAFileTwin) {
  EXPECT_EQ(settings_.parse({"--name-file", "x"}, {}).faults.size(), 1u);
}

TEST_F(SettingsTest, BoolsTakeNoValueUnlessJoined) {
  all_.archive = true;
  EXPECT_TRUE(settings_.parse({"--no-archive"}, {}).faults.empty());
  EXPECT_FALSE(all_.archive);
  EXPECT_TRUE(settings_.parse({"--archive=true"}, {}).faults.empty());
  EXPECT_TRUE(all_.archive);
  EXPECT_EQ(settings_.parse({"--no-port"}, {}).faults.size(), 1u);
  EXPECT_EQ(settings_.parse({"--no-archive=1"}, {}).faults.size(), 1u);
}

TEST_F(SettingsTest, AFlagWithoutItsValueIsAFault) {
  EXPECT_THAT(places(settings_.parse({"--port", "--archive"}, {})), ::testing::ElementsAre("--port"));
  EXPECT_THAT(places(settings_.parse({"--port"}, {})), ::testing::ElementsAre("--port"));
}

TEST_F(SettingsTest, TheLastOfEqualFlagsCounts) {
  EXPECT_TRUE(settings_.parse({"--port", "1", "--port", "2"}, {}).faults.empty());
  EXPECT_EQ(all_.port, 2);
}

TEST_F(SettingsTest, PositionalsAreTakenOnlyIfAllowed) {
  settings_.allow_positionals(2);
  const Parsed parsed = settings_.parse({"quantize", "--port", "1", "--", "--in"}, {});
  EXPECT_TRUE(parsed.faults.empty());
  EXPECT_EQ(parsed.positionals, (std::vector<std::string>{"quantize", "--in"}));
}

TEST_F(SettingsTest, AMissingConfigFileIsAFault) {
  EXPECT_THAT(places(settings_.parse({"--config", "/nonexistent/x"}, {})),
              ::testing::ElementsAre("--config"));
  EXPECT_THAT(places(settings_.parse({}, {{"SLUICE_CONFIG", "/nonexistent/x"}})),
              ::testing::ElementsAre("SLUICE_CONFIG"));
}

TEST_F(SettingsTest, BrokenJsonIsOneFault) {
  const std::string file = write("a.json", R"({"port": 10,)");
  EXPECT_EQ(settings_.parse({"--config", file}, {}).faults.size(), 1u);
  const std::string nested = write("b.json", R"({"port": {"a": 1}})");
  EXPECT_THAT(places(settings_.parse({"--config", nested}, {})), ::testing::ElementsAre(nested + ":port"));
}

TEST_F(SettingsTest, WhatIsPrintedCanBeReadBack) {
  ASSERT_TRUE(
      settings_.parse({"--port", "99", "--linger=250ms", "--hosts=x,y", "--engine=echo"}, {}).faults.empty());
  const std::string file = write("printed.conf", settings_.print_config_text());

  Everything again;
  Settings other("sluice-test", "Tests.");
  std::string ignored;
  other.add("port", again.port, "");
  other.add("linger", again.linger, "");
  other.add("hosts", again.hosts, "");
  other.add_enum("engine", again.engine, {{"native", Engine::kNative}, {"echo", Engine::kEcho}}, "");
  for (const char* name : {"small", "share", "archive", "name", "body-max", "depth", "db-password"}) {
    other.add(name, ignored, "");
  }
  EXPECT_TRUE(other.parse({"--config", file}, {}).faults.empty());
  EXPECT_EQ(again.port, 99);
  EXPECT_EQ(again.linger, 250ms);
  EXPECT_EQ(again.hosts, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(again.engine, Engine::kEcho);
}

TEST_F(SettingsTest, ChecksOverSeveralFieldsRunLast) {
  settings_.add_check([this]() -> Status {
    if (all_.port == all_.small) return fail(ErrorCode::kInvalid, "port and small must differ");
    return {};
  });
  EXPECT_TRUE(settings_.parse({"--port", "2"}, {}).faults.empty());
  EXPECT_EQ(settings_.parse({"--port", "1"}, {}).faults.size(), 1u);
}

TEST_F(SettingsTest, HelpNamesEverySettingWithDefaultAndUnit) {
  const std::string help = settings_.help_text();
  EXPECT_THAT(help, HasSubstr("--port <integer>\n      Port (0 to 65535; default 8080)"));
  EXPECT_THAT(help, HasSubstr("--linger <duration>\n      Wait (0s to 10s; default 50ms)"));
  EXPECT_THAT(help, HasSubstr("--engine <native|echo>"));
  EXPECT_THAT(help, HasSubstr("(in jobs)"));
}

TEST_F(SettingsTest, BindingANameTwiceAborts) {
  EXPECT_DEATH(settings_.add("port", all_.port, "again"), "");
}

}  // namespace
}  // namespace sluice::config
