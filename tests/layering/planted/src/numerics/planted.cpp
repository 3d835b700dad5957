// SPDX-License-Identifier: Apache-2.0
#include "ir/graph.h"
#include <Eigen/Core>
#include "planted.h"
int f() { return rand() + at_exit(2) + std::getenv("HOME")[0]; }
const char* raw = R"(
exit(1) "
)";
void g() { std::abort(); }
