#include "common/text/gguf_parse.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>

namespace sluice {
namespace {

constexpr std::uint32_t kVersionMin = 2;
constexpr std::uint32_t kVersionMax = 3;
constexpr std::uint64_t kTensorsMax = std::numeric_limits<std::uint32_t>::max() - 1;
// The fewest bytes that one entry and one tensor can take: they bound the counts before anything is reserved.
constexpr std::uint64_t kEntryBytesMin = 8 + 1 + 4 + 1;
constexpr std::uint64_t kTensorBytesMin = 8 + 1 + 4 + 8 + 4 + 8;

tl::unexpected<Error> corrupt(std::string message) {
  return fail(ErrorCode::kCorrupt, std::move(message));
}
tl::unexpected<Error> invalid(std::string message) {
  return fail(ErrorCode::kInvalid, std::move(message));
}

// Walks over the bytes; every step is checked.
class Cursor {
 public:
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::size_t position() const { return position_; }
  std::uint64_t left() const { return bytes_.size() - position_; }
  std::span<const std::byte> since(std::size_t from) const { return bytes_.subspan(from, position_ - from); }

  bool skip(std::uint64_t count) {
    if (count > left()) return false;
    position_ += static_cast<std::size_t>(count);
    return true;
  }

  template <class T>
  bool read(T& value) {
    if (sizeof value > left()) return false;
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return true;
  }

  bool read_string(std::string_view& text) {
    std::uint64_t length = 0;
    if (!read(length) || length > left()) return false;
    text = {reinterpret_cast<const char*>(bytes_.data() + position_), static_cast<std::size_t>(length)};
    position_ += static_cast<std::size_t>(length);
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t position_ = 0;
};

bool known_type(std::uint32_t raw) {
  return raw <= static_cast<std::uint32_t>(GgufValueType::kF64);
}

// `a * b`, unless it overflows.
bool multiply(std::uint64_t a, std::uint64_t b, std::uint64_t& product) {
  return !__builtin_mul_overflow(a, b, &product);
}

bool bools_valid(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte b) { return std::to_integer<unsigned>(b) <= 1; });
}

class Parser {
 public:
  Parser(std::span<const std::byte> bytes, std::uint64_t file_bytes)
      : cursor_(bytes), file_bytes_(file_bytes) {}

  Result<GgufParsed> run() {
    std::uint64_t tensor_count = 0;
    std::uint64_t entry_count = 0;
    SLUICE_TRY(read_start(tensor_count, entry_count));
    SLUICE_TRY(read_entries(entry_count));
    SLUICE_TRY(sort_names(parsed_.entries, parsed_.entries_by_key, &GgufEntry::key, "metadata key"));
    SLUICE_TRY(find_alignment());
    SLUICE_TRY(read_tensors(tensor_count));
    SLUICE_TRY(sort_names(parsed_.tensors, parsed_.tensors_by_name, &GgufTensor::name, "tensor"));
    parsed_.header_bytes = cursor_.position();
    SLUICE_TRY(place_tensors());
    return std::move(parsed_);
  }

 private:
  tl::unexpected<Error> truncated(std::string_view where) const {
    return corrupt("the file ends inside " + std::string(where) + " (at byte " +
                   std::to_string(cursor_.position()) + ")");
  }

  Status read_start(std::uint64_t& tensor_count, std::uint64_t& entry_count) {
    std::array<char, 4> magic{};
    if (!cursor_.read(magic)) return truncated("its first four bytes");
    if (std::string_view(magic.data(), magic.size()) != "GGUF") {
      return invalid("not a GGUF file (it does not start with \"GGUF\")");
    }
    std::uint32_t version = 0;
    if (!cursor_.read(version)) return truncated("the version");
    if ((version & 0xffff) == 0 && version != 0) return invalid("big-endian GGUF files are not supported");
    if (version < kVersionMin || version > kVersionMax) {
      return invalid("GGUF version " + std::to_string(version) + " is not supported (2 and 3 are)");
    }
    parsed_.version = version;
    if (!cursor_.read(tensor_count) || !cursor_.read(entry_count)) return truncated("the counts");
    if (entry_count > cursor_.left() / kEntryBytesMin) {
      return corrupt("it claims " + std::to_string(entry_count) +
                     " metadata keys, more than it has room for");
    }
    if (tensor_count > cursor_.left() / kTensorBytesMin || tensor_count > kTensorsMax) {
      return corrupt("it claims " + std::to_string(tensor_count) + " tensors, more than it has room for");
    }
    return {};
  }

  Status read_entries(std::uint64_t count) {
    parsed_.entries.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) {
      GgufEntry entry;
      if (!cursor_.read_string(entry.key)) return truncated("metadata key " + std::to_string(i));
      if (entry.key.empty() || entry.key.size() > kGgufKeyBytesMax) {
        return corrupt("metadata key " + std::to_string(i) + " has a length of " +
                       std::to_string(entry.key.size()) + " bytes");
      }
      std::uint32_t type = 0;
      if (!cursor_.read(type)) return truncated("the type of " + gguf_quoted(entry.key));
      if (!known_type(type)) {
        return invalid("metadata key " + gguf_quoted(entry.key) + " has the unknown type " +
                       std::to_string(type));
      }
      entry.type = static_cast<GgufValueType>(type);
      const std::size_t start = cursor_.position();
      SLUICE_TRY(read_value(entry));
      entry.payload = cursor_.since(start);
      parsed_.entries.push_back(entry);
    }
    return {};
  }

  Status read_value(GgufEntry& entry) {
    if (entry.type == GgufValueType::kArray) return read_array(entry);
    const std::size_t start = cursor_.position();
    if (entry.type == GgufValueType::kString) {
      std::string_view text;
      if (!cursor_.read_string(text)) return truncated("the value of " + gguf_quoted(entry.key));
      return {};
    }
    if (!cursor_.skip(gguf_scalar_bytes(entry.type))) {
      return truncated("the value of " + gguf_quoted(entry.key));
    }
    if (entry.type == GgufValueType::kBool && !bools_valid(cursor_.since(start))) {
      return corrupt("metadata key " + gguf_quoted(entry.key) + " is a bool that is neither 0 nor 1");
    }
    return {};
  }

  Status read_array(GgufEntry& entry) {
    std::uint32_t type = 0;
    if (!cursor_.read(type) || !cursor_.read(entry.count)) {
      return truncated("the array " + gguf_quoted(entry.key));
    }
    if (!known_type(type)) {
      return invalid("metadata key " + gguf_quoted(entry.key) + " is an array of the unknown type " +
                     std::to_string(type));
    }
    entry.element_type = static_cast<GgufValueType>(type);
    if (entry.element_type == GgufValueType::kArray) {
      return invalid("metadata key " + gguf_quoted(entry.key) + " is an array of arrays: not supported");
    }
    if (entry.element_type == GgufValueType::kString) {
      if (entry.count > cursor_.left() / sizeof(std::uint64_t)) {
        return truncated("the array " + gguf_quoted(entry.key));
      }
      std::string_view text;
      for (std::uint64_t i = 0; i < entry.count; ++i) {
        if (!cursor_.read_string(text)) return truncated("the array " + gguf_quoted(entry.key));
      }
      return {};
    }
    const std::size_t start = cursor_.position();
    std::uint64_t bytes = 0;
    if (!multiply(entry.count, gguf_scalar_bytes(entry.element_type), bytes) || !cursor_.skip(bytes)) {
      return truncated("the array " + gguf_quoted(entry.key));
    }
    if (entry.element_type == GgufValueType::kBool && !bools_valid(cursor_.since(start))) {
      return corrupt("metadata key " + gguf_quoted(entry.key) + " holds a bool that is neither 0 nor 1");
    }
    return {};
  }

  // Sorts the indexes by name; two of one name are an error.
  template <class Item>
  static Status sort_names(const std::vector<Item>& items, std::vector<std::uint32_t>& order,
                           std::string_view Item::*name, std::string_view what) {
    order.resize(items.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return items[a].*name < items[b].*name; });
    const auto twin = std::adjacent_find(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return items[a].*name == items[b].*name;
    });
    if (twin != order.end()) {
      return corrupt(std::string(what) + " " + gguf_quoted(items[*twin].*name) + " appears twice");
    }
    return {};
  }

  Status find_alignment() {
    for (const GgufEntry& entry : parsed_.entries) {
      if (entry.key != "general.alignment") continue;
      if (entry.type != GgufValueType::kU32) return invalid("general.alignment is not a u32");
      std::uint32_t value = 0;
      std::memcpy(&value, entry.payload.data(), sizeof value);
      if (!gguf_alignment_valid(value)) {
        return invalid("general.alignment is " + std::to_string(value) + ", not a power of two from 8 to " +
                       std::to_string(kGgufAlignmentMax));
      }
      parsed_.alignment = value;
    }
    return {};
  }

  Status read_tensors(std::uint64_t count) {
    if (count > cursor_.left() / kTensorBytesMin) {
      return corrupt("it claims " + std::to_string(count) + " tensors, more than it has room for");
    }
    parsed_.tensors.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) {
      GgufTensor tensor;
      if (!cursor_.read_string(tensor.name)) return truncated("the name of tensor " + std::to_string(i));
      if (tensor.name.empty() || tensor.name.size() > kGgufTensorNameBytesMax) {
        return corrupt("tensor " + std::to_string(i) + " has a name of " +
                       std::to_string(tensor.name.size()) + " bytes");
      }
      SLUICE_TRY(read_shape(tensor));
      parsed_.tensors.push_back(tensor);
    }
    return {};
  }

  Status read_shape(GgufTensor& tensor) {
    const std::string name = "tensor " + gguf_quoted(tensor.name);
    std::uint32_t dims = 0;
    if (!cursor_.read(dims)) return truncated(name);
    if (dims < 1 || dims > tensor.ne.size()) {
      return corrupt(name + " has " + std::to_string(dims) + " dimensions");
    }
    tensor.dims = static_cast<int>(dims);
    std::uint64_t values = 1;
    for (std::uint32_t d = 0; d < dims; ++d) {
      if (!cursor_.read(tensor.ne[d])) return truncated(name);
      if (tensor.ne[d] == 0) return corrupt(name + " has a dimension of 0");
      if (!multiply(values, tensor.ne[d], values) ||
          values > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return corrupt(name + " is too large: the product of its dimensions overflows");
      }
    }
    std::uint32_t type = 0;
    if (!cursor_.read(type) || !cursor_.read(tensor.offset)) return truncated(name);
    const GgmlTypeTraits* traits = ggml_type_traits(type);
    if (traits == nullptr) return invalid(name + " has the unknown type " + std::to_string(type));
    tensor.type = traits->type;
    if (tensor.ne[0] % traits->values != 0) {
      return corrupt(name + " has rows of " + std::to_string(tensor.ne[0]) + " values, not a multiple of " +
                     std::to_string(traits->values) + " as " + std::string(traits->name) + " needs");
    }
    if (!multiply(values / traits->values, traits->bytes, tensor.bytes)) {
      return corrupt(name + " is too large");
    }
    return {};
  }

  // Where each tensor's data lies, against the file's end and against its neighbours.
  Status place_tensors() {
    const std::uint64_t mask = parsed_.alignment - 1;
    // header_bytes is at most the size of a file, so this can't overflow.
    parsed_.data_offset = (parsed_.header_bytes + mask) & ~mask;
    if (parsed_.tensors.empty()) return {};
    if (parsed_.data_offset > file_bytes_) return corrupt("the file ends before its tensor data");
    const std::uint64_t data_bytes = file_bytes_ - parsed_.data_offset;
    for (const GgufTensor& tensor : parsed_.tensors) {
      const std::string name = "tensor " + gguf_quoted(tensor.name);
      if ((tensor.offset & mask) != 0) {
        return corrupt(name + " lies at offset " + std::to_string(tensor.offset) +
                       ", not a multiple of the alignment " + std::to_string(parsed_.alignment));
      }
      if (tensor.offset > data_bytes || tensor.bytes > data_bytes - tensor.offset) {
        return corrupt(name + " (" + std::to_string(tensor.bytes) + " bytes at offset " +
                       std::to_string(tensor.offset) + ") reaches beyond the end of the file");
      }
    }
    std::vector<std::uint32_t> order(parsed_.tensors.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return parsed_.tensors[a].offset < parsed_.tensors[b].offset;
    });
    for (std::size_t i = 1; i < order.size(); ++i) {
      const GgufTensor& before = parsed_.tensors[order[i - 1]];
      const GgufTensor& after = parsed_.tensors[order[i]];
      if (after.offset - before.offset < before.bytes) {
        return corrupt("tensors " + gguf_quoted(before.name) + " and " + gguf_quoted(after.name) +
                       " overlap");
      }
    }
    return {};
  }

  Cursor cursor_;
  const std::uint64_t file_bytes_;
  GgufParsed parsed_;
};

}  // namespace

Result<GgufParsed> gguf_parse(std::span<const std::byte> bytes, std::uint64_t file_bytes) {
  return Parser(bytes, file_bytes).run();
}

std::size_t gguf_scalar_bytes(GgufValueType type) {
  switch (type) {
    case GgufValueType::kU8:
    case GgufValueType::kI8:
    case GgufValueType::kBool:
      return 1;
    case GgufValueType::kU16:
    case GgufValueType::kI16:
      return 2;
    case GgufValueType::kU32:
    case GgufValueType::kI32:
    case GgufValueType::kF32:
      return 4;
    case GgufValueType::kU64:
    case GgufValueType::kI64:
    case GgufValueType::kF64:
      return 8;
    case GgufValueType::kString:
    case GgufValueType::kArray:
      break;
  }
  return 0;
}

bool gguf_alignment_valid(std::uint64_t alignment) {
  return std::has_single_bit(alignment) && alignment >= 8 && alignment <= kGgufAlignmentMax;
}

std::string gguf_quoted(std::string_view name) {
  constexpr std::size_t kShown = 80;
  std::string text = "'";
  for (const char c : name.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '\'' && c != '\\') {
      text += c;
    } else {
      constexpr std::string_view kHex = "0123456789abcdef";
      text += "\\x";
      text += kHex[byte >> 4];
      text += kHex[byte & 15];
    }
  }
  return text + (name.size() > kShown ? "…'" : "'");
}

}  // namespace sluice
