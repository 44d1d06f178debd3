// Writes small GGUF models with random weights, and lets a test spoil any part of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/text/gguf_writer.h"

namespace sluice::testmodel {

struct RandomTensor {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<std::uint64_t> ne;
  std::vector<float> values;
};

struct RandomModel {
  std::string architecture = "qwen2";
  GgmlType type = GgmlType::kF32;  // Of the matrices.
  std::uint32_t layers = 2;
  std::uint32_t width = 64;
  std::uint32_t feed_forward = 96;
  std::uint32_t heads = 4;
  std::uint32_t kv_heads = 2;
  std::uint32_t head_dim = 0;  // 0: width / heads.
  std::uint32_t vocabulary = 100;
  std::uint32_t context = 128;
  bool own_output = false;
  unsigned seed = 1;
  std::function<void(GgufWriter&)> metadata;                // Called after the regular keys were set.
  std::function<void(std::vector<RandomTensor>&)> tensors;  // Called before the tensors are written.

  // Aborts the test's process if the file can't be written.
  void write(const std::string& path) const;
};

// The bytes of `values` as a tensor of this type.
std::vector<std::byte> encode_tensor(GgmlType type, const std::vector<float>& values);
std::vector<float> decode_tensor(const GgufTensor& tensor);

// A folder of its own under the system's temporary folder, removed with all it holds.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

 private:
  std::string folder_;
};

}  // namespace sluice::testmodel
