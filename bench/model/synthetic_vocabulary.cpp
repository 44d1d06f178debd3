#include "bench/model/synthetic_vocabulary.h"

#include "common/text/byte_alphabet.h"

namespace sluice::bench {
namespace {

constexpr int kLetters = 26;
constexpr std::size_t kControlTokens = 3;
constexpr std::int32_t kNormal = 1;
constexpr std::int32_t kControl = 3;

// Adds tokens made of two that exist until `room` is used up.
class Builder {
 public:
  Builder(SyntheticVocabulary& vocabulary, std::size_t room) : vocabulary_(vocabulary), room_(room) {}

  bool full() const { return vocabulary_.tokens.size() >= room_; }

  void join(const std::vector<std::string>& left, const std::vector<std::string>& right,
            std::vector<std::string>* made = nullptr) {
    for (const std::string& a : left) {
      for (const std::string& b : right) {
        if (full()) return;
        vocabulary_.tokens.push_back(a + b);
        vocabulary_.merges.push_back(a + " " + b);
        if (made != nullptr) made->push_back(a + b);
      }
    }
  }

 private:
  SyntheticVocabulary& vocabulary_;
  std::size_t room_;
};

}  // namespace

Result<SyntheticVocabulary> synthetic_vocabulary(std::size_t tokens) {
  if (tokens < 300) return fail(ErrorCode::kInvalid, "a vocabulary has at least 300 tokens");
  SyntheticVocabulary vocabulary;
  vocabulary.tokens.reserve(tokens);
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    append_in_alphabet({&c, 1}, vocabulary.tokens.emplace_back());
  }
  std::vector<std::string> letters, pairs, spaced;
  for (int i = 0; i < kLetters; ++i) letters.push_back(std::string(1, static_cast<char>('a' + i)));
  const std::vector<std::string> space = {vocabulary.tokens[' ']};
  Builder builder(vocabulary, tokens - kControlTokens);
  builder.join(space, letters, &spaced);
  builder.join(letters, letters, &pairs);
  builder.join(spaced, pairs);
  builder.join(pairs, letters);
  builder.join(pairs, pairs);
  if (!builder.full()) {
    return fail(ErrorCode::kInvalid, "a made-up vocabulary has at most " +
                                         std::to_string(vocabulary.tokens.size() + kControlTokens) +
                                         " tokens");
  }
  vocabulary.types.assign(vocabulary.tokens.size(), kNormal);
  const auto control = [&](const char* text) {
    vocabulary.tokens.emplace_back(text);
    vocabulary.types.push_back(kControl);
    return static_cast<std::uint32_t>(vocabulary.tokens.size() - 1);
  };
  vocabulary.end_of_text = control("<|endoftext|>");
  control("<|im_start|>");
  vocabulary.turn_end = control("<|im_end|>");
  vocabulary.chat_template =
      "{% for message in messages %}"
      "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
      "{% endfor %}"
      "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  return vocabulary;
}

}  // namespace sluice::bench
