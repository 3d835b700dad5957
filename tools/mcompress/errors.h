// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "mcompress/error.h"

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace mcompress::tool {

/// A wrong command line in our words, with the nearest name of an unknown command or option.
Error usage_error(const CLI::App& app, const CLI::ParseError& error, const std::string& first_word);

/// Runs `body` and returns its exit code. What it throws is printed once, on standard error, and
/// becomes the exit code of its kind (product.md section 1).
int report_errors(const std::function<int()>& body);

}  // namespace mcompress::tool
