// SPDX-License-Identifier: Apache-2.0
#include "forms/layer_form.h"

#include <array>

namespace mcompress::forms {

FormFacts facts(LayerForm form) {
  static constexpr std::array<FormFacts, 6> kFacts{{
      {"float", 7, "1.17"},
      {"static int8", 13, "1.17"},
      {"dynamic int8", 11, "1.17"},
      {"8-bit weights", 13, "1.30"},
      {"4-bit weights", 7, "1.17"},
      {"dequantized each run", 10, "1.17"},
  }};
  return kFacts.at(static_cast<size_t>(form));
}

}  // namespace mcompress::forms
