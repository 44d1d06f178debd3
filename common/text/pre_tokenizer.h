// Cuts text into the pieces within which byte-pair merging happens. Each model family has its own way of
// cutting, published as a list of regular expressions over Unicode classes; a model file names it in
// tokenizer.ggml.pre. They are written by hand here, each linear in the text.
//
// Immutable, safe for concurrent use.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace sluice {

class PreTokenizer {
 public:
  // kInvalid: the name isn't known; the message lists those that are.
  static Result<PreTokenizer> by_name(std::string_view name);

  // Replaces `ends` by the end of each piece of `text`, in bytes, ascending, the last being text.size(). The
  // text must be shorter than 4 GiB. An invalid byte counts as U+FFFD.
  void split(std::string_view text, std::vector<std::size_t>& ends) const;

  // Whether a piece that is itself a token is taken as it is, without merging (as Llama 3 does).
  bool whole_pieces_first() const { return whole_pieces_first_; }
  // Whether a file that doesn't say so wants a begin-of-sequence token.
  bool add_bos_by_default() const { return add_bos_by_default_; }

 private:
  enum class Kind { kQwen2, kLlama3, kDeepSeekLlm, kDeepSeekCoder, kDeepSeekV3, kGpt2, kDefault };
  explicit PreTokenizer(Kind kind) : kind_(kind) {}

  Kind kind_;
  bool whole_pieces_first_ = false;
  bool add_bos_by_default_ = false;
};

}  // namespace sluice
