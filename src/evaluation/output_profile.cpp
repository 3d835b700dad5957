// SPDX-License-Identifier: Apache-2.0
#include "evaluation/output_profile.h"

#include <algorithm>
#include <cmath>

namespace mcompress::evaluation {
namespace {

constexpr int kMostSteps = 16;

bool is_passing(const NodeRef& node) {
  for (const char* op :
       {"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Dropout"}) {
    if (node.is(op)) return true;
  }
  return false;
}

size_t product(const Shape& shape) {
  size_t result = 1;
  for (const int64_t dimension : shape)
    result *= static_cast<size_t>(std::max<int64_t>(dimension, 0));
  return result;
}

}  // namespace

size_t OutputProfile::row_size() const { return product(row); }
size_t LabelProfile::row_size() const { return product(row); }

Shape OutputProfile::squeezed() const {
  Shape shape;
  std::ranges::copy_if(row, std::back_inserter(shape), [](int64_t d) { return d != 1; });
  return shape;
}

OutputProfile describe_output(const Model& model, const std::string& name, size_t index) {
  OutputProfile profile;
  profile.name = name;
  profile.index = index;
  NodeRef node = model.graph().find(name).producer();
  for (int step = 0; node && step < kMostSteps && is_passing(node); ++step) {
    node = node.input(0) ? node.input(0).producer() : NodeRef();
  }
  if (!node) return profile;
  if (node.is("Softmax") || node.is("LogSoftmax")) profile.ending = Ending::kSoftmax;
  if (node.is("Sigmoid") || node.is("HardSigmoid")) profile.ending = Ending::kSigmoid;
  if (node.is("ArgMax")) profile.ending = Ending::kArgMax;
  profile.classes_first =
      profile.ending == Ending::kSoftmax && node.attribute("axis", int64_t{-1}) == 1;
  return profile;
}

DecisionKind natural_decision(const OutputProfile& output) {
  const Shape row = output.squeezed();
  if (output.ending == Ending::kArgMax) return DecisionKind::kValue;
  if (output.ending == Ending::kSigmoid) return DecisionKind::kThreshold;
  if (!is_floating(output.type)) return DecisionKind::kValue;
  if (row.size() == 1 && row[0] >= 2) return DecisionKind::kClass;
  if (output.ending == Ending::kSoftmax && row.size() >= 2) return DecisionKind::kPositions;
  return DecisionKind::kNone;
}

Decider::Decider(DecisionKind kind, const OutputProfile& output) : kind_(kind) {
  const Shape row = output.squeezed();
  const auto size = static_cast<int64_t>(output.row_size());
  // Logits decide at 0, probabilities at one half.
  threshold_ = output.ending == Ending::kSigmoid || output.probabilities ? 0.5F : 0.0F;
  classes_ = size;
  const bool per_place = kind == DecisionKind::kPositions || kind == DecisionKind::kSequence;
  if (!per_place || row.size() < 2) return;
  // Images put classes first, sequences last, whatever Softmax says of a matrix.
  classes_first_ = row.size() >= 3 && output.classes_first;
  classes_ = classes_first_ ? row.front() : row.back();
  places_ = classes_ == 0 ? 0 : size / classes_;
}

std::vector<int32_t> Decider::largest(std::span<const float> row) const {
  std::vector<int32_t> best;
  const auto places = static_cast<size_t>(places_), classes = static_cast<size_t>(classes_);
  if (!classes_first_) {
    for (size_t place = 0; place < places; ++place)
      best.push_back(arg_max(row.subspan(place * classes, classes)));
    return best;
  }
  std::vector<float> values(classes);
  for (size_t place = 0; place < places; ++place) {
    for (size_t c = 0; c < classes; ++c) values[c] = row[c * places + place];
    best.push_back(arg_max(values));
  }
  return best;
}

std::vector<int32_t> Decider::decide(std::span<const float> row) const {
  std::vector<int32_t> decision;
  switch (kind_) {
    case DecisionKind::kNone:
      break;
    case DecisionKind::kClass:
      decision.push_back(arg_max(row));
      break;
    case DecisionKind::kPositions:
    case DecisionKind::kSequence:
      return largest(row);
    case DecisionKind::kThreshold:
      for (const float value : row)
        decision.push_back(std::isnan(value) ? -1 : value >= threshold_ ? 1 : 0);
      break;
    case DecisionKind::kValue:
      for (const float value : row)
        decision.push_back(std::isfinite(value) ? static_cast<int32_t>(std::lround(value)) : -1);
      break;
  }
  return decision;
}

int32_t arg_max(std::span<const float> values) {
  int32_t best = -1;
  float largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) return -1;
    if (best < 0 || values[i] > largest) {
      best = static_cast<int32_t>(i);
      largest = values[i];
    }
  }
  return best;
}

}  // namespace mcompress::evaluation
