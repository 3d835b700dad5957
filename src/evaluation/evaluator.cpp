// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "data/names.h"
#include "evaluation/scorer.h"
#include "mcompress/error.h"
#include "mcompress/metric.h"
#include "support/did_you_mean.h"

namespace mcompress {
namespace evaluation {
namespace {

/// Outputs of the reference and what it decided, per row. What does not fit the budget is computed
/// anew.
struct Remembered {
  std::optional<std::vector<float>> output;
  std::optional<std::vector<int32_t>> decision;
};

/// Output `index` of `session` by name; throws kModel when the model has none of that name.
size_t find_output(const std::vector<std::string>& names, const std::string& wanted) {
  if (names.empty()) throw Error(ErrorCode::kModel, "the model has no outputs");
  if (wanted.empty()) return 0;
  const auto at = std::ranges::find(names, wanted);
  if (at == names.end()) {
    throw Error(ErrorCode::kModel,
                fmt::format("no output '{}'; there are {}", wanted, data::list_names(names)))
        .hint(did_you_mean(wanted, names));
  }
  return static_cast<size_t>(at - names.begin());
}

/// Shape of one row when `rows` of them lie along the first axis.
Shape row_shape(const Tensor& output, size_t rows, const std::string& name) {
  const Shape& shape = output.shape();
  const bool first_is_batch = !shape.empty() && shape[0] == static_cast<int64_t>(rows);
  if (rows == 1 && !first_is_batch) return shape;
  if (!first_is_batch) {
    throw Error(ErrorCode::kModel,
                fmt::format("{}: shape {} for a batch of {}", name, to_string(shape), rows))
        .hint("evaluate with batch 1");
  }
  return {shape.begin() + 1, shape.end()};
}

/// Replaces what is not finite by 0; true when there was any.
bool make_finite(std::span<float> values) {
  bool found = false;
  for (float& value : values) {
    if (std::isfinite(value)) continue;
    value = 0;
    found = true;
  }
  return found;
}

/// Reads all labels once.
LabelProfile describe_labels(const Dataset& data) {
  LabelProfile profile;
  profile.present = data.has_labels();
  if (!profile.present) return profile;
  const Tensor first = *data.labels(0, 1);
  profile.integer = !is_floating(first.type());
  profile.row.assign(first.shape().begin() + 1, first.shape().end());
  if (!profile.integer) return profile;
  profile.least = std::numeric_limits<int64_t>::max();
  profile.largest = std::numeric_limits<int64_t>::min();
  for (size_t sample = 0; sample < data.size(); ++sample) {
    for (const int64_t id : data.labels(sample, 1)->to_int64()) {
      profile.least = std::min(profile.least, id);
      profile.largest = std::max(profile.largest, id);
    }
  }
  return profile;
}

class DatasetEvaluator final : public Evaluator {
 public:
  DatasetEvaluator(std::shared_ptr<RuntimeService> runtime, std::shared_ptr<const Dataset> data,
                   const Model& reference, EvaluatorOptions options)
      : runtime_(std::move(runtime)),
        data_(std::move(data)),
        reference_(reference.clone()),
        options_(std::move(options)),
        labels_(describe_labels(*data_)) {
    batch_ = data_->batchable() ? std::clamp<size_t>(options_.batch, 1, data_->size()) : 1;
    probe();
    choose();
  }

  const MetricInfo& metric() const override { return *info_; }
  const std::string& reason() const override { return reason_; }
  const Dataset& data() const override { return *data_; }

  const EvaluationResult& baseline() override {
    if (!baseline_) {
      baseline_ = run(reference_, true);
      known_.push_front({reference_.fingerprint(), *baseline_});
    }
    return *baseline_;
  }

  EvaluationResult evaluate(const Model& model) override {
    const Fingerprint state = model.fingerprint();
    const auto at = std::ranges::find_if(known_, [&](const Known& k) { return k.state == state; });
    if (at != known_.end()) return at->result;
    EvaluationResult result = run(model, false);
    known_.push_front({state, result});
    if (known_.size() > kKnown) known_.pop_back();
    return result;
  }

  Comparison compare(const EvaluationResult& base,
                     const EvaluationResult& candidate) const override {
    return compare_results(*info_, base, candidate);
  }

 private:
  /// A step asks for what the one before it was judged by, and judges a candidate that it then keeps.
  static constexpr size_t kKnown = 4;
  struct Known {
    Fingerprint state;
    EvaluationResult result;
  };

  size_t rows_in(size_t samples) const { return samples * data_->rows_per_sample(); }

  std::unique_ptr<Session> open(const Model& model) const {
    SessionOptions options;
    options.threads = options_.threads;
    return runtime_->open(model, options);
  }

  void probe() {
    const auto session = open(reference_);
    const size_t index = find_output(session->output_names(), options_.output);
    output_ = describe_output(reference_, session->output_names()[index], index);
    // A few samples tell whether outputs are probabilities; one tells their shape.
    constexpr size_t kProbes = 8;
    for (size_t sample = 0; sample < std::min(kProbes, data_->size()); ++sample) {
      const Tensor output = session->run(data_->feeds(sample, 1)).at(index);
      if (sample == 0) {
        output_.type = output.type();
        output_.row = row_shape(output, rows_in(1), output_.name);
      }
      for (const float value : output.to_float()) {
        output_.probabilities = output_.probabilities && value >= 0 && value <= 1;
      }
    }
    place_classes(output_, labels_);
  }

  void choose() {
    reason_ = "asked for";
    std::string name = options_.metric;
    if (name.empty()) {
      const Choice choice = choose_metric(output_, labels_);
      name = choice.metric;
      reason_ = choice.reason;
    }
    info_ = &find_metric(name);
    scorer_ = make_scorer(*info_, output_, labels_, data_->description());
    decider_ = Decider(scorer_->decision(), output_);
    const bool against_reference = (name == "mse" || name == "mae") &&
                                   !(labels_.present && labels_.row_size() == output_.row_size());
    needs_reference_ = info_->needs_reference || against_reference;
    keeps_outputs_ = needs_reference_ && scorer_->decision() == DecisionKind::kNone;
  }

  EvaluationResult run(const Model& model, bool is_reference) {
    const auto session = open(model);
    const size_t index = find_output(session->output_names(), output_.name);
    std::unique_ptr<Session> other;  // of the reference, opened when something is not remembered
    const size_t width = scorer_->columns();
    std::vector<double> statistics;
    size_t not_finite = 0;
    for (size_t first = 0; first < data_->size(); first += batch_) {
      const size_t count = std::min(batch_, data_->size() - first);
      const Feeds feeds = data_->feeds(first, count);
      std::vector<float> output = session->run(feeds).at(index).to_float();
      const size_t row_size = check_output(output.size(), count);
      if (needs_reference_ && !is_reference && !is_remembered(first, count)) {
        if (!other) other = open(reference_);
        remember(first, count, other->run(feeds).at(output_.index).to_float());
      }
      if (needs_reference_ && is_reference) remember(first, count, output);
      const std::optional<Tensor> labels = data_->labels(first, count);
      size_t label_at = 0;
      for (size_t sample = first; sample < first + count; ++sample) {
        for (size_t row = 0; row < data_->rows(sample); ++row) {
          const size_t at = (sample - first) * data_->rows_per_sample() + row;
          const std::span<float> values = std::span(output).subspan(at * row_size, row_size);
          statistics.resize(statistics.size() + width);
          not_finite += score_row(values, labels, label_at++, row_index(sample, row),
                                  std::span(statistics).last(width));
        }
      }
      forget(first, count);
      if (options_.progress) options_.progress(first + count, data_->size());
    }
    EvaluationResult result = scorer_->summarize(statistics);
    result.not_finite = not_finite;
    return result;
  }

  size_t check_output(size_t values, size_t count) const {
    const size_t rows = rows_in(count), wanted = output_.row_size() * rows;
    // Sequences may vary in length from sample to sample; then batches are of one.
    if (values != wanted && (rows != 1 || values == 0)) {
      throw Error(ErrorCode::kModel, fmt::format("{}: {} values for a batch of {}, {} expected",
                                                 output_.name, values, rows, wanted));
    }
    return values / rows;
  }

  size_t row_index(size_t sample, size_t row) const {
    return sample * data_->rows_per_sample() + row;
  }

  /// Returns 1 when the row had values that are not finite.
  size_t score_row(std::span<float> values, const std::optional<Tensor>& labels, size_t label_row,
                   size_t index, std::span<double> statistics) {
    Row row;
    const std::vector<int32_t> decision = decider_for(values.size()).decide(values);
    const bool bad = make_finite(values);
    row.output = values;
    row.decision = decision;
    std::vector<int64_t> ids;
    std::vector<float> targets;
    if (labels) {
      const Tensor own = one_label(*labels, label_row);
      if (labels_.integer) ids = own.to_int64();
      targets = own.to_float();
      row.ids = ids;
      row.targets = targets;
    }
    if (needs_reference_) {
      const Remembered& other = remembered_[index];
      if (other.output) row.reference = *other.output;
      if (other.decision) row.reference_decision = *other.decision;
      if (keeps_outputs_ && row.reference.size() != row.output.size()) {
        throw Error(ErrorCode::kModel,
                    fmt::format("{}: {} values a sample, the input model gives {}", output_.name,
                                row.output.size(), row.reference.size()));
      }
    }
    scorer_->score(row, statistics);
    return bad ? 1 : 0;
  }

  /// A sequence longer or shorter than that of the probe has other places, not other classes.
  Decider decider_for(size_t values) const {
    if (values == output_.row_size()) return decider_;
    OutputProfile profile = output_;
    const auto classes = static_cast<int64_t>(decider_.classes());
    if (scorer_->decision() == DecisionKind::kNone) return decider_;
    if (static_cast<int64_t>(values) % classes != 0 ||
        scorer_->decision() == DecisionKind::kClass) {
      throw Error(ErrorCode::kModel, fmt::format("{}: {} values a sample, the first sample had {}",
                                                 output_.name, values, output_.row_size()));
    }
    profile.row = {static_cast<int64_t>(values) / classes, classes};
    if (profile.row[0] == 1) profile.row = {classes};
    return Decider(scorer_->decision(), profile);
  }

  static Tensor one_label(const Tensor& labels, size_t row) {
    Shape shape = labels.shape();
    const size_t bytes = labels.byte_size() / static_cast<size_t>(shape[0]);
    shape[0] = 1;
    return Tensor(labels.type(), std::move(shape), labels.bytes().subspan(row * bytes, bytes));
  }

  bool is_remembered(size_t first, size_t count) const {
    for (size_t sample = first; sample < first + count; ++sample) {
      const size_t index = row_index(sample, 0);
      if (index >= remembered_.size()) return false;
      if (keeps_outputs_ ? !remembered_[index].output : !remembered_[index].decision) return false;
    }
    return true;
  }

  void remember(size_t first, size_t count, std::vector<float> output) {
    const size_t row_size = check_output(output.size(), count);
    const size_t end = row_index(first + count, 0);
    if (remembered_.size() < end) remembered_.resize(end);
    for (size_t index = row_index(first, 0), at = 0; index < end; ++index, at += row_size) {
      const std::span<float> values = std::span(output).subspan(at, row_size);
      Remembered& entry = remembered_[index];
      if (keeps_outputs_) {
        if (!entry.output) remembered_bytes_ += values.size() * sizeof(float);
        make_finite(values);
        entry.output.emplace(values.begin(), values.end());
      } else {
        if (!entry.decision)
          remembered_bytes_ += sizeof(int32_t) * decider_for(row_size).decide(values).size();
        entry.decision = decider_for(row_size).decide(values);
      }
    }
  }

  /// Keeps the first samples up to the budget: the same ones in every evaluation.
  void forget(size_t first, size_t count) {
    if (!needs_reference_ || remembered_bytes_ <= options_.cache_bytes) return;
    for (size_t index = row_index(first, 0); index < row_index(first + count, 0); ++index) {
      Remembered& entry = remembered_[index];
      if (entry.output) remembered_bytes_ -= entry.output->size() * sizeof(float);
      if (entry.decision) remembered_bytes_ -= entry.decision->size() * sizeof(int32_t);
      entry = {};
    }
  }

  std::shared_ptr<RuntimeService> runtime_;
  std::shared_ptr<const Dataset> data_;
  Model reference_;
  EvaluatorOptions options_;
  LabelProfile labels_;
  OutputProfile output_;
  const MetricInfo* info_ = nullptr;
  std::string reason_;
  std::unique_ptr<Scorer> scorer_;
  Decider decider_;
  bool needs_reference_ = false;
  bool keeps_outputs_ = false;  ///< the scorer compares values, not decisions
  size_t batch_ = 1;
  std::optional<EvaluationResult> baseline_;
  std::deque<Known> known_;  ///< the latest results, of models as they were
  std::vector<Remembered> remembered_;
  size_t remembered_bytes_ = 0;
};

}  // namespace
}  // namespace evaluation

std::unique_ptr<Evaluator> make_evaluator(std::shared_ptr<RuntimeService> runtime,
                                          std::shared_ptr<const Dataset> data,
                                          const Model& reference, const EvaluatorOptions& options) {
  return std::make_unique<evaluation::DatasetEvaluator>(std::move(runtime), std::move(data),
                                                        reference, options);
}

}  // namespace mcompress
