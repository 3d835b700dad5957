// SPDX-License-Identifier: Apache-2.0
#include "pipeline/layer_table.h"

#include <algorithm>
#include <set>

#include "analysis/cost.h"
#include "analysis/weights.h"
#include "forms/stored_form.h"
#include "mcompress/layer.h"
#include "pipeline/value_names.h"

namespace mcompress {
namespace {

constexpr size_t kParitySamples = 8;
constexpr int kProfileRuns = 10;

/// Stored bits of a weight, whichever form it has.
double stored_bits(const ValueRef& weight) {
  if (const auto form = forms::recognise(weight)) {
    return form->bits_per_weight * static_cast<double>(element_count(form->shape));
  }
  return static_cast<double>(
             packed_bytes(weight.constant_type(), element_count(weight.constant_shape()))) *
         8;
}

/// Layers of `after` by the layer of `before` that they stand for: the one whose output they
/// compute, or the next such one downstream (the first factor of a factorized layer).
std::map<std::string, std::vector<Layer>> successors(Model& after, const ValueNames& names,
                                                     const std::vector<Layer>& before) {
  std::map<std::string, bool> known;
  for (const Layer& layer : before) known[layer.output] = true;
  std::map<std::string, std::vector<Layer>> result;
  for (const Layer& layer : find_layers(after)) {
    ValueRef value = layer.node.output();
    for (int hops = 0; value && hops < 8; ++hops) {
      const std::string name = names.layer_before(value.name());
      if (known.contains(name)) {
        result[name].push_back(layer);
        break;
      }
      const auto uses = value.uses();
      if (uses.empty()) break;
      value = uses[0].node.output();
    }
  }
  return result;
}

/// Bits of the constants behind a value that is no layer any more: rows of a quantized table, products
/// of integers, MatMulNBits, an integer LSTM.
double rewritten_bits(Model& after, const std::string& output) {
  static const std::set<std::string> kSteps{"Add", "Cast",   "Concat",        "Div",        "Gather",
                                            "Mod", "Mul",    "Sub",           "MatMulNBits",
                                            "MatMulInteger", "DynamicQuantizeLSTM"};
  std::vector<ValueRef> open{after.graph().find(output)};
  std::set<std::string> seen;
  double bits = 0;
  while (!open.empty()) {
    const ValueRef value = open.back();
    open.pop_back();
    const NodeRef node = value ? value.producer() : NodeRef();
    if (!node || !kSteps.contains(node.op())) continue;
    for (int i = 0; i < node.input_count(); ++i) {
      const ValueRef input = node.input(i);
      if (!input || !seen.insert(input.name()).second) continue;
      if (input.is_constant() || forms::recognise(input)) {
        bits += stored_bits(input);
      } else if (node.op() != "Gather" && node.domain().empty()) {
        open.push_back(input);
      }
    }
  }
  return bits;
}

void describe_weight(const Layer& layer, const std::vector<Layer>& now, const ValueNames& names,
                     const LayerTableInputs& in, LayerReport& row) {
  row.bits_before =
      stored_bits(layer.weight) / static_cast<double>(std::max<int64_t>(1, layer.weight_count()));
  row.bytes_before = static_cast<uint64_t>(stored_bits(layer.weight) / 8);
  double bits = 0;
  analysis::WeightFigures total;
  for (const Layer& part : now) {
    bits += stored_bits(part.weight);
    const auto tensor = in.read_weights ? forms::constant_or_form(part.weight) : std::nullopt;
    if (!tensor) continue;
    const auto figures = analysis::weight_figures(*tensor);
    total.count += figures.count;
    total.nonzeros += figures.nonzeros;
    total.distinct = std::max(total.distinct, figures.distinct);
  }
  if (now.empty()) bits = rewritten_bits(*in.after, names.now(layer.output));
  row.bytes_after = static_cast<uint64_t>(bits / 8);
  row.bits_after = bits / static_cast<double>(std::max<int64_t>(1, layer.weight_count()));
  row.sparsity = total.sparsity();
  row.distinct = total.distinct;
}

void describe_history(const LayerTableInputs& in, const ValueNames& names, LayerReport& row) {
  // Steps after a renaming knew the layer by its new name.
  const auto is_row = [&](const std::string& output) {
    return output == row.output || names.layer_before(output) == row.output;
  };
  for (const auto& decision : *in.decisions) {
    if (!is_row(decision.output)) continue;
    const std::string& method = decision.decision.method;
    if (row.method.find(method) == std::string::npos) {
      row.method += (row.method.empty() ? "" : " + ") + method;
    }
    if (decision.decision.rank > 0) row.rank = decision.decision.rank;
  }
  for (const auto& step : *in.steps) {
    for (const auto& skip : step.skips) {
      if (is_row(skip.output)) row.reason = step.name + ": " + skip.reason;
    }
  }
}

}  // namespace

std::map<std::string, double> layer_times(RuntimeService& runtime, const Model& model,
                                          const Feeds& feeds, int runs) {
  // A node that the runtime made of several tells by the value it computes, or by a name with the
  // name of one of them in it: give each node a name that cannot be part of another.
  Model named = model.clone();
  std::map<std::string, std::string> output_of;
  int count = 0;
  for (Graph* const graph : named.graphs()) {
    for (const NodeRef node : graph->nodes()) {
      const std::string name = "mc" + std::to_string(++count) + '.';
      graph->set_name(node, name);
      output_of[name] = node.output_name(0);
    }
  }
  std::map<std::string, double> by_value, by_name;
  for (const auto& node : runtime.profile(named, feeds, runs)) {
    if (!node.value.empty()) by_value[node.value] += node.microseconds;
    const size_t begin = node.name.find("mc");
    const size_t end = node.name.find('.', begin == std::string::npos ? 0 : begin);
    if (begin == std::string::npos || end == std::string::npos) continue;
    const auto it = output_of.find(node.name.substr(begin, end - begin + 1));
    if (it != output_of.end()) by_name[it->second] += node.microseconds;
  }
  constexpr int kFusedHops = 4;
  std::map<std::string, double> times;
  for (const Layer& layer : find_layers(named)) {
    const auto own = by_name.find(layer.output);
    if (own != by_name.end()) times[layer.output] = own->second;
    ValueRef value = layer.node.output();
    for (int hops = 0; value && hops <= kFusedHops && !times.contains(layer.output); ++hops) {
      const auto time = by_value.find(value.name());
      if (time != by_value.end()) times[layer.output] = time->second;
      const auto uses = value.uses();
      if (uses.empty()) break;
      value = uses[0].node.output();
    }
  }
  return times;
}

std::vector<LayerReport> layer_table(const LayerTableInputs& in) {
  const std::vector<Layer> layers = find_layers(*in.before);
  const ValueNames names(*in.before, *in.after);
  const auto now = successors(*in.after, names, layers);
  std::map<std::string, double> times_before, times_after;
  std::map<std::string, ParityValue> parity;
  if (in.runtime != nullptr && in.sample) {
    times_before = layer_times(*in.runtime, *in.before, *in.sample, kProfileRuns);
    times_after = layer_times(*in.runtime, *in.after, *in.sample, kProfileRuns);
  }
  if (in.runtime != nullptr && in.data != nullptr) {
    std::set<std::string> outputs;
    for (const Layer& layer : layers) {
      if (&layer.node.graph() == &in.before->graph()) outputs.insert(layer.output);
    }
    parity = value_parity(*in.runtime, *in.before, *in.after, {outputs.begin(), outputs.end()},
                          *in.data, kParitySamples);
  }
  std::vector<LayerReport> rows;
  for (const Layer& layer : layers) {
    LayerReport row;
    row.name = layer.name;
    row.op = layer.node.op();
    row.output = layer.output;
    row.weight_shape = layer.weight_shape;
    const auto it = now.find(layer.output);
    std::vector<Layer> parts;
    if (it != now.end()) {
      std::copy_if(it->second.begin(), it->second.end(), std::back_inserter(parts),
                   [&](const Layer& part) {  // the two weights of a recurrent node share its output
                     return part.kind != LayerKind::kRecurrent ||
                            part.weight_input == layer.weight_input;
                   });
    }
    describe_weight(layer, parts, names, in, row);
    row.macs = in.types != nullptr ? analysis::node_macs(layer.node, *in.types) : 0;
    describe_history(in, names, row);
    if (const auto t = times_before.find(layer.output); t != times_before.end()) {
      row.microseconds_before = t->second;
    }
    double after = 0;
    bool timed = false;
    for (const Layer& part : parts) {
      const auto t = times_after.find(part.output);
      if (t == times_after.end()) continue;
      after += t->second;
      timed = true;
    }
    if (timed) row.microseconds_after = after;
    if (const auto p = parity.find(layer.output); p != parity.end())
      row.sqnr_db = p->second.sqnr_db;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace mcompress
