// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "tests/support/model_text.h"

namespace mcompress::testing {

/// A small network with something for most passes to do.
inline void write_model(const std::filesystem::path& path) {
  constexpr const char* kText = R"(
g (float[N,8] x) => (float[N,4] y)
<float[8,8] w = {0.5, -1, 0.25, 2, 1, 0.75, -0.5, 1.5, 1, 0.5, -0.25, 0.125, 2, -1, 0.5, 0.25,
                 0.75, 1, -2, 0.5, 0.25, 1, 1.5, -0.5, 1, 2, 0.5, -0.75, 0.25, 0.5, -1, 1,
                 -0.5, 0.25, 1, 0.5, 2, 0.125, 0.75, -1, 1, -0.25, 0.5, 1, -0.5, 2, 0.25, 0.75,
                 0.125, 1, 0.5, -1, 0.75, 0.25, 2, -0.5, 1.5, 0.5, -0.25, 1, 0.5, -2, 1, 0.25},
 float[8,4] v = {1, 0.5, -0.5, 2, 0.25, 1, -1, 0.75, 0.5, -0.25, 1, 0.5, 2, 1, 0.25, -0.75,
                 -1, 0.5, 1, 0.25, 0.75, 2, -0.5, 1, 0.5, 0.25, 1, -1, 1.5, -0.5, 0.25, 1},
 float[1] scale = {2}>
{
  same = Identity(x)
  h = MatMul(same, w)
  r = Relu(h)
  s = MatMul(r, v)
  y = Mul(s, scale)
}
)";
  test::parse_model(kText).save(path, {.overwrite = true});
}

}  // namespace mcompress::testing
