// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcompress/recipe.h"

namespace mcompress::recipe {

/// The words of a recipe, for reader, writer, schema and nearest names alike.

struct KeyInfo {
  std::string_view name;
  std::string_view description;
};

/// Keys of the file in the order in which they are written.
const std::vector<KeyInfo>& top_keys();
/// Keys beside the pass in an entry of `steps`.
const std::vector<KeyInfo>& step_keys();
/// Keys of a composite step.
const std::vector<KeyInfo>& repeat_keys();
/// Keys of a gate that are no quantities.
const std::vector<KeyInfo>& gate_keys();
const std::vector<KeyInfo>& data_roles();

/// calibration, validation... as plain names.
std::vector<std::string> names_of(const std::vector<KeyInfo>& keys);
std::vector<std::string> limit_quantities();
std::vector<std::string> metric_names();
std::vector<std::string> curve_names();
const std::vector<std::pair<std::string, OnFail>>& on_fail_words();
std::string_view on_fail_word(OnFail on_fail);

/// Files that a kind of data source can name: {idx: {images: ..., labels: ...}}.
std::vector<std::string> data_files(std::string_view kind);

/// Declares the keys of a recipe that hold one value each (seed, target, metric...), bound to
/// `recipe`.
void describe_scalars(Recipe& recipe, int64_t& seed, OptionSet& options);

}  // namespace mcompress::recipe
