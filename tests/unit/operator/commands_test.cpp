#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "operator/commands/commands.h"
#include "tests/unit/operator/fake_api.h"

namespace sluice::operate {
namespace {

using nlohmann::json;
using testing::World;

const std::string kOp = "op_1";
const std::string kOpPath = "GET /v1/admin/operations/op_1";
const std::string kRedrive = "POST /v1/admin/dead_letters/redrive";
const std::string kDiscard = "POST /v1/admin/dead_letters/discard";

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

json group(std::int64_t count, const std::string& message) {
  return {{"fingerprint", "0123456789abcdef"},
          {"reason", "failed"},
          {"count", count},
          {"last_job_id", "job_9"},
          {"first_died_at", 1},
          {"last_died_at", 2},
          {"error", {{"code", "bad"}, {"message", message}}}};
}

json dry_run(std::int64_t matching, std::int64_t guarded = 0) {
  return {{"object", "dry_run"},
          {"matching", matching},
          {"would_move", matching - guarded},
          {"guarded", guarded},
          {"groups", {group(matching, "it \x1b[31mbroke")}}};
}

json operation(const std::string& kind, const std::string& status, std::int64_t handled,
               json outcome = nullptr) {
  return {{"id", kOp},
          {"kind", kind},
          {"status", status},
          {"total", 1000},
          {"handled", handled},
          {"guarded", 0},
          {"skipped", 0},
          {"created_at", 100},
          {"finished_at", status == "done" ? json(107) : json()},
          {"outcome", std::move(outcome)}};
}

json outcome(int succeeded, int otherwise, int unfinished) {
  return {{"succeeded", succeeded}, {"ended_otherwise", otherwise}, {"unfinished", unfinished}};
}

MoveOptions everything() {
  MoveOptions options;
  options.all = true;
  return options;
}

TEST(Discard, AsksAtATerminalAndSaysWhat) {
  World world;
  world.at_terminal();
  world.in.str("n\n");
  world.api.answer(kDiscard, dry_run(1000));
  const Status done = discard_letters(world.tool, everything());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kConflict);
  EXPECT_TRUE(
      holds(world.err.str(), "Discard 1,000 dead letters for good?\n  1,000  bad: it \\x1b[31mbroke [y/N]"))
      << world.err.str();
  ASSERT_EQ(world.api.requests.size(), 1U) << "nothing but the dry run was asked of the server";
  EXPECT_EQ(world.api.requests[0].body["dry_run"], true);
}

TEST(Discard, NeverAsksWhereNobodyIs) {
  World world;
  world.in.str("yes\n");
  world.api.answer(kDiscard, dry_run(3));
  const Status done = discard_letters(world.tool, everything());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(holds(done.error().message, "--yes"));
  EXPECT_EQ(world.api.requests.size(), 1U);
}

TEST(Discard, FollowsTheServerToTheEnd) {
  World world;
  world.at_terminal();
  world.in.str("y\n");
  world.api.answer(kDiscard, dry_run(1000));
  world.api.answer(kDiscard, operation("discard", "running", 0));
  world.api.answer(kOpPath, operation("discard", "running", 250));
  world.api.answer(kOpPath, operation("discard", "done", 1000));
  ASSERT_TRUE(discard_letters(world.tool, everything()));
  EXPECT_EQ(world.api.requests[1].body, (json{{"filter", {{"died_before", 3}}}}))
      << "what died after the dry run was not asked about";
  EXPECT_TRUE(world.waiter.held);
  EXPECT_TRUE(holds(world.err.str(), "discarding [#####---------------] 250 of 1,000, 500/s, about 1s left"))
      << world.err.str();
  EXPECT_EQ(world.out.str(), "discarded 1,000 of 1,000 dead letters in 7s  (op_1)\n");
}

TEST(Discard, TakesNothingThatWasNotAskedAbout) {
  // Flags of the command; the letters that the dry run saw died at 1 to 2; what is then asked of the server.
  const auto body = [](MoveOptions options, bool yes) {
    World world;
    world.at_terminal();
    world.in.str("y\n");
    world.tool.yes = yes;
    world.api.answer(kDiscard, dry_run(5));
    world.api.answer(kDiscard, operation("discard", "done", 5));
    EXPECT_TRUE(discard_letters(world.tool, options));
    return world.api.requests.at(1).body;
  };
  MoveOptions tenant;
  tenant.filter.tenant = "acme";
  EXPECT_EQ(body(tenant, false), (json{{"filter", {{"tenant", "acme"}, {"died_before", 3}}}}));
  MoveOptions ended;
  ended.filter.before = "@2";
  EXPECT_EQ(body(ended, false), (json{{"filter", {{"died_before", 2}}}}));
  MoveOptions ids;
  ids.ids = {"job_1"};
  EXPECT_EQ(body(ids, false), (json{{"ids", {"job_1"}}}));
  EXPECT_EQ(body(everything(), true), (json{{"all", true}})) << "nobody was shown a number";
}

TEST(Redrive, NeedsExactlyOneWayToSayWhich) {
  World world;
  MoveOptions none;
  MoveOptions two = everything();
  two.ids = {"job_1"};
  MoveOptions other = everything();
  other.filter.model = "m";
  for (const MoveOptions& options : {none, two, other}) {
    const Status done = redrive_letters(world.tool, options);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, ErrorCode::kInvalid);
  }
  EXPECT_TRUE(world.api.requests.empty());
}

TEST(Redrive, PassesOnWhatWasAsked) {
  World world;
  world.tool.yes = true;
  world.api.answer(kRedrive, dry_run(5));
  world.api.answer(kRedrive, operation("redrive", "running", 0));
  MoveOptions options;
  options.filter = {"acme", "tiny", "0123456789abcdef", "bad", "failed", "@100", "@200"};
  options.canary = 10;
  options.rate = 2.5;
  options.force = true;
  options.expires_in = "2h";
  options.no_wait = true;
  ASSERT_TRUE(redrive_letters(world.tool, options));
  EXPECT_EQ(world.api.requests[1].body, (json{{"filter",
                                               {{"tenant", "acme"},
                                                {"model", "tiny"},
                                                {"fingerprint", "0123456789abcdef"},
                                                {"error_code", "bad"},
                                                {"reason", "failed"},
                                                {"died_from", 100},
                                                {"died_before", 200}}},
                                              {"canary", 10},
                                              {"rate", 2.5},
                                              {"force", true},
                                              {"expires_in", 7200}}));
  EXPECT_TRUE(holds(world.out.str(), "sluicectl dlq watch op_1")) << world.out.str();
}

TEST(Redrive, DryRunTouchesNothing) {
  World world;
  world.api.answer(kRedrive, dry_run(7, 2));
  MoveOptions options = everything();
  options.dry_run = true;
  ASSERT_TRUE(redrive_letters(world.tool, options));
  EXPECT_EQ(world.api.requests.size(), 1U);
  EXPECT_TRUE(holds(world.out.str(), "would redrive 5 letters; 2 more were redriven too often (--force)"));
}

TEST(Redrive, NothingThatMatchesIsNoOperation) {
  World world;
  world.api.answer(kRedrive, dry_run(0));
  ASSERT_TRUE(redrive_letters(world.tool, everything()));
  EXPECT_EQ(world.api.requests.size(), 1U);
}

TEST(Redrive, AGoodCanaryWaitsForItsJobsAndSaysHowToGoOn) {
  World world;
  world.tool.yes = true;
  world.api.answer(kRedrive, dry_run(1000));
  world.api.answer(kRedrive, operation("redrive", "running", 0, outcome(0, 0, 0)));
  world.api.answer(kOpPath, operation("redrive", "canary", 10, outcome(4, 0, 6)));
  world.api.answer(kOpPath, operation("redrive", "canary", 10, outcome(10, 0, 0)));
  ASSERT_TRUE(redrive_letters(world.tool, everything()));
  EXPECT_TRUE(holds(world.out.str(), "10 succeeded")) << world.out.str();
  EXPECT_TRUE(holds(world.out.str(), "sluicectl dlq continue op_1"));
}

TEST(Redrive, ABadCanaryIsAFailure) {
  World world;
  world.tool.yes = true;
  world.api.answer(kRedrive, dry_run(1000));
  world.api.answer(kRedrive, operation("redrive", "canary", 10, outcome(9, 1, 0)));
  const Status done = redrive_letters(world.tool, everything());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kConflict);
  EXPECT_TRUE(holds(done.error().message, "sluicectl dlq stop op_1"));
}

json small_canary(json outcome) {
  json small = operation("redrive", "done", 5, std::move(outcome));
  small["canary"] = 10;
  return small;
}

TEST(Redrive, ACanaryOfAllLettersIsWaitedForToo) {
  World world;
  world.tool.yes = true;
  world.api.answer(kRedrive, dry_run(5));
  world.api.answer(kRedrive, small_canary(outcome(0, 0, 5)));
  world.api.answer(kOpPath, small_canary(outcome(4, 1, 0)));
  MoveOptions options = everything();
  options.canary = 10;
  const Status done = redrive_letters(world.tool, options);
  ASSERT_FALSE(done);
  EXPECT_TRUE(holds(done.error().message, "1 redriven job ended badly again")) << done.error().message;
}

TEST(Redrive, FailsIfSomebodyStopsIt) {
  World world;
  world.tool.yes = true;
  world.api.answer(kRedrive, dry_run(1000));
  world.api.answer(kRedrive, operation("redrive", "running", 0, outcome(0, 0, 0)));
  world.api.answer(kOpPath, operation("redrive", "cancelled", 250, outcome(250, 0, 0)));
  const Status done = redrive_letters(world.tool, everything());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kConflict);
  EXPECT_TRUE(holds(done.error().message, "op_1 was stopped before its end")) << done.error().message;
  EXPECT_TRUE(watch_operation(world.tool, {kOp, false, false})) << "to look at it is no failure";
}

TEST(Watch, CtrlCLeavesTheWorkToTheServerAndSaysHowToSeeItAgain) {
  World world;
  world.waiter.interrupt_at = 2;
  world.api.answer(kOpPath, operation("redrive", "running", 10, outcome(0, 0, 10)));
  const Status left = watch_operation(world.tool, {kOp, false, false});
  ASSERT_FALSE(left);
  EXPECT_EQ(left.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(holds(left.error().message, "sluicectl dlq watch op_1")) << left.error().message;
  for (const ApiRequest& request : world.api.requests) EXPECT_EQ(request.method, "GET");
}

TEST(Watch, BearsAProducerThatRestarts) {
  World world;
  world.api.answer(kOpPath, operation("redrive", "running", 10, outcome(0, 0, 10)));
  world.api.refuse(kOpPath, {ErrorCode::kUnavailable, "down"});
  world.api.refuse(kOpPath, {ErrorCode::kUnavailable, "down"});
  world.api.answer(kOpPath, operation("redrive", "done", 1000, outcome(1000, 0, 0)));
  EXPECT_TRUE(watch_operation(world.tool, {kOp, false, false}));

  World gone;
  gone.api.answer(kOpPath, operation("redrive", "running", 10, outcome(0, 0, 10)));
  gone.api.refuse(kOpPath, {ErrorCode::kUnavailable, "down"});
  const Status lost = watch_operation(gone.tool, {kOp, false, false});
  ASSERT_FALSE(lost);
  EXPECT_TRUE(holds(lost.error().message, "down\n  op_1 goes on")) << lost.error().message;
}

// Answers once; then each call stands until its time is over.
class DeafApi final : public AdminApi {
 public:
  DeafApi(testing::FakeApi& first, ManualClock& clock) : first_(first), clock_(clock) {}
  Result<ApiReply> call(const ApiRequest& request) override {
    if (++calls == 1) return first_.call(request);
    clock_.advance(std::chrono::seconds(30));
    return fail(ErrorCode::kUnavailable, "did not answer in time");
  }
  std::string name() const override { return "http://test"; }
  int calls = 0;

 private:
  testing::FakeApi& first_;
  ManualClock& clock_;
};

TEST(Watch, DoesNotStandForMinutesBeforeAServerThatIsDeaf) {
  World world;
  world.api.answer(kOpPath, operation("redrive", "running", 10, outcome(0, 0, 10)));
  DeafApi deaf(world.api, world.waiter.clock);
  Tool tool{deaf, world.console, world.waiter.clock, world.waiter};
  ASSERT_FALSE(watch_operation(tool, {kOp, false, false}));
  EXPECT_EQ(deaf.calls, 3);
}

TEST(Watch, OutcomeWaitsForTheJobsAndFailsIfTheyDid) {
  World world;
  world.tool.json = true;
  world.api.answer(kOpPath, operation("redrive", "done", 1000, outcome(500, 0, 500)));
  world.api.answer(kOpPath, operation("redrive", "done", 1000, outcome(990, 10, 0)));
  const Status done = watch_operation(world.tool, {kOp, true, false});
  ASSERT_FALSE(done);
  EXPECT_TRUE(holds(done.error().message, "10 redriven jobs"));
  EXPECT_EQ(json::parse(world.out.str())["outcome"]["ended_otherwise"], 10);
}

TEST(Letters, AreListedByCause) {
  World world;
  json groups = {{"object", "list"}, {"has_more", false}, {"data", {group(990, "long"), group(10, "short")}}};
  world.api.answer("GET /v1/admin/dead_letters/groups", groups);
  ASSERT_TRUE(list_letters(world.tool, {}));
  EXPECT_TRUE(holds(world.out.str(), "0123456789abcdef      990  failed"));
  EXPECT_TRUE(holds(world.out.str(), "1,000 dead letters of 2 causes\n")) << world.out.str();
}

TEST(Letters, TheNumberOfCausesIsWhatWasAskedFor) {
  const auto query = [](std::optional<int> limit) {
    World world;
    world.api.answer("GET /v1/admin/dead_letters/groups",
                     json{{"has_more", true}, {"data", {group(7, "m")}}});
    LetterListOptions options;
    options.limit = limit;
    EXPECT_TRUE(list_letters(world.tool, options));
    EXPECT_TRUE(holds(world.out.str(), "at least 7 dead letters of 1 cause (there are more causes"));
    return testing::query_text(world.api.requests.at(0));
  };
  EXPECT_EQ(query(std::nullopt), "");
  EXPECT_EQ(query(20), "limit=20");
  EXPECT_EQ(query(0), "limit=500");
  EXPECT_EQ(query(501), "limit=500");
}

TEST(Letters, TheWayToTheNextPageKeepsTheFilter) {
  World world;
  world.api.answer("GET /v1/admin/dead_letters",
                   json{{"has_more", true}, {"last_id", "job_1:1"}, {"data", {{{"job_id", "job_1"}}}}});
  LetterListOptions options;
  options.state = "any";
  options.filter.tenant = "acme";
  options.limit = 1;
  ASSERT_TRUE(list_letters(world.tool, options));
  EXPECT_TRUE(holds(world.out.str(), "there are more: the same words with --after job_1:1"))
      << world.out.str();
}

TEST(Letters, ATimeThatIsNoneNamesItsFlag) {
  World world;
  LetterListOptions options;
  options.filter.before = "soon";
  const Status done = list_letters(world.tool, options);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kInvalid);
  EXPECT_TRUE(holds(done.error().message, "--before 'soon'"));
}

TEST(Export, GoesOnWhileThereIsMoreAndLeavesWholeFilesOnly) {
  World world;
  const std::string path = ::testing::TempDir() + "letters.jsonl";
  std::filesystem::remove(path);
  world.api.answer("GET /v1/admin/dead_letters/export", ApiReply{"{\"a\":1}\n{\"a\":2}\n", nullptr, "job_2"});
  world.api.answer("GET /v1/admin/dead_letters/export", ApiReply{"{\"a\":3}\n", nullptr, ""});
  ASSERT_TRUE(export_letters(world.tool, {{}, path}));
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
  EXPECT_TRUE(holds(world.out.str(), "3 dead letters in "));
  EXPECT_EQ(testing::query_text(world.api.requests[1]), "limit=200&after=job_2");

  World broken;
  broken.api.answer("GET /v1/admin/dead_letters/export", ApiReply{"{}\n", nullptr, "job_2"});
  broken.api.refuse("GET /v1/admin/dead_letters/export", {ErrorCode::kUnavailable, "down"});
  std::filesystem::remove(path);
  const Status done = export_letters(broken.tool, {{}, path});
  ASSERT_FALSE(done);
  EXPECT_TRUE(holds(done.error().message, "1 letter is in " + path + ".partial"));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Export, EscapesWhatATerminalWouldObey) {
  World world;
  world.at_terminal();
  world.api.answer("GET /v1/admin/dead_letters/export", ApiReply{"{\"p\":\"\xc2\x9b"
                                                                 "31m\x7f\"}\nno\x1bjson\n",
                                                                 nullptr, ""});
  ASSERT_TRUE(export_letters(world.tool, {}));
  EXPECT_EQ(world.out.str(), "{\"p\":\"\\u009b31m\\u007f\"}\nno\\x1bjson\n");
}

TEST(Replay, BuildsTheChangesFromWords) {
  World world;
  world.api.answer("POST /v1/admin/dead_letters/job_1/replay", json{{"id", "job_2"}});
  ReplayOptions options;
  options.id = "job_1";
  options.set = {"parameters.max_tokens=64", "prompt=say: a=b", "parameters.fault=null", "raw=true"};
  ASSERT_TRUE(replay_letter(world.tool, options));
  EXPECT_EQ(world.api.requests[0].body, (json{{"changes",
                                               {{"parameters", {{"max_tokens", 64}, {"fault", nullptr}}},
                                                {"prompt", "say: a=b"},
                                                {"raw", true}}}}));
  EXPECT_TRUE(holds(world.out.str(), "sluicectl jobs show job_2"));

  for (const std::string bad : {"prompt", "=x"}) {
    ReplayOptions wrong;
    wrong.id = "job_1";
    wrong.set = {bad};
    EXPECT_EQ(replay_letter(world.tool, wrong).error().code, ErrorCode::kInvalid) << bad;
  }
  ReplayOptions nothing;
  nothing.id = "job_1";
  EXPECT_TRUE(holds(replay_letter(world.tool, nothing).error().message, "sluicectl dlq redrive job_1"));
}

TEST(Status, ShowsWhatNeedsSomebody) {
  World world;
  world.api.answer(
      "GET /v1/admin/status",
      json{{"version", "0.1.0"},
           {"region", ""},
           {"jobs", {{"queued", 12345}, {"running", 64}}},
           {"dead_letters", 1000},
           {"undecided_events", 0},
           {"pending_deliveries", 3},
           {"open_operations", 1},
           {"shards_owned", 16},
           {"workers", {{"working", 2}, {"draining", 0}, {"drained", 0}, {"silent", 1}}},
           {"pauses",
            {{{"kind", "model"}, {"name", "echo"}, {"reason", "new\nweights"}, {"since", world.ago(240)}}}},
           {"broker", {{"publishing", false}}}});
  ASSERT_TRUE(show_status(world.tool));
  EXPECT_TRUE(holds(world.out.str(), "12,345 queued, 64 running"));
  EXPECT_TRUE(holds(world.out.str(), "2 working, 1 silent"));
  EXPECT_TRUE(holds(world.out.str(), "1,000  (sluicectl dlq list)"));
  EXPECT_TRUE(holds(world.out.str(), "model echo for 4m: new\\nweights"));
  EXPECT_TRUE(holds(world.out.str(), "not reached"));
}

TEST(Limits, AreSetAsAskedAndShownInATable) {
  World world;
  world.api.answer("POST /v1/admin/limits",
                   json{{"name", "a"}, {"quota", 1000}, {"unit", "tokens"}, {"window", 60}});
  LimitOptions options;
  options.name = "a";
  options.quota = 1000;
  options.window_s = 60;
  options.unit = "tokens";
  options.tenant = "t";
  options.keys_together = true;
  ASSERT_TRUE(set_limit(world.tool, options));
  EXPECT_EQ(world.api.requests.back().body, (json{{"name", "a"},
                                                  {"quota", 1000},
                                                  {"window", 60},
                                                  {"unit", "tokens"},
                                                  {"tenant", "t"},
                                                  {"key", nullptr}}));
  EXPECT_TRUE(holds(world.out.str(), "limit a: 1,000 tokens in 1m"));

  world.api.answer("GET /v1/admin/limits", json{{"data",
                                                 {{{"name", "a\x1b[31m"},
                                                   {"quota", 1000},
                                                   {"unit", "tokens"},
                                                   {"window", 60},
                                                   {"tenant", "t"},
                                                   {"key", nullptr},
                                                   {"route", "submit"},
                                                   {"region", "*"}}}}});
  ASSERT_TRUE(list_limits(world.tool));
  EXPECT_TRUE(holds(world.out.str(), "(all together)"));
  EXPECT_FALSE(holds(world.out.str(), "\x1b["));
}

json worker(const char* state, int held, int seen_at) {
  return {{"id", "w/1"}, {"state", state}, {"held_jobs", held}, {"seen_at", seen_at}};
}

TEST(Workers, WhatASilentOneSaidThatItHoldsIsNotShown) {
  World world;
  json busy = worker("working", 3, 100);
  json lost = worker("silent", 30, 100);
  busy["jobs_max"] = lost["jobs_max"] = 32;
  world.api.answer("GET /v1/admin/workers", json{{"data", {busy, lost}}});
  ASSERT_TRUE(list_workers(world.tool));
  EXPECT_TRUE(holds(world.out.str(), "3/32")) << world.out.str();
  EXPECT_FALSE(holds(world.out.str(), "30/32")) << world.out.str();
}

TEST(Pause, SaysSoIfNoWorkerServesTheModel) {
  // What is said of the pause, and what else.
  const auto said = [](const PauseOptions& options, const json& workers) {
    World world;
    world.api.answer("POST /v1/admin/pauses", json{{"object", "pause"}});
    if (!workers.is_null()) world.api.answer("GET /v1/admin/workers", json{{"data", workers}});
    EXPECT_TRUE(pause(world.tool, options));
    EXPECT_TRUE(holds(world.out.str(), options.name + " is paused")) << world.out.str();
    return holds(world.out.str(), "But no worker serves");
  };
  json tiny = worker("silent", 0, 100);
  tiny["model"] = "tiny";
  EXPECT_FALSE(said({"model", "tiny", ""}, json::array({tiny})));
  EXPECT_TRUE(said({"model", "tyni", ""}, json::array({tiny})));
  EXPECT_TRUE(said({"model", "tiny", ""}, json::array()));
  EXPECT_FALSE(said({"tenant", "acme", ""}, json::array()));
  EXPECT_FALSE(said({"model", "tyni", ""}, nullptr)) << "the workers could not be asked for";
}

TEST(Drain, WaitsUntilTheWorkerHoldsNothing) {
  World world;
  // It had said that it holds nothing, took a job, and then heard of the drain.
  world.api.answer("POST /v1/admin/workers/w%2F1/drain", worker("drained", 0, 100));
  world.api.answer("GET /v1/admin/workers", json{{"data", {worker("drained", 0, 101)}}});
  world.api.answer("GET /v1/admin/workers", json{{"data", {worker("draining", 1, 103)}}});
  world.api.answer("GET /v1/admin/workers", json{{"data", {worker("drained", 0, 104)}}});
  ASSERT_TRUE(drain_worker(world.tool, {"w/1", false, true}));
  EXPECT_EQ(world.waiter.waits, 3);
  EXPECT_TRUE(holds(world.out.str(), "w/1 is drained"));
}

TEST(Drain, AWorkerThatEndedIsDrainedAndASilentOneIsNot) {
  World ended;
  ended.api.answer("POST /v1/admin/workers/w%2F1/drain", worker("draining", 1, 100));
  ended.api.answer("GET /v1/admin/workers", json{{"data", json::array()}});
  EXPECT_TRUE(drain_worker(ended.tool, {"w/1", false, true}));

  World silent;
  silent.api.answer("POST /v1/admin/workers/w%2F1/drain", worker("draining", 1, 100));
  silent.api.answer("GET /v1/admin/workers", json{{"data", {worker("silent", 1, 100)}}});
  const Status done = drain_worker(silent.tool, {"w/1", false, true});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::kUnavailable);
}

TEST(Drain, WithoutWaitingNothingIsClaimed) {
  World world;
  world.api.answer("POST /v1/admin/workers/w%2F1/drain", worker("drained", 0, 100));
  ASSERT_TRUE(drain_worker(world.tool, {"w/1", false, false}));
  EXPECT_FALSE(holds(world.out.str(), "drained"));
}

TEST(Jobs, CancelStopsAtTheFirstRefusalAndSaysHowFarItCame) {
  World world;
  world.tool.yes = true;
  world.api.answer("POST /v1/admin/jobs/job_1/cancel", json{{"id", "job_1"}, {"status", "cancelled"}});
  world.api.refuse("POST /v1/admin/jobs/job_2/cancel", {ErrorCode::kNotFound, "none"});
  const Status done = cancel_jobs(world.tool, {"job_1", "job_2", "job_3"});
  ASSERT_FALSE(done);
  EXPECT_TRUE(holds(done.error().message, "job_2: none\n  1 job before it"));
  EXPECT_EQ(world.api.requests.size(), 2U);
}

TEST(Jobs, AnAnswerIsNotShownInPassing) {
  World world;
  world.api.answer(
      "GET /v1/admin/jobs/job_1",
      json{{"id", "job_1"},
           {"status", "succeeded"},
           {"result",
            {{"text", "PRIVATE"}, {"finish_reason", "stop"}, {"usage", {{"completion_tokens", 2}}}}}});
  ASSERT_TRUE(show_job(world.tool, "job_1"));
  EXPECT_FALSE(holds(world.out.str(), "PRIVATE"));
  EXPECT_TRUE(holds(world.out.str(), "2 tokens"));
}

TEST(Deliveries, AHostileResponseStaysInItsColumn) {
  World world;
  world.api.answer(
      "GET /v1/webhook_deliveries/dlv_1",
      json{{"id", "dlv_1"}, {"status", "failed"}, {"url", "http://h"}, {"next_attempt_at", nullptr}});
  world.api.answer("GET /v1/webhook_deliveries/dlv_1/attempts", json{{"data",
                                                                      {{{"attempt", 1},
                                                                        {"started_at", 1795332001.5},
                                                                        {"duration_ms", 1200},
                                                                        {"status", 500},
                                                                        {"error", nullptr},
                                                                        {"response", "\x1b[2Jgone\n"}}}}});
  ASSERT_TRUE(show_delivery(world.tool, "dlv_1"));
  EXPECT_TRUE(holds(world.out.str(), "2026-11-22 07:20:01Z  1,200ms  HTTP status 500  \\x1b[2Jgone\\n\n"))
      << world.out.str();
}

TEST(Deliveries, ReplayOfManyGoesOnUntilAllAreDue) {
  const std::string call = "POST /v1/webhook_deliveries/replay";
  World world;
  world.tool.yes = true;
  world.api.answer(call, json{{"replayed", 10000}, {"last_id", "dlv_1"}, {"has_more", true}});
  world.api.answer(call, json{{"replayed", 5}, {"last_id", "dlv_2"}, {"has_more", false}});
  ASSERT_TRUE(replay_deliveries(world.tool, {"", "@100", "we_1", "", true}));
  EXPECT_EQ(world.api.requests[0].body, (json{{"since", 100}, {"endpoint_id", "we_1"}, {"status", "any"}}));
  EXPECT_EQ(world.api.requests[1].body["after"], "dlv_1");
  EXPECT_EQ(world.out.str(), "10,005 deliveries are due again\n");

  World left;
  left.tool.yes = true;
  left.waiter.interrupt_at = 1;
  left.api.answer(call, json{{"replayed", 10000}, {"last_id", "dlv_1"}, {"has_more", true}});
  const Status done = replay_deliveries(left.tool, {"", "@100", "", "", false});
  ASSERT_FALSE(done);
  EXPECT_TRUE(holds(done.error().message, "--since @100 --after dlv_1")) << done.error().message;

  World neither;
  EXPECT_EQ(replay_deliveries(neither.tool, {}).error().code, ErrorCode::kInvalid);
  EXPECT_EQ(replay_deliveries(neither.tool, {"dlv_1", "2h", "", "", false}).error().code,
            ErrorCode::kInvalid);
}

TEST(Keys, TheKeyAloneStandsOnStandardOutput) {
  World world;
  world.api.answer("POST /v1/admin/keys", json{{"id", "key_1"}, {"key", "sk_abc"}, {"scopes", {"admin"}}});
  ASSERT_TRUE(create_key(world.tool, {"default", "mine", {"admin"}}));
  EXPECT_EQ(world.out.str(), "sk_abc\n");
  EXPECT_TRUE(holds(world.err.str(), "never shown again"));
  EXPECT_EQ(world.api.requests[0].body,
            (json{{"tenant", "default"}, {"name", "mine"}, {"scopes", {"admin"}}}));
}

TEST(Json, IsWhatTheServerSaidAndAsciiOnATerminal) {
  World world;
  world.tool.json = true;
  const json audit = {{"object", "list"}, {"data", {{{"action", "x\u202e"}}}}, {"has_more", false}};
  world.api.answer("GET /v1/admin/audit", audit);
  ASSERT_TRUE(list_audit(world.tool, {}));
  EXPECT_EQ(json::parse(world.out.str()), audit);
  world.at_terminal();
  world.out.str("");
  ASSERT_TRUE(list_audit(world.tool, {}));
  EXPECT_TRUE(holds(world.out.str(), "x\\u202e")) << world.out.str();
}

}  // namespace
}  // namespace sluice::operate
