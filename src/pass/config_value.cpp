// SPDX-License-Identifier: Apache-2.0
#include "mcompress/config_value.h"

#include <fmt/format.h>

namespace mcompress {

std::string SourceLocation::str() const {
  if (line == 0) return file;
  return fmt::format("{}:{}:{}", file, line, column);
}

const ConfigValue* ConfigValue::find(std::string_view key) const {
  for (const Entry& entry : map) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

std::string Diagnostic::str() const {
  const std::string place = where.str();
  return fmt::format("{}{}{}{}{}{}", place, place.empty() ? "" : ": ", warning ? "warning: " : "",
                     message, hint.empty() ? "" : "; ", hint);
}

}  // namespace mcompress
