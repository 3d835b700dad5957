// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <vector>

#include "tests/support/pass_test.h"

namespace mcompress::test {

/// Relative squared error of the first output on feeds that no pass has seen.
inline double output_error(const Model& before, const Model& after) {
  double error = 0, energy = 0;
  for (uint64_t seed = 100; seed < 110; ++seed) {
    const Feeds feeds = random_feeds(before, seed);
    const std::vector<float> a = runtime()->open(before)->run(feeds)[0].to_float();
    const std::vector<float> b = runtime()->open(after)->run(feeds)[0].to_float();
    for (size_t i = 0; i < a.size(); ++i) {
      error += std::pow(a[i] - b[i], 2);
      energy += std::pow(a[i], 2);
    }
  }
  return error / energy;
}

}  // namespace mcompress::test
