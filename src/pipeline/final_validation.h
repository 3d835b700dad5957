// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "mcompress/dataset.h"
#include "mcompress/mcompress.h"
#include "mcompress/model.h"
#include "mcompress/runtime_service.h"

namespace mcompress {

/// Opens the model as written in a fresh session with optimizations on and off, and compares the
/// two on `samples` samples (rules.md 7). Returns what was found, for the report: a cosine below
/// 0.999 is told. Throws kBug when the two differ by more than rounding can explain (cosine below
/// 0.9), the model does not load, or does not run on what `input` runs on.
std::string validate_final(RuntimeService& runtime, const Model& input, const Model& written,
                           const Dataset* data, const std::optional<Feeds>& sample,
                           size_t samples);

/// Weights of a layer that is opened alone: several times as many bytes are needed for a moment.
constexpr int64_t kWeightsOpenedAlone = int64_t{4} << 20;

/// For models that are too large to be opened twice: one model of each kind of layer whose weight is
/// stored in a form (operator and form, the smallest such weight), run with optimizations on and
/// off. Of products with more than `most_weights` the first outputs only.
std::string validate_layers(RuntimeService& runtime, const Model& written, const ValueTypes& types,
                            int64_t most_weights = kWeightsOpenedAlone);

}  // namespace mcompress
