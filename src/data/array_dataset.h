// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/input_match.h"
#include "data/source_options.h"
#include "data/stored_array.h"
#include "data/transform.h"
#include "mcompress/dataset.h"

namespace mcompress::data {

struct ArrayInput {
  ValueInfo info;
  StoredArray array;
  Transform transform = {};
};

/// What a dataset over stored arrays is made of.
struct ArraySource {
  std::vector<ArrayInput> inputs;
  std::optional<StoredArray> labels;
  std::vector<std::filesystem::path> files;  ///< the first one names the data set
  Layout layout = Layout::kNchw;
  std::optional<int64_t> limit;
};

/// Matches arrays and inputs, reads all values that will be fed once (NaN, range, constants) and
/// the labels. Throws kData as open_dataset does.
std::shared_ptr<const Dataset> make_array_dataset(ArraySource arrays, const DataSource& source);

/// The input that scale, shift, mean and std are for: `input`, or the only one of floating point.
/// -1 when there is no such option; throws kRecipe where it is not clear.
int transformed_input(const SourceOptions& options, const std::vector<ValueInfo>& inputs);

/// Labels as Dataset gives them: int64 for bool and integers, float for floating point. Throws
/// kData for other than `samples` rows and for values that are not finite.
Tensor read_labels(const StoredArray& labels, int64_t samples, const std::string& of);

/// Rows [first, first + count) of a tensor along its first axis.
Tensor slice_rows(const Tensor& tensor, int64_t first, int64_t count);

/// Hash over the contents of files and the options of a source.
std::string fingerprint_of(const std::vector<std::filesystem::path>& files,
                           const DataSource& source);

}  // namespace mcompress::data
