#include <algorithm>

#include "callback/store/delivery_store.h"

namespace sluice::callback {

std::string plain_text(const std::string& text, std::size_t bytes_max) {
  std::string out = text.substr(0, bytes_max);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

}  // namespace sluice::callback
