// SPDX-License-Identifier: Apache-2.0
#include "calibration/collect.h"

#include <algorithm>
#include <vector>

#include "analysis/weight_editor.h"
#include "mcompress/layer.h"
#include "support/parallel_for.h"

namespace mcompress::calibration {
namespace {

// Elements of a value that its histogram counts: enough for the 1e-5 th part of them to be a few
// dozen.
constexpr size_t kCounted = size_t{4} << 20;
constexpr size_t kLeastCounted = size_t{1} << 14;

size_t counted_per_sample(const Dataset& data) {
  return std::max(kLeastCounted, kCounted / std::max<size_t>(1, data.size()));
}

/// "weight 'fc1.weight'", or "" where all weights and biases are finite.
std::string odd_constant(const Model& model) {
  Model copy = model.clone();
  for (const Layer& layer : find_layers(copy)) {
    for (const ValueRef& value : {layer.weight, layer.bias}) {
      if (!value || !value.is_constant() || !is_floating(value.constant_type())) continue;
      const std::vector<float> numbers = value.constant()->to_float();
      if (numbers.empty() || analysis::value_obstacle(numbers).empty()) continue;
      return (value == layer.weight ? "weight '" : "bias '") + value.name() + "'";
    }
  }
  return "";
}

}  // namespace

Error not_finite(const Model& model, const std::string& name, int64_t count, size_t sample,
                 const Dataset& data) {
  if (const std::string constant = odd_constant(model); !constant.empty()) {
    return Error(ErrorCode::kModel, constant + " holds NaN or infinite values, and so does value '" + name +
                                        "' on sample " + std::to_string(sample) + " of " + data.description())
        .hint("the model is broken whatever the data is: train or export it anew");
  }
  return Error(ErrorCode::kData, "value '" + name + "' has " + std::to_string(count) +
                                     " NaN or infinite elements on sample " +
                                     std::to_string(sample) + " of " + data.description())
      .hint("leave the sample out, or check the model with mcompress evaluate");
}

void GroupProgress::seen(size_t sample) {
  if (progress_ == nullptr) return;
  if (sample == 0) {
    close();
    progress_->begin("calibration", samples_);
    open_ = true;
  }
  progress_->advance();
}

void GroupProgress::close() {
  if (open_) progress_->end();
  open_ = false;
}

void collect(RuntimeService& runtime, const Model& model, const Dataset& data,
             std::span<const ObservedValue> values, const CollectOptions& options,
             std::map<std::string, ValueStatistics>& into) {
  std::vector<std::string> names;
  for (const auto& value : values) {
    into[value.name].channel_axis = value.channel_axis;
    names.push_back(value.name);
  }
  GroupProgress progress(options.progress, data.size());
  const size_t counted = counted_per_sample(data);
  for_each_tap(
      runtime, model, data, names, options.tap_bytes, options.threads,
      [&](size_t sample, std::span<const std::string> group, std::span<const Tensor> tensors) {
        progress.seen(sample);
        // Each value has statistics of its own: the order among values does not matter.
        parallel_for(0, static_cast<int64_t>(group.size()), 1, [&](int64_t begin, int64_t end) {
          for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
            const int64_t odd = into.at(group[i]).add(tensors[i], counted);
            if (odd > 0) throw not_finite(model, group[i], odd, sample, data);
          }
        });
      });
}

}  // namespace mcompress::calibration
