// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace mcompress {

/// What is wrong with the value of an option of a data source, as far as that can be told without
/// the data: "'limit' is '-3', expected an integer of at least 1"; "" when nothing is.
std::string data_option_problem(const std::string& name, const std::string& value);

}  // namespace mcompress
