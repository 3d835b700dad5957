// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcompress/dataset.h"
#include "mcompress/model.h"
#include "mcompress/runtime_service.h"

namespace mcompress {

struct MetricInfo {
  std::string_view name;
  std::string_view summary;
  bool higher_is_better = true;
  bool needs_labels = false;
  bool needs_reference = false;  ///< outputs of the input model
  /// The value is a share in 0..1, shown in per cent; drops are differences (0.005 is 0.5 points).
  /// Of other metrics a drop is relative (0.01 is 1 %).
  bool is_points = false;
  std::string_view unit = "";  ///< "dB" of sqnr
};

/// All metrics, in the order of product.md section 2. mse and mae compare with labels where the
/// data has them, else with the input model's outputs.
std::span<const MetricInfo> metrics();
/// Throws kRecipe with the nearest name.
const MetricInfo& find_metric(std::string_view name);

/// A metric with its 95 % interval: Wilson's where every sample scores 0 or 1, else Student's over
/// samples (delta method for ratios, DeLong for auc).
struct MetricValue {
  double value = 0, low = 0, high = 0;
  size_t samples = 0;
};

struct EvaluationResult {
  MetricValue value;
  /// Score of each sample alone, in the order of the data.
  std::vector<float> per_sample;
  /// What each sample adds to the value: their mean is the value to first order, their spread its
  /// standard error. Differences of two models' influences give the paired interval.
  std::vector<double> influence;
  /// Size that a drop is relative to when the value itself is 0 (mse of the input model against
  /// itself).
  double scale = 1;
  /// Samples with NaN or infinity in the output; such values count as 0 and decide nothing.
  size_t not_finite = 0;
};

/// How much worse a model is than another on the same samples (rules.md 1).
struct Comparison {
  /// Positive: worse. Points metrics: difference of shares. sqnr: difference of the relative errors
  /// 10^(-dB/20). Others: relative to the base.
  double drop = 0;
  double low = 0, high = 0;  ///< 95 % interval of the drop, paired
  /// drop <= max(0.002, half of the interval).
  bool not_below() const;
};

struct EvaluatorOptions {
  std::string metric = "";  ///< "" chooses from labels and output (rules.md 3)
  std::string output = "";  ///< of the model; "" is the first
  size_t batch = 1;         ///< samples a Run, where they can be stacked; 1 is exact
  int threads = 1;
  size_t cache_bytes = size_t{64} << 20;  ///< for outputs and decisions of the reference
  std::function<void(size_t done, size_t total)> progress = {};
};

/// Scores models on one data set by one metric, against one reference (the input model).
class Evaluator {
 public:
  virtual ~Evaluator() = default;
  virtual const MetricInfo& metric() const = 0;
  /// "asked for", or why this metric was chosen: "labels and an output of 10 classes".
  virtual const std::string& reason() const = 0;
  virtual const Dataset& data() const = 0;
  /// The reference's own result; measured once.
  virtual const EvaluationResult& baseline() = 0;
  /// Throws kData where labels do not fit the outputs, kModel where a model lacks the output, and
  /// what Session::run throws.
  virtual EvaluationResult evaluate(const Model& model) = 0;
  virtual Comparison compare(const EvaluationResult& base,
                             const EvaluationResult& candidate) const = 0;
};

/// Runs one sample to see what the output is like (declared shapes lie), chooses the metric where
/// none is asked for, and checks all labels. Throws kData for labels that are missing, of a wrong
/// type, or out of range, naming the data.
std::unique_ptr<Evaluator> make_evaluator(std::shared_ptr<RuntimeService> runtime,
                                          std::shared_ptr<const Dataset> data,
                                          const Model& reference,
                                          const EvaluatorOptions& options = {});

}  // namespace mcompress
