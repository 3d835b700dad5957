// SPDX-License-Identifier: Apache-2.0
#include "pipeline/compare.h"

#include <algorithm>
#include <set>

#include "evaluation/gate.h"
#include "forms/stored_form.h"
#include "mcompress/layer.h"
#include "mcompress/metric.h"
#include "pipeline/data_roles.h"
#include "pipeline/environment.h"
#include "pipeline/layer_table.h"
#include "pipeline/measure.h"
#include "pipeline/session_child.h"
#include "pipeline/value_names.h"
#include "support/hash.h"

namespace mcompress {
namespace {

constexpr int kPairs = 100;
constexpr double kSeconds = 20;
constexpr size_t kParitySamples = 16;
constexpr int kProfileRuns = 20;

SizeFigure size_of(LoadedModel& loaded, const ValueTypes& types) {
  SizeFigure size = size_figure(loaded.model, types);
  add_gzip_bytes(size, loaded.path);
  return size;
}

std::shared_ptr<const Dataset> evaluation_data(const Recipe& recipe, const Model& model,
                                               std::map<std::string, std::string>& descriptions) {
  DataRoles roles = open_roles(recipe, fed_inputs(model), Deciding::kNothing);
  descriptions = roles.descriptions;
  for (const auto& role : {roles.evaluation, roles.validation, roles.calibration, roles.training}) {
    if (role) return role;
  }
  return nullptr;
}

EvaluatorOptions evaluator_options(const Recipe& recipe, const CompareOptions& options) {
  EvaluatorOptions result;
  result.metric = recipe.metric;
  result.threads = options.threads;
  if (options.progress) {
    result.progress = [progress = options.progress, last = size_t{0}](size_t done,
                                                                      size_t total) mutable {
      if (done <= 1) {
        progress->begin("evaluate", total);
        last = 0;
      }
      progress->advance(done - std::min(done, last));
      last = done;
      if (done == total) progress->end();
    };
  }
  return result;
}

// Latency on made-up feeds where there is no data; models that do not bear them go without.
std::optional<LatencyPair> latency_of(const LoadedModel& a, const LoadedModel& b,
                                      const Dataset* data, const CompareOptions& options,
                                      std::vector<std::string>& warnings) {
  const std::optional<Feeds> sample = sample_feeds(a.model, data);
  if (!sample) {
    warnings.push_back("no latency: an input has no declared shape; give data with --data");
    return std::nullopt;
  }
  try {
    return latency_pair(*options.runtime, a.model, b.model, *sample, kPairs, kSeconds);
  } catch (const Error& error) {
    if (data != nullptr || error.code() == ErrorCode::kInterrupted) throw;
    warnings.push_back("no latency: the model does not run on zeros; give data with --data");
    return std::nullopt;
  }
}

uint64_t stored_bytes(const ValueRef& weight) {
  if (const std::optional<forms::StoredForm> form = forms::recognise(weight)) {
    return static_cast<uint64_t>(form->bits_per_weight *
                                 static_cast<double>(element_count(form->shape)) / 8);
  }
  return packed_bytes(weight.constant_type(), element_count(weight.constant_shape()));
}

void fill_parity(const std::map<std::string, ParityValue>& parity, ParityRecord& record) {
  const auto found = parity.find(record.output);
  if (found == parity.end()) return;
  record.sqnr_db = found->second.sqnr_db;
  record.cosine = found->second.cosine;
  record.max_abs_error = found->second.max_abs_error;
}

// Layers are the same where they compute the same value.
std::vector<ParityRecord> common_layers(Model& a, Model& b) {
  const ValueNames names(a, b);
  std::map<std::string, uint64_t> bytes_in_b;
  for (const Layer& layer : find_layers(b)) {
    bytes_in_b[names.layer_before(layer.output)] += stored_bytes(layer.weight);
  }
  std::vector<ParityRecord> records;
  std::map<std::string, size_t> at;
  for (const Layer& layer : find_layers(a)) {
    const auto found = bytes_in_b.find(layer.output);
    if (found == bytes_in_b.end()) continue;
    const auto [known, added] = at.emplace(layer.output, records.size());
    if (!added) {
      records[known->second].bytes_before += stored_bytes(layer.weight);
      continue;
    }
    ParityRecord record;
    record.name = layer.name;
    record.op = layer.node.op();
    record.output = layer.output;
    record.bytes_before = stored_bytes(layer.weight);
    record.bytes_after = found->second;
    records.push_back(std::move(record));
  }
  return records;
}

void measure_outputs(LoadedModel& a, LoadedModel& b, const Dataset& data,
                     const CompareOptions& options, CompareReport& report) {
  std::vector<std::string> names;
  for (const ValueInfo& output : a.model.graph().outputs()) names.push_back(output.name);
  report.samples = std::min(kParitySamples, data.size());
  const auto of_outputs =
      value_parity(*options.runtime, a.model, b.model, names, data, kParitySamples);
  for (const std::string& name : names) {
    ParityRecord record;
    record.name = name;
    record.output = name;
    fill_parity(of_outputs, record);
    report.outputs.push_back(std::move(record));
  }
}

void measure_layers(LoadedModel& a, LoadedModel& b, const Dataset& data,
                    const CompareOptions& options, std::vector<ParityRecord>& layers) {
  std::vector<std::string> names;
  for (const ParityRecord& layer : layers) {
    const ValueRef value = a.model.graph().find(layer.output);
    if (value) names.push_back(layer.output);
  }
  const auto of_layers =
      value_parity(*options.runtime, a.model, b.model, names, data, kParitySamples);
  for (ParityRecord& layer : layers) fill_parity(of_layers, layer);
}

void measure_layer_times(LoadedModel& a, LoadedModel& b, const Dataset* data,
                         const CompareOptions& options, std::vector<ParityRecord>& layers) {
  const std::optional<Feeds> sample = sample_feeds(a.model, data);
  if (!sample) return;
  const auto before = layer_times(*options.runtime, a.model, *sample, kProfileRuns);
  const auto after = layer_times(*options.runtime, b.model, *sample, kProfileRuns);
  const ValueNames names(a.model, b.model);
  for (ParityRecord& layer : layers) {
    if (const auto time = before.find(layer.output); time != before.end())
      layer.microseconds_before = time->second;
    if (const auto time = after.find(names.now(layer.output)); time != after.end())
      layer.microseconds_after = time->second;
  }
}

// A run of the second model on data of the first must be possible.
void require_same_inputs(const LoadedModel& a, const LoadedModel& b) {
  std::set<std::string> names;
  for (const ValueInfo& input : fed_inputs(a.model)) names.insert(input.name);
  for (const ValueInfo& input : fed_inputs(b.model)) {
    if (names.contains(input.name)) continue;
    throw Error(ErrorCode::kModel, b.path.string() + ": has an input '" + input.name + "', which " +
                                       a.path.string() + " has not");
  }
}

}  // namespace

EvaluateReport evaluate_model(LoadedModel& loaded, LoadedModel* reference, const Recipe& recipe,
                              const CompareOptions& options) {
  EvaluateReport report;
  report.input = loaded.path.string();
  report.hash = support::hash_file(loaded.path).labelled();
  report.environment = environment_of(options.runtime.get(), options.threads);
  const auto data = evaluation_data(recipe, loaded.model, report.data);
  if (!data) {
    throw Error(ErrorCode::kData, "evaluate: no data").hint("give it with --data PATH");
  }
  if (reference != nullptr) require_same_inputs(loaded, *reference);
  LoadedModel& base = reference == nullptr ? loaded : *reference;
  const auto evaluator =
      make_evaluator(options.runtime, data, base.model, evaluator_options(recipe, options));
  report.metric_reason = evaluator->reason();
  const EvaluationResult result =
      reference == nullptr ? evaluator->baseline() : evaluator->evaluate(loaded.model);
  report.metrics.push_back(to_figure(evaluator->metric(), result.value));
  if (result.not_finite > 0) {
    report.warnings.push_back(std::to_string(result.not_finite) +
                              " samples have NaN or infinity in the output");
  }
  if (reference == nullptr && evaluator->metric().needs_reference) {
    report.warnings.push_back(
        "the metric compares the model with itself: give --reference, or data with labels");
  }
  report.size = size_of(loaded, options.runtime->infer_types(loaded.model));
  if (const auto pair = latency_of(base, loaded, data.get(), options, report.warnings)) {
    report.latency = pair->candidate;
  }
  report.session = session_figure_of_child(options.self_program, loaded.path);
  const std::vector<std::string> odd = data->warnings();
  report.warnings.insert(report.warnings.end(), odd.begin(), odd.end());
  return report;
}

CompareReport compare_models(LoadedModel& a, LoadedModel& b, const Recipe& recipe,
                             const CompareOptions& options) {
  CompareReport report;
  report.input_a = a.path.string();
  report.input_b = b.path.string();
  report.hash_a = support::hash_file(a.path).labelled();
  report.hash_b = support::hash_file(b.path).labelled();
  report.environment = environment_of(options.runtime.get(), options.threads);
  require_same_inputs(a, b);
  const auto data = evaluation_data(recipe, a.model, report.data);
  report.size_before = size_of(a, options.runtime->infer_types(a.model));
  report.size_after = size_of(b, options.runtime->infer_types(b.model));
  if (data) {
    const auto evaluator =
        make_evaluator(options.runtime, data, a.model, evaluator_options(recipe, options));
    const JudgedMetric judged = judged_metric(*evaluator, b.model);
    report.metric_reason = evaluator->reason();
    report.metric_before = to_figure(judged.info, judged.base.value);
    report.metric_after = to_figure(judged.info, judged.result.value);
    report.metric_drop = judged.drop.drop;
    report.metric_drop_low = judged.drop.low;
    report.metric_drop_high = judged.drop.high;
    std::string lost = evaluation::not_finite_warning(judged.base, judged.result);
    if (!lost.empty()) report.warnings.push_back(std::move(lost));
    const std::vector<std::string> odd = data->warnings();
    report.warnings.insert(report.warnings.end(), odd.begin(), odd.end());
  }
  if (const auto pair = latency_of(a, b, data.get(), options, report.warnings)) {
    report.latency_before = pair->baseline;
    report.latency_after = pair->candidate;
  }
  report.session_before = session_figure_of_child(options.self_program, a.path);
  report.session_after = session_figure_of_child(options.self_program, b.path);
  const bool by_order = recognise_by_order(a.model, b.model);
  if (by_order) {
    report.warnings.push_back(
        "layers of the second model have other names: they are paired by their order, and what they compute is "
        "not compared");
  }
  report.layers = common_layers(a.model, b.model);
  if (data) measure_outputs(a, b, *data, options, report);
  if (data && !by_order) measure_layers(a, b, *data, options, report.layers);
  if (report.latency_after) measure_layer_times(a, b, data.get(), options, report.layers);
  return report;
}

}  // namespace mcompress
