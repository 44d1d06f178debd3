#include "worker/engine/loaded_model.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "worker/engine/reasoning.h"

namespace sluice {
namespace {

constexpr std::size_t kThreadsMax = 1024;

Error about(const std::string& path, const Error& error) {
  return {error.code, path + ": " + error.message};
}

Result<const kernels::KernelSet*> choose_kernels(const std::string& name) {
  if (name.empty()) return kernels::kernel_sets().front();
  const kernels::KernelSet* chosen = kernels::find_kernel_set(name);
  if (chosen == nullptr) {
    return fail(ErrorCode::kInvalid,
                "kernels '" + name + "' can't be used on this CPU (these can: " + usable_kernels() + ")");
  }
  return chosen;
}

// Whether a rendered prompt ends with the mark that begins thoughts. Messages can't: their end is the
// template's.
bool opens_thoughts(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids) {
  std::string end;
  for (std::size_t i = ids.size() - std::min<std::size_t>(ids.size(), 12); i < ids.size(); ++i)
    end += tokenizer.token_bytes(ids[i]);
  const std::size_t last = end.find_last_not_of(" \t\r\n");
  return last != std::string::npos &&
         std::string_view(end).substr(0, last + 1).ends_with(ReasoningSplitter::kOpen);
}

// What two files of one model may not differ in, by its name; none: nothing.
std::optional<std::string> first_difference(const model::ModelShape& a, const model::ModelShape& b) {
  if (a.architecture != b.architecture) return "architecture";
  const auto sizes = [](const model::ModelShape& shape) {
    return std::map<std::string, std::size_t>{{"number of layers", shape.layers},
                                              {"width", shape.width},
                                              {"feed-forward width", shape.feed_forward},
                                              {"number of heads", shape.heads},
                                              {"number of key and value heads", shape.kv_heads},
                                              {"width of heads", shape.head_dim},
                                              {"number of tokens", shape.vocabulary},
                                              {"context length", shape.context_tokens}};
  };
  const auto others = sizes(b);
  for (const auto& [name, size] : sizes(a)) {
    if (size != others.at(name)) return name;
  }
  return std::nullopt;
}

bool same_vocabulary(const Tokenizer& a, const Tokenizer& b) {
  if (a.vocab_size() != b.vocab_size()) return false;
  for (std::size_t i = 0; i < a.vocab_size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (a.token_bytes(id) != b.token_bytes(id)) return false;
  }
  return true;
}

}  // namespace

std::string usable_kernels() {
  std::string names;
  for (const kernels::KernelSet* set : kernels::kernel_sets())
    names += (names.empty() ? "" : ", ") + std::string(set->name);
  return names;
}

LoadedModel::LoadedModel(GgufFile file, ModelText text, const kernels::KernelSet& kernels,
                         std::shared_ptr<ops::ThreadPool> pool)
    : file_(std::move(file)), text_(std::move(text)), pool_(std::move(pool)), context_{kernels, *pool_} {}

LoadedModel::~LoadedModel() = default;

Result<std::unique_ptr<LoadedModel>> LoadedModel::load(const ModelOptions& options) {
  SLUICE_ASSIGN(const kernels::KernelSet* kernels, choose_kernels(options.kernels));
  if (options.threads > kThreadsMax) return fail(ErrorCode::kInvalid, "threads must be at most 1024");
  return load(options.path, *kernels, std::make_shared<ops::ThreadPool>(options.threads));
}

Result<std::unique_ptr<LoadedModel>> LoadedModel::load(const std::string& path,
                                                       const kernels::KernelSet& kernels,
                                                       std::shared_ptr<ops::ThreadPool> pool) {
  auto file = GgufFile::open(path);
  if (!file) return fail(file.error());  // Names the path itself.
  // The architecture first: the most telling message for a file of another kind.
  if (const auto shape = model::read_shape(*file); !shape) return fail(about(path, shape.error()));
  auto text = ModelText::from(*file);
  if (!text) return fail(about(path, text.error()));
  std::unique_ptr<LoadedModel> loaded(
      new LoadedModel(std::move(*file), std::move(*text), kernels, std::move(pool)));
  auto model = model::load_model(loaded->file_, loaded->context_);
  if (!model) return fail(about(path, model.error()));
  loaded->model_ = std::move(*model);
  const std::size_t rows = loaded->model_->shape().vocabulary;
  if (rows != loaded->tokenizer().vocab_size()) {
    return fail(ErrorCode::kCorrupt, path + ": tensor token_embd.weight has " + std::to_string(rows) +
                                         " rows, but the vocabulary has " +
                                         std::to_string(loaded->tokenizer().vocab_size()) + " tokens");
  }
  return loaded;
}

Result<std::unique_ptr<LoadedModel>> LoadedModel::load_beside(const LoadedModel& first,
                                                              const std::string& path) {
  SLUICE_ASSIGN(std::unique_ptr<LoadedModel> loaded, load(path, first.context_.kernels, first.pool_));
  const model::ModelShape& own = loaded->model_->shape();
  const model::ModelShape& others = first.model_->shape();
  if (const auto differing = first_difference(own, others)) {
    return fail(ErrorCode::kInvalid,
                path + ": not the model of " + first.file_.path() + ": it has another " + *differing);
  }
  if (!same_vocabulary(loaded->tokenizer(), first.tokenizer())) {
    return fail(ErrorCode::kInvalid, path + ": has another vocabulary than " + first.file_.path());
  }
  return loaded;
}

std::string LoadedModel::weight_type() const {
  std::map<GgmlType, std::uint64_t> bytes;
  for (const GgufTensor& tensor : file_.tensors()) bytes[tensor.type] += tensor.bytes;
  std::pair<GgmlType, std::uint64_t> most{GgmlType::kF32, 0};
  for (const auto& entry : bytes) {
    if (entry.second > most.second) most = entry;
  }
  return std::string(ggml_type_name(most.first));
}

Result<Prompt> LoadedModel::prepare(const PromptInput& input) const {
  Prompt prompt;
  if (input.messages.empty()) {
    prompt.ids = text_.raw_prompt_ids(input.raw, true);
  } else {
    std::vector<ChatMessage> messages;
    for (const PromptMessage& message : input.messages) messages.push_back({message.role, message.content});
    auto ids = text_.prompt_ids(messages);
    // To the request a model without a template is a reason to reject it, like a role that the template
    // refuses.
    if (!ids) return fail(ErrorCode::kInvalid, ids.error().message);
    prompt.ids = std::move(*ids);
    prompt.chat = true;
    prompt.thinks = opens_thoughts(tokenizer(), prompt.ids);
  }
  prompt.tokens = prompt.ids.size();
  return prompt;
}

}  // namespace sluice
