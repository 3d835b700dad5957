// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/tensor.h"

namespace mcompress::evaluation {

/// What computes an output, seen through Identity, Cast and changes of shape.
enum class Ending { kOther, kSoftmax, kSigmoid, kArgMax };

/// What an output of a model is like, from one run: declared shapes are not trusted.
struct OutputProfile {
  std::string name;
  size_t index = 0;  ///< among the model's outputs
  DataType type = DataType::kUndefined;
  Shape row;  ///< of one sample, without the batch axis
  Ending ending = Ending::kOther;
  bool classes_first = false;  ///< Softmax or ArgMax over axis 1 of more than two: [N, C, H, W]
  bool probabilities = true;   ///< all values of the run were within [0, 1]

  size_t row_size() const;
  /// `row` without axes of length 1.
  Shape squeezed() const;
};

/// Fills everything but `row`, `type` and `probabilities`, which a run tells.
OutputProfile describe_output(const Model& model, const std::string& name, size_t index);

/// What labels are like.
struct LabelProfile {
  bool present = false;
  bool integer = false;
  Shape row;
  int64_t least = 0, largest = 0;  ///< over all samples; integers only
  size_t row_size() const;
};

/// How an output is turned into what the user sees.
enum class DecisionKind {
  kNone,       ///< the output is a number, not a choice
  kClass,      ///< the largest of [C]
  kPositions,  ///< the largest of C at each place: [T, C] or [C, H, W]
  kThreshold,  ///< yes or no for each element
  kValue,      ///< the integer itself (ArgMax in the model)
  kSequence    ///< kPositions, then CTC
};

/// Decides for one row. A NaN among the classes gives -1.
class Decider {
 public:
  Decider() = default;
  Decider(DecisionKind kind, const OutputProfile& output);

  DecisionKind kind() const { return kind_; }
  int64_t classes() const { return classes_; }
  float threshold() const { return threshold_; }
  std::vector<int32_t> decide(std::span<const float> row) const;

 private:
  std::vector<int32_t> largest(std::span<const float> row) const;

  DecisionKind kind_ = DecisionKind::kNone;
  int64_t classes_ = 1, places_ = 1;
  bool classes_first_ = false;
  float threshold_ = 0.5F;
};

/// The decision that an output stands for (rules.md 3); kNone where it is no decision.
DecisionKind natural_decision(const OutputProfile& output);

/// Index of the largest value, the first of equals; -1 when there is a NaN.
int32_t arg_max(std::span<const float> values);

}  // namespace mcompress::evaluation
