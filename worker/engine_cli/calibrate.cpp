#include "worker/engine_cli/calibrate.h"

#include <algorithm>
#include <ostream>

#include "worker/engine_cli/text_file.h"
#include "worker/ops/kv_cache.h"

namespace sluice::engine_cli {
namespace {

// Every token's logits are computed, so that the last layer's matrices meet all of them: few at a time.
constexpr std::size_t kStepTokens = 64;
constexpr std::size_t kPieceTokens = 512;

class Squares final : public model::ActivationObserver {
 public:
  void saw(std::string_view tensor, const float* rows, std::size_t tokens, std::size_t cols) override {
    auto found = sums_.find(tensor);
    if (found == sums_.end()) {
      found = sums_.emplace(std::string(tensor), Sum{std::vector<double>(cols), 0}).first;
    }
    Sum& sum = found->second;
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t i = 0; i < cols; ++i) {
        const double x = rows[t * cols + i];
        sum.squares[i] += x * x;
      }
    }
    sum.tokens += tokens;
  }

  Importance means() const {
    Importance means;
    for (const auto& [name, sum] : sums_) {
      std::vector<float>& mean = means[name];
      for (const double squares : sum.squares) {
        mean.push_back(static_cast<float>(squares / static_cast<double>(sum.tokens)));
      }
    }
    return means;
  }

 private:
  struct Sum {
    std::vector<double> squares;
    std::size_t tokens;
  };
  std::map<std::string, Sum, std::less<>> sums_;
};

}  // namespace

Result<Importance> calibrate(const LoadedModel& model, const std::string& path, std::size_t tokens_max,
                             const Io& io) {
  const std::size_t context = model.model().shape().context_tokens;
  const bool lines = path.ends_with(".jsonl");
  TextFileOptions options;
  options.window = lines ? context : std::min(kPieceTokens, context);
  SLUICE_ASSIGN(const std::vector<TextPiece> pieces, read_text_file(model.text(), path, options));
  SLUICE_ASSIGN(const auto cache,
                ops::KvCache::make(model.model().kv_shape(), options.window + ops::kPageTokens));
  Squares squares;
  std::size_t done = 0;
  model.model().observe(&squares);
  for (const TextPiece& piece : pieces) {
    const std::size_t count = std::min(piece.ids.size(), tokens_max - done);
    if (count == 0) break;
    const auto pages = cache->reserve(count);
    std::vector<model::StepToken> step;
    for (std::size_t i = 0; i < count; ++i) {
      step.push_back({piece.ids[i], i, &*pages, true});
      if (step.size() < kStepTokens && i + 1 < count) continue;
      model.model().forward(*cache, step);
      step.clear();
    }
    done += count;
    if (io.err_is_terminal) io.err << "\rcalibrating: " << done << " tokens" << std::flush;
  }
  model.model().observe(nullptr);
  if (io.err_is_terminal) io.err << "\r\n";
  if (done == 0) return fail(ErrorCode::kInvalid, path + ": holds no text");
  return squares.means();
}

}  // namespace sluice::engine_cli
