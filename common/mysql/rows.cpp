#include "common/mysql/rows.h"

#include <charconv>

#include "common/base/check.h"

namespace sluice {

namespace {
template <class T>
T parse_whole(std::string_view text) {
  T value{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  SLUICE_CHECK(parsed.ec == std::errc() && parsed.ptr == text.data() + text.size());
  return value;
}
}  // namespace

bool Row::is_null(std::size_t column) const {
  SLUICE_CHECK(column < rows_->columns_);
  return rows_->cells_[first_ + column].length == Rows::kNull;
}

std::string_view Row::text(std::size_t column) const {
  SLUICE_CHECK(!is_null(column));
  const Rows::Cell& cell = rows_->cells_[first_ + column];
  return std::string_view(rows_->bytes_).substr(cell.offset, cell.length);
}

std::int64_t Row::int64(std::size_t column) const {
  return parse_whole<std::int64_t>(text(column));
}

double Row::float64(std::size_t column) const {
  return parse_whole<double>(text(column));
}

std::optional<std::int64_t> Row::int64_or_null(std::size_t column) const {
  if (is_null(column)) return std::nullopt;
  return int64(column);
}

std::optional<std::string> Row::str_or_null(std::size_t column) const {
  if (is_null(column)) return std::nullopt;
  return str(column);
}

std::int64_t Row::int64_or(std::size_t column, std::int64_t when_null) const {
  return is_null(column) ? when_null : int64(column);
}

std::string Row::str_or(std::size_t column, std::string_view when_null) const {
  return std::string(is_null(column) ? when_null : text(column));
}

Row Rows::operator[](std::size_t row) const {
  SLUICE_CHECK(row < size());
  return Row(*this, row * columns_);
}

void Rows::add_null() {
  cells_.push_back({0, kNull});
}

void Rows::add(std::string_view value) {
  cells_.push_back({bytes_.size(), value.size()});
  bytes_.append(value);
}

}  // namespace sluice
