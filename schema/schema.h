// The files of this folder as text, built into the binary. Constant. Link sluice_schema for the first two and
// sluice_openapi for the last.
#pragma once

#include <span>
#include <string_view>

namespace sluice::schema {

struct SqlFile {
  int version;            // 7
  std::string_view name;  // "add_lease"
  std::string_view up;    // The text of 0007_add_lease.up.sql …
  std::string_view down;  // … and of 0007_add_lease.down.sql.
};

// By version.
std::span<const SqlFile> sql_files();
std::string_view topology_json();
std::string_view openapi_json();

}  // namespace sluice::schema
