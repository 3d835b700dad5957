// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include "command.h"
int main() { std::cout << 1; std::exit(0); }
