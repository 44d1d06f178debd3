// What the tests of this folder share: files of the repository, temporary files, and GGUF files made byte by
// byte (independently of GgufWriter, so that both sides are tested).
#pragma once

#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

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

// A folder that is gone when the test is over.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "sluice-text-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, std::string_view bytes) const {
    std::ofstream(file(name), std::ios::binary) << bytes;
    return file(name);
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::string path_;
};

// Types of metadata values, as in the format.
enum : std::uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

// Appends little-endian values.
class Bytes {
 public:
  template <class T>
  Bytes& put(T value) {
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    out_.append(raw, sizeof value);
    return *this;
  }
  Bytes& raw(std::string_view text) {
    out_ += text;
    return *this;
  }
  Bytes& text(std::string_view text) { return put<std::uint64_t>(text.size()).raw(text); }
  const std::string& str() const { return out_; }

 private:
  std::string out_;
};

// A GGUF file in memory.
class GgufBytes {
 public:
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  std::string magic = "GGUF";

  template <class T>
  GgufBytes& scalar(std::string_view key, std::uint32_t type, T value) {
    return entry(key, type, Bytes().put(value).str());
  }
  GgufBytes& string(std::string_view key, std::string_view value) {
    return entry(key, kString, Bytes().text(value).str());
  }
  GgufBytes& strings(std::string_view key, const std::vector<std::string>& values) {
    Bytes payload;
    payload.put(kString).put<std::uint64_t>(values.size());
    for (const std::string& value : values) payload.text(value);
    return entry(key, kArray, payload.str());
  }
  template <class T>
  GgufBytes& numbers(std::string_view key, std::uint32_t type, const std::vector<T>& values) {
    Bytes payload;
    payload.put(type).put<std::uint64_t>(values.size());
    for (const T value : values) payload.put(value);
    return entry(key, kArray, payload.str());
  }
  GgufBytes& entry(std::string_view key, std::uint32_t type, std::string_view payload) {
    entries_.text(key).put(type).raw(payload);
    ++entry_count_;
    return *this;
  }
  // `data` goes to the end of the data section so far, aligned.
  GgufBytes& tensor(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& ne,
                    std::string_view data) {
    while (data_.size() % alignment != 0) data_ += '\0';
    tensor_at(name, type, ne, data_.size());
    data_ += data;
    return *this;
  }
  GgufBytes& tensor_at(std::string_view name, std::uint32_t type, const std::vector<std::uint64_t>& ne,
                       std::uint64_t offset) {
    tensors_.text(name).put<std::uint32_t>(static_cast<std::uint32_t>(ne.size()));
    for (const std::uint64_t n : ne) tensors_.put(n);
    tensors_.put(type).put(offset);
    ++tensor_count_;
    return *this;
  }
  GgufBytes& data(std::string_view bytes) {
    data_ += bytes;
    return *this;
  }

  std::string header() const {
    return Bytes()
        .raw(magic)
        .put(version)
        .put(tensor_count_)
        .put(entry_count_)
        .raw(entries_.str())
        .raw(tensors_.str())
        .str();
  }
  std::string str() const {
    std::string file = header();
    if (data_.empty()) return file;
    while (file.size() % alignment != 0) file += '\0';
    return file + data_;
  }

 private:
  Bytes entries_;
  Bytes tensors_;
  std::uint64_t entry_count_ = 0;
  std::uint64_t tensor_count_ = 0;
  std::string data_;
};

// One of everything.
inline GgufBytes small_gguf() {
  GgufBytes file;
  file.string("general.architecture", "qwen2")
      .string("general.name", "small")
      .scalar<std::uint8_t>("a.u8", kU8, 200)
      .scalar<std::int8_t>("a.i8", kI8, -5)
      .scalar<std::uint16_t>("a.u16", kU16, 60000)
      .scalar<std::int16_t>("a.i16", kI16, -30000)
      .scalar<std::uint32_t>("a.u32", kU32, 4'000'000'000U)
      .scalar<std::int32_t>("a.i32", kI32, -7)
      .scalar<float>("a.f32", kF32, 1.5F)
      .scalar<std::uint8_t>("a.bool", kBool, 1)
      .scalar<std::uint64_t>("a.u64", kU64, 1ULL << 63)
      .scalar<std::int64_t>("a.i64", kI64, -1)
      .scalar<double>("a.f64", kF64, 0.25)
      .strings("a.strings", {"one", "", "three"})
      .numbers<std::int32_t>("a.ints", kI32, {1, -2, 3})
      .numbers<float>("a.floats", kF32, {0.5F, 2})
      .numbers<std::uint8_t>("a.bools", kBool, {0, 1})
      .tensor("first", 0, {4, 2}, std::string(32, 'f'))
      .tensor("second", 8, {32, 1, 2}, std::string(68, 's'))
      .tensor("third", 1, {3}, std::string(6, 't'));
  return file;
}

inline std::string test_data(const std::string& name) {
  return read_file(std::string(SLUICE_SOURCE_DIR) + "/tests/unit/common/text/data/" + name);
}

}  // namespace sluice::testing_text
