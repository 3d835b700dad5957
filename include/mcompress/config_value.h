// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mcompress {

/// Where a value was written: "recipe.yaml:12:9", or "--set" for the command line.
struct SourceLocation {
  std::string file;
  int line = 0;  ///< from 1; 0 when there is none
  int column = 0;

  std::string str() const;
};

/// A piece of a recipe as written: scalar, list or map, each with its place. Independent of YAML.
struct ConfigValue {
  enum class Kind { kNull, kScalar, kList, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  std::string scalar;
  bool quoted = false;  ///< a quoted scalar is a string and nothing else
  std::vector<ConfigValue> list;
  std::vector<Entry> map;  ///< in the order written, keys unique
  SourceLocation where;

  const ConfigValue* find(std::string_view key) const;
};

struct ConfigValue::Entry {
  std::string key;
  SourceLocation where;  ///< of the key
  ConfigValue value;
};

/// One thing wrong with a recipe; all of them are shown at once.
struct Diagnostic {
  SourceLocation where;
  std::string message;
  std::string hint;
  bool warning = false;

  std::string str() const;
};

}  // namespace mcompress
