// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "mcompress/metric.h"
#include "mcompress/report.h"
#include "pass/manager.h"
#include "pipeline/data_roles.h"
#include "pipeline/limits.h"
#include "pipeline/step_runner.h"

namespace mcompress {

MetricFigure to_figure(const MetricInfo& metric, const MetricValue& value);
LatencyFigure to_figure(const Latency& latency);

/// Evaluates a model against the evaluator's reference.
JudgedMetric judged_metric(Evaluator& evaluator, const Model& model);

/// Bytes, parameters, multiply-accumulates of a model. gzip_bytes is left 0: it is of a written
/// file (add_gzip_bytes).
SizeFigure size_figure(Model& model, const ValueTypes& types,
                       std::optional<uint64_t> known_nonzeros = std::nullopt);

/// Part of a model of `model_bytes` that lies in other files than `file`.
uint64_t external_bytes(uint64_t model_bytes, const std::filesystem::path& file);

/// Bytes of the file under gzip; left unmeasured (0) where that would take longer than all the
/// rest, or where weights lie in other files.
void add_gzip_bytes(SizeFigure& size, const std::filesystem::path& file);

/// What the report says of the file that a model was loaded from.
struct InputFigures {
  std::string hash;
  uint64_t nonzeros = 0;
};
/// Reads the file once.
InputFigures input_figures(Model& model, const std::filesystem::path& file);

/// Non-zeros of states of one model: counting reads every weight, and most steps
/// change few.
class KnownNonzeros {
 public:
  std::optional<uint64_t> of(const Model& model) const;
  void add(const Model& model, uint64_t nonzeros);
  /// To be asked when somebody wants to know.
  void add(const Model& model, std::function<uint64_t()> nonzeros);

 private:
  std::map<std::string, std::function<uint64_t()>> known_;
};

/// Latency of `candidate` beside `baseline`, interleaved, one intra-op thread.
LatencyPair latency_pair(RuntimeService& runtime, const Model& baseline, const Model& candidate,
                         const Feeds& feeds, int pairs, double max_seconds);

/// Judges the steps of a run against the input model.
class RunJudge final : public StepJudge {
 public:
  struct Inputs {
    std::shared_ptr<RuntimeService> runtime;  ///< null: the model does not run, sizes only
    const Model* baseline = nullptr;
    Evaluator* evaluator = nullptr;  ///< of the validation data; null without
    std::optional<Feeds> sample;
    SizeFigure baseline_size;
    bool encode = true;  ///< sizes are of the file with encode-weights run
    KnownNonzeros* nonzeros = nullptr;  ///< null: they are counted at every step
  };
  RunJudge(Inputs inputs, PassManager& encoder) : in_(std::move(inputs)), encoder_(encoder) {}

  void measure(Model& model, const StepQuestion& question, StepReport& step) override;
  std::vector<GateVerdict> judge(const std::vector<LimitSpec>& limits, bool strict) override;

 private:
  uint64_t encoded_size(const Model& model);

  Inputs in_;
  PassManager& encoder_;
  GateFigures figures_;                            ///< of the step measured last
  std::map<std::string, uint64_t> encoded_sizes_;  ///< by fingerprint
};

}  // namespace mcompress
