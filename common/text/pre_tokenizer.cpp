#include "common/text/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "common/text/unicode.h"

namespace sluice {
namespace {

// The text as characters, with where each begins.
struct Chars {
  std::vector<char32_t> code;
  std::vector<std::uint8_t> classes;
  std::vector<std::uint32_t> offset;  // One more than there are characters.

  explicit Chars(std::string_view text) {
    code.reserve(text.size());
    classes.reserve(text.size());
    offset.reserve(text.size() + 1);
    std::size_t at = 0;
    while (at < text.size()) {
      const DecodedChar next = utf8_decode(text, at);
      code.push_back(next.code);
      classes.push_back(char_class(next.code));
      offset.push_back(static_cast<std::uint32_t>(at));
      at += next.bytes;
    }
    offset.push_back(static_cast<std::uint32_t>(at));
  }

  std::size_t size() const { return code.size(); }
};

// A piece being cut, [begin, end) in characters. Characters outside of it don't exist.
class Piece {
 public:
  Piece(const Chars& chars, std::size_t begin, std::size_t end) : chars_(chars), begin_(begin), end_(end) {}

  std::size_t begin() const { return begin_; }
  std::size_t end() const { return end_; }
  bool has(std::size_t at) const { return at < end_; }
  // 0 outside of the piece: no expression here asks for U+0000.
  char32_t code(std::size_t at) const { return has(at) ? chars_.code[at] : 0; }
  bool is(std::size_t at, std::uint8_t classes) const {
    return has(at) && (chars_.classes[at] & classes) != 0;
  }
  bool is_none_of(std::size_t at, std::uint8_t classes) const {
    return has(at) && (chars_.classes[at] & classes) == 0;
  }
  bool line_break(std::size_t at) const { return code(at) == '\n' || code(at) == '\r'; }

  std::size_t run(std::size_t at, std::uint8_t classes) const {
    while (is(at, classes)) ++at;
    return at;
  }
  std::size_t run_of_none(std::size_t at, std::uint8_t classes) const {
    while (is_none_of(at, classes)) ++at;
    return at;
  }

 private:
  const Chars& chars_;
  std::size_t begin_;
  std::size_t end_;
};

// Each matcher returns where the expression's match at `at` ends; `at` itself if there is none.

char32_t ascii_lower(char32_t c) {
  return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

// 's|'t|'re|'ve|'m|'ll|'d
std::size_t match_contraction(const Piece& piece, std::size_t at, bool any_case) {
  if (piece.code(at) != '\'') return at;
  const char32_t first = any_case ? ascii_lower(piece.code(at + 1)) : piece.code(at + 1);
  const char32_t second = any_case ? ascii_lower(piece.code(at + 2)) : piece.code(at + 2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  const bool two =
      (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
  return two ? at + 3 : at;
}

// \s*[\r\n]+ | \s+(?!\S) | \s+ (the first only if asked for)
std::size_t match_spaces(const Piece& piece, std::size_t at, bool up_to_line_break) {
  const std::size_t end = piece.run(at, kCharSpace);
  if (end == at) return at;
  if (up_to_line_break) {
    for (std::size_t last = end; last > at; --last) {
      if (piece.line_break(last - 1)) return last;
    }
  }
  // A space before a word belongs to the word.
  return piece.has(end) && end - at > 1 ? end - 1 : end;
}

// Qwen 2 and Llama 3, which differ in how many digits make a piece:
// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*
// |\s*[\r\n]+|\s+(?!\S)|\s+
template <std::size_t kDigits>
std::size_t match_qwen_llama(const Piece& piece, std::size_t at) {
  if (const std::size_t end = match_contraction(piece, at, true); end != at) return end;
  if (piece.is(at, kCharLetter)) return piece.run(at, kCharLetter);
  if (piece.is(at, kCharNumber)) {
    std::size_t end = at;
    while (end - at < kDigits && piece.is(end, kCharNumber)) ++end;
    return end;
  }
  if (!piece.line_break(at) && piece.is(at + 1, kCharLetter)) return piece.run(at + 1, kCharLetter);
  constexpr std::uint8_t kWordOrSpace = kCharSpace | kCharLetter | kCharNumber;
  const std::size_t start = piece.code(at) == ' ' ? at + 1 : at;
  if (std::size_t end = piece.run_of_none(start, kWordOrSpace); end != start) {
    while (piece.line_break(end)) ++end;
    return end;
  }
  return match_spaces(piece, at, true);
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::size_t match_gpt2(const Piece& piece, std::size_t at) {
  if (const std::size_t end = match_contraction(piece, at, false); end != at) return end;
  const std::size_t start = piece.code(at) == ' ' ? at + 1 : at;
  if (piece.is(start, kCharLetter)) return piece.run(start, kCharLetter);
  if (piece.is(start, kCharNumber)) return piece.run(start, kCharNumber);
  constexpr std::uint8_t kWordOrSpace = kCharSpace | kCharLetter | kCharNumber;
  if (piece.is_none_of(start, kWordOrSpace)) return piece.run_of_none(start, kWordOrSpace);
  return match_spaces(piece, at, false);
}

// [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*
// |\s*[\r\n]+|\s+(?!\S)|\s+
std::size_t match_deepseek_v3(const Piece& piece, std::size_t at) {
  const auto ascii_letter = [&](std::size_t i) {
    const char32_t c = ascii_lower(piece.code(i));
    return c >= 'a' && c <= 'z';
  };
  const char32_t code = piece.code(at);
  if (code > ' ' && code < 0x7F && piece.is(at, kCharPunctuation | kCharSymbol) && ascii_letter(at + 1)) {
    std::size_t end = at + 1;
    while (ascii_letter(end)) ++end;
    return end;
  }
  constexpr std::uint8_t kWord = kCharLetter | kCharMark;
  if (piece.is(at, kWord)) return piece.run(at, kWord);
  if (!piece.line_break(at) && piece.is_none_of(at, kCharLetter | kCharPunctuation | kCharSymbol) &&
      piece.is(at + 1, kWord)) {
    return piece.run(at + 1, kWord);
  }
  constexpr std::uint8_t kSign = kCharPunctuation | kCharSymbol;
  const std::size_t start = code == ' ' ? at + 1 : at;
  if (piece.is(start, kSign)) {
    std::size_t end = piece.run(start, kSign);
    while (piece.line_break(end)) ++end;
    return end;
  }
  return match_spaces(piece, at, true);
}

std::size_t match_line_break(const Piece& piece, std::size_t at) {
  return piece.line_break(at) ? at + 1 : at;
}

// \p{N}{1,kMax}
template <std::size_t kMax>
std::size_t match_numbers(const Piece& piece, std::size_t at) {
  std::size_t end = at;
  while (end - at < kMax && piece.is(end, kCharNumber)) ++end;
  return end;
}
constexpr std::size_t kAnyNumber = ~std::size_t{0};

// \s?C+ for a class C given as a predicate over (piece, position).
template <class InClass>
std::size_t match_with_space(const Piece& piece, std::size_t at, InClass in_class) {
  std::size_t end = at;
  if (piece.is(at, kCharSpace) && in_class(piece, at + 1)) ++end;
  while (in_class(piece, end)) ++end;
  return end;
}

struct Range {
  char32_t first;
  char32_t last;
};
bool in_ranges(std::span<const Range> ranges, char32_t code) {
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), code,
                                      [](char32_t c, const Range& range) { return c < range.first; });
  return after != ranges.begin() && code <= std::prev(after)->last;
}

// What DeepSeek LLM takes for the letters of a word: cased letters, as of the Unicode of its time.
constexpr std::array kCasedLetters = {
    Range{0x0041, 0x005A},   Range{0x0061, 0x007A},   Range{0x00B5, 0x00B5},   Range{0x00C0, 0x00D6},
    Range{0x00D8, 0x00F6},   Range{0x00F8, 0x01BA},   Range{0x01BC, 0x01BF},   Range{0x01C4, 0x0293},
    Range{0x0295, 0x02AF},   Range{0x0370, 0x0373},   Range{0x0376, 0x0377},   Range{0x037B, 0x037D},
    Range{0x037F, 0x037F},   Range{0x0386, 0x0386},   Range{0x0388, 0x038A},   Range{0x038C, 0x038C},
    Range{0x038E, 0x03A1},   Range{0x03A3, 0x03F5},   Range{0x03F7, 0x0481},   Range{0x048A, 0x052F},
    Range{0x0531, 0x0556},   Range{0x10A0, 0x10C5},   Range{0x13A0, 0x13F5},   Range{0x13F8, 0x13FD},
    Range{0x1C90, 0x1CBA},   Range{0x1CBD, 0x1CBF},   Range{0x1D00, 0x1D2B},   Range{0x1D6B, 0x1D77},
    Range{0x1D79, 0x1D9A},   Range{0x1E00, 0x1F15},   Range{0x1F18, 0x1F1D},   Range{0x1F20, 0x1F45},
    Range{0x1F48, 0x1F4D},   Range{0x1F50, 0x1F57},   Range{0x1F59, 0x1F59},   Range{0x1F5B, 0x1F5B},
    Range{0x1F5D, 0x1F5D},   Range{0x1F5F, 0x1F7D},   Range{0x1F80, 0x1FB4},   Range{0x1FB6, 0x1FBC},
    Range{0x1FBE, 0x1FBE},   Range{0x1FC2, 0x1FC4},   Range{0x1FC6, 0x1FCC},   Range{0x1FD0, 0x1FD3},
    Range{0x1FD6, 0x1FDB},   Range{0x1FE0, 0x1FEC},   Range{0x1FF2, 0x1FF4},   Range{0x1FF6, 0x1FFC},
    Range{0x2102, 0x2102},   Range{0x2107, 0x2107},   Range{0x210A, 0x2113},   Range{0x2115, 0x2115},
    Range{0x2119, 0x211D},   Range{0x2124, 0x2124},   Range{0x2126, 0x2126},   Range{0x2128, 0x2128},
    Range{0x212A, 0x212D},   Range{0x212F, 0x2134},   Range{0x2139, 0x2139},   Range{0x213C, 0x213F},
    Range{0x2145, 0x2149},   Range{0x214E, 0x214E},   Range{0x2183, 0x2184},   Range{0x2C00, 0x2C7B},
    Range{0x2C7E, 0x2CE4},   Range{0x2CEB, 0x2CEE},   Range{0x2CF2, 0x2CF3},   Range{0xA640, 0xA66D},
    Range{0xA680, 0xA69B},   Range{0xA722, 0xA76F},   Range{0xA771, 0xA787},   Range{0xA78B, 0xA78E},
    Range{0xAB70, 0xABBF},   Range{0xFB00, 0xFB06},   Range{0xFB13, 0xFB17},   Range{0xFF21, 0xFF3A},
    Range{0xFF41, 0xFF5A},   Range{0x10400, 0x1044F}, Range{0x104B0, 0x104D3}, Range{0x104D8, 0x104FB},
    Range{0x10C80, 0x10CB2}, Range{0x10CC0, 0x10CF2}, Range{0x118A0, 0x118DF}, Range{0x1E900, 0x1E943}};

// [!-/:-~！-／：-～‘-‟　-。]
constexpr std::array kDeepSeekSigns = {Range{0x21, 0x2F},     Range{0x3A, 0x7E},     Range{0x2018, 0x201F},
                                       Range{0x3000, 0x3002}, Range{0xFF01, 0xFF0F}, Range{0xFF1A, 0xFF5E}};

std::size_t match_deepseek_llm_word(const Piece& piece, std::size_t at) {
  return match_with_space(piece, at, [](const Piece& p, std::size_t i) {
    return p.has(i) && in_ranges(kCasedLetters, p.code(i));
  });
}
std::size_t match_deepseek_llm_sign(const Piece& piece, std::size_t at) {
  return match_with_space(piece, at, [](const Piece& p, std::size_t i) {
    return p.has(i) && in_ranges(kDeepSeekSigns, p.code(i));
  });
}
std::size_t match_deepseek_coder_word(const Piece& piece, std::size_t at) {
  return match_with_space(piece, at, [](const Piece& p, std::size_t i) { return p.is(i, kCharLetter); });
}
std::size_t match_deepseek_coder_sign(const Piece& piece, std::size_t at) {
  return match_with_space(piece, at, [](const Piece& p, std::size_t i) { return p.is(i, kCharPunctuation); });
}

template <std::size_t kCount>
std::size_t match_ranges(const Piece& piece, std::size_t at, const std::array<Range, kCount>& ranges) {
  while (piece.has(at) && in_ranges(ranges, piece.code(at))) ++at;
  return at;
}

// [一-龥ࠀ-一가-퟿]+
std::size_t match_deepseek_east_asian(const Piece& piece, std::size_t at) {
  static constexpr std::array kRanges = {Range{0x0800, 0x9FA5}, Range{0xAC00, 0xD7FF}};
  return match_ranges(piece, at, kRanges);
}

// [一-龥぀-ゟ゠-ヿ]+
std::size_t match_deepseek_v3_east_asian(const Piece& piece, std::size_t at) {
  static constexpr std::array kRanges = {Range{0x3040, 0x30FF}, Range{0x4E00, 0x9FA5}};
  return match_ranges(piece, at, kRanges);
}

// [\p{P}\$\+<=>\^~\|]+
std::size_t match_default_signs(const Piece& piece, std::size_t at) {
  while (piece.is(at, kCharPunctuation) ||
         (piece.has(at) && piece.code(at) < 0x80 &&
          std::string_view("$+<=>^~|").find(static_cast<char>(piece.code(at))) != std::string_view::npos &&
          piece.code(at) != 0)) {
    ++at;
  }
  return at;
}

// [0-9][0-9][0-9]
std::size_t match_three_digits(const Piece& piece, std::size_t at) {
  for (std::size_t i = 0; i < 3; ++i) {
    if (piece.code(at + i) < '0' || piece.code(at + i) > '9') return at;
  }
  return at + 3;
}

// Cuts pieces again and again, by one expression after the other.
class Cutter {
 public:
  explicit Cutter(const Chars& chars) : chars_(chars), ends_{chars.size()} {}

  // Each match becomes a piece; so does what lies between two matches.
  template <class Match>
  void cut(Match match) {
    for_each_piece([&](const Piece& piece) {
      std::size_t gap = piece.begin();
      for (std::size_t at = piece.begin(); at < piece.end();) {
        const std::size_t end = match(piece, at);
        if (end == at) {
          ++at;
          continue;
        }
        add(gap, at);
        add(at, end);
        gap = at = end;
      }
      add(gap, piece.end());
    });
  }

  // \s+$
  void cut_trailing_spaces() {
    for_each_piece([&](const Piece& piece) {
      std::size_t tail = piece.end();
      while (tail > piece.begin() && piece.is(tail - 1, kCharSpace)) --tail;
      add(piece.begin(), tail);
      add(tail, piece.end());
    });
  }

  const std::vector<std::size_t>& ends() const { return ends_; }

 private:
  template <class F>
  void for_each_piece(F visit) {
    next_.clear();
    std::size_t begin = 0;
    for (const std::size_t end : ends_) {
      visit(Piece(chars_, begin, end));
      begin = end;
    }
    ends_.swap(next_);
  }
  void add(std::size_t begin, std::size_t end) {
    if (begin != end) next_.push_back(end);
  }

  const Chars& chars_;
  std::vector<std::size_t> ends_;
  std::vector<std::size_t> next_;
};

}  // namespace

Result<PreTokenizer> PreTokenizer::by_name(std::string_view name) {
  struct Known {
    std::string_view name;
    Kind kind;
  };
  static constexpr std::array kKnown = {
      Known{"qwen2", Kind::kQwen2},
      Known{"deepseek-r1-qwen", Kind::kQwen2},
      Known{"llama-bpe", Kind::kLlama3},
      Known{"llama3", Kind::kLlama3},
      Known{"llama-v3", Kind::kLlama3},
      Known{"deepseek-llm", Kind::kDeepSeekLlm},
      Known{"deepseek-coder", Kind::kDeepSeekCoder},
      Known{"deepseek-v3", Kind::kDeepSeekV3},
      Known{"gpt-2", Kind::kGpt2},
      Known{"default", Kind::kDefault},
  };
  for (const Known& known : kKnown) {
    if (known.name != name) continue;
    PreTokenizer found(known.kind);
    found.whole_pieces_first_ = known.kind == Kind::kLlama3;
    found.add_bos_by_default_ = known.kind == Kind::kLlama3;
    return found;
  }
  std::string message = "pre-tokenizer '" + std::string(name) + "' is not supported (supported:";
  for (const Known& known : kKnown) message.append(" ").append(known.name);
  return fail(ErrorCode::kInvalid, message + ")");
}

void PreTokenizer::split(std::string_view text, std::vector<std::size_t>& ends) const {
  const Chars chars(text);
  Cutter cutter(chars);
  switch (kind_) {
    case Kind::kQwen2:
      cutter.cut(match_qwen_llama<1>);
      break;
    case Kind::kLlama3:
      cutter.cut(match_qwen_llama<3>);
      break;
    case Kind::kDeepSeekLlm:
      cutter.cut(match_line_break);
      cutter.cut(match_deepseek_llm_word);
      cutter.cut(match_deepseek_llm_sign);
      cutter.cut_trailing_spaces();
      cutter.cut(match_deepseek_east_asian);
      cutter.cut(match_numbers<1>);
      break;
    case Kind::kDeepSeekCoder:
      cutter.cut(match_line_break);
      cutter.cut(match_deepseek_coder_word);
      cutter.cut(match_deepseek_coder_sign);
      cutter.cut(match_deepseek_east_asian);
      cutter.cut(match_numbers<1>);
      break;
    case Kind::kDeepSeekV3:
      cutter.cut(match_numbers<3>);
      cutter.cut(match_deepseek_v3_east_asian);
      cutter.cut(match_deepseek_v3);
      break;
    case Kind::kGpt2:
      cutter.cut(match_gpt2);
      break;
    case Kind::kDefault:
      cutter.cut(match_default_signs);
      cutter.cut(match_gpt2);
      cutter.cut(match_numbers<kAnyNumber>);
      cutter.cut(match_three_digits);
      break;
  }
  ends.clear();
  ends.reserve(cutter.ends().size());
  for (const std::size_t end : cutter.ends()) {
    if (end != 0) ends.push_back(chars.offset[end]);
  }
}

}  // namespace sluice
