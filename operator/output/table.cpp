#include "operator/output/table.h"

#include <algorithm>

#include "common/base/check.h"
#include "operator/output/text.h"

namespace sluice::operate {

namespace {

constexpr int kGap = 2;
constexpr int kElasticMin = 10;

std::string spaces(int count) {
  return std::string(static_cast<std::size_t>(std::max(count, 0)), ' ');
}

}  // namespace

void Table::add(std::vector<Cell> row) {
  SLUICE_CHECK(row.size() == columns_.size());
  for (Cell& cell : row) cell.text = safe_text(cell.text);
  rows_.push_back(std::move(row));
}

void Table::print(Console& console) const {
  if (rows_.empty()) return;
  std::vector<int> widths;
  int total = 0;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    int width = text_width(columns_[c].title);
    for (const auto& row : rows_) width = std::max(width, text_width(row[c].text));
    widths.push_back(width);
    total += width + (c > 0 ? kGap : 0);
  }
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    if (!columns_[c].elastic || console.columns == 0 || total <= console.columns) continue;
    widths[c] = std::max(widths[c] - (total - console.columns), std::min(widths[c], kElasticMin));
  }
  const auto line = [&](const std::vector<Cell>& row) {
    std::string text;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string shown = cut_text(row[c].text, widths[c]);
      const std::string padding = spaces(widths[c] - text_width(shown));
      if (c > 0) text += spaces(kGap);
      if (columns_[c].align == Align::kRight) text += padding;
      text += console.styled(shown, row[c].style);
      if (columns_[c].align == Align::kLeft && c + 1 < row.size()) text += padding;
    }
    // An empty last cell leaves its neighbour's padding.
    text.erase(text.find_last_not_of(' ') + 1);
    console.out << text << "\n";
  };
  std::vector<Cell> titles;
  for (const Column& column : columns_) titles.emplace_back(column.title, Style::kBold);
  line(titles);
  for (const auto& row : rows_) line(row);
}

void Facts::add(std::string name, Cell value) {
  value.text = safe_text(value.text);
  facts_.emplace_back(std::move(name), std::move(value));
}

void Facts::print(Console& console) const {
  int width = 0;
  for (const auto& [name, value] : facts_) width = std::max(width, text_width(name));
  for (const auto& [name, value] : facts_) {
    console.out << console.styled(name, Style::kDim) << spaces(width - text_width(name) + kGap)
                << console.styled(value.text, value.style) << "\n";
  }
}

}  // namespace sluice::operate
