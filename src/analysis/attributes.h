// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "mcompress/model.h"

namespace mcompress::analysis {

/// Entries of an attribute that is a list of strings (the activations of a recurrent layer); none
/// without it.
std::vector<std::string> attribute_strings(const NodeRef& node, std::string_view name);

}  // namespace mcompress::analysis
