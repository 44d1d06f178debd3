// What sluice-engine can do, one function a subcommand. Each returns the process's exit code: 0, or 1 after a
// message on `err`. They read and write nothing but the streams and files named here, so tests call them as
// they are.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/rng.h"
#include "worker/engine/engine.h"
#include "worker/engine/loaded_model.h"

namespace sluice::engine_cli {

struct Io {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool err_is_terminal = false;  // Progress is shown only there.
};

struct CommonOptions {
  ModelOptions model;
  bool json = false;
};

// What the file is, and whether the engine can run it.
int info(const CommonOptions& options, const Io& io);

struct TokenizeOptions {
  bool bos = false;
  bool special = false;
};
// Prints the ids of the text on `in`. Needs a vocabulary, no weights.
int tokenize(const CommonOptions& options, const TokenizeOptions& tokenize, const Io& io);

struct LogitsOptions {
  std::size_t top = 10;
  bool bos = false;
};
// Prints the largest logits after the last token of the text on `in`.
int logits(const CommonOptions& options, const LogitsOptions& logits, const Io& io);

struct GenerateOptions {
  bool raw = false;    // No chat template.
  std::string system;  // A system message before the text; none if empty.
  SamplingParams params;
};
int generate(const CommonOptions& options, const GenerateOptions& generate, Rng& rng, const Io& io);

struct QuantizeOptions {
  std::string from;
  std::string to;
  std::string type = "Q8_0";
  bool pure = false;        // Every matrix the same type; see quantize_plan.h.
  bool requantize = false;  // Take files that are quantised already.
  std::string calibrate;    // Text or prompts to measure activations with; empty: all weights count alike.
  std::size_t calibrate_tokens = 16384;
  std::size_t threads = 0;
};
// Writes a copy whose matrices have another type. The new file appears when it is complete.
int quantize(const QuantizeOptions& options, bool json, const Io& io);

struct EvalOptions {
  std::string path;
  int max_tokens = 160;
  std::size_t sequences = 32;
  bool wrong = false;  // Prints each wrong answer beside the expected one.
};
// Greedy answers to a file of prompts, compared with the expected ones.
int eval(const CommonOptions& options, const EvalOptions& eval, Rng& rng, const Io& io);

struct PerplexityOptions {
  std::string path;         // A text, or conversations as JSON lines (.jsonl).
  std::size_t context = 0;  // Tokens of a window; 0: 512, or the model's context if that is less.
  bool all = false;         // Scores the first half of each window, too (but for its first token).
  bool special = false;     // Recognises special tokens in the text.
  std::string baseline;     // Another file of the model, to compare probabilities with; none if empty.
};
// How well the model predicts a text: exp of the mean of -log p over the tokens scored.
int perplexity(const CommonOptions& options, const PerplexityOptions& perplexity, const Io& io);

struct BenchOptions {
  std::size_t prefill = 128;  // Tokens of each prompt.
  std::size_t decode = 64;    // Tokens of each answer.
  std::vector<std::size_t> sequences = {1, 8, 32};
  int repeats = 3;
  bool ceilings = true;  // Measure what the machine allows, too, and compare with it.
};
// Measures prefill and decode over several numbers of sequences.
int bench(const CommonOptions& options, const BenchOptions& bench, Clock& clock, const Io& io);

// Prints "sluice-engine: message" and returns 1.
int report(const Error& error, const Io& io);

}  // namespace sluice::engine_cli
