// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mcompress/pass.h"

namespace mcompress::tool {

/// All passes, one a line: name, fidelity, summary.
std::string pass_table(const PassRegistry& passes, int width, bool color);
/// The same as a Markdown table (README's, which ctest compares).
std::string pass_table_markdown(const PassRegistry& passes);
/// One pass with everything known of it: what it needs, costs and brings, and its options.
std::string pass_details(const Pass& pass, OptionSet& options, int width, bool color);
std::string pass_details_json(const PassRegistry& passes);

}  // namespace mcompress::tool
