// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mcompress/config_value.h"

namespace mcompress::recipe {

/// Turns YAML text into values that know their place. Anchors and merge keys are resolved;
/// duplicate keys, syntax errors, a second document, tags, text that is not UTF-8, and files that
/// are too large, too deep or grow too much by aliases are added to `problems`. What could be read
/// is returned; null for an empty file.
ConfigValue parse_yaml(std::string_view text, const std::string& file_name,
                       std::vector<Diagnostic>& problems);

}  // namespace mcompress::recipe
