// SPDX-License-Identifier: Apache-2.0
#include "search/sensitivity.h"

#include <algorithm>
#include <map>

#include "mcompress/interrupt.h"

namespace mcompress::search {
namespace {

using forms::LayerForm;

constexpr uint64_t kEncodeBelow = uint64_t{8} << 20;

/// Layers that are changed together.
struct Group {
  std::string name;
  std::vector<size_t> members;  ///< of the layers of the base
};

std::vector<Group> groups_of(const std::vector<Layer>& layers, bool by_block) {
  std::vector<Group> groups;
  std::map<std::string, size_t> known;
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string name = by_block ? block_of(layers[i].name) : layers[i].name;
    const auto [at, is_new] =
        by_block ? known.try_emplace(name, groups.size()) : std::pair(known.end(), true);
    if (is_new) {
      groups.push_back({name, {i}});
    } else {
      groups[at->second].members.push_back(i);
    }
  }
  return groups;
}

/// How a layer runs after a pass, as far as that is known of the pass.
std::optional<LayerForm> form_of(const StepSpec& step) {
  if (step.pass == "quantize-static") return LayerForm::kStaticInt8;
  if (step.pass == "quantize-dynamic") return LayerForm::kDynamicInt8;
  return std::nullopt;
}

int64_t rows_of(const Layer& layer, const ValueTypes& types) {
  const bool convolution =
      layer.kind == LayerKind::kConv || layer.kind == LayerKind::kConvTranspose;
  const ValueType type = types.find(convolution ? layer.node.output() : layer.node.input(0));
  if (!type.known_rank || type.shape.empty()) return 0;
  int64_t rows = 1;
  for (const int64_t d : type.shape) rows *= std::max<int64_t>(d, 1);
  return rows / std::max<int64_t>(1, convolution ? layer.outputs : type.shape.back());
}

class Sensitivity {
 public:
  explicit Sensitivity(const SensitivityInputs& in)
      : in_(in), base_(in.base->clone()), layers_(find_layers(base_)) {
    types_ = in_.context->sample_types(base_);
    base_bytes_ = base_.file_size();
    encoded_base_bytes_ = encoded_bytes(base_.clone());
  }

  std::vector<SensitivityLayer> measure() {
    const std::vector<Group> groups = groups_of(layers_, in_.by_block);
    std::vector<SensitivityLayer> rows;
    for (const Group& group : groups) {
      const Layer& first = layers_[group.members.front()];
      SensitivityLayer row;
      row.name = group.name;
      row.op = first.node.op();
      row.output = first.output;
      for (const size_t member : group.members) row.members.push_back(name_in_plan(member));
      for (const Choice& choice : *in_.choices) {
        check_interrupt();
        row.changes.push_back(change(group, choice));
      }
      rows.push_back(std::move(row));
    }
    std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
      return worst_damage(a) > worst_damage(b);
    });
    return rows;
  }

 private:
  static double worst_damage(const SensitivityLayer& row) {
    double worst = -1;
    for (const SensitivityChange& change : row.changes)
      worst = std::max(worst, change.damage.value_or(-1));
    return worst;
  }

  /// Its output where several layers have the name.
  std::string name_in_plan(size_t index) const {
    const auto same = std::count_if(layers_.begin(), layers_.end(), [&](const Layer& other) {
      return other.name == layers_[index].name;
    });
    return same > 1 ? layers_[index].output : layers_[index].name;
  }

  SensitivityChange change(const Group& group, const Choice& choice) {
    SensitivityChange result;
    result.choice = choice.name;
    const LayerSelection selection(choice.step.only, choice.step.skip);
    StepSpec step = choice.step;
    step.only.clear();
    step.gate.reset();
    for (const size_t member : group.members) {
      const std::string reason = selection.reason_to_skip(layers_, member);
      if (!reason.empty()) result.reason = reason;
      if (reason.empty()) step.only.push_back(layers_[member].output);
    }
    if (step.only.empty()) return result;
    result.reason.clear();
    Model candidate = base_.clone();
    in_.context->forget_types();
    const PassOutcome outcome = in_.manager->run(candidate, step);
    if (!outcome.changed) {
      result.reason = reason_of(group);
      return result;
    }
    result.applied = true;
    measure_change(group, choice, std::move(candidate), result);
    return result;
  }

  std::string reason_of(const Group& group) const {
    for (const auto& skip : in_.context->skips()) {
      for (const size_t member : group.members) {
        if (layers_[member].output == skip.output && !skip.reason.empty()) return skip.reason;
      }
    }
    for (const std::string& warning : in_.context->warnings()) return warning;
    return "nothing changed";
  }

  void measure_change(const Group& group, const Choice& choice, Model candidate,
                      SensitivityChange& result) {
    const auto damage = in_.outputs->measure(candidate);
    result.damage = damage.damage;
    result.sqnr_db = damage.sqnr_db;
    if (in_.evaluator != nullptr) {
      const Comparison drop =
          in_.evaluator->compare(in_.evaluator->baseline(), in_.evaluator->evaluate(candidate));
      result.metric_drop = drop.drop;
      result.metric_drop_low = drop.low;
      result.metric_drop_high = drop.high;
    }
    if (const auto form = form_of(choice.step)) result.microseconds_saved = saved(group, *form);
    result.bytes_saved = bytes_saved(std::move(candidate), choice.step.pass);
  }

  double saved(const Group& group, LayerForm form) const {
    double nanoseconds = 0;
    for (const size_t member : group.members) {
      const Layer& layer = layers_[member];
      const int64_t rows = rows_of(layer, types_);
      nanoseconds +=
          in_.costs->layer(LayerForm::kFloat, layer, rows) - in_.costs->layer(form, layer, rows);
    }
    return nanoseconds / 1e3;
  }

  /// Integers are stored as they are: in large models only zeros and shared values are worth the
  /// time of encoding all weights again for each layer. Like is compared with like.
  int64_t bytes_saved(Model candidate, const std::string& pass) const {
    const bool as_they_are =
        !in_.encode || (base_bytes_ >= kEncodeBelow && pass.starts_with("quantize-"));
    return as_they_are
               ? static_cast<int64_t>(base_bytes_) - static_cast<int64_t>(candidate.file_size())
               : static_cast<int64_t>(encoded_base_bytes_) -
                     static_cast<int64_t>(encoded_bytes(std::move(candidate)));
  }

  uint64_t encoded_bytes(Model model) const {
    if (!in_.encode) return model.file_size();
    StepSpec encode;
    encode.pass = "encode-weights";
    in_.context->forget_types();
    in_.manager->run(model, encode);
    return model.file_size();
  }

  const SensitivityInputs& in_;
  Model base_;
  std::vector<Layer> layers_;
  ValueTypes types_;
  uint64_t base_bytes_ = 0, encoded_base_bytes_ = 0;
};

}  // namespace

std::string block_of(const std::string& layer_name) {
  const size_t cut = layer_name.find_last_of("/.");
  return cut == std::string::npos || cut == 0 ? layer_name : layer_name.substr(0, cut);
}

std::vector<SensitivityLayer> measure_sensitivity(const SensitivityInputs& inputs) {
  return Sensitivity(inputs).measure();
}

}  // namespace mcompress::search
