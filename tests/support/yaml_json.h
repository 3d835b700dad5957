// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "mcompress/config_value.h"

namespace mcompress::testing {

/// What an editor sees when it checks a recipe against a JSON schema: plain scalars typed as
/// YAML 1.2 says.
inline nlohmann::json to_json(const ConfigValue& value) {
  using Json = nlohmann::json;
  switch (value.kind) {
    case ConfigValue::Kind::kNull:
      return nullptr;
    case ConfigValue::Kind::kList: {
      Json list = Json::array();
      for (const ConfigValue& item : value.list) list.push_back(to_json(item));
      return list;
    }
    case ConfigValue::Kind::kMap: {
      Json map = Json::object();
      for (const ConfigValue::Entry& entry : value.map) map[entry.key] = to_json(entry.value);
      return map;
    }
    case ConfigValue::Kind::kScalar:
      break;
  }
  if (value.quoted) return value.scalar;
  if (value.scalar == "true") return true;
  if (value.scalar == "false") return false;
  const Json number = Json::parse(value.scalar, nullptr, false);
  return number.is_number() ? number : Json(value.scalar);
}

}  // namespace mcompress::testing
