// Where a command reads and writes, and what it may assume of it: a terminal gets colour, progress and
// questions, anything else plain text.
//
// Not safe for concurrent use. The streams must outlive the Console.
#pragma once

#include <istream>
#include <ostream>
#include <string>
#include <string_view>

namespace sluice::operate {

enum class Style { kPlain, kBold, kDim, kGood, kWarn, kBad };

struct Console {
  std::istream& in;
  std::ostream& out;  // Results.
  std::ostream& err;  // Errors, progress, questions.
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  bool colour = false;  // Of `out`.
  int columns = 0;      // Of the terminal behind `out`; 0: no limit.

  // `text` in that style, where there is colour.
  std::string styled(std::string_view text, Style style) const;

  // Asks on `err`, reads a line from `in`; only "y" and "yes" agree.
  bool ask(std::string_view question);
};

// The process's own streams. Colour: on a terminal that is not "dumb", unless NO_COLOR is set (and not empty)
// or `colour_allowed` is false.
Console process_console(bool colour_allowed);

// Ends of lines that show how far a long work is: one line, rewritten on a terminal; elsewhere nothing.
class Progress {
 public:
  // `console` must outlive this.
  explicit Progress(Console& console) : console_(console) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(std::string_view safe_line);
  void clear();

 private:
  Console& console_;
  bool shown_ = false;
};

// "[######------]"
std::string progress_bar(double share, int columns);

}  // namespace sluice::operate
