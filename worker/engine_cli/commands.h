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
};
int quantize(const QuantizeOptions& options, bool json, const Io& io);

struct EvalOptions {
  std::string path;
  int max_tokens = 160;
  std::size_t sequences = 32;
  bool wrong = false;  // Prints each wrong answer beside the expected one.
};
// Greedy answers to a file of prompts, compared with the expected ones.
int eval(const CommonOptions& options, const EvalOptions& eval, Rng& rng, const Io& io);

struct BenchOptions {
  std::size_t prefill = 128;  // Tokens of each prompt.
  std::size_t decode = 64;    // Tokens of each answer.
  std::vector<std::size_t> sequences = {1, 8, 32};
  int repeats = 3;
};
// Measures prefill and decode over several numbers of sequences.
int bench(const CommonOptions& options, const BenchOptions& bench, Clock& clock, const Io& io);

// Prints "sluice-engine: message" and returns 1.
int report(const Error& error, const Io& io);

}  // namespace sluice::engine_cli
