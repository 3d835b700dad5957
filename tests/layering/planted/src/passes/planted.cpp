// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <vector>

#include "pass/register.h"
#include "passes/other.h"
#include "runtime/session.h"
#include "mcompress/recipe.h"
#include <yaml-cpp/yaml.h>

// std::cout in a comment and "rand(" in a literal are nobody's business.
const char* text = "std::cout << exit(0)";
void f() { std::cout << operand(1) << g.mutable_graph(); }
