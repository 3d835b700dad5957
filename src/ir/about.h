// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "mcompress/model.h"

namespace mcompress {

/// What a model says of itself beside its graphs.
struct ModelAbout {
  std::string producer;                   ///< "pytorch 2.1.0"
  std::map<std::string, int64_t> opsets;  ///< "ai.onnx" for the default domain
  std::map<std::string, std::string> metadata;
  int64_t functions = 0;  ///< local to the model
};
ModelAbout about(const Model& model);

}  // namespace mcompress
