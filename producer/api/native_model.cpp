#include <algorithm>
#include <string_view>
#include <utility>

#include "common/text/model_file.h"
#include "producer/api/models.h"

namespace sluice::producer {

namespace {

constexpr std::size_t kModelNameBytesMax = 128;  // Of the column job.model.

std::size_t trimmed_bytes(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const std::size_t begin = text.find_first_not_of(kSpace);
  return begin == std::string_view::npos ? 0 : text.find_last_not_of(kSpace) + 1 - begin;
}

class NativeModel final : public ServedModel {
 public:
  explicit NativeModel(ModelText text) : text_(std::move(text)) {
    const Tokenizer& tokenizer = text_.tokenizer();
    for (std::size_t id = 0; id < tokenizer.vocab_size(); ++id) {
      const std::size_t bytes = tokenizer.token_bytes(static_cast<TokenId>(id)).size();
      token_bytes_max_ = std::max(token_bytes_max_, bytes);
    }
  }

  const std::string& name() const override { return text_.name(); }
  const std::string& revision() const override { return text_.fingerprint(); }
  std::int64_t context_tokens() const override { return text_.context_length(); }

  // No token stands for more bytes than the longest. A template may leave out other roles, and space at the
  // ends.
  std::int64_t prompt_tokens_least(const JobRequest& request) const override {
    std::size_t bytes = trimmed_bytes(request.prompt);
    for (const RequestMessage& message : request.messages) {
      if (message.role == "user") bytes += trimmed_bytes(message.content);
    }
    return static_cast<std::int64_t>(bytes / token_bytes_max_);
  }

  // As the worker prepares prompts.
  Result<std::int64_t> count_prompt_tokens(const JobRequest& request) const override {
    if (request.messages.empty() && request.raw) {
      return static_cast<std::int64_t>(text_.raw_prompt_ids(request.prompt, true).size());
    }
    std::vector<ChatMessage> messages;
    if (request.messages.empty()) messages.push_back({"user", request.prompt});
    for (const RequestMessage& message : request.messages)
      messages.push_back({message.role, message.content});
    const auto ids = text_.prompt_ids(messages);
    if (!ids) return fail(ErrorCode::kInvalid, "can't be put into the model's form: " + ids.error().message);
    return static_cast<std::int64_t>(ids->size());
  }

 private:
  const ModelText text_;
  std::size_t token_bytes_max_ = 1;
};

}  // namespace

Result<std::unique_ptr<ServedModel>> open_model_file(const std::string& path) {
  SLUICE_ASSIGN(ModelText text, ModelText::open(path));
  if (Status known = check_architecture(text.architecture()); !known) {
    return fail(known.error().code, path + ": " + known.error().message);
  }
  if (text.context_length() == 0) {
    return fail(ErrorCode::kInvalid, path + ": the file does not say how long its context is");
  }
  if (text.name().empty() || text.name().size() > kModelNameBytesMax) {
    return fail(ErrorCode::kInvalid, path + ": the model's name (general.name) must have 1 to 128 bytes");
  }
  return std::unique_ptr<ServedModel>(std::make_unique<NativeModel>(std::move(text)));
}

}  // namespace sluice::producer
