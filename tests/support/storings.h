// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mcompress/model.h"

namespace mcompress::test {

/// One weight, stored in one of the ways that models store weights.
struct Storing {
  std::string how;
  Model model;
};

/// The six storings of rules.md 29 of initializer `weight` of a model with plain initializers:
/// initializer, Constant node, captured by the bodies of an If, inside these bodies, in an external
/// file, shared with another node. With an If the model has a further input, bool[] `choose`;
/// shared, a further input float[] `factor` and a further output.
std::vector<Storing> six_storings(const Model& model, const std::string& weight);

}  // namespace mcompress::test
