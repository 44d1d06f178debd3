// What a query returned, read completely: no connection is held while it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

class Rows;

// One row, borrowed from its Rows. Columns count from 0. Asking for a column that is not there, for a number
// where there is none, or for the value of a NULL is a defect in the statement: it aborts.
class Row {
 public:
  bool is_null(std::size_t column) const;
  std::int64_t int64(std::size_t column) const;
  double float64(std::size_t column) const;
  std::string_view text(std::size_t column) const;  // Text or bytes, as long as the Rows lives.
  std::string str(std::size_t column) const { return std::string(text(column)); }
  // NULL read as nullopt, or as the given value.
  std::optional<std::int64_t> int64_or_null(std::size_t column) const;
  std::optional<std::string> str_or_null(std::size_t column) const;
  std::int64_t int64_or(std::size_t column, std::int64_t when_null) const;
  std::string str_or(std::size_t column, std::string_view when_null) const;

 private:
  friend class Rows;
  Row(const Rows& rows, std::size_t first) : rows_(&rows), first_(first) {}
  const Rows* rows_;
  std::size_t first_;  // Index of the row's first cell.
};

// Not safe for concurrent writes; any number of readers.
class Rows {
 public:
  explicit Rows(std::size_t columns = 0) : columns_(columns) {}

  std::size_t size() const { return columns_ == 0 ? 0 : cells_.size() / columns_; }
  bool empty() const { return size() == 0; }
  std::size_t columns() const { return columns_; }
  Row operator[](std::size_t row) const;
  Row front() const { return (*this)[0]; }

  class Iterator {
   public:
    Iterator(const Rows& rows, std::size_t at) : rows_(&rows), at_(at) {}
    Row operator*() const { return (*rows_)[at_]; }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    const Rows* rows_;
    std::size_t at_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }

  // For whoever fills it (the adapter, fakes in tests): cells in order, row after row.
  void add_null();
  void add(std::string_view value);

 private:
  friend class Row;
  struct Cell {
    std::size_t offset;
    std::size_t length;  // kNull = NULL.
  };
  static constexpr std::size_t kNull = static_cast<std::size_t>(-1);

  std::size_t columns_;
  std::vector<Cell> cells_;
  std::string bytes_;
};

}  // namespace sluice
