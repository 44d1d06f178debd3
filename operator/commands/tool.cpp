#include "operator/commands/tool.h"

#include <signal.h>
#include <time.h>

#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

const json kNull;
const json kEmptyList = json::array();

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  return set;
}

}  // namespace

void SignalWaiter::hold() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

bool SignalWaiter::wait(std::chrono::milliseconds time) {
  hold();
  const sigset_t set = stop_signals();
  timespec left{};
  left.tv_sec = static_cast<time_t>(time.count() / 1000);
  left.tv_nsec = static_cast<long>(time.count() % 1000 * 1'000'000);
  return sigtimedwait(&set, nullptr, &left) > 0;
}

void print_json(Tool& tool, const json& value) {
  const bool ascii = tool.console.out_is_terminal;
  tool.out() << value.dump(2, ' ', ascii, json::error_handler_t::replace) << "\n";
}

bool printed_json(Tool& tool, const json& value) {
  if (tool.json) print_json(tool, value);
  return tool.json;
}

Status confirm(Tool& tool, const std::string& question) {
  if (tool.yes) return {};
  if (!tool.console.in_is_terminal || !tool.console.err_is_terminal) {
    return fail(
        ErrorCode::kInvalid,
        question + "\n  Nobody is at a terminal to be asked: give --yes if this is meant. Nothing was done.");
  }
  if (tool.console.ask(question)) return {};
  return fail(ErrorCode::kConflict, "nothing was done");
}

const json& member_in(const json& object, std::string_view name) {
  if (!object.is_object()) return kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

std::string text_in(const json& object, std::string_view name) {
  const json& member = member_in(object, name);
  return member.is_string() ? member.get<std::string>() : std::string();
}

std::int64_t number_in(const json& object, std::string_view name) {
  const json& member = member_in(object, name);
  if (member.is_number_float()) return static_cast<std::int64_t>(member.get<double>());
  return member.is_number() ? member.get<std::int64_t>() : 0;
}

bool flag_in(const json& object, std::string_view name) {
  const json& member = member_in(object, name);
  return member.is_boolean() && member.get<bool>();
}

const json& data_in(const json& list) {
  const json& data = member_in(list, "data");
  return data.is_array() ? data : kEmptyList;
}

std::string age_in(const Tool& tool, const json& object, std::string_view name) {
  const std::int64_t at = number_in(object, name);
  return at == 0 ? "-" : duration_text(tool.now_s() - at);
}

std::string when_in(const Tool& tool, const json& object, std::string_view name) {
  const std::int64_t at = number_in(object, name);
  if (at == 0) return "-";
  const std::int64_t ago = tool.now_s() - at;
  return time_text(at) +
         (ago >= 0 ? " (" + duration_text(ago) + " ago)" : " (in " + duration_text(-ago) + ")");
}

void print_more(Tool& tool, const json& list) {
  if (!flag_in(list, "has_more")) return;
  tool.console.out << tool.console.styled("there are more: the same words with --after " +
                                              safe_text(text_in(list, "last_id")) +
                                              ", or a larger --limit (0: all)",
                                          Style::kDim)
                   << "\n";
}

Style state_style(std::string_view state) {
  if (state == "succeeded" || state == "working" || state == "done" || state == "redriven" ||
      state == "replayed")
    return Style::kGood;
  if (state == "dead" || state == "failed" || state == "silent") return Style::kBad;
  if (state == "expired" || state == "cancelled" || state == "draining" || state == "canary")
    return Style::kWarn;
  return Style::kPlain;
}

}  // namespace sluice::operate
