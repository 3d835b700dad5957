// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include "analysis/patterns.h"
#include "pipeline/layer_table.h"

namespace mcompress {
namespace {

constexpr size_t kTapBudget = size_t{64} << 20;

/// What to read of the second model in place of a value of the first: the value itself, or the
/// integers behind its Q node.
struct Tap {
  std::string reference;  ///< value of the first model that corresponds
  std::string name;       ///< value to read
  float scale = 0;        ///< of the integers; 0: a float value
  int64_t zero_point = 0;
  const DividedValue* divided = nullptr;  ///< the value stands for `factors` times itself
};

bool keeps_sign_or_clips(const NodeRef& node) { return node.is("Relu") || node.is("Clip"); }

const DividedValue* divided_value(const ModelState& state, const std::string& name) {
  const auto it = state.divided.find(name);
  return it == state.divided.end() ? nullptr : &it->second;
}

std::optional<Tap> tap_of(Model& model, const std::string& reference, const std::string& name) {
  ValueRef value = model.graph().find(name);
  if (!value) return std::nullopt;
  Tap tap{.reference = reference, .name = name, .divided = divided_value(model.state(), name)};
  NodeRef reader = analysis::sole_consumer(value);
  if (reader && keeps_sign_or_clips(reader)) {
    const NodeRef next = analysis::sole_consumer(reader.output());
    if (next && next.is("QuantizeLinear")) {
      tap.reference = reader.output_name(0);
      tap.divided = divided_value(model.state(), tap.reference);
      reader = next;
    }
  }
  if (!reader || !reader.is("QuantizeLinear")) return tap;
  const auto scale = reader.input(1).constant();
  if (!scale || scale->count() != 1) return tap;
  tap.scale = scale->to_float()[0];
  if (const ValueRef zero = reader.input(2)) {
    if (const auto value_of_zero = zero.constant()) tap.zero_point = value_of_zero->to_int64()[0];
  }
  tap.name = reader.output_name(0);
  return tap;
}

void multiply_channels(std::vector<float>& values, const Shape& shape,
                       const DividedValue& divided) {
  const auto axis = static_cast<size_t>(divided.axis);
  const size_t channels = divided.factors.size();
  if (axis >= shape.size() || shape[axis] != static_cast<int64_t>(channels)) return;
  size_t inner = 1;
  for (size_t i = axis + 1; i < shape.size(); ++i) inner *= static_cast<size_t>(shape[i]);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(values[i] * divided.factors[i / inner % channels]);
  }
}

std::vector<float> floats_of(const Tensor& tensor, const Tap& tap) {
  std::vector<float> values = tensor.to_float();
  if (tap.scale != 0) {
    for (float& v : values) v = (v - static_cast<float>(tap.zero_point)) * tap.scale;
  }
  if (tap.divided != nullptr) multiply_channels(values, tensor.shape(), *tap.divided);
  return values;
}

struct Sums {
  double signal = 0, noise = 0, other = 0, product = 0, worst = 0;
  bool exact = true;

  void add(const std::vector<float>& reference, const std::vector<float>& value) {
    if (reference.size() != value.size()) {
      exact = false;
      noise = std::numeric_limits<double>::infinity();
      return;
    }
    for (size_t i = 0; i < value.size(); ++i) {
      const double a = reference[i];
      const double b = value[i];
      if (!std::isfinite(a) || !std::isfinite(b)) {
        exact &= (std::isnan(a) && std::isnan(b)) || a == b;
        continue;
      }
      signal += a * a;
      other += b * b;
      product += a * b;
      noise += (a - b) * (a - b);
      worst = std::max(worst, std::abs(a - b));
      exact &= a == b;
    }
  }
};

/// What the report shows as "exact".
constexpr double kExactDb = std::numeric_limits<double>::infinity();

}  // namespace

std::map<std::string, ParityValue> value_parity(RuntimeService& runtime, Model& before,
                                                Model& after, const std::vector<std::string>& names,
                                                const Dataset& data, size_t samples) {
  std::map<std::string, std::string> renamed;  // name in the input model -> name now
  for (const auto& [now, was] : after.state().origin) renamed[was] = now;
  std::vector<std::string> wanted, references, reads;
  std::vector<Tap> taps;
  for (const auto& name : names) {
    const auto it = renamed.find(name);
    // A layer that took constants in computes what came out behind them: compared under that name.
    const std::string& now = it == renamed.end() ? name : it->second;
    const auto tap = tap_of(after, before.graph().find(now) ? now : name, now);
    if (!tap || !before.graph().find(tap->reference)) continue;
    wanted.push_back(name);
    references.push_back(tap->reference);
    reads.push_back(tap->name);
    taps.push_back(*tap);
  }
  std::vector<size_t> first(std::min(samples, data.size()));
  for (size_t i = 0; i < first.size(); ++i) first[i] = i;
  const auto unowned = std::shared_ptr<const Dataset>(&data, [](const Dataset*) {});
  const auto part = subset(unowned, first, "");
  // A group at a time through both models, so that memory stays bounded whatever their depth.
  constexpr size_t kGroup = 8;
  std::map<std::string, ParityValue> result;
  for (size_t begin = 0; begin < wanted.size(); begin += kGroup) {
    const size_t end = std::min(begin + kGroup, wanted.size());
    const auto slice = [&](const std::vector<std::string>& all) {
      std::vector<std::string> some(all.begin() + static_cast<ptrdiff_t>(begin),
                                    all.begin() + static_cast<ptrdiff_t>(end));
      std::sort(some.begin(), some.end());
      some.erase(std::unique(some.begin(), some.end()), some.end());
      return some;
    };
    std::map<std::pair<std::string, size_t>, Tensor> expected;
    const auto reference_names = slice(references);
    for_each_tap(
        runtime, before, *part, reference_names, kTapBudget, 1,
        [&](size_t sample, std::span<const std::string> group, std::span<const Tensor> values) {
          for (size_t i = 0; i < group.size(); ++i) expected[{group[i], sample}] = values[i];
        });
    std::map<std::string, Sums> sums;
    const auto read_names = slice(reads);
    for_each_tap(
        runtime, after, *part, read_names, kTapBudget, 1,
        [&](size_t sample, std::span<const std::string> group, std::span<const Tensor> values) {
          for (size_t i = 0; i < group.size(); ++i) {
            for (size_t j = begin; j < end; ++j) {
              if (reads[j] != group[i]) continue;
              const auto reference = expected.find({references[j], sample});
              if (reference == expected.end()) continue;
              sums[wanted[j]].add(reference->second.to_float(), floats_of(values[i], taps[j]));
            }
          }
        });
    for (const auto& [name, sum] : sums) {
      ParityValue parity;
      parity.name = name;
      parity.exact = sum.exact;
      parity.max_abs_error = sum.worst;
      parity.sqnr_db =
          sum.noise == 0 ? kExactDb : 10 * std::log10(std::max(sum.signal, 1e-300) / sum.noise);
      parity.cosine = sum.signal > 0 && sum.other > 0
                          ? sum.product / std::sqrt(sum.signal) / std::sqrt(sum.other)
                          : (sum.exact ? 1.0 : 0.0);
      result[name] = parity;
    }
  }
  return result;
}

}  // namespace mcompress
