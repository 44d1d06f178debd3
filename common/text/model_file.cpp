#include "common/text/model_file.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>

#include "common/text/gguf_parse.h"

namespace sluice {
namespace {

constexpr std::size_t kSampleBytes = 1024;

std::string stem(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const std::size_t dot = name.rfind('.');
  if (dot != std::string::npos && dot != 0) name.resize(dot);
  return name;
}

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    ok_ = context_ && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1;
  }
  void add(const void* data, std::size_t bytes) {
    ok_ = ok_ && EVP_DigestUpdate(context_.get(), data, bytes) == 1;
  }
  Result<std::string> hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned bytes = 0;
    if (!ok_ || EVP_DigestFinal_ex(context_.get(), digest.data(), &bytes) != 1) {
      return fail(ErrorCode::kInternal, "SHA-256 is not available");
    }
    static constexpr std::string_view kHex = "0123456789abcdef";
    std::string text;
    for (unsigned i = 0; i < bytes; ++i) {
      text += kHex[digest[i] >> 4];
      text += kHex[digest[i] & 15];
    }
    return text;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
  bool ok_ = false;
};

Result<std::string> fingerprint_of(const GgufFile& file) {
  Sha256 hash;
  const std::uint64_t size = file.file_bytes();
  hash.add(&size, sizeof size);
  hash.add(file.header().data(), file.header().size());
  for (const GgufTensor& tensor : file.tensors()) {
    const auto data = tensor.view();
    const std::size_t sample = std::min(kSampleBytes, data.size());
    hash.add(data.data(), sample);
    hash.add(data.data() + (data.size() - sample), sample);
  }
  return hash.hex();
}

Result<ChatTemplate> load_template(const GgufFile& file) {
  const auto source = file.string("tokenizer.chat_template");
  if (!source) {
    if (source.error().code != ErrorCode::kNotFound) return fail(source.error());
    return fail(ErrorCode::kNotFound, "the model has no chat template");
  }
  return ChatTemplate::parse(*source);
}

}  // namespace

Status check_architecture(std::string_view architecture) {
  constexpr std::array<std::string_view, 3> kKnown = {"llama", "qwen2", "qwen3"};
  if (std::find(kKnown.begin(), kKnown.end(), architecture) != kKnown.end()) return {};
  return fail(ErrorCode::kInvalid, "architecture " + gguf_quoted(architecture) +
                                       " is not supported (supported: llama, qwen2, qwen3)");
}

Result<ModelText> ModelText::open(const std::string& path) {
  SLUICE_ASSIGN(const GgufFile file, GgufFile::open(path));
  return from(file);
}

Result<ModelText> ModelText::from(const GgufFile& file) {
  SLUICE_ASSIGN(Tokenizer tokenizer, Tokenizer::load(file));
  ModelText model(std::move(tokenizer), load_template(file));
  SLUICE_ASSIGN(model.name_, file.string_or("general.name", {}));
  if (model.name_.empty()) model.name_ = stem(file.path());
  SLUICE_ASSIGN(model.architecture_, file.string_or("general.architecture", {}));
  if (!model.architecture_.empty()) {
    SLUICE_ASSIGN(model.context_length_, file.u32_or(model.architecture_ + ".context_length", 0));
  }
  if (const auto bos = model.tokenizer_.bos()) model.bos_text_ = model.tokenizer_.token_bytes(*bos);
  if (const auto eos = model.tokenizer_.eos()) model.eos_text_ = model.tokenizer_.token_bytes(*eos);
  SLUICE_ASSIGN(model.fingerprint_, fingerprint_of(file));
  return model;
}

Result<MarkedText> ModelText::prompt_text(const std::vector<ChatMessage>& messages,
                                          bool add_generation_prompt) const {
  if (!chat_template_) return fail(chat_template_.error());
  RenderOptions options;
  options.add_generation_prompt = add_generation_prompt;
  options.bos_token = bos_text_;
  options.eos_token = eos_text_;
  return chat_template_->render_marked(messages, options);
}

Result<std::vector<TokenId>> ModelText::prompt_ids(const std::vector<ChatMessage>& messages,
                                                   bool add_generation_prompt) const {
  SLUICE_ASSIGN(const MarkedText text, prompt_text(messages, add_generation_prompt));
  return tokenizer_.encode(text, false);
}

std::vector<TokenId> ModelText::raw_prompt_ids(std::string_view text, bool parse_special) const {
  return tokenizer_.encode(text, {.add_bos = tokenizer_.add_bos(), .parse_special = parse_special});
}

}  // namespace sluice
