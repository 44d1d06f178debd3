// How well a model predicts a text. The text is cut into windows of N tokens; each is computed by itself, and
// the tokens of its second half are scored, so that every scored token has at least N / 2 before it. What is
// left over at the end counts for nothing, unless the whole text is shorter than one window. Of a file of
// JSON lines each conversation is a window of its own, of which the answer is scored, and each text is cut
// into windows as long as the model's context.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <ostream>

#include "worker/engine_cli/commands.h"
#include "worker/engine_cli/text_file.h"
#include "worker/ops/kv_cache.h"

namespace sluice::engine_cli {
namespace {

constexpr std::size_t kStepTokens = 128;
constexpr std::size_t kWindowDefault = 512;

struct Tally {
  std::size_t windows = 0;
  std::size_t answers = 0;  // Windows of which the answer is scored.
  std::size_t tokens = 0;
  double sum = 0.0;      // Of -log p, in nats.
  double squares = 0.0;  // Of its squares.
  double divergence = 0.0;
  std::size_t same_top = 0;

  double mean() const { return sum / static_cast<double>(tokens); }
  double perplexity() const { return std::exp(mean()); }
  // Of the perplexity: the mean's standard error, carried through exp.
  double standard_error() const {
    const double n = static_cast<double>(tokens);
    const double variance = std::max(0.0, squares / n - mean() * mean());
    return tokens < 2 ? 0.0 : perplexity() * std::sqrt(variance / (n - 1.0));
  }
};

// log Σ exp, in double precision.
double log_total(std::span<const float> logits) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum);
}

// One model over one window after the other.
class Reader {
 public:
  static Result<Reader> make(const LoadedModel& model, std::size_t window) {
    SLUICE_ASSIGN(auto cache, ops::KvCache::make(model.model().kv_shape(), window + ops::kPageTokens));
    return Reader(model, std::move(cache));
  }
  void start(std::size_t window) { pages_ = cache_->reserve(window); }
  // Logits of the tokens from `scored_from` on, among ids[from, to).
  std::span<const float> read(const std::vector<TokenId>& ids, std::size_t from, std::size_t to,
                              std::size_t scored_from) {
    std::vector<model::StepToken> step;
    for (std::size_t i = from; i < to; ++i) step.push_back({ids[i], i, &*pages_, i >= scored_from});
    return model_->model().forward(*cache_, step);
  }
  void end() { pages_.reset(); }

 private:
  Reader(const LoadedModel& model, std::unique_ptr<ops::KvCache> cache)
      : model_(&model), cache_(std::move(cache)) {}
  const LoadedModel* model_;
  std::unique_ptr<ops::KvCache> cache_;
  std::optional<ops::KvPages> pages_;
};

// What one position adds, computed by whichever thread; summed in order afterwards.
struct Position {
  double loss = 0.0;
  double divergence = 0.0;
  bool same_top = false;
};

Position score(std::span<const float> logits, std::span<const float> baseline, TokenId next) {
  Position position;
  const double total = log_total(logits);
  position.loss = total - static_cast<double>(logits[static_cast<std::size_t>(next)]);
  if (baseline.empty()) return position;
  const double base_total = log_total(baseline);
  for (std::size_t v = 0; v < logits.size(); ++v) {
    const double base_log = static_cast<double>(baseline[v]) - base_total;
    position.divergence += std::exp(base_log) * (base_log - (static_cast<double>(logits[v]) - total));
  }
  position.same_top = std::max_element(logits.begin(), logits.end()) - logits.begin() ==
                      std::max_element(baseline.begin(), baseline.end()) - baseline.begin();
  return position;
}

Result<Tally> measure(const LoadedModel& model, const LoadedModel* baseline, const PerplexityOptions& options,
                      const Io& io) {
  const std::size_t vocabulary = model.model().shape().vocabulary;
  const std::size_t longest = model.model().shape().context_tokens;
  if (baseline != nullptr && baseline->model().shape().vocabulary != vocabulary) {
    return fail(ErrorCode::kInvalid, "the baseline has another vocabulary");
  }
  const std::size_t window = options.context == 0 ? std::min(kWindowDefault, longest) : options.context;
  if (window > longest || window < 4) {
    return fail(ErrorCode::kInvalid, "windows of " + std::to_string(window) +
                                         " tokens don't fit: at least 4, and the model's context is " +
                                         std::to_string(longest));
  }
  TextFileOptions text;
  text.window = options.path.ends_with(".jsonl") ? longest : window;
  text.parse_special = options.special;
  text.drop_rest = true;
  text.begin_with_bos = true;
  SLUICE_ASSIGN(const std::vector<TextPiece> windows, read_text_file(model.text(), options.path, text));
  for (const TextPiece& piece : windows) {
    if (piece.ids.size() < 4) return fail(ErrorCode::kInvalid, options.path + ": holds too little text");
  }
  SLUICE_ASSIGN(Reader reader, Reader::make(model, text.window));
  std::optional<Reader> base;
  if (baseline != nullptr) {
    SLUICE_ASSIGN(base, Reader::make(*baseline, text.window));
  }
  Tally tally;
  std::vector<Position> positions;
  for (const TextPiece& piece : windows) {
    const std::vector<TokenId>& ids = piece.ids;
    // Logits at position i say what i + 1 will be; the last one's say what nobody knows.
    std::size_t first = piece.answer_from > 0 ? piece.answer_from - 1 : ids.size() / 2 - 1;
    if (options.all) first = 0;
    const std::size_t last = ids.size() - 1;
    reader.start(ids.size());
    if (base) base->start(ids.size());
    for (std::size_t from = 0; from < last; from += kStepTokens) {
      const std::size_t to = std::min(last, from + kStepTokens);
      const auto logits = reader.read(ids, from, to, first);
      const auto base_logits = base ? base->read(ids, from, to, first) : std::span<const float>{};
      const std::size_t count = logits.size() / vocabulary;
      positions.assign(count, {});
      model.context().pool.parallel_for(count, 1, [&](std::size_t begin, std::size_t end, std::size_t) {
        for (std::size_t i = begin; i < end; ++i) {
          const auto row = logits.subspan(i * vocabulary, vocabulary);
          positions[i] = score(row, base ? base_logits.subspan(i * vocabulary, vocabulary) : base_logits,
                               ids[to - count + i + 1]);
        }
      });
      for (const Position& position : positions) {
        tally.tokens += 1;
        tally.sum += position.loss;
        tally.squares += position.loss * position.loss;
        tally.divergence += position.divergence;
        tally.same_top += position.same_top ? 1 : 0;
      }
    }
    reader.end();
    if (base) base->end();
    tally.windows += 1;
    tally.answers += piece.answer_from > 0 ? 1 : 0;
    if (io.err_is_terminal) {
      io.err << "\r" << tally.windows << " of " << windows.size() << " windows, " << tally.perplexity()
             << std::flush;
    }
  }
  if (io.err_is_terminal) io.err << "\r\n";
  return tally;
}

std::string scored(const Tally& tally, bool all) {
  if (all) return "all";
  if (tally.answers == 0) return "second half";
  return tally.answers == tally.windows ? "answers" : "answers and second halves";
}

}  // namespace

int perplexity(const CommonOptions& options, const PerplexityOptions& perplexity, const Io& io) {
  const auto model = LoadedModel::load(options.model);
  if (!model) return report(model.error(), io);
  std::unique_ptr<LoadedModel> baseline;
  if (!perplexity.baseline.empty()) {
    ModelOptions base_options = options.model;
    base_options.path = perplexity.baseline;
    auto loaded = LoadedModel::load(base_options);
    if (!loaded) return report(loaded.error(), io);
    baseline = std::move(*loaded);
  }
  const auto tally = measure(**model, baseline.get(), perplexity, io);
  if (!tally) return report(tally.error(), io);
  const double n = static_cast<double>(tally->tokens);
  if (options.json) {
    nlohmann::ordered_json json{
        {"perplexity", tally->perplexity()}, {"standard_error", tally->standard_error()},
        {"nats_per_token", tally->mean()},   {"tokens_scored", tally->tokens},
        {"windows", tally->windows},         {"scored", scored(*tally, perplexity.all)}};
    if (baseline) {
      json["divergence_nats"] = tally->divergence / n;
      json["same_top"] = static_cast<double>(tally->same_top) / n;
    }
    io.out << json.dump() << "\n";
    return 0;
  }
  char line[200];
  std::snprintf(line, sizeof line, "perplexity %.4f ± %.4f over %zu tokens in %zu windows\n",
                tally->perplexity(), tally->standard_error(), tally->tokens, tally->windows);
  io.out << line;
  if (baseline) {
    std::snprintf(line, sizeof line,
                  "from the baseline: divergence %.6f nats, same likeliest token %.2f %%\n",
                  tally->divergence / n, 100.0 * static_cast<double>(tally->same_top) / n);
    io.out << line;
  }
  return 0;
}

}  // namespace sluice::engine_cli
