// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mcompress/model.h"

namespace mcompress::test {

struct TinyModel {
  std::string name;
  Model model;
};

/// Small models with what breaks rewrites: bodies of If, Loop and Scan, weights that are shared,
/// that are inputs or outputs as well, captured or inside bodies, outputs that are inputs, values
/// that are outputs and are read, optional inputs left out, empty names, unknown operators, empty
/// tensors, opset 7. Each has layers, normalizations, constant terms and activations to work on.
std::vector<TinyModel> odd_models();

}  // namespace mcompress::test
