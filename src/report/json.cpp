// SPDX-License-Identifier: Apache-2.0
// The report as JSON, obeying report.schema.json: every key always there, null for what is not
// known.
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <string_view>
#include <utility>

#include "mcompress/report.h"

namespace mcompress {
namespace reporting {
std::span<const std::pair<std::string_view, std::string_view>> embedded_files();
}

namespace {

using Json = nlohmann::ordered_json;

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json number(const std::optional<double>& value) { return value ? number(*value) : Json(nullptr); }
// Counts and times of zero are figures that were not measured.
Json measured(uint64_t value) { return value != 0 ? Json(value) : Json(nullptr); }
Json measured(double value) { return value != 0 ? number(value) : Json(nullptr); }
Json text(const std::string& value) { return value.empty() ? Json(nullptr) : Json(value); }

template <class T, class Convert>
Json list(const std::vector<T>& items, const Convert& convert) {
  Json array = Json::array();
  for (const T& item : items) array.push_back(convert(item));
  return array;
}

template <class T>
Json strings(const std::vector<T>& items) {
  return list(items, [](const T& item) { return Json(item); });
}

template <class T>
Json object(const std::map<std::string, T>& entries) {
  Json out = Json::object();
  for (const auto& [key, value] : entries) out[key] = value;
  return out;
}

Json to_json(const SizeFigure& f) {
  return {{"file_bytes", f.file_bytes},
          {"weight_bytes", f.weight_bytes},
          {"gzip_bytes", measured(f.gzip_bytes)},
          {"parameters", f.parameters},
          {"nonzeros", f.nonzeros},
          {"macs", measured(f.macs)}};
}

Json to_json(const MetricFigure& f) {
  return {{"name", f.name},          {"value", number(f.value)},
          {"low", number(f.low)},    {"high", number(f.high)},
          {"samples", f.samples},    {"higher_is_better", f.higher_is_better},
          {"is_points", f.is_points}};
}

Json to_json(const LatencyFigure& f) {
  return {{"median_ms", number(f.median_ms)},
          {"min_ms", number(f.min_ms)},
          {"spread_ms", number(f.spread_ms)},
          {"ratio", number(f.ratio)},
          {"ratio_low", number(f.ratio_low)},
          {"ratio_high", number(f.ratio_high)},
          {"pairs", f.pairs}};
}

Json to_json(const SessionFigure& f) {
  return {{"load_ms", number(f.load_ms)},
          {"peak_bytes", measured(f.peak_bytes)},
          {"steady_bytes", measured(f.steady_bytes)}};
}

template <class T>
Json to_json(const std::optional<T>& figure) {
  return figure ? to_json(*figure) : Json(nullptr);
}

Json to_json(const GateVerdict& g) {
  return {{"limit", g.limit},
          {"measured", number(g.measured)},
          {"measured_text", text(g.measured_text)},
          {"holds", g.holds},
          {"uncertain", g.uncertain},
          {"action", text(g.action)}};
}

Json to_json(const SkipRecord& s) {
  return {{"layer", s.layer}, {"output", s.output}, {"reason", s.reason}};
}

Json to_json(const EpochFigure& e) {
  return {{"loss", number(e.loss)},         {"validation_loss", number(e.validation_loss)},
          {"metric", number(e.metric)},     {"learning_rate", number(e.learning_rate)},
          {"seconds", measured(e.seconds)}, {"best", e.best}};
}

Json to_json(const StepReport& s) {
  return {{"name", s.name},
          {"label", s.label},
          {"options", text(s.options)},
          {"changed", s.changed},
          {"rolled_back", s.rolled_back},
          {"seconds", measured(s.seconds)},
          {"peak_bytes", measured(s.peak_bytes)},
          {"size", to_json(s.size)},
          {"size_is_bound", s.size_is_bound},
          {"metric", to_json(s.metric)},
          {"latency", to_json(s.latency)},
          {"gates", list(s.gates, [](const GateVerdict& g) { return to_json(g); })},
          {"counters", object(s.counters)},
          {"epochs", list(s.epochs, [](const EpochFigure& e) { return to_json(e); })},
          {"skips", list(s.skips, [](const SkipRecord& k) { return to_json(k); })},
          {"notes", strings(s.notes)},
          {"warnings", strings(s.warnings)}};
}

Json to_json(const LayerReport& l) {
  return {{"name", l.name},
          {"op", l.op},
          {"output", l.output},
          {"weight_shape", strings(l.weight_shape)},
          {"bytes_before", l.bytes_before},
          {"bytes_after", l.bytes_after},
          {"bits_before", number(l.bits_before)},
          {"bits_after", number(l.bits_after)},
          {"sparsity", number(l.sparsity)},
          {"rank", measured(l.rank)},
          {"distinct", measured(l.distinct)},
          {"macs", measured(l.macs)},
          {"microseconds_before", number(l.microseconds_before)},
          {"microseconds_after", number(l.microseconds_after)},
          {"sqnr_db", number(l.sqnr_db)},
          {"method", text(l.method)},
          {"reason", text(l.reason)}};
}

Json to_json(const EnvironmentReport& e) {
  return {{"tool_version", text(e.tool_version)},
          {"runtime_version", text(e.runtime_version)},
          {"cpu", text(e.cpu)},
          {"instruction_sets", text(e.instruction_sets)},
          {"os", text(e.os)},
          {"compiler", text(e.compiler)},
          {"threads", e.threads}};
}

Json to_json(const CostFigure& c) {
  return {{"name", text(c.name)},
          {"hash", text(c.hash)},
          {"entries", c.entries},
          {"measured", c.measured},
          {"float_predicted_ms", number(c.float_predicted_ms)},
          {"float_measured_ms", number(c.float_measured_ms)},
          {"saving_predicted_ms", number(c.saving_predicted_ms)},
          {"saving_measured_ms", number(c.saving_measured_ms)}};
}

Json to_json(const SensitivityChange& c) {
  return {{"choice", c.choice},
          {"applied", c.applied},
          {"reason", text(c.reason)},
          {"damage", number(c.damage)},
          {"sqnr_db", number(c.sqnr_db)},
          {"metric_drop", number(c.metric_drop)},
          {"metric_drop_low", number(c.metric_drop_low)},
          {"metric_drop_high", number(c.metric_drop_high)},
          {"bytes_saved", c.bytes_saved ? Json(*c.bytes_saved) : Json(nullptr)},
          {"microseconds_saved", number(c.microseconds_saved)}};
}

Json to_json(const SensitivityLayer& l) {
  return {{"name", l.name},
          {"op", text(l.op)},
          {"output", l.output},
          {"members", strings(l.members)},
          {"chosen", l.chosen},
          {"changes", list(l.changes, [](const SensitivityChange& c) { return to_json(c); })}};
}

Json to_json(const InspectValue& v) {
  return {{"name", v.name},
          {"type", v.type},
          {"shape", v.known_rank ? strings(v.shape) : Json(nullptr)}};
}

Json to_json(const InspectLayer& l) {
  return {{"name", l.name},
          {"op", l.op},
          {"output", l.output},
          {"weight", l.weight},
          {"weight_shape", strings(l.weight_shape)},
          {"type", l.type},
          {"bytes", l.bytes},
          {"sparsity", number(l.sparsity)},
          {"distinct", measured(l.distinct)},
          {"stored_bits", number(l.stored_bits)},
          {"entropy_bits", number(l.entropy_bits)},
          {"macs", measured(l.macs)},
          {"shared", l.shared}};
}

Json to_json(const ParityRecord& r) {
  return {{"name", r.name},
          {"op", text(r.op)},
          {"output", r.output},
          {"sqnr_db", number(r.sqnr_db)},
          {"cosine", number(r.cosine)},
          {"max_abs_error", number(r.max_abs_error)},
          {"bytes_before", measured(r.bytes_before)},
          {"bytes_after", measured(r.bytes_after)},
          {"microseconds_before", number(r.microseconds_before)},
          {"microseconds_after", number(r.microseconds_after)}};
}

Json heading(const char* kind) {
  return {{"schema", "mcompress-report"}, {"schema_version", kReportSchemaVersion}, {"kind", kind}};
}

// Size, metric, latency and session of two states, and how far apart they are.
template <class Report>
void add_comparison(Json& out, const Report& r) {
  out["size_before"] = to_json(r.size_before);
  out["size_after"] = to_json(r.size_after);
  out["metric_before"] = to_json(r.metric_before);
  out["metric_after"] = to_json(r.metric_after);
  out["metric_drop"] = number(r.metric_drop);
  out["metric_drop_low"] = number(r.metric_drop_low);
  out["metric_drop_high"] = number(r.metric_drop_high);
  out["latency_before"] = to_json(r.latency_before);
  out["latency_after"] = to_json(r.latency_after);
  out["session_before"] = to_json(r.session_before);
  out["session_after"] = to_json(r.session_after);
}

// Names in models are bytes of anyone's making: what is not UTF-8 is replaced, never thrown over.
std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string render_json(const RunReport& r) {
  Json out = heading("run");
  out["command"] = r.command;
  out["input"] = r.input;
  out["output"] = text(r.output);
  out["input_hash"] = text(r.input_hash);
  out["output_hash"] = text(r.output_hash);
  out["recipe_name"] = text(r.recipe_name);
  out["recipe_hash"] = text(r.recipe_hash);
  out["seed"] = r.seed;
  out["dry_run"] = r.dry_run;
  out["interrupted"] = r.interrupted;
  out["failed"] = r.failed;
  out["constraints"] = list(r.constraints, [](const GateVerdict& g) { return to_json(g); });
  out["validation"] = text(r.validation);
  out["metric_reason"] = text(r.metric_reason);
  out["selected_on_evaluation"] = r.selected_on_evaluation;
  out["metric_baseline"] = to_json(r.metric_baseline);
  add_comparison(out, r);
  out["seconds"] = measured(r.seconds);
  out["peak_bytes"] = measured(r.peak_bytes);
  out["steps"] = list(r.steps, [](const StepReport& s) { return to_json(s); });
  out["layers"] = list(r.layers, [](const LayerReport& l) { return to_json(l); });
  out["warnings"] = strings(r.warnings);
  out["advice"] = strings(r.advice);
  out["data"] = object(r.data);
  out["environment"] = to_json(r.environment);
  out["costs"] = to_json(r.costs);
  out["effective_recipe"] = text(r.effective_recipe);
  return dump(out);
}

std::string render_json(const InspectReport& r) {
  Json out = heading("inspect");
  out["input"] = r.input;
  out["hash"] = text(r.hash);
  out["ir_version"] = r.ir_version;
  out["producer"] = text(r.producer);
  out["opsets"] = object(r.opsets);
  out["metadata"] = object(r.metadata);
  out["size"] = to_json(r.size);
  out["external_bytes"] = r.external_bytes;
  out["nodes"] = r.nodes;
  out["subgraphs"] = r.subgraphs;
  out["functions"] = r.functions;
  out["inputs"] = list(r.inputs, [](const InspectValue& v) { return to_json(v); });
  out["outputs"] = list(r.outputs, [](const InspectValue& v) { return to_json(v); });
  out["ops"] = list(r.ops, [](const InspectOp& op) {
    return Json{{"op", op.op}, {"domain", op.domain}, {"count", op.count}};
  });
  out["precision"] = list(r.precision, [](const InspectType& t) {
    return Json{
        {"type", t.type}, {"tensors", t.tensors}, {"elements", t.elements}, {"bytes", t.bytes}};
  });
  out["layers"] = list(r.layers, [](const InspectLayer& l) { return to_json(l); });
  out["load_error"] = text(r.load_error);
  out["warnings"] = strings(r.warnings);
  out["environment"] = to_json(r.environment);
  return dump(out);
}

std::string render_json(const CompareReport& r) {
  Json out = heading("compare");
  out["input_a"] = r.input_a;
  out["input_b"] = r.input_b;
  out["hash_a"] = text(r.hash_a);
  out["hash_b"] = text(r.hash_b);
  out["data"] = object(r.data);
  out["metric_reason"] = text(r.metric_reason);
  add_comparison(out, r);
  out["samples"] = r.samples;
  out["outputs"] = list(r.outputs, [](const ParityRecord& p) { return to_json(p); });
  out["layers"] = list(r.layers, [](const ParityRecord& p) { return to_json(p); });
  out["warnings"] = strings(r.warnings);
  out["environment"] = to_json(r.environment);
  return dump(out);
}

std::string render_json(const EvaluateReport& r) {
  Json out = heading("evaluate");
  out["input"] = r.input;
  out["hash"] = text(r.hash);
  out["data"] = object(r.data);
  out["metric_reason"] = text(r.metric_reason);
  out["size"] = to_json(r.size);
  out["metrics"] = list(r.metrics, [](const MetricFigure& m) { return to_json(m); });
  out["latency"] = to_json(r.latency);
  out["session"] = to_json(r.session);
  out["warnings"] = strings(r.warnings);
  out["environment"] = to_json(r.environment);
  return dump(out);
}

std::string render_json(const SensitivityReport& r) {
  Json out = heading("sensitivity");
  out["input"] = r.input;
  out["hash"] = text(r.hash);
  out["recipe_name"] = text(r.recipe_name);
  out["data"] = object(r.data);
  out["metric_reason"] = text(r.metric_reason);
  out["metric"] = to_json(r.metric);
  out["samples"] = r.samples;
  out["file_bytes"] = r.file_bytes;
  out["tolerance"] = number(r.tolerance);
  out["planned_damage"] = number(r.planned_damage);
  out["planned_bytes_saved"] = r.planned_bytes_saved;
  out["choices"] = list(r.choices, [](const SensitivityChoice& c) {
    return Json{{"name", c.name}, {"pass", c.pass}, {"options", text(c.options)}};
  });
  out["layers"] = list(r.layers, [](const SensitivityLayer& l) { return to_json(l); });
  out["plan"] = text(r.plan);
  out["costs"] = to_json(r.costs);
  out["seconds"] = measured(r.seconds);
  out["warnings"] = strings(r.warnings);
  out["environment"] = to_json(r.environment);
  return dump(out);
}

std::string report_json_schema() { return std::string(reporting::embedded_files().front().second); }

}  // namespace mcompress
