#include "producer/dispatch/dead_mirror.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>

#include "common/rabbitmq/topology.h"

namespace sluice::producer {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class Quiet final : public LogSink {
 public:
  void write(std::string_view) override {}
};

struct Kept {
  bool handled = false;
  bool perhaps = false;
  bool sent = false;
};

class FakeMirror final : public DeadLetterMirror {
 public:
  Result<LettersToSend> begin_sending(int limit, Deadline) override {
    LettersToSend out;
    for (auto& [id, kept] : letters) {
      if (kept.handled || kept.sent || out.letters.size() == static_cast<std::size_t>(limit)) continue;
      DeadLetter& letter = out.letters.emplace_back();
      letter.job_id.value = id;
      out.again = out.again || kept.perhaps;
      kept.perhaps = true;
    }
    return out;
  }
  Result<std::vector<LetterRef>> stale_letters(int, Deadline) override {
    std::vector<LetterRef> out;
    for (const auto& [id, kept] : letters) {
      if (kept.handled && kept.perhaps) out.push_back({JobId{id}, 1});
    }
    return out;
  }
  Status mark_letters(std::span<const LetterRef> marked, bool sent, Deadline) override {
    if (marks_fail) return fail(ErrorCode::kUnavailable, "down");
    for (const LetterRef& letter : marked)
      letters.at(letter.job_id.value).sent = letters.at(letter.job_id.value).perhaps = sent;
    return {};
  }
  Result<std::vector<LetterRef>> unhandled_letters(std::span<const LetterRef> asked, Deadline) override {
    std::vector<LetterRef> out;
    for (const LetterRef& letter : asked) {
      const auto found = letters.find(letter.job_id.value);
      if (found != letters.end() && !found->second.handled) out.push_back(letter);
    }
    return out;
  }
  Result<int> forget_shown(int limit, Deadline) override {
    int forgotten = 0;
    for (auto& [id, kept] : letters) {
      if (kept.handled || !kept.sent || forgotten == limit) continue;
      kept.sent = kept.perhaps = false;
      ++forgotten;
    }
    return forgotten;
  }
  std::map<std::string, Kept> letters;
  bool marks_fail = false;
};

// tasks.dead as the broker keeps it: what is taken and not acked goes back when the reader is gone.
class FakeQueue final : public Broker {
 public:
  bool ready() const override { return true; }
  std::vector<Status> publish_all(std::vector<Message> messages, Deadline) override {
    std::vector<Status> answers;
    for (Message& message : messages) {
      EXPECT_EQ(message.routing_key, kDeadQueue);
      EXPECT_TRUE(message.persistent && message.mandatory);
      if (full) {
        answers.push_back(fail(ErrorCode::kUnavailable, "down"));
        continue;
      }
      waiting.push_back(std::move(message));
      answers.emplace_back();
    }
    return answers;
  }
  Result<QueueDepth> depth(const std::string&, Deadline) override {
    if (gone) return fail(ErrorCode::kNotFound, "no queue");
    return QueueDepth{waiting.size(), 0};
  }
  Status declare_task_queue(const std::string&, Priority, Deadline) override { return {}; }
  Status declare_topology(Deadline) override {
    gone = false;
    return {};
  }
  std::vector<std::string> shown() const {
    std::vector<std::string> out;
    for (const Message& message : waiting)
      out.push_back(message.message_id.substr(0, message.message_id.find(':')));
    return out;
  }

  std::deque<Message> waiting;
  bool full = false;
  bool gone = false;
};

class FakeReader final : public DeadQueueReader {
 public:
  explicit FakeReader(FakeQueue& queue) : queue_(queue) {}
  ~FakeReader() override {
    for (auto& [number, message] : unacked_) queue_.waiting.push_back(std::move(message));
  }
  std::vector<Delivery> take(std::size_t max, Deadline) override {
    std::vector<Delivery> taken;
    while (!queue_.waiting.empty() && taken.size() < max) {
      const Message& message = queue_.waiting.front();
      Delivery& delivery = taken.emplace_back();
      delivery.tag.number = ++number_;
      delivery.message_id = message.message_id;
      delivery.body = message.body;
      unacked_.emplace(number_, message);
      queue_.waiting.pop_front();
    }
    return taken;
  }
  void ack(const DeliveryTag& tag) override { EXPECT_EQ(unacked_.erase(tag.number), 1U); }

 private:
  FakeQueue& queue_;
  std::map<std::uint64_t, Message> unacked_;
  std::uint64_t number_ = 0;
};

class DeadMirrorTest : public ::testing::Test {
 protected:
  std::string add() {
    const std::string id = ids_.make<JobId>(0).value;
    store_.letters[id] = {};
    return id;
  }
  // Until nothing is left to do at once.
  void turn() {
    for (int i = 0; i < 10 && mirror_.run_once() == Duration::zero(); ++i) {
    }
  }
  void later() {
    clock_.advance(seconds(40));
    turn();
  }

  ManualClock clock_;
  SeededRng rng_{7};
  IdMaker ids_{clock_, rng_};
  FakeMirror store_;
  FakeQueue queue_;
  std::vector<int> owned_{0, 5};
  DeadMirror mirror_{store_,
                     queue_,
                     [this] { return std::make_unique<FakeReader>(queue_); },
                     [this] { return owned_; },
                     {},
                     clock_,
                     Log("test", LogLevel::kError, clock_, std::make_shared<Quiet>()),
                     {}};
};

TEST_F(DeadMirrorTest, ShowsUnhandledLettersOnceAndTakesAwayWhatWasHandled) {
  const std::string a = add();
  const std::string b = add();
  turn();
  turn();
  EXPECT_THAT(queue_.shown(), UnorderedElementsAre(a, b));
  store_.letters[a].handled = true;
  later();
  EXPECT_THAT(queue_.shown(), ElementsAre(b));
  EXPECT_FALSE(store_.letters[a].sent);
  EXPECT_TRUE(store_.letters[b].sent);
}

TEST_F(DeadMirrorTest, IsForTheOwnerOfItsShardAlone) {
  add();
  owned_ = {3};
  later();
  EXPECT_THAT(queue_.shown(), IsEmpty());
}

TEST_F(DeadMirrorTest, CopiesOfAnInterruptedStepGoWithTheNextPass) {
  const std::string a = add();
  const std::string b = add();
  store_.marks_fail = true;
  turn();
  store_.marks_fail = false;
  turn();
  later();
  EXPECT_THAT(queue_.shown(), UnorderedElementsAre(a, b));
}

TEST_F(DeadMirrorTest, WhatWasHandledBeforeItWasKnownToBeShownIsTakenAwayToo) {
  const std::string a = add();
  const std::string b = add();
  store_.marks_fail = true;
  turn();
  store_.marks_fail = false;
  store_.letters[a].handled = true;  // Its message is there, and unmarked.
  later();
  later();
  EXPECT_THAT(queue_.shown(), ElementsAre(b));
}

TEST_F(DeadMirrorTest, APassThatIsBrokenOffLosesNothing) {
  const std::string a = add();
  const std::string b = add();
  const std::string c = add();
  turn();
  store_.letters[a].handled = true;
  queue_.full = true;
  later();
  EXPECT_THAT(queue_.shown(), UnorderedElementsAre(a, b, c));
  EXPECT_TRUE(store_.letters[a].sent) << "the pass is still to be made";
  queue_.full = false;
  later();
  EXPECT_THAT(queue_.shown(), UnorderedElementsAre(b, c));
}

TEST_F(DeadMirrorTest, AnEmptiedOrDeletedQueueIsFilledAgain) {
  std::vector<std::string> all;
  for (int i = 0; i < 250; ++i) all.push_back(add());
  turn();
  for (const bool deleted : {false, true}) {
    queue_.waiting.clear();
    queue_.gone = deleted;
    for (int i = 0; i < 4; ++i) later();
    EXPECT_THAT(queue_.shown(), ::testing::UnorderedElementsAreArray(all));
  }
}

TEST_F(DeadMirrorTest, WhatNobodyCanReadIsTakenAway) {
  const std::string a = add();
  const std::string b = add();
  turn();
  for (const char* id : {"", "nonsense", "job_1:1", ":"}) {
    Message strange;
    strange.message_id = id;
    queue_.waiting.push_front(strange);
  }
  store_.letters[a].handled = true;
  later();
  EXPECT_THAT(queue_.shown(), ElementsAre(b));
}

TEST(DeadLetterMessage, NamesItsLetter) {
  DeadLetter letter;
  letter.job_id.value = "job_01900000-0000-7000-8000-00000000000a";
  letter.generation = 3;
  const Message message = dead_letter_message(letter);
  EXPECT_EQ(letter_ref_from(message.message_id), (LetterRef{letter.job_id, 3}));
  EXPECT_FALSE(letter_ref_from(letter.job_id.value).has_value());
  EXPECT_FALSE(letter_ref_from(letter.job_id.value + ":x").has_value());
}

}  // namespace
}  // namespace sluice::producer
