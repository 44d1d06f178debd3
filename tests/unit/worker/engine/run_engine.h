// Drives an engine in tests.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "worker/engine/engine.h"

namespace sluice::testengine {

inline const std::string kTinyModel = SLUICE_SOURCE_DIR "/models/sluice-tiny/sluice-tiny-f16.gguf";

inline GenerationRequest chat(const Engine& engine, std::string key, const std::string& text,
                              SamplingParams params = {}) {
  GenerationRequest request;
  request.key = std::move(key);
  PromptInput input;
  input.messages = {{"user", text}};
  auto prompt = engine.prepare(input);
  EXPECT_TRUE(prompt.has_value()) << (prompt ? "" : prompt.error().message);
  if (prompt) request.prompt = std::move(*prompt);
  request.params = std::move(params);
  return request;
}

struct Ended {
  GenerationOutcome outcome;
  std::string text;               // The deltas joined.
  std::vector<std::int32_t> ids;  // Those of the events joined.
};

// Steps until nothing is active; what ended, by key, and the order of ending in `order`.
inline std::map<std::string, Ended> run_all(Engine& engine, std::vector<std::string>* order = nullptr) {
  std::map<std::string, Ended> ended;
  for (int steps = 0; engine.active() > 0; ++steps) {
    if (steps > 100000) {
      ADD_FAILURE() << "the engine never ends";
      break;
    }
    for (StepEvent& event : engine.step(std::chrono::milliseconds(10))) {
      Ended& end = ended[event.key];
      end.text += event.text_delta;
      end.ids.insert(end.ids.end(), event.ids.begin(), event.ids.end());
      if (event.done) {
        end.outcome = std::move(*event.done);
        if (order != nullptr) order->push_back(event.key);
      }
    }
  }
  return ended;
}

// Runs one request alone and returns its generation.
inline Generation run_one(Engine& engine, GenerationRequest request) {
  const std::string key = request.key;
  const Status added = engine.add(std::move(request));
  EXPECT_TRUE(added.has_value()) << (added ? "" : added.error().message);
  auto ended = run_all(engine);
  const auto end = ended.find(key);
  if (end == ended.end() || !end->second.outcome) {
    ADD_FAILURE() << "no generation for " << key;
    return {};
  }
  EXPECT_EQ(end->second.text, end->second.outcome->text);
  EXPECT_EQ(end->second.ids, end->second.outcome->ids);
  return *end->second.outcome;
}

}  // namespace sluice::testengine
