// Requests and answers, as handlers see them. Plain values; not shared between threads.
#pragma once

#include <any>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sluice::http {

enum class Method { kGet, kHead, kPost, kPut, kPatch, kDelete, kOptions };
std::string_view method_name(Method method);
std::optional<Method> parse_method(std::string_view name);  // Case-sensitive, as RFC 9110 has it.

// Fields in the order they came. Names are matched without regard to case.
class Headers {
 public:
  using Field = std::pair<std::string, std::string>;

  // The first field of that name; empty optional: there is none.
  std::optional<std::string_view> get(std::string_view name) const;
  bool contains(std::string_view name) const { return get(name).has_value(); }
  void add(std::string name, std::string value);
  void set(std::string_view name, std::string value);  // Replaces every field of that name.
  void remove(std::string_view name);

  std::size_t size() const { return fields_.size(); }
  bool empty() const { return fields_.empty(); }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

// True if the two are equal but for the case of ASCII letters.
bool equals_ignoring_case(std::string_view a, std::string_view b);
// Without the spaces and tabs around it.
std::string_view trimmed(std::string_view text);

// What is known before the body is read.
struct RequestHead {
  Method method = Method::kGet;
  std::string target;  // As it came: path and query, still escaped. Holds visible ASCII only.
  std::string path;    // The path part of `target`, still escaped.
  std::vector<std::pair<std::string, std::string>> query;        // Decoded, in order.
  std::vector<std::pair<std::string, std::string>> path_params;  // Decoded, by the names in the pattern.
  Headers headers;
  std::optional<std::uint64_t> content_length;  // Empty: no body, or a chunked one.
  bool has_body = false;                        // A body (possibly chunked) follows.
  std::string peer_address;                     // Numeric, without the port.
  std::string id;                               // Unique to this request; sent back as X-Request-Id.
  std::string pattern;  // The route's pattern, "/v1/jobs/{id}": fit for a metric's label.
  std::any principal;   // Put there by the route's authenticator; only it and the handlers know the type.
  // Put there by what runs before the body is read: fields of the answer, whoever gives it, unless it has
  // such a field itself.
  Headers answer_headers;

  // First value of that name; empty optional: not given.
  std::optional<std::string_view> query_value(std::string_view name) const;
  // Value of `{name}` in the pattern; empty if the pattern has none such.
  std::string_view path_param(std::string_view name) const;
  // The principal if it is a T, else null.
  template <class T>
  const T* principal_as() const {
    return std::any_cast<T>(&principal);
  }
};

struct Request : RequestHead {
  std::string body;
};

struct Response {
  int status = 200;
  Headers headers;  // Content-Length, Date, Connection and X-Request-Id are the server's. A field with a
                    // control byte in it is left out of the answer (CR and LF never get out) and counted.
  std::string body;
  bool close = false;  // Close the connection after this answer.

  static Response json(int status, std::string body);
  static Response text(int status, std::string body);
  static Response empty(int status);
};

std::string_view status_reason(int status);  // "Not Found"; "Unknown" for codes without a name.

// Undoes %XX escapes (and "+" to a space if `plus_is_space`). Empty optional: a broken escape or an encoded
// NUL.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

}  // namespace sluice::http
