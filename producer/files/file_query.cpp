#include "producer/files/file_query.h"

#include <algorithm>

#include "producer/api/webhook_fields.h"

namespace sluice::producer {

namespace {
constexpr std::size_t kPurposeBytesMax = 32;

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kPurposeBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
         });
}
}  // namespace

tl::expected<FileFilter, BadQuery> read_file_query(const http::RequestHead& head) {
  FileFilter filter;
  for (const auto& [name, value] : head.query) {
    if (is_given_twice(head, name)) return bad_param(name, "is given twice");
    if (name == "after") {
      if (!is_well_formed_id(value, FileIdTag::kPrefix)) return bad_param(name, "must be the id of a file");
      filter.after.value = value;
    } else if (name == "limit") {
      if (!read_limit(value, filter.limit, kFileListMax)) {
        return bad_param(name, "must be a whole number from 1 to " + std::to_string(kFileListMax));
      }
    } else if (name == "order") {
      if (value != "asc" && value != "desc") return bad_param(name, "must be asc or desc");
      filter.newest_first = value == "desc";
    } else if (name == "purpose") {
      if (!is_name(value)) return bad_param(name, "must be the name of a purpose");
      filter.purpose = value;
    } else {
      return bad_param(name, "is not a query parameter of this route");
    }
  }
  return filter;
}

}  // namespace sluice::producer
