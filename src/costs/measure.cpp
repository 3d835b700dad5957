// SPDX-License-Identifier: Apache-2.0
#include "costs/measure.h"

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "analysis/extract.h"
#include "costs/unit_model.h"
#include "mcompress/interrupt.h"
#include "mcompress/runtime_service.h"
#include "quantization/costs.h"
#include "quantization/plan.h"

namespace mcompress::costs {
namespace {

using forms::LayerForm;
using quantization::Unit;
using quantization::UnitKind;

constexpr int kPairs = 200;
constexpr double kSeconds = 0.25;  // for all forms of a unit together
constexpr int kProfiles = 9;
constexpr int kWholePairs = 40;
constexpr double kWholeSeconds = 3;
// The profile cuts microseconds off: half of one on average is missing.
constexpr double kCutOff = 0.5;
constexpr double kLeastNanoseconds = 1;

/// Values that are neither too small nor all alike.
Feeds feeds_for(const Session& session) {
  Feeds feeds;
  for (const ValueInfo& input : session.inputs()) {
    Tensor tensor(DataType::kFloat, input.shape);
    const auto values = tensor.mutate_as<float>();
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(i * 2654435761U % 1000) / 250.0F - 2.0F;
    }
    feeds.push_back({input.name, std::move(tensor)});
  }
  return feeds;
}

bool is_layout(const std::string& op) {
  return op == "Transpose" || op.starts_with("Reorder") || op == "Identity";
}
bool is_fused_integer(const std::string& op) {
  return op.starts_with("QLinear") || op == "QGemm" || op == "MatMulIntegerToFloat" ||
         op.find("MaxPool") != std::string::npos;
}

/// The least time of each node over several profiles of one Run: a mean would hold whatever else
/// the machine did.
std::vector<NodeProfile> least_profile(RuntimeService& runtime, const Model& model,
                                       const Feeds& feeds) {
  std::vector<NodeProfile> least = runtime.profile(model, feeds, 1);
  for (int i = 1; i < kProfiles; ++i) {
    const std::vector<NodeProfile> once = runtime.profile(model, feeds, 1);
    for (size_t k = 0; k < std::min(least.size(), once.size()); ++k) {
      if (once[k].name == least[k].name)
        least[k].microseconds = std::min(least[k].microseconds, once[k].microseconds);
    }
  }
  return least;
}

/// Parts of one Run, as shares of it.
struct Shares {
  double unit = 0, quantize = 0, dequantize = 0;
};

Shares shares_of(const std::vector<NodeProfile>& nodes, const Unit& unit, LayerForm form) {
  const bool is_static = form == LayerForm::kStaticInt8;
  const bool fused = std::any_of(nodes.begin(), nodes.end(),
                                 [](const NodeProfile& node) { return is_fused_integer(node.op); });
  Shares shares;
  double total = 0;
  bool behind = false;  // the kernel: layout changes after it belong to the way back to float
  for (const NodeProfile& node : nodes) {
    const double time = node.microseconds + kCutOff;
    total += time;
    const bool quantizes = node.op == "QuantizeLinear", dequantizes = node.op == "DequantizeLinear";
    if (is_static && fused && (quantizes || dequantizes || is_layout(node.op))) {
      (quantizes || (!dequantizes && !behind) ? shares.quantize : shares.dequantize) += time;
      continue;
    }
    if (!is_static && is_layout(node.op)) continue;
    // A pool is measured behind the convolution that it follows.
    if (unit.kind == UnitKind::kMaxPool && node.op.find("MaxPool") == std::string::npos) continue;
    behind = true;
    shares.unit += time;
  }
  if (total <= 0) return {1, 0, 0};
  return {shares.unit / total, shares.quantize / total, shares.dequantize / total};
}

int64_t elements_of(const Feeds& feeds) {
  return feeds.empty() ? 0 : static_cast<int64_t>(feeds.front().tensor.count());
}

bool are_alike(const Feeds& feeds) {
  return std::all_of(feeds.begin(), feeds.end(), [&](const NamedTensor& feed) {
    return feed.tensor.count() == feeds.front().tensor.count();
  });
}

class Measuring {
 public:
  Measuring(RuntimeService& runtime, CostTable& table) : runtime_(runtime), table_(table) {}

  void measure(const Unit& unit, std::vector<UnitModel>& models) {
    std::vector<std::unique_ptr<Session>> sessions;
    std::vector<Session*> pointers;
    for (const UnitModel& one : models) {
      sessions.push_back(runtime_.open(one.model));
      pointers.push_back(sessions.back().get());
    }
    const Feeds feeds = feeds_for(*sessions.front());
    const auto latencies = measure_latency(pointers, feeds, kPairs, kSeconds);
    for (size_t i = 0; i < models.size(); ++i) {
      const double run = std::max(0.0, latencies[i].min_ms * 1e6 - empty_run());
      record(unit, models[i], feeds, run);
    }
  }

 private:
  void record(const Unit& unit, const UnitModel& one, const Feeds& feeds, double run) {
    const Shares shares = shares_of(least_profile(runtime_, one.model, feeds), unit, one.form);
    const double mine = std::max(kLeastNanoseconds, run * shares.unit);
    if (one.form == LayerForm::kFloat || one.form == LayerForm::kStaticInt8) {
      table_.set(quantization::unit_key(unit, one.form == LayerForm::kStaticInt8), mine);
    } else {
      table_.set(quantization::layer_key(unit.layer, quantization::rows_of(unit), one.form), mine);
    }
    if (one.form != LayerForm::kStaticInt8) return;
    const bool spatial = !feeds.empty() && feeds.front().tensor.shape().size() >= 3;
    // An Add quantizes two values. What is quantized before a pool is what its convolution reads.
    const auto inputs = static_cast<double>(std::max<size_t>(1, feeds.size()));
    if (are_alike(feeds))
      add(quantization::quantize_key(elements_of(feeds), spatial), run * shares.quantize / inputs);
    if (quantization::leaves_int8(unit)) {
      add(quantization::dequantize_key(unit.output_elements, spatial), run * shares.dequantize);
    }
  }

  void add(const std::string& key, double nanoseconds) {
    if (!table_.find(key)) table_.set(key, std::max(kLeastNanoseconds, nanoseconds));
  }

  /// A Run that computes nothing: what the call itself costs.
  double empty_run() {
    if (empty_) return *empty_;
    const auto session = runtime_.open(analysis::identity_model());
    const Feeds feeds = feeds_for(*session);
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i < kPairs; ++i) least = std::min(least, session->time(feeds));
    return *(empty_ = least * 1e9);
  }

  RuntimeService& runtime_;
  CostTable& table_;
  std::optional<double> empty_;
};

/// A MaxPool has an integer kernel only behind a convolution.
const Unit* unit_before(const Unit& unit, const std::vector<Unit>& units) {
  if (unit.kind != UnitKind::kMaxPool) return nullptr;
  for (const Unit& one : units) {
    if (one.kind == UnitKind::kConv && one.output == unit.inputs[0]) return &one;
  }
  return nullptr;
}

std::vector<Unit> units_of(Model& model, const ValueTypes& types) {
  std::vector<quantization::RefusedLayer> refused;
  return quantization::find_units(model, types, find_layers(model), refused);
}

}  // namespace

Measured measure_costs(Model& model, const ValueTypes& types, RuntimeService& runtime,
                       const Target& target, Progress& progress, CostTable& table) {
  const std::vector<Unit> units = units_of(model, types);
  std::vector<const Unit*> missing;
  std::map<std::string, int> seen;
  for (const Unit& unit : units) {
    const std::string key = quantization::unit_key(unit, false);
    if (key.empty() || table.find(key) || seen[key]++ > 0) continue;
    missing.push_back(&unit);
  }
  Measured measured;
  Measuring measuring(runtime, table);
  progress.begin("measure costs", missing.size());
  for (const Unit* unit : missing) {
    check_interrupt();
    auto models = unit_models(model, types, *unit, unit_before(*unit, units), runtime, target);
    if (models.empty()) {
      ++measured.unmeasured;
    } else {
      measuring.measure(*unit, models);
      ++measured.units;
    }
    progress.advance();
  }
  progress.end();
  return measured;
}

std::optional<InSitu> compare_in_situ(Model& model, const ValueTypes& types,
                                      RuntimeService& runtime, const Target& target,
                                      const CostTable& table, const Feeds& feeds) {
  const std::vector<Unit> units = units_of(model, types);
  if (units.empty() || model.opset() < 13) return std::nullopt;
  const quantization::CostModel costs(target, &table);
  const auto plan = quantization::make_plan(model, types, units, costs, {}, true);
  Model in_int8 = model.clone();
  emit_in_int8(in_int8, quantization::rebind(in_int8, units), plan.in_int8, target);
  if (runtime.load_error(in_int8)) return std::nullopt;
  const auto first = runtime.open(model);
  const auto second = runtime.open(in_int8);
  Session* const sessions[] = {first.get(), second.get()};
  const auto latencies = measure_latency(sessions, feeds, kWholePairs, kWholeSeconds);
  return InSitu{.float_predicted_ms = plan.float_nanoseconds / 1e6,
                .float_measured_ms = latencies[0].min_ms,
                .saving_predicted_ms = (plan.float_nanoseconds - plan.planned_nanoseconds) / 1e6,
                .saving_measured_ms = latencies[0].min_ms - latencies[1].min_ms};
}

}  // namespace mcompress::costs
