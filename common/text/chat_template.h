// Chat templates as model files carry them (tokenizer.chat_template): the subset of the Jinja language that
// the templates of the Qwen, Llama and DeepSeek families use. Whitespace is handled as the reference renderer
// does (trim_blocks and lstrip_blocks on). What isn't supported is refused by name, with line and column.
//
// A template comes from outside: its work, depth and output are bounded. An immutable value after `parse`,
// cheap to copy, safe for concurrent use.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/text/marked_text.h"

namespace sluice {

struct ChatMessage {
  std::string role;
  std::string content;
};

// Bounds of one rendering. Enough for thousands of messages; a template that wants more is broken or hostile.
struct RenderLimits {
  std::uint64_t steps_max = 4'000'000;
  std::uint64_t bytes_max = std::uint64_t{64} << 20;  // Of all texts made on the way …
  std::uint64_t bytes_per_input_byte = 32;            // … and this much more for each byte of the messages.
};

struct RenderOptions {
  bool add_generation_prompt = true;
  std::string bos_token;  // The text of these tokens, as the template's own.
  std::string eos_token;
  // Further variables (an object; null: none), such as "tools" or "enable_thinking". They can't replace the
  // above.
  nlohmann::ordered_json extra;
  // What strftime_now() gives, in UTC. Without it the function is undefined: templates then fall back to a
  // fixed date, and the same messages always give the same prompt.
  std::optional<WallTime> now;
  RenderLimits limits;
};

class ChatTemplate {
 public:
  // kInvalid: with line and column.
  static Result<ChatTemplate> parse(std::string_view source);

  // kInvalid: the template refuses the messages, uses something unsupported, or goes beyond the limits.
  // Messages never contain what came from a request.
  Result<std::string> render(const std::vector<ChatMessage>& messages, const RenderOptions& options) const;
  // With marks: the template's own text is trusted, all that came from `messages` and `extra` is not.
  Result<MarkedText> render_marked(const std::vector<ChatMessage>& messages,
                                   const RenderOptions& options) const;
  // As above, for messages with more than role and content (tool calls, reasoning): an array of objects.
  Result<MarkedText> render_marked(const nlohmann::ordered_json& messages,
                                   const RenderOptions& options) const;

 private:
  struct Parsed;
  explicit ChatTemplate(std::shared_ptr<const Parsed> parsed);
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace sluice
