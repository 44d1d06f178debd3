// The id of a stored file. Its prefix is the one that OpenAI's clients know.
#pragma once

#include "common/ids/ids.h"

namespace sluice {

struct FileIdTag {
  static constexpr std::string_view kPrefix = "file-";
};
using FileId = Id<FileIdTag>;

}  // namespace sluice
