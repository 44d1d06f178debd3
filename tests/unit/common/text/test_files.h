// Where the tests' files lie, and how to read them.
#pragma once

#include <fstream>
#include <iterator>
#include <string>

namespace sluice::testing_text {

inline std::string default_model() {
  return std::string(SLUICE_SOURCE_DIR) + "/models/sluice-tiny/sluice-tiny-f16.gguf";
}
inline std::string reference_json() {
  return std::string(SLUICE_SOURCE_DIR) + "/models/sluice-tiny/reference.json";
}

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace sluice::testing_text
