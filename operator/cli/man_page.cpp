#include "operator/cli/man_page.h"

#include <sstream>

#include "operator/cli/describe.h"

namespace sluice::operate {

namespace {

constexpr const char* kHead = R"roff(.\" Made by: sluicectl man > docs/man/sluicectl.1
.TH SLUICECTL 1 "" "sluice" "Operating sluice"
.SH NAME
sluicectl \- look after an installation of sluice
.SH SYNOPSIS
.B sluicectl
.I COMMAND
[\fIWORD\fR ...] [\fIOPTION\fR ...]
.SH DESCRIPTION
.B sluicectl
shows what waits and what runs, pauses and drains, and finds, redrives and discards dead letters, by calling the admin API of a
producer over HTTP. The commands under
.I Set-up
work on the database and the broker themselves and take the settings of the services instead.
.PP
On a terminal tables are coloured and shortened to its width, and long work shows how far it is. Text that clients chose is shown
with control characters spelled out (\ex1b). Elsewhere the output is plain, and
.B \-\-json
prints what the server answered. Commands that destroy something ask first; where nobody is at a terminal they need
.BR \-\-yes .
.PP
Redrives and discards are done by the server. Ctrl-C leaves them running;
.B sluicectl dlq watch
shows them again and
.B sluicectl dlq stop
ends them.
)roff";

constexpr const char* kTail = R"roff(.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
It failed, was refused by somebody, or redriven jobs that were waited for ended badly again. Standard error says what to do next.
.TP
.B 2
The command line is wrong, or the server refused a value in it.
.TP
.B 130
Left by Ctrl-C; the server goes on.
.SH ENVIRONMENT
.TP
.B SLUICE_URL
Address of a producer, such as http://127.0.0.1:8080.
.TP
.BR SLUICE_ADMIN_KEY ", " SLUICE_ADMIN_KEY_FILE
A key with the scope admin, or a file that holds one. There is no option for the key itself, since every user of the machine can
read a command line.
.TP
.B NO_COLOR
No colour if it is set and not empty.
.SH EXAMPLES
.nf
eval "$(deploy/local/stack env)"; export SLUICE_URL SLUICE_ADMIN_KEY
sluicectl dlq list
sluicectl dlq redrive \-\-fingerprint 0123456789abcdef \-\-canary 10
sluicectl dlq continue op_0192...
sluicectl dlq discard \-\-error invalid_request \-\-before 2h \-\-yes
sluicectl pause model sluice-tiny \-\-reason "new weights"
sluicectl deliveries replay \-\-since 3h
source <(sluicectl completion bash)
.fi
)roff";

// roff reads '-' as a hyphen, '\' as a command, and '.' and "'" at the start of a line as requests.
std::string roff(std::string_view text) {
  std::string out;
  bool at_start = true;
  for (const char c : text) {
    if (at_start && (c == '.' || c == '\'')) out += "\\&";
    at_start = c == '\n';
    if (c == '-') {
      out += "\\-";
    } else if (c == '\\') {
      out += "\\e";
    } else {
      out += c;
    }
  }
  return out;
}

void print_option(const DescribedOption& option, std::ostream& out) {
  out << ".TP\n";
  if (option.positional) {
    out << "\\fI" << roff(option.names.front()) << "\\fR" << (option.repeated ? " ..." : "");
    if (!option.choices.empty()) out << " (" << roff(option.value) << ")";
  } else {
    for (std::size_t i = 0; i < option.names.size(); ++i) {
      out << (i > 0 ? ", " : "") << "\\fB" << roff(option.names[i]) << "\\fR";
    }
    if (!option.value.empty()) out << " \\fI" << roff(option.value) << "\\fR";
  }
  out << "\n" << roff(option.help) << "\n";
}

bool is_help(const DescribedOption& option) {
  return option.names.back() == "--help";
}

}  // namespace

std::string man_page(const CLI::App& app) {
  const std::vector<DescribedCommand> commands = describe(app);
  std::ostringstream out;
  out << kHead << ".SH OPTIONS\nThese may stand after every command that calls the admin API.\n";
  for (const DescribedOption& option : commands.front().options) print_option(option, out);
  out << ".SH COMMANDS\n";
  for (const DescribedCommand& command : commands) {
    if (command.path.empty()) continue;
    out << ".SS \"sluicectl " << roff(command.path);
    if (!command.subcommands.empty()) out << " ...";
    for (const DescribedOption& option : command.options) {
      if (option.positional) out << " " << roff(option.names.front()) << (option.repeated ? "..." : "");
    }
    out << "\"\n" << roff(command.help) << ".\n";
    for (const DescribedOption& option : command.options) {
      if (!is_help(option)) print_option(option, out);
    }
    if (!command.footer.empty()) out << ".PP\n" << roff(command.footer) << "\n";
  }
  out << kTail;
  return out.str();
}

}  // namespace sluice::operate
