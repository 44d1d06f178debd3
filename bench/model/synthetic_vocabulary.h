// A made-up byte-level BPE vocabulary of any size: a token for each byte, for pairs, triples and fours of
// lower-case letters with and without a space before them, and the merges that lead there; the last three are
// control tokens. Small texts of such letters come out as about a third as many tokens as they have bytes,
// like with a real one.
//
// Pure: the same size gives the same vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/result.h"

namespace sluice::bench {

struct SyntheticVocabulary {
  std::vector<std::string> tokens;  // In the byte alphabet of the files.
  std::vector<std::int32_t> types;  // 1: normal, 3: control.
  std::vector<std::string> merges;
  std::uint32_t end_of_text = 0;
  std::uint32_t turn_end = 0;
  std::string chat_template;
};

// kInvalid: fewer than 300 tokens, or more than the letters give.
Result<SyntheticVocabulary> synthetic_vocabulary(std::size_t tokens);

}  // namespace sluice::bench
