// SPDX-License-Identifier: Apache-2.0
#include "pipeline/measure.h"

#include <algorithm>

#include "analysis/cost.h"
#include "analysis/weights.h"
#include "ir/contents.h"
#include "support/gzip_size.h"
#include "support/memory.h"

namespace mcompress {
namespace {

constexpr int kGatePairs = 60;
constexpr double kGateSeconds = 10;
/// Two seconds of gzip.
constexpr uint64_t kGzipBelow = uint64_t{64} << 20;

bool asks_for(const std::vector<LimitSpec>& limits, std::string_view quantity) {
  return std::any_of(limits.begin(), limits.end(),
                     [&](const LimitSpec& limit) { return limit.quantity == quantity; });
}

}  // namespace

MetricFigure to_figure(const MetricInfo& metric, const MetricValue& value) {
  return {.name = std::string(metric.name),
          .value = value.value,
          .low = value.low,
          .high = value.high,
          .samples = value.samples,
          .higher_is_better = metric.higher_is_better,
          .is_points = metric.is_points};
}

LatencyFigure to_figure(const Latency& latency) {
  return {.median_ms = latency.median_ms,
          .min_ms = latency.min_ms,
          .spread_ms = latency.spread_ms,
          .ratio = latency.ratio,
          .ratio_low = latency.ratio_low,
          .ratio_high = latency.ratio_high,
          .pairs = latency.pairs};
}

JudgedMetric judged_metric(Evaluator& evaluator, const Model& model) {
  JudgedMetric judged{evaluator.metric(), evaluator.baseline(), evaluator.evaluate(model), {}};
  judged.drop = evaluator.compare(judged.base, judged.result);
  return judged;
}

uint64_t external_bytes(uint64_t model_bytes, const std::filesystem::path& file) {
  // `save` might write the model a little differently than it lies there.
  constexpr uint64_t kFraming = 4096;
  const uint64_t on_disk = std::filesystem::file_size(file);
  return model_bytes > on_disk + kFraming ? model_bytes - on_disk : 0;
}

void add_gzip_bytes(SizeFigure& size, const std::filesystem::path& file) {
  const bool is_whole = external_bytes(size.file_bytes, file) == 0;
  if (is_whole && size.file_bytes < kGzipBelow) size.gzip_bytes = support::gzip_size(file);
}

std::optional<uint64_t> KnownNonzeros::of(const Model& model) const {
  const auto found = known_.find(ir::place_key(model));
  return found == known_.end() ? std::nullopt : std::optional(found->second());
}

void KnownNonzeros::add(const Model& model, uint64_t nonzeros) {
  add(model, [nonzeros] { return nonzeros; });
}

void KnownNonzeros::add(const Model& model, std::function<uint64_t()> nonzeros) {
  known_[ir::place_key(model)] = std::move(nonzeros);
}

InputFigures input_figures(Model& model, const std::filesystem::path& file) {
  const auto hash = analysis::hash_and_count(model, file);
  return {hash.labelled(), analysis::model_cost(model, ValueTypes()).nonzeros};
}

SizeFigure size_figure(Model& model, const ValueTypes& types,
                       std::optional<uint64_t> known_nonzeros) {
  const auto cost = analysis::model_cost(model, types, known_nonzeros);
  SizeFigure size;
  size.file_bytes = model.file_size();
  size.weight_bytes = cost.weight_bytes;
  size.parameters = cost.parameters;
  size.nonzeros = cost.nonzeros;
  size.macs = cost.macs;
  return size;
}

LatencyPair latency_pair(RuntimeService& runtime, const Model& baseline, const Model& candidate,
                         const Feeds& feeds, int pairs, double max_seconds) {
  const auto first = runtime.open(baseline);
  const auto second = runtime.open(candidate);
  Session* const sessions[] = {first.get(), second.get()};
  const auto latencies = measure_latency(sessions, feeds, pairs, max_seconds);
  return {to_figure(latencies[0]), to_figure(latencies[1])};
}

uint64_t RunJudge::encoded_size(const Model& model) {
  if (!in_.encode) return model.file_size();
  // Steps that change nothing, and states that a roll-back restores, were encoded before.
  const std::string state = ir::place_key(model);
  const auto known = encoded_sizes_.find(state);
  if (known != encoded_sizes_.end()) return known->second;
  Model encoded = model.clone();
  encoder_.run(encoded, plain_step("encode-weights"));
  return encoded_sizes_[state] = encoded.file_size();
}

void RunJudge::measure(Model& model, const StepQuestion& question, StepReport& step) {
  const auto known = in_.nonzeros != nullptr ? in_.nonzeros->of(model) : std::nullopt;
  step.size = size_figure(model, ValueTypes(), known);
  if (in_.nonzeros != nullptr && !known) in_.nonzeros->add(model, step.size.nonzeros);
  step.size.file_bytes = encoded_size(model);
  step.peak_bytes = support::peak_resident_bytes();
  figures_ = {.size_bytes = step.size.file_bytes, .input_size_bytes = in_.baseline_size.file_bytes};
  if (!in_.runtime) return;
  if (in_.evaluator != nullptr && (question.metric || !question.limits.empty())) {
    figures_.metric = judged_metric(*in_.evaluator, model);
    step.metric = to_figure(in_.evaluator->metric(), figures_.metric->result.value);
  }
  if (asks_for(question.limits, "latency") && in_.sample) {
    figures_.latency =
        latency_pair(*in_.runtime, *in_.baseline, model, *in_.sample, kGatePairs, kGateSeconds);
    step.latency = figures_.latency->candidate;
  }
}

std::vector<GateVerdict> RunJudge::judge(const std::vector<LimitSpec>& limits, bool strict) {
  std::vector<GateVerdict> verdicts;
  for (const auto& limit : limits) {
    GateVerdict& verdict = verdicts.emplace_back(judge_limit(limit, strict, figures_));
    if (!why_not_measured(limit, figures_).empty()) verdict.action = kLeftOut;
  }
  return verdicts;
}

}  // namespace mcompress
