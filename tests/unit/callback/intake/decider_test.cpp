#include "callback/intake/decider.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "callback/guard/webhook_url.h"
#include "tests/support/fake_job_store.h"
#include "tests/unit/callback/support/memory_delivery_store.h"

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;

class Deciding : public ::testing::Test {
 protected:
  Deadline soon() { return Deadline::in(clock_, 10s); }
  // A job that ended, with its event in both stores.
  EventId ended_job(const std::string& callback_url, bool succeeds = true) {
    Submission submission;
    NewJob& job = submission.jobs.emplace_back();
    job.job.id = ids_.make<JobId>(1);
    job.job.tenant.value = "t";
    job.job.model = "m";
    job.job.callback_url = callback_url;
    job.request_json = "{}";
    EXPECT_TRUE(jobs_.submit(std::span(&submission, 1), soon()).front());
    const TaskRef task{job.job.id, 1, 0};
    const auto claimed = jobs_.claim(std::span(&task, 1), "w", soon());
    EXPECT_EQ(claimed->size(), 1u);
    Ending ending{claimed->front().ref, "w", Succeeded{JobResult{"42", "", "stop", 1, 1}}};
    if (!succeeds) ending.how = Failed{JobError{"bad_request", "no", "invalid_request_error", ""}, true};
    EXPECT_TRUE(jobs_.finish(std::span(&ending, 1), soon()));
    const EventRef ref = jobs_.events().back();
    store_.put_event({ref.id, ref.job_id, ref.tenant, ref.generation, ref.type, 1'700'000'000'000'000, false,
                      callback_url});
    return ref.id;
  }

  ManualClock clock_;
  SeededRng rng_{2};
  IdMaker ids_{clock_, rng_};
  ::sluice::testing::FakeJobStore jobs_{clock_, ids_};
  MemoryDeliveryStore store_{clock_};
  Decider decider_{PayloadConfig{}, store_, jobs_, ids_};
};

TEST_F(Deciding, AJobWithACallbackGetsADelivery) {
  const EventId event = ended_job("https://Example.com/hook");
  const auto counts = decider_.decide({event}, soon());
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->deliveries, 1);
  ASSERT_EQ(store_.deliveries().size(), 1u);
  const auto delivery = store_.deliveries().front().what;
  EXPECT_EQ(delivery.event_id, event);
  EXPECT_EQ(delivery.tenant.value, "t");
  EXPECT_EQ(delivery.url, "https://Example.com/hook");
  EXPECT_EQ(delivery.endpoint, "https://example.com:443");
  EXPECT_TRUE(is_well_formed_id(delivery.ref.id.value, "dlv_"));
  const auto body = nlohmann::json::parse(delivery.body);
  EXPECT_EQ(body["type"], "job.succeeded");
  EXPECT_EQ(body["data"]["result"]["text"], "42");
}

TEST_F(Deciding, AJobWithoutACallbackHasNoReceiver) {
  const EventId event = ended_job("");
  EXPECT_EQ(decider_.decide({event}, soon())->no_receiver, 1);
  EXPECT_TRUE(store_.deliveries().empty());
  EXPECT_EQ(decider_.decide({event}, soon())->duplicates, 1);
}

TEST_F(Deciding, ALineThatIsToldTogetherWaitsWithItsBody) {
  const std::string id = "we_0192c0de-0000-7000-8000-000000000001";
  const auto line = [&] {
    const EventId event = ended_job("https://Example.com/hook");
    auto record = store_.find_events(std::span(&event, 1), soon())->front();
    record.together = Together{ids_.make<BatchId>(1), 10, 30s};
    store_.put_event(record);
    return record;
  };
  const EventRecord alone = line();
  auto counts = decider_.decide({alone.id}, soon());
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->waiting, 1);
  EXPECT_EQ(counts->deliveries + counts->no_receiver, 0);
  EXPECT_TRUE(store_.deliveries().empty());
  ASSERT_EQ(store_.waiting_lines().size(), 1u);
  const Decision waits = store_.waiting_lines().front();
  EXPECT_EQ(waits.waiting->all.batch, alone.together->batch);
  EXPECT_EQ(waits.waiting->url, "https://Example.com/hook");
  EXPECT_EQ(waits.waiting->endpoint, "https://example.com:443");
  EXPECT_EQ(waits.waiting->tenant.value, "t");
  EXPECT_EQ(waits.waiting->all.lines_max, 10);
  EXPECT_EQ(waits.waiting->all.wait, 30s);
  const auto body = nlohmann::json::parse(waits.body);
  EXPECT_EQ(body["id"], alone.id.value);
  EXPECT_EQ(body["data"]["id"], alone.job_id.value);
  EXPECT_EQ(decider_.decide({alone.id}, soon())->duplicates, 1);
  // An endpoint that chose it by name is told of each by itself.
  store_.put_subscriber({{"we_of_all"}, {"t"}, "https://b.example/x", "*"});
  store_.put_subscriber({{"we_of_all_and_another"}, {"t"}, "https://b.example/x", "job.dead,*"});
  store_.put_subscriber({{id}, {"t"}, "https://a.example/x", "job.failed,job.succeeded"});
  counts = decider_.decide({line().id}, soon());
  EXPECT_EQ(counts->deliveries, 1);
  ASSERT_EQ(store_.deliveries().size(), 1u);
  EXPECT_EQ(store_.deliveries().front().what.endpoint_id.value, id);
  EXPECT_EQ(store_.waiting_lines().size(), 2u);
  store_.put_subscriber({{"we_of_all_and_it"}, {"t"}, "https://b.example/x", "*,job.succeeded"});
  EXPECT_EQ(decider_.decide({line().id}, soon())->deliveries, 1);
  EXPECT_EQ(store_.deliveries().size(), 3u);
}

TEST_F(Deciding, EveryEndpointThatChoseTheEventGetsItBesideTheCallback) {
  const std::string id = "we_0192c0de-0000-7000-8000-00000000000";
  store_.put_subscriber({{id + "1"}, {"t"}, "https://a.example/x", "*"});
  store_.put_subscriber({{id + "2"}, {"t"}, "https://b.example/x", "job.dead,job.failed"});
  store_.put_subscriber({{id + "3"}, {"other"}, "https://c.example/x", "*"});
  ASSERT_EQ(decider_.decide({ended_job("https://example.com/hook")}, soon())->deliveries, 1);
  ASSERT_EQ(decider_.decide({ended_job("", false)}, soon())->deliveries, 1);
  std::multiset<std::string> told;
  for (const auto& one : store_.deliveries()) {
    told.insert(one.what.endpoint);
    EXPECT_FALSE(one.what.body.empty());
    EXPECT_EQ(one.what.endpoint_id.empty(), one.what.endpoint == "https://example.com:443");
  }
  EXPECT_EQ(told, (std::multiset<std::string>{"https://example.com:443", id + "1", id + "1", id + "2"}));
}

TEST_F(Deciding, DuplicatesAndUnknownEventsChangeNothing) {
  const EventId event = ended_job("http://a/");
  const auto counts = decider_.decide({event, event, ids_.make<EventId>(1)}, soon());
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->deliveries, 1);
  EXPECT_EQ(counts->duplicates, 1);
  EXPECT_EQ(counts->unknown, 1);
  EXPECT_EQ(decider_.decide({event}, soon())->duplicates, 1);
  EXPECT_EQ(store_.deliveries().size(), 1u);
}

TEST_F(Deciding, ManyInOneGo) {
  std::vector<EventId> events;
  for (int i = 0; i < 50; ++i)
    events.push_back(ended_job(i % 2 == 0 ? "http://a/" + std::to_string(i) : "", i % 3 != 0));
  const auto counts = decider_.decide(events, soon());
  ASSERT_TRUE(counts);
  EXPECT_EQ(counts->deliveries, 25);
  EXPECT_EQ(counts->no_receiver, 25);
  EXPECT_EQ(jobs_.calls("get_final"), 1);
  for (const auto& delivery : store_.deliveries()) {
    const auto body = nlohmann::json::parse(delivery.what.body);
    EXPECT_EQ(body["data"]["id"], delivery.what.job_id.value);
  }
}

TEST_F(Deciding, AUrlThatIsNoneStillGetsItsRow) {
  EXPECT_EQ(decider_.decide({ended_job("nonsense")}, soon())->deliveries, 1);
  EXPECT_EQ(store_.deliveries().front().what.endpoint, kInvalidEndpoint);
}

TEST_F(Deciding, AJobWhoseRowIsGoneIsToldByItsEvent) {
  const EventId event = ids_.make<EventId>(1);
  store_.put_event({event, ids_.make<JobId>(1), TenantId{"t"}, 1, "job.failed", 0, false, "http://a/"});
  EXPECT_EQ(decider_.decide({event}, soon())->deliveries, 1);
  EXPECT_EQ(nlohmann::json::parse(store_.deliveries().front().what.body)["data"]["status"], "failed");
}

TEST_F(Deciding, NothingIsDecidedWhileAStoreIsDown) {
  const EventId event = ended_job("http://a/");
  jobs_.fail_next("get_final", ErrorCode::kUnavailable);
  EXPECT_EQ(decider_.decide({event}, soon()).error().code, ErrorCode::kUnavailable);
  store_.fail_with(Error{ErrorCode::kUnavailable, "down"});
  EXPECT_EQ(decider_.decide({event}, soon()).error().code, ErrorCode::kUnavailable);
  store_.fail_with(std::nullopt);
  EXPECT_TRUE(store_.deliveries().empty());
  EXPECT_EQ(decider_.decide({event}, soon())->deliveries, 1);
}

}  // namespace
}  // namespace sluice::callback
