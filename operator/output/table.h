// Aligned columns. Not safe for concurrent use.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "operator/output/console.h"

namespace sluice::operate {

enum class Align { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
  bool elastic = false;  // Shortened when the table is wider than the terminal; at most one.
};

// A cell's text is made safe when it is added.
struct Cell {
  Cell(std::string cell_text, Style cell_style = Style::kPlain)
      : text(std::move(cell_text)), style(cell_style) {}
  Cell(const char* cell_text, Style cell_style = Style::kPlain) : text(cell_text), style(cell_style) {}
  std::string text;
  Style style;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // As many cells as there are columns.
  void add(std::vector<Cell> row);
  bool empty() const { return rows_.empty(); }
  // With a line of titles; nothing at all if there are no rows.
  void print(Console& console) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// "  name   value" lines with the names in one column; names are the program's own.
class Facts {
 public:
  void add(std::string name, Cell value);
  void print(Console& console) const;

 private:
  std::vector<std::pair<std::string, Cell>> facts_;
};

}  // namespace sluice::operate
