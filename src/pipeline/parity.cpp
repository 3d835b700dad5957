// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "analysis/patterns.h"
#include "pipeline/layer_table.h"
#include "pipeline/value_names.h"

namespace mcompress {
namespace {

constexpr size_t kTapBudget = size_t{8} << 20;  // of values of one sample

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

std::optional<Tap> tap_of(Model& model, const ValueNames& names, const std::string& name) {
  ValueRef value = model.graph().find(name);
  if (!value) return std::nullopt;
  Tap tap{.reference = names.value_before(name),
          .name = name,
          .divided = divided_value(model.state(), name)};
  NodeRef reader = analysis::sole_consumer(value);
  if (reader && keeps_sign_or_clips(reader)) {
    const NodeRef next = analysis::sole_consumer(reader.output());
    if (next && next.is("QuantizeLinear")) {
      tap.reference = names.value_before(reader.output_name(0));
      tap.divided = divided_value(model.state(), reader.output_name(0));
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

/// What the report shows as "exact".
constexpr double kExactDb = std::numeric_limits<double>::infinity();

struct Sums {
  double signal = 0, noise = 0, other = 0, product = 0, worst = 0;
  bool exact = true;
  bool undefined = false;  ///< the reference has NaN or infinity: nothing to be near to

  void lose() {
    exact = false;
    noise = worst = std::numeric_limits<double>::infinity();
  }

  void add(const std::vector<float>& reference, const std::vector<float>& value) {
    if (reference.size() != value.size()) {
      lose();
      return;
    }
    for (size_t i = 0; i < value.size(); ++i) {
      const double a = reference[i];
      const double b = value[i];
      if (!std::isfinite(a)) {
        undefined = true;
        exact &= (std::isnan(a) && std::isnan(b)) || a == b;
        continue;
      }
      if (!std::isfinite(b)) {
        lose();
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

  ParityValue parity(const std::string& name) const {
    ParityValue parity;
    parity.name = name;
    parity.exact = exact;
    parity.max_abs_error = worst;
    parity.sqnr_db = noise == 0 ? kExactDb : 10 * std::log10(std::max(signal, 1e-300) / noise);
    parity.cosine = signal > 0 && other > 0 ? product / std::sqrt(signal) / std::sqrt(other)
                                            : (exact ? 1.0 : 0.0);
    if (std::isinf(noise)) parity.cosine = 0;
    if (undefined && noise == 0) {
      parity.sqnr_db = parity.cosine = std::numeric_limits<double>::quiet_NaN();
    }
    return parity;
  }
};

/// A session that returns what the taps of these references read.
std::unique_ptr<Session> open_on(RuntimeService& runtime, const Model& model,
                                 const std::vector<Tap>& taps,
                                 std::span<const std::string> references) {
  SessionOptions options;
  options.only_extra = true;
  for (const Tap& tap : taps) {
    auto& names = options.extra_outputs;
    const bool known = std::find(names.begin(), names.end(), tap.name) != names.end();
    const bool asked =
        std::find(references.begin(), references.end(), tap.reference) != references.end();
    if (asked && !known) names.push_back(tap.name);
  }
  return runtime.open(model, options);
}

}  // namespace

std::map<std::string, ParityValue> value_parity(RuntimeService& runtime, Model& before,
                                                Model& after, const std::vector<std::string>& names,
                                                const Dataset& data, size_t samples) {
  const ValueNames value_names(before, after);
  std::vector<std::string> wanted, references;
  std::vector<Tap> taps;
  for (const auto& name : names) {
    const auto tap = tap_of(after, value_names, value_names.now(name));
    if (!tap || !before.graph().find(tap->reference)) continue;
    wanted.push_back(name);
    references.push_back(tap->reference);
    taps.push_back(*tap);
  }
  std::sort(references.begin(), references.end());
  references.erase(std::unique(references.begin(), references.end()), references.end());
  std::vector<size_t> first(std::min(samples, data.size()));
  for (size_t i = 0; i < first.size(); ++i) first[i] = i;
  const auto unowned = std::shared_ptr<const Dataset>(&data, [](const Dataset*) {});
  const auto part = subset(unowned, first, "");
  std::map<std::string, ParityValue> result;
  if (references.empty()) return result;
  // Some values of one sample at a time, through both models, so that memory stays bounded whatever
  // their depth.
  std::unique_ptr<Session> other;
  std::vector<Sums> sums(taps.size());
  for_each_tap(
      runtime, before, *part, references, kTapBudget, 1,
      [&](size_t sample, std::span<const std::string> group, std::span<const Tensor> values) {
        if (sample == 0) {
          other.reset();
          other = open_on(runtime, after, taps, group);
        }
        const auto found = other->run(part->feeds(sample, 1));
        for (size_t i = 0; i < taps.size(); ++i) {
          const auto at = std::find(group.begin(), group.end(), taps[i].reference);
          if (at == group.end()) continue;
          const auto& read = other->output_names();
          const auto from = std::find(read.begin(), read.end(), taps[i].name) - read.begin();
          sums[i].add(values[static_cast<size_t>(at - group.begin())].to_float(),
                      floats_of(found[static_cast<size_t>(from)], taps[i]));
        }
      });
  for (size_t i = 0; i < sums.size(); ++i) result[wanted[i]] = sums[i].parity(wanted[i]);
  return result;
}

}  // namespace mcompress
