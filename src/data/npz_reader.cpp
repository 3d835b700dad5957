// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "data/array_dataset.h"
#include "data/names.h"
#include "data/npy.h"
#include "data/readers.h"
#include "mcompress/error.h"
#include "support/did_you_mean.h"

namespace mcompress::data {
namespace {

constexpr const char* kLabels = "labels";
constexpr const char* kNone = "none";

/// What npz and npy have in common once the arrays are found.
std::shared_ptr<const Dataset> finish(ArraySource arrays, const SourceOptions& options,
                                      const Inputs& inputs, const DataSource& source) {
  arrays.files.insert(arrays.files.begin(), source.path);
  arrays.layout = parse_layout(options);
  arrays.limit = options.integer("limit", 1);
  const int transformed = transformed_input(options, inputs);
  if (transformed >= 0) {
    arrays.inputs[static_cast<size_t>(transformed)].transform = Transform::parse(options);
  }
  const auto labels = source.files.find(kLabels);
  if (labels != source.files.end()) {
    arrays.labels = read_npy(labels->second);
    arrays.files.push_back(labels->second);
  }
  return make_array_dataset(std::move(arrays), source);
}

bool is_input(const Inputs& inputs, const std::string& name) {
  for (const ValueInfo& input : inputs) {
    if (input.name == name) return true;
  }
  return false;
}

}  // namespace

std::shared_ptr<const Dataset> open_npz(const DataSource& source, const Inputs& inputs) {
  const SourceOptions options(source, "npz");
  const Npz file(source.path);
  ArraySource arrays;
  for (const ValueInfo& input : inputs) {
    if (!file.has(input.name)) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}: no array for input '{}'; there are {}", source.path.string(),
                              input.name, list_names(file.keys())))
          .hint(did_you_mean(input.name, file.keys()));
    }
    arrays.inputs.push_back({input, file.load(input.name)});
  }
  const std::string labels = options.text(kLabels, "");
  if (labels.empty()) {
    if (file.has(kLabels) && !is_input(inputs, kLabels)) arrays.labels = file.load(kLabels);
  } else if (labels != kNone) {
    arrays.labels = file.load(labels);
  }
  return finish(std::move(arrays), options, inputs, source);
}

std::shared_ptr<const Dataset> open_npy(const DataSource& source, const Inputs& inputs) {
  const SourceOptions options(source, "npy");
  if (inputs.size() != 1) {
    throw Error(ErrorCode::kData, fmt::format("{}: one array, the model has {} inputs",
                                              source.path.string(), inputs.size()))
        .hint("save an .npz with an array per input");
  }
  ArraySource arrays;
  arrays.inputs.push_back({inputs[0], read_npy(source.path)});
  return finish(std::move(arrays), options, inputs, source);
}

}  // namespace mcompress::data
