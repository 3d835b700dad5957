// SPDX-License-Identifier: Apache-2.0
#include "data/names.h"

#include <algorithm>

namespace mcompress::data {

std::string list_names(const std::vector<std::string>& names, size_t most) {
  if (names.empty()) return "none";
  std::string text;
  for (size_t i = 0; i < std::min(most, names.size()); ++i) {
    text += (i == 0 ? "'" : ", '") + names[i] + "'";
  }
  if (names.size() > most) text += " and " + std::to_string(names.size() - most) + " more";
  return text;
}

}  // namespace mcompress::data
