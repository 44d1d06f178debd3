// What a delivery store promises, asked of the one in memory and of the real one.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

#include "tests/contract/callback/store_under_test.h"
#include "tests/unit/callback/support/deliveries.h"

namespace sluice::callback {
namespace {

using namespace std::chrono_literals;
using testing::Prepared;
using testing::SeenDelivery;
using Kind = Verdict::Kind;

struct Maker {
  const char* name;
  std::unique_ptr<testing::StoreUnderTest> (*make)();
};

class DeliveryStoreContract : public ::testing::TestWithParam<Maker> {
 protected:
  void SetUp() override {
    under_test_ = GetParam().make();
    if (under_test_ == nullptr) GTEST_SKIP() << "SLUICE_MYSQL_HOST is not set";
    ids_ = std::make_unique<IdMaker>(under_test_->clock(), under_test_->rng());
  }
  DeliveryStore& store() { return under_test_->store(); }
  Deadline soon() { return Deadline::in(under_test_->clock(), 20s); }

  Prepared event(const std::string& endpoint = "http://a:80", const std::string& body = "{}") {
    Prepared prepared = testing::prepare(*ids_, endpoint + "/hook", endpoint, body);
    prepared.event.created_us = 1'700'000'000'123'456;
    under_test_->put_event(prepared.event);
    return prepared;
  }
  std::vector<DecideOutcome> decide(std::vector<Decision> decisions) {
    auto outcomes = store().decide(decisions, soon());
    EXPECT_TRUE(outcomes) << outcomes.error().message;
    return outcomes ? *outcomes : std::vector<DecideOutcome>{};
  }
  // A pending delivery that is due.
  DeliveryId pending(const std::string& endpoint = "http://a:80", const std::string& body = "{}") {
    const Prepared prepared = event(endpoint, body);
    EXPECT_EQ(decide({prepared.decision}), std::vector{DecideOutcome::kDecided});
    return prepared.decision.deliveries.front().id;
  }
  std::vector<ClaimedDelivery> claim(const std::string& endpoint = "http://a:80", int max = 100,
                                     std::chrono::milliseconds hold = 60s) {
    const ClaimWish wish{endpoint, max};
    auto claimed = store().claim(std::span(&wish, 1), hold, soon());
    EXPECT_TRUE(claimed) << claimed.error().message;
    return claimed ? *claimed : std::vector<ClaimedDelivery>{};
  }
  RecordOutcome record(const DeliveryRef& ref, Kind kind, std::optional<int> status, std::string error = "",
                       std::string response = "", std::chrono::milliseconds delay = 0ms) {
    AttemptRecord record{ref, {}, {}, {kind, delay}};
    record.report.status = status;
    record.report.error = std::move(error);
    record.report.response = std::move(response);
    record.report.duration = 1234ms;
    const auto outcomes = store().record(std::span(&record, 1), soon());
    EXPECT_TRUE(outcomes) << outcomes.error().message;
    return outcomes ? outcomes->front() : RecordOutcome::kLost;
  }
  SeenDelivery look(const DeliveryId& id) { return under_test_->look(id); }

  std::unique_ptr<testing::StoreUnderTest> under_test_;
  std::unique_ptr<IdMaker> ids_;
};

TEST_P(DeliveryStoreContract, EventsAreFoundWithTheirJobsCallback) {
  const Prepared one = event("http://a:80");
  Prepared none = testing::prepare(*ids_, "", "");
  none.event.type = "job.failed";
  none.event.generation = 3;
  under_test_->put_event(none.event);
  const std::vector<EventId> ids = {one.event.id, none.event.id, ids_->make<EventId>(1)};
  auto found = store().find_events(ids, soon());
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->size(), 2u);
  std::sort(found->begin(), found->end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  const EventRecord& first = (*found)[0];
  EXPECT_EQ(first.id, one.event.id);
  EXPECT_EQ(first.job_id, one.event.job_id);
  EXPECT_EQ(first.tenant.value, "t");
  EXPECT_EQ(first.type, "job.succeeded");
  EXPECT_EQ(first.created_us, 1'700'000'000'123'456);
  EXPECT_EQ(first.callback_url, "http://a:80/hook");
  EXPECT_FALSE(first.decided);
  EXPECT_EQ((*found)[1].generation, 3);
  EXPECT_EQ((*found)[1].callback_url, "");
}

TEST_P(DeliveryStoreContract, ADecisionIsMadeOnce) {
  const Prepared one = event();
  Decision nobody{event("http://b:80").event.id, {}, ""};
  Decision unknown{ids_->make<EventId>(1), {}, ""};
  EXPECT_EQ(decide({one.decision, nobody, unknown}),
            (std::vector{DecideOutcome::kDecided, DecideOutcome::kDecided, DecideOutcome::kUnknown}));
  Decision again = one.decision;
  again.deliveries.front().id = ids_->make<DeliveryId>(1);
  EXPECT_EQ(decide({again, nobody}),
            (std::vector{DecideOutcome::kAlreadyDecided, DecideOutcome::kAlreadyDecided}));
  EXPECT_EQ(claim("http://a:80").size(), 1u);
  EXPECT_TRUE(claim("http://b:80").empty());
  const EventId id = one.event.id;
  EXPECT_TRUE(store().find_events(std::span(&id, 1), soon())->front().decided);
}

TEST_P(DeliveryStoreContract, OutcomesComeInTheOrderAskedWhateverTheIdsOrder) {
  const Prepared first = event();
  const Prepared second = event();
  decide({first.decision});
  EXPECT_EQ(decide({second.decision, {ids_->make<EventId>(1), {}, ""}, first.decision}),
            (std::vector{DecideOutcome::kDecided, DecideOutcome::kUnknown, DecideOutcome::kAlreadyDecided}));
}

TEST_P(DeliveryStoreContract, NothingToDoIsDone) {
  EXPECT_TRUE(store().decide({}, soon())->empty());
  EXPECT_TRUE(store().record({}, soon())->empty());
  EXPECT_TRUE(store().find_events({}, soon())->empty());
  EXPECT_TRUE(store().release({}, 0ms, soon()));
  EXPECT_TRUE(store().claim({}, 1s, soon())->empty());
  EXPECT_TRUE(claim("http://nobody:80").empty());
  EXPECT_TRUE(store().due_endpoints(10, soon())->empty());
}

TEST_P(DeliveryStoreContract, AClaimHoldsTheRowAndGivesItsPayload) {
  const std::string body = "{\"text\":\"gr\xc3\xbc\xc3\x9f\x65 \\u0000 \xf0\x9f\x98\x80 '; -- ?\"}";
  const DeliveryId id = pending("http://a:80", body);
  const auto claimed = claim();
  ASSERT_EQ(claimed.size(), 1u);
  EXPECT_EQ(claimed[0].ref.id, id);
  EXPECT_EQ(claimed[0].ref.attempts, 0);
  EXPECT_EQ(claimed[0].body, body);
  EXPECT_EQ(claimed[0].url, "http://a:80/hook");
  EXPECT_EQ(claimed[0].endpoint, "http://a:80");
  EXPECT_EQ(claimed[0].tenant.value, "t");
  EXPECT_FALSE(claimed[0].event_id.empty());
  EXPECT_FALSE(claimed[0].job_id.empty());
  EXPECT_TRUE(claim().empty());
  const SeenDelivery seen = look(id);
  EXPECT_EQ(seen.state, "pending");
  EXPECT_GT(seen.due_in_ms, 50'000);
  EXPECT_LE(seen.due_in_ms, 60'000);
}

TEST_P(DeliveryStoreContract, ALostSendersRowComesBackWithTheSamePayload) {
  const DeliveryId id = pending("http://a:80", "{\"n\":1}");
  const auto first = claim("http://a:80", 100, 1ms);
  std::vector<ClaimedDelivery> second;
  while (second.empty()) second = claim();
  EXPECT_EQ(second[0].ref.id, id);
  EXPECT_EQ(second[0].body, first[0].body);
  EXPECT_NE(second[0].ref.claim, first[0].ref.claim);
  // The first sender is late: the row is no longer its own.
  EXPECT_EQ(record(first[0].ref, Kind::kDelivered, 200), RecordOutcome::kLost);
  EXPECT_TRUE(look(id).made.empty());
  EXPECT_EQ(record(second[0].ref, Kind::kDelivered, 200), RecordOutcome::kRecorded);
}

TEST_P(DeliveryStoreContract, ClaimsAreBoundedForEachEndpointAndLongestDueFirst) {
  std::vector<DeliveryId> a;
  for (int i = 0; i < 5; ++i) a.push_back(pending("http://a:80"));
  pending("http://b:80");
  under_test_->make_due(a[3], 10s);
  under_test_->make_due(a[1], 5s);
  const std::vector<ClaimWish> wishes = {{"http://a:80", 2}, {"http://b:80", 2}, {"http://c:80", 2}};
  const auto claimed = store().claim(wishes, 60s, soon());
  ASSERT_TRUE(claimed);
  ASSERT_EQ(claimed->size(), 3u);
  EXPECT_EQ((*claimed)[0].ref.id, a[3]);
  EXPECT_EQ((*claimed)[1].ref.id, a[1]);
  EXPECT_EQ((*claimed)[2].endpoint, "http://b:80");
  EXPECT_EQ(claim("http://a:80").size(), 3u);
}

TEST_P(DeliveryStoreContract, DueEndpointsLongestWaitingFirst) {
  const DeliveryId a = pending("http://a:80");
  const DeliveryId b = pending("http://b:80");
  pending("http://b:80");
  const DeliveryId later = pending("http://later:80");
  under_test_->make_due(a, 3s);
  under_test_->make_due(b, 9s);
  under_test_->make_due(later, -60s);
  const auto due = store().due_endpoints(10, soon());
  ASSERT_TRUE(due) << due.error().message;
  ASSERT_EQ(due->size(), 2u);
  EXPECT_EQ((*due)[0].endpoint, "http://b:80");
  EXPECT_GE((*due)[0].waited, 9s);
  EXPECT_LT((*due)[0].waited, 30s);
  EXPECT_EQ((*due)[1].endpoint, "http://a:80");
  EXPECT_EQ(store().due_endpoints(1, soon())->size(), 1u);
  claim("http://b:80");
  EXPECT_EQ(store().due_endpoints(10, soon())->front().endpoint, "http://a:80");
}

TEST_P(DeliveryStoreContract, ASuccessEndsTheDelivery) {
  const DeliveryId id = pending();
  EXPECT_EQ(record(claim()[0].ref, Kind::kDelivered, 204, "", "thanks"), RecordOutcome::kRecorded);
  const SeenDelivery seen = look(id);
  EXPECT_EQ(seen.state, "delivered");
  EXPECT_EQ(seen.attempts, 1);
  EXPECT_EQ(seen.last_status, 204);
  EXPECT_EQ(seen.last_error, "");
  ASSERT_EQ(seen.made.size(), 1u);
  EXPECT_EQ(seen.made[0].attempt, 1);
  EXPECT_EQ(seen.made[0].status, 204);
  EXPECT_EQ(seen.made[0].response, "thanks");
  EXPECT_EQ(seen.made[0].duration_ms, 1234);
  EXPECT_TRUE(claim().empty());
}

TEST_P(DeliveryStoreContract, AFailureIsDueAgainAfterItsDelay) {
  const DeliveryId id = pending();
  EXPECT_EQ(record(claim()[0].ref, Kind::kRetry, std::nullopt, "timeout", "", 300s),
            RecordOutcome::kRecorded);
  SeenDelivery seen = look(id);
  EXPECT_EQ(seen.state, "pending");
  EXPECT_GT(seen.due_in_ms, 280'000);
  EXPECT_LE(seen.due_in_ms, 300'000);
  EXPECT_EQ(seen.last_status, std::nullopt);
  EXPECT_EQ(seen.last_error, "timeout");
  EXPECT_TRUE(claim().empty());
  under_test_->make_due(id, 0ms);
  const auto second = claim();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].ref.attempts, 1);
  EXPECT_EQ(record(second[0].ref, Kind::kFailed, 410, "HTTP status 410"), RecordOutcome::kRecorded);
  seen = look(id);
  EXPECT_EQ(seen.state, "failed");
  EXPECT_EQ(seen.attempts, 2);
  EXPECT_EQ(seen.last_status, 410);
  ASSERT_EQ(seen.made.size(), 2u);
  EXPECT_EQ(seen.made[1].attempt, 2);
  under_test_->make_due(pending(), 0ms);
  EXPECT_EQ(claim().size(), 1u);
}

TEST_P(DeliveryStoreContract, RecordingTwiceChangesNothing) {
  const DeliveryId id = pending();
  const DeliveryRef ref = claim()[0].ref;
  EXPECT_EQ(record(ref, Kind::kRetry, 500, "HTTP status 500", "", 1h), RecordOutcome::kRecorded);
  EXPECT_EQ(record(ref, Kind::kRetry, 500, "HTTP status 500", "", 1h), RecordOutcome::kLost);
  EXPECT_EQ(record(ref, Kind::kDelivered, 200), RecordOutcome::kLost);
  EXPECT_EQ(look(id).made.size(), 1u);
  EXPECT_EQ(record({ids_->make<DeliveryId>(1), 0, ref.claim}, Kind::kDelivered, 200), RecordOutcome::kLost);
}

TEST_P(DeliveryStoreContract, ManyAtOnceEachWithItsOwnOutcome) {
  for (int i = 0; i < 60; ++i) pending();
  auto claimed = claim();
  ASSERT_EQ(claimed.size(), 60u);
  std::vector<AttemptRecord> records;
  for (std::size_t i = 0; i < claimed.size(); ++i) {
    AttemptRecord one{claimed[i].ref,
                      {},
                      {},
                      {i % 3 == 0   ? Kind::kDelivered
                       : i % 3 == 1 ? Kind::kRetry
                                    : Kind::kFailed,
                       1h}};
    one.report.status = i % 3 == 0 ? 200 + static_cast<int>(i % 2) : 500;
    one.report.response = std::string(4096, static_cast<char>(i));
    if (i % 10 == 9) one.ref.claim = "2020-01-01 00:00:00.000000";
    records.push_back(one);
  }
  std::reverse(records.begin(), records.end());
  const auto outcomes = store().record(records, soon());
  ASSERT_TRUE(outcomes) << outcomes.error().message;
  for (std::size_t at = 0; at < records.size(); ++at) {
    const std::size_t i = records.size() - 1 - at;
    const SeenDelivery seen = look(claimed[i].ref.id);
    const bool lost = i % 10 == 9;
    EXPECT_EQ((*outcomes)[at], lost ? RecordOutcome::kLost : RecordOutcome::kRecorded);
    EXPECT_EQ(seen.made.size(), lost ? 0u : 1u);
    if (lost) continue;
    EXPECT_EQ(seen.state, i % 3 == 0 ? "delivered" : i % 3 == 1 ? "pending" : "failed");
    EXPECT_EQ(seen.last_status, records[at].report.status);
    EXPECT_EQ(seen.made[0].response, records[at].report.response);
  }
}

TEST_P(DeliveryStoreContract, AnswersAreKeptAsBytesAndCut) {
  const DeliveryId id = pending();
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes.push_back(static_cast<char>(i));
  record(claim()[0].ref, Kind::kRetry, 500, std::string(3000, 'e') + "\xff\n", bytes, 1h);
  const SeenDelivery seen = look(id);
  EXPECT_EQ(seen.made[0].response, bytes.substr(0, 4096));
  EXPECT_EQ(seen.made[0].error.substr(0, 500), std::string(500, 'e'));
}

TEST_P(DeliveryStoreContract, AReleasedClaimIsAsIfItHadNeverBeen) {
  const DeliveryId id = pending();
  const auto claimed = claim();
  std::vector<DeliveryRef> refs = {claimed[0].ref, {ids_->make<DeliveryId>(1), 0, "x"}};
  ASSERT_TRUE(store().release(refs, 0ms, soon()));
  const auto again = claim();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].ref.attempts, 0);
  ASSERT_TRUE(store().release(refs, 0ms, soon()));  // Lost by now: passed over.
  EXPECT_TRUE(claim().empty());
  refs = {again[0].ref};
  ASSERT_TRUE(store().release(refs, 60s, soon()));
  EXPECT_GT(look(id).due_in_ms, 50'000);
  EXPECT_TRUE(look(id).made.empty());
}

TEST_P(DeliveryStoreContract, GivingUpTakesOnlyWhatWaitedTooLong) {
  const DeliveryId old = pending("http://dead:80");
  const DeliveryId older = pending("http://dead:80");
  const DeliveryId recent = pending("http://dead:80");
  const DeliveryId other = pending("http://a:80");
  under_test_->make_due(old, 2h);
  under_test_->make_due(older, 3h);
  under_test_->make_due(other, 3h);
  EXPECT_EQ(*store().give_up("http://dead:80", 1h, "given up", 1, soon()), 1);
  EXPECT_EQ(look(older).state, "failed");
  EXPECT_EQ(look(older).last_error, "given up");
  EXPECT_EQ(look(old).state, "pending");
  EXPECT_EQ(*store().give_up("http://dead:80", 1h, "given up", 100, soon()), 1);
  EXPECT_EQ(look(old).state, "failed");
  EXPECT_EQ(look(recent).state, "pending");
  EXPECT_EQ(look(other).state, "pending");
}

TEST_P(DeliveryStoreContract, BacklogCountsWhatIsPending) {
  EXPECT_EQ(store().backlog(100, soon())->pending, 0);
  EXPECT_EQ(store().backlog(100, soon())->oldest_due, 0ms);
  std::vector<DeliveryId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(pending());
  under_test_->make_due(ids[0], 10s);
  under_test_->make_due(ids[1], -1h);
  const auto backlog = store().backlog(100, soon());
  ASSERT_TRUE(backlog) << backlog.error().message;
  EXPECT_EQ(backlog->pending, 5);
  EXPECT_GE(backlog->oldest_due, 10s);
  EXPECT_LT(backlog->oldest_due, 30s);
  EXPECT_EQ(store().backlog(3, soon())->pending, 3);
}

TEST_P(DeliveryStoreContract, ConcurrentSendersShareTheWorkAndNeverARow) {
  for (int i = 0; i < 100; ++i) pending();
  std::vector<std::vector<ClaimedDelivery>> taken(4);
  std::vector<std::thread> senders;
  for (auto& mine : taken) {
    senders.emplace_back([&] {
      for (int rounds = 0; rounds < 200; ++rounds) {
        const ClaimWish wish{"http://a:80", 7};
        auto claimed = store().claim(std::span(&wish, 1), 60s, soon());
        ASSERT_TRUE(claimed) << claimed.error().message;
        mine.insert(mine.end(), claimed->begin(), claimed->end());
      }
    });
  }
  for (auto& sender : senders) sender.join();
  std::set<std::string> all;
  std::size_t count = 0;
  for (const auto& mine : taken) {
    count += mine.size();
    for (const auto& one : mine) all.insert(one.ref.id.value);
  }
  EXPECT_EQ(count, 100u);
  EXPECT_EQ(all.size(), 100u);
}

TEST_P(DeliveryStoreContract, ConcurrentDecisionsMakeOneDelivery) {
  std::vector<Prepared> events;
  for (int i = 0; i < 30; ++i) events.push_back(event());
  std::atomic<int> decided{0};
  std::vector<std::thread> deciders;
  for (int t = 0; t < 4; ++t) {
    std::vector<Decision> decisions;
    for (const Prepared& one : events) decisions.push_back(one.decision);
    for (Decision& decision : decisions) decision.deliveries.front().id = ids_->make<DeliveryId>(1);
    if (t % 2 == 1) std::reverse(decisions.begin(), decisions.end());
    deciders.emplace_back([&, decisions] {
      const auto outcomes = store().decide(decisions, soon());
      ASSERT_TRUE(outcomes) << outcomes.error().message;
      decided += static_cast<int>(std::count(outcomes->begin(), outcomes->end(), DecideOutcome::kDecided));
    });
  }
  for (auto& decider : deciders) decider.join();
  EXPECT_EQ(decided, 30);
  EXPECT_EQ(claim().size(), 30u);
}

INSTANTIATE_TEST_SUITE_P(Stores, DeliveryStoreContract,
                         ::testing::Values(Maker{"Memory", &testing::memory_under_test},
                                           Maker{"Mysql", &testing::mysql_under_test}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace sluice::callback
