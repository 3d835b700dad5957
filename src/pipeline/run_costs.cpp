// SPDX-License-Identifier: Apache-2.0
#include "pipeline/run_costs.h"

#include "costs/table_file.h"
#include "mcompress/error.h"

namespace mcompress {
namespace {

constexpr int64_t kStaticOpset = 13;

std::string machine_text(const CostMachine& machine) {
  return machine.cpu + " (" + machine.instruction_sets + "), ONNX Runtime " + machine.runtime;
}

}  // namespace

RunCosts::RunCosts(const Recipe& recipe, const std::filesystem::path& folder, bool measure,
                   std::shared_ptr<RuntimeService> runtime, std::vector<std::string>& warnings)
    : file_(recipe.costs), measure_(measure && runtime != nullptr) {
  figure_.name = "built-in " + std::string(target_name(recipe.target));
  const CostMachine here = runtime ? costs::this_machine(*runtime) : CostMachine{};
  if (file_.empty() && runtime && !folder.empty()) file_ = costs::table_path(folder, here);
  if (measure_ && file_.empty()) {
    throw Error(ErrorCode::kUsage, "--measure: there is no folder for a cost table")
        .hint("name a file with --costs FILE, or set HOME or XDG_CACHE_HOME");
  }
  std::error_code error;
  if (!file_.empty() && std::filesystem::exists(file_, error)) {
    table_ = std::make_shared<CostTable>(costs::read_cost_table(file_));
  } else if (measure_) {
    table_ = std::make_shared<CostTable>();
    table_->machine = here;
    table_->name = file_.string();
  } else if (!recipe.costs.empty()) {
    throw Error(ErrorCode::kRecipe, file_.string() + ": no such cost table")
        .hint("--measure makes it");
  } else {
    file_.clear();
  }
  if (!table_ || !runtime || table_->machine == here) return;
  if (measure_) {
    throw Error(ErrorCode::kUsage, file_.string() + ": was measured on " +
                                       machine_text(table_->machine) + ", this is " +
                                       machine_text(here))
        .hint("name another file with --costs");
  }
  warnings.push_back("the cost table was measured on " + machine_text(table_->machine));
}

void RunCosts::before_step(Model& model, PassContext& context, const std::optional<Feeds>& sample) {
  if (!measure_ || !context.has_runtime()) return;
  const ValueTypes types = context.sample_types(model);
  const auto measured = costs::measure_costs(model, types, context.runtime(), context.target(),
                                             context.progress(), *table_);
  if (measured.units == 0) return;
  figure_.measured += measured.units;
  costs::write_cost_table(*table_, file_);
  if (!sample) return;
  const auto in_situ = compare_in_situ(model, context, *sample);
  if (!in_situ) return;
  figure_.float_predicted_ms = in_situ->float_predicted_ms;
  figure_.float_measured_ms = in_situ->float_measured_ms;
  figure_.saving_predicted_ms = in_situ->saving_predicted_ms;
  figure_.saving_measured_ms = in_situ->saving_measured_ms;
}

std::optional<costs::InSitu> RunCosts::compare_in_situ(const Model& model, PassContext& context,
                                                       const Feeds& sample) const {
  Model raised = model.clone();
  std::optional<costs::InSitu> result;
  try {
    context.forget_types();
    context.require_opset(raised, kStaticOpset);
    result = costs::compare_in_situ(raised, context.sample_types(raised), context.runtime(),
                                    context.target(), *table_, sample);
  } catch (const Unsupported&) {
    // It cannot run in 8 bits: there is nothing to compare.
  }
  context.forget_types();
  return result;
}

CostFigure RunCosts::figure() const {
  CostFigure figure = figure_;
  if (!table_) return figure;
  figure.name = table_->name;
  figure.hash = table_->hash;
  figure.entries = table_->entries().size();
  return figure;
}

}  // namespace mcompress
