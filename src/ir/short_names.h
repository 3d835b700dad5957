// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "mcompress/model.h"

namespace mcompress::ir {

struct ShortNames {
  int64_t values = 0;  ///< that have a shorter name now
  int64_t nodes = 0;   ///< nodes and tensors of attributes that have none any more
  int64_t bytes = 0;   ///< fewer characters
};

/// Gives each inner value of the main graph, the bodies and the functions a short name, those most
/// often written the shortest, and takes the names of nodes away. Names are told apart over all
/// graphs, so that a body may go on reading values of the graphs around it; a function counts for
/// itself. A new name is none that the model had before, and `state().origin` says what each value
/// was called.
///
/// Inputs and outputs of the main graph keep their names, and so do those of bodies of operators
/// that are not ONNX's own, which may find them by name. Throws Unsupported where training
/// information names values.
ShortNames shorten_names(Model& model);

}  // namespace mcompress::ir
