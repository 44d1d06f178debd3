#include "producer/api/models.h"

#include <utility>

namespace sluice::producer {

namespace {

// Counts as the echo engine does: what it answers with, in words.
class EchoModel final : public ServedModel {
 public:
  explicit EchoModel(std::string name) : name_(std::move(name)) {}

  const std::string& name() const override { return name_; }
  const std::string& revision() const override { return revision_; }
  std::int64_t context_tokens() const override { return 1 << 20; }
  bool takes_faults() const override { return true; }

  Result<std::int64_t> count_prompt_tokens(const JobRequest& request) const override {
    const std::string* text = &request.prompt;
    if (!request.messages.empty()) {
      text = &request.messages.back().content;
      for (auto message = request.messages.rbegin(); message != request.messages.rend(); ++message) {
        if (message->role != "user") continue;
        text = &message->content;
        break;
      }
    }
    std::int64_t words = 0;
    bool inside = false;
    for (const char c : *text) {
      const bool space = c == ' ' || (c >= '\t' && c <= '\r');
      if (!space && !inside) ++words;
      inside = !space;
    }
    return words;
  }

 private:
  const std::string name_;
  const std::string revision_;  // There is but one.
};

}  // namespace

const ServedModel* ModelCatalog::find(std::string_view name) const {
  for (const auto& model : models_) {
    if (model->name() == name) return model.get();
  }
  return nullptr;
}

std::unique_ptr<ServedModel> make_echo_model(std::string name) {
  return std::make_unique<EchoModel>(std::move(name));
}

}  // namespace sluice::producer
