// SPDX-License-Identifier: Apache-2.0
#include "mcompress/pass_context.h"

#include "mcompress/pass.h"
#include "support/hash.h"
#include "support/interrupt.h"

namespace mcompress {
namespace {

/// Shapes that depend on data, as one Run on `sample` makes them. Shape nodes tell without keeping
/// any value.
void learn_shapes(RuntimeService& runtime, Model& model, const Feeds& sample, ValueTypes& types) {
  Graph& graph = model.graph();
  std::vector<std::string> unknown, shapes;
  for (const NodeRef node : graph.nodes()) {
    for (int i = 0; i < node.output_count(); ++i) {
      const ValueRef value = node.output(i);
      if (!value || value.is_constant() || !is_floating(types.find(value).type)) continue;
      if (!types.find(value).is_static()) unknown.push_back(value.name());
    }
  }
  if (unknown.empty()) return;
  Model probe = model.clone();
  for (const auto& name : unknown) {
    const ValueRef value = probe.graph().find(name);
    shapes.push_back(probe.graph().insert({.op = "Shape", .inputs = {value}}).output_name());
  }
  SessionOptions options;
  options.optimize = false;
  options.prepack = false;
  options.extra_outputs = shapes;
  options.only_extra = true;
  const auto dims = runtime.open(probe, options)->run(sample);
  for (size_t i = 0; i < unknown.size(); ++i) {
    const DataType type = types.find(graph.find(unknown[i])).type;
    types.set(&graph, unknown[i], {type, true, dims[i].to_int64()});
  }
}

/// Zeros in the place of data are no sample that every model runs on.
ValueTypes types_on(RuntimeService& runtime, const Model& model,
                    const std::optional<Feeds>& sample) {
  if (sample) {
    try {
      return runtime.infer_types(model, &*sample);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kInterrupted) throw;
    }
  }
  return runtime.infer_types(model, nullptr);
}

class NoProgress final : public Progress {
 public:
  void begin(std::string_view, size_t) override {}
  void advance(size_t) override {}
  void end() override {}
};

}  // namespace

std::string_view fidelity_name(Fidelity fidelity) {
  switch (fidelity) {
    case Fidelity::kExact:
      return "exact";
    case Fidelity::kRounding:
      return "rounding";
    case Fidelity::kLossy:
      return "lossy";
    case Fidelity::kTraining:
      return "training";
  }
  return "";
}

PassContext::PassContext(Services services) : services_(std::move(services)) {
  if (!services_.progress) services_.progress = std::make_shared<NoProgress>();
}

RuntimeService& PassContext::runtime() {
  if (services_.runtime) return *services_.runtime;
  throw Error(ErrorCode::kRuntime, "this pass needs ONNX Runtime, which is not open")
      .hint("tools/setup fetches it");
}

CalibrationService& PassContext::calibration() {
  if (table_) return *table_;
  if (services_.calibration) return *services_.calibration;
  throw Error(ErrorCode::kData, "this pass needs calibration data, and there is none")
      .hint("give some with --data calibration=FILE, or under data: in the recipe");
}

Trainer& PassContext::trainer() {
  if (!trainer_ && services_.open_trainer) trainer_ = services_.open_trainer();
  if (trainer_) return *trainer_;
  throw Error(ErrorCode::kRuntime, "this pass trains, and there is no trainer here")
      .hint("run tools/setup --training and build again: training needs libtorch (Debian: libtorch-dev)");
}

std::shared_ptr<const Dataset> PassContext::training_data() const {
  if (services_.training_data) return services_.training_data;
  throw Error(ErrorCode::kData, "this pass needs training data, and there is none")
      .hint("give some with --data training=FILE, or under data: in the recipe; missing-data: skip "
            "leaves the step out");
}

void PassContext::use_table(const std::string& file, const Model& model) {
  table_ = nullptr;
  if (file.empty()) return;
  if (!services_.open_table) throw Error(ErrorCode::kBug, "no service opens calibration tables here");
  table_ = services_.open_table(file, model, services_.calibration);
}

void PassContext::keep_reference(Model model) {
  reference_ = std::make_shared<const Model>(std::move(model));
}

OpsetService& PassContext::opset() {
  if (services_.opset) return *services_.opset;
  throw Error(ErrorCode::kBug, "no service raises opsets here");
}

Progress& PassContext::progress() { return *services_.progress; }

const ValueTypes& PassContext::types(const Model& model) {
  if (types_of_ != &model || types_at_ != model.edit_count()) {
    types_ = types_on(runtime(), model, services_.sample);
    types_of_ = &model;
    types_at_ = model.edit_count();
  }
  return types_;
}

ValueTypes PassContext::sample_types(const Model& model) {
  if (!services_.sample) return types(model);
  Model fixed = model.clone();
  for (const auto& [name, tensor] : *services_.sample) {
    fixed.graph().set_input_shape(name, tensor.shape());
  }
  for (Graph* const graph : fixed.graphs())
    graph->drop_value_info();  // may name the open dimensions
  try {
    ValueTypes found = runtime().infer_types(fixed, &*services_.sample);
    learn_shapes(runtime(), fixed, *services_.sample, found);
    return found.moved(fixed.graphs(), model.graphs());
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) throw;
    return types(model);
  }
}

bool PassContext::require_opset(Model& model, int64_t version) {
  if (model.opset() >= version) return false;
  return opset().raise(model, version, types(model));
}

uint64_t PassContext::random_seed(const NodeRef& node) const {
  support::Hasher hasher;
  hasher.update(std::to_string(services_.seed));
  hasher.update("/" + std::to_string(step_) + "/");
  hasher.update(node.output_name(0));
  return hasher.digest().low;
}

void PassContext::count(std::string_view counter, int64_t by) {
  counters_[std::string(counter)] += by;
}

void PassContext::decided(const Layer& layer, LayerDecision decision) {
  decisions_.push_back({layer.name, layer.output, std::move(decision)});
}

void PassContext::skipped(const Layer& layer, std::string reason) {
  skips_.push_back({layer.name, layer.output, std::move(reason)});
}

void PassContext::skipped(const NodeRef& node, std::string reason) {
  skips_.push_back({node.label(), node.output_name(0), std::move(reason)});
}

void PassContext::warn(std::string message) {
  for (const auto& old : warnings_) {
    if (old == message) return;
  }
  warnings_.push_back(std::move(message));
}

void PassContext::note(std::string message) { notes_.push_back(std::move(message)); }

void PassContext::trained(const TrainingEpoch& epoch, bool best) {
  epochs_.push_back({epoch, best});
}

void PassContext::finish_early() {
  support::clear_interrupt();
  finishes_early_ = true;
}

std::filesystem::path PassContext::own_file(const std::filesystem::path& file) {
  if (file.empty()) return file;
  const int use = ++file_uses_[std::filesystem::absolute(file).lexically_normal()];
  if (use == 1) return file;
  std::filesystem::path name = file.stem();
  name += "-" + std::to_string(use);
  name += file.extension();
  return file.parent_path() / name;
}

void PassContext::refuse(const std::string& layer_output, std::string reason) {
  refused_[layer_output] = std::move(reason);
}

const std::string* PassContext::refused(const std::string& layer_output) const {
  const auto it = refused_.find(layer_output);
  return it == refused_.end() ? nullptr : &it->second;
}

void PassContext::clear_records() {
  counters_.clear();
  decisions_.clear();
  skips_.clear();
  warnings_.clear();
  notes_.clear();
  epochs_.clear();
}

}  // namespace mcompress
