#include "worker/engine/loaded_model.h"

#include <algorithm>
#include <map>
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

}  // namespace

std::string usable_kernels() {
  std::string names;
  for (const kernels::KernelSet* set : kernels::kernel_sets())
    names += (names.empty() ? "" : ", ") + std::string(set->name);
  return names;
}

LoadedModel::LoadedModel(GgufFile file, ModelText text, const kernels::KernelSet& kernels,
                         std::size_t threads)
    : file_(std::move(file)), text_(std::move(text)), pool_(threads), context_{kernels, pool_} {}

LoadedModel::~LoadedModel() = default;

Result<std::unique_ptr<LoadedModel>> LoadedModel::load(const ModelOptions& options) {
  SLUICE_ASSIGN(const kernels::KernelSet* kernels, choose_kernels(options.kernels));
  if (options.threads > kThreadsMax) return fail(ErrorCode::kInvalid, "threads must be at most 1024");
  auto file = GgufFile::open(options.path);
  if (!file) return fail(file.error());  // Names the path itself.
  // The architecture first: the most telling message for a file of another kind.
  if (const auto shape = model::read_shape(*file); !shape) return fail(about(options.path, shape.error()));
  auto text = ModelText::from(*file);
  if (!text) return fail(about(options.path, text.error()));
  std::unique_ptr<LoadedModel> loaded(
      new LoadedModel(std::move(*file), std::move(*text), *kernels, options.threads));
  auto model = model::load_model(loaded->file_, loaded->context_);
  if (!model) return fail(about(options.path, model.error()));
  loaded->model_ = std::move(*model);
  const std::size_t rows = loaded->model_->shape().vocabulary;
  if (rows != loaded->tokenizer().vocab_size()) {
    return fail(ErrorCode::kCorrupt, options.path + ": tensor token_embd.weight has " + std::to_string(rows) +
                                         " rows, but the vocabulary has " +
                                         std::to_string(loaded->tokenizer().vocab_size()) + " tokens");
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
