// The settings of a program. Each is bound once to a field of a plain struct; after load() the struct is what
// the program runs with, and nothing writes to it again.
//
//   struct BatcherConfig {
//     int batch_jobs_max = 32;                // KV memory grows linearly with it.
//     std::chrono::milliseconds linger{50};   // Longest wait to fill a batch.
//   };
//   void bind(config::Settings& settings, BatcherConfig& config) {
//     settings.add("batch-jobs-max", config.batch_jobs_max, "Most jobs in a batch").range(1,
//     1024).unit("jobs"); settings.add("batch-linger", config.linger, "Longest wait to fill a
//     batch").range(0ms, 10s);
//   }
//   int main(int argc, char** argv) {
//     config::Settings settings("sluice-worker", "Runs jobs.");
//     BatcherConfig batcher;
//     bind(settings, batcher);
//     if (auto code = settings.load(argc, argv)) return *code;   // --help, --print-config, or faults
//
// One name, three places: "batch-linger" is the flag `--batch-linger 80ms` (or `--batch-linger=80ms`), the
// variable SLUICE_BATCH_LINGER, and the key `batch-linger` or `batch_linger` of the file that `--config FILE`
// or SLUICE_CONFIG names (lines `name = value`, `#` starts a comment line; or one flat JSON object). Flag
// beats variable beats file beats default. Unknown SLUICE_ variables are ignored, since services share an
// environment; unknown flags and unknown keys are faults.
//
// Settings of type Secret are masked wherever settings are shown, and each has a twin whose name ends in
// `-file` (SLUICE_X_FILE, --x-file, x_file): the file's content, less one line end, is the secret.
//
// Every fault is found before any is reported, and each names the place that it came from. A bool needs no
// value:
// `--flag`, `--no-flag`, `--flag=false`.
//
// The default is what the field holds when it is bound. Fields must outlive load(). Not safe for concurrent
// use.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/base/secret.h"
#include "common/config/parse_value.h"

namespace sluice::config {

namespace detail {

// One bound setting, its type erased.
struct Entry {
  std::string name;  // "http-port"
  std::string help;
  std::string kind;  // What a value looks like: "integer", "duration", "size", "a|b|c"
  std::string unit;
  std::string bounds;  // "1 to 65535"
  bool is_bool = false;
  bool is_secret = false;
  bool required = false;
  std::function<Status(std::string_view)> assign;  // Parses, checks, writes the field.
  std::function<std::string()> show;               // The field as text; a secret's is kMask.
};

inline constexpr std::string_view kMask = "********";

template <class T>
struct IsDuration : std::false_type {};
template <class R, class P>
struct IsDuration<std::chrono::duration<R, P>> : std::true_type {};
template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

// How a field of type T is read, shown and named in --help.
template <class T>
Result<T> parse_as(std::string_view text);
template <class T>
std::string show_as(const T& value);
template <class T>
std::string kind_of();

}  // namespace detail

// What add() returns, to say more about the setting just bound. Valid as long as the Settings.
template <class T>
class Binding {
 public:
  using Checks = std::vector<std::function<Status(const T&)>>;
  Binding(detail::Entry& entry, std::shared_ptr<Checks> checks) : entry_(entry), checks_(std::move(checks)) {}

  // Both ends are allowed.
  Binding& range(T min, T max) {
    entry_.bounds = detail::show_as(min) + " to " + detail::show_as(max);
    checks_->push_back([min, max, bounds = entry_.bounds](const T& value) -> Status {
      if (value < min || max < value) return fail(ErrorCode::kInvalid, "must be " + bounds);
      return {};
    });
    return *this;
  }
  // A fault if no place sets it, or it is set to nothing.
  Binding& required() {
    entry_.required = true;
    return *this;
  }
  Binding& unit(std::string unit) {
    entry_.unit = std::move(unit);
    return *this;
  }
  // The error's message says what the value must be; it must not repeat a secret.
  Binding& check(std::function<Status(const T&)> check) {
    checks_->push_back(std::move(check));
    return *this;
  }

 private:
  detail::Entry& entry_;
  std::shared_ptr<Checks> checks_;
};

struct Fault {
  std::string place;    // "--http-port", "SLUICE_HTTP_PORT", "sluice.conf:12"
  std::string message;  // What is wrong and what was expected; never the value of a secret.
};

// What the arguments asked for.
struct Parsed {
  std::vector<Fault> faults;  // Empty: the fields hold the settings.
  bool help = false;
  bool print_config = false;
  bool version = false;
  std::vector<std::string> positionals;
};

using Environment = std::map<std::string, std::string>;
Environment process_environment();

class Settings {
 public:
  Settings(std::string program, std::string summary);
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

  // T: bool, an integer, double, std::string, Secret, ByteSize, any std::chrono::duration,
  // std::vector<std::string>, or std::optional of one of these. A name that is bound twice aborts.
  template <class T>
  Binding<T> add(std::string name, T& field, std::string help);

  // An integer field that holds bytes and is written as "16KiB".
  template <std::integral T>
  Binding<T> add_size(std::string name, T& field, std::string help);

  // An enum field, by the names of its values.
  template <class E>
  Binding<E> add_enum(std::string name, E& field, std::vector<std::pair<std::string, E>> choices,
                      std::string help);

  // A check that looks at several fields; runs once they are all read without fault.
  void add_check(std::function<Status()> check);

  // Arguments that are no flags are faults unless this many are allowed.
  void allow_positionals(std::size_t count_max) { positionals_max_ = count_max; }

  // `args` are argv[1…]. Writes the fields.
  Parsed parse(const std::vector<std::string>& args, const Environment& environment);

  // parse() for main: prints what --help, --version and --print-config ask for to stdout, or all faults to
  // stderr. The value, if any, is the code to exit with now.
  std::optional<int> load(int argc, const char* const* argv);

  std::string help_text() const;
  // Every setting as a `name = value` line that a file can hold, with the place it came from; secrets masked.
  std::string print_config_text() const;
  // Name and shown value of every setting, secrets masked: for a start-up log line.
  std::vector<std::pair<std::string, std::string>> shown() const;

 private:
  // A setting, and the best place that sets it so far.
  struct Stored {
    detail::Entry entry;
    std::optional<std::string> text;  // As it came; empty: the default stands.
    std::string place;
    int rank = 0;         // 0 default, 1 file, 2 environment, 3 flag.
    bool failed = false;  // A place was tried and has its fault.
  };

  detail::Entry& add_entry(detail::Entry entry);
  template <class T>
  Binding<T> bind_entry(std::string name, T& field, std::string help, std::string kind,
                        std::function<Result<T>(std::string_view)> parse,
                        std::function<std::string(const T&)> show);
  // The setting of that name ('_' counts as '-'), or null; `via_file` tells that the name was its `-file`
  // twin.
  Stored* find(std::string_view name, bool& via_file);
  void offer(Stored& stored, int rank, std::string place, std::string text, bool via_file, Parsed& parsed);
  void read_arguments(const std::vector<std::string>& args, Parsed& parsed, std::string& config_file);
  void read_environment(const Environment& environment, Parsed& parsed, std::string& config_file);
  void read_file(const std::string& path, const std::string& place, Parsed& parsed);
  void apply(Parsed& parsed);

  const std::string program_;
  const std::string summary_;
  std::size_t positionals_max_ = 0;
  std::vector<std::unique_ptr<Stored>> stored_;
  std::vector<std::function<Status()>> checks_;
};

}  // namespace sluice::config

#include "common/config/settings_impl.h"
