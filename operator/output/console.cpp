#include "operator/output/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>

#include "operator/output/text.h"

namespace sluice::operate {

namespace {

constexpr std::string_view kReset = "\033[0m";

std::string_view code_of(Style style) {
  switch (style) {
    case Style::kPlain:
      return "";
    case Style::kBold:
      return "\033[1m";
    case Style::kDim:
      return "\033[2m";
    case Style::kGood:
      return "\033[32m";
    case Style::kWarn:
      return "\033[33m";
    case Style::kBad:
      return "\033[31m";
  }
  return "";
}

int terminal_columns() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 0;
  return size.ws_col;
}

bool wants_colour() {
  const char* refused = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  return (refused == nullptr || *refused == '\0') && !dumb;
}

}  // namespace

std::string Console::styled(std::string_view text, Style style) const {
  if (!colour || style == Style::kPlain || text.empty()) return std::string(text);
  return std::string(code_of(style)) + std::string(text) + std::string(kReset);
}

bool Console::ask(std::string_view question) {
  out.flush();
  err << question << " [y/N] " << std::flush;
  std::string answer;
  if (!std::getline(in, answer)) err << "\n";
  return answer == "y" || answer == "yes" || answer == "Y" || answer == "YES";
}

Console process_console(bool colour_allowed) {
  Console console{std::cin, std::cout, std::cerr};
  console.in_is_terminal = isatty(STDIN_FILENO) != 0;
  console.out_is_terminal = isatty(STDOUT_FILENO) != 0;
  console.err_is_terminal = isatty(STDERR_FILENO) != 0;
  console.colour = console.out_is_terminal && colour_allowed && wants_colour();
  console.columns = console.out_is_terminal ? terminal_columns() : 0;
  return console;
}

void Progress::show(std::string_view safe_line) {
  if (!console_.err_is_terminal) return;
  const int columns = console_.columns > 1 ? console_.columns - 1 : 79;
  console_.err << "\r\033[K" << cut_text(safe_line, columns) << std::flush;
  shown_ = true;
}

void Progress::clear() {
  if (shown_) console_.err << "\r\033[K" << std::flush;
  shown_ = false;
}

std::string progress_bar(double share, int columns) {
  const auto full = static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * columns));
  const auto all = static_cast<std::size_t>(std::max(columns, 0));
  return "[" + std::string(full, '#') + std::string(all - full, '-') + "]";
}

}  // namespace sluice::operate
