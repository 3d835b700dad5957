// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcompress/dataset.h"
#include "mcompress/layer.h"
#include "mcompress/model.h"
#include "mcompress/runtime_service.h"
#include "mcompress/target.h"
#include "mcompress/trainer.h"
#include "mcompress/value_types.h"

namespace mcompress {

/// What became of a layer in a step; feeds the per-layer report.
struct LayerDecision {
  std::string method;   ///< "svd rank 64", "int8 per-channel", "codebook 15"
  std::string detail;   ///< free text for --explain
  double rank = 0;      ///< 0: not a low-rank layer
};

/// Progress of long work; drawn by the tool on a terminal only.
class Progress {
 public:
  virtual ~Progress() = default;
  virtual void begin(std::string_view what, size_t total) = 0;
  virtual void advance(size_t by = 1) = 0;
  virtual void end() = 0;
  /// Other words for what was begun last.
  virtual void change(std::string_view what) {
    end();
    begin(what, 0);
  }
};

/// Raises the opset of a model (implemented in src/opset, bound in compress.cpp).
class OpsetService {
 public:
  virtual ~OpsetService() = default;
  /// Throws Unsupported before any edit when some op has no rule; true when something changed.
  virtual bool raise(Model& model, int64_t version, const ValueTypes& types) = 0;
};

/// How the range of a value is chosen from its histogram (algorithms.md section 2).
/// kAuto: of the others the one with the least error at the output, value by value.
enum class RangeMethod { kMinMax, kMovingAverage, kPercentile, kEntropy, kMse, kAuto };

struct RangeOptions {
  RangeMethod method = RangeMethod::kMse;
  double percentile = 99.99;
  int bits = 8;             ///< of the integer grid the range is for
  bool symmetric = false;
};

/// Range of one value over the calibration data. Contains 0.
struct ValueRange {
  float low = 0, high = 0;    ///< chosen by the method
  float min = 0, max = 0;     ///< exact
  uint64_t count = 0;
  uint64_t not_finite = 0;    ///< NaN and infinities, not counted in the histogram
};

/// A value to watch; with `channel_axis` >= 0 also per channel along that axis.
struct ObservedValue {
  std::string name;
  int channel_axis = -1;
};

/// Over all samples and positions, per channel.
struct ChannelStatistics {
  std::vector<double> mean, mean_square;
  std::vector<float> min, max;
};

/// Of the rows X that a layer multiplies with the matrix of one group of its weight, over all samples
/// and positions (im2col with the layer's pads, strides and dilations): algorithms.md section 3.
struct LayerMoments {
  int64_t inputs = 0;        ///< K: rows of analysis::LayerMatrix
  int64_t rows = 0;          ///< that were counted
  std::vector<double> gram;  ///< X^T X / rows, symmetric [inputs, inputs]
  std::vector<double> mean;  ///< of each input
};

/// Statistics of inner values over the calibration data, in bounded memory (src/calibration).
class CalibrationService {
 public:
  virtual ~CalibrationService() = default;
  /// Throws kData where there is only a table.
  virtual const Dataset& data() const = 0;
  /// False where all that is known comes from a table (mcompress calibrate): then `data`, `moments` and
  /// `for_each` throw kData.
  virtual bool has_data() const { return true; }
  /// Runs the data once and collects histograms (and channels) of values of the main graph; what is known of
  /// this very model, or stands in the table, is not collected again. Throws kData for NaN or infinities in
  /// what the model computes, naming the value and the sample.
  virtual void observe(const Model& model, std::span<const ObservedValue> values) = 0;
  /// Of an observed value; nullopt for one that was not observed or is no float.
  virtual std::optional<ValueRange> range(const Model& model, const std::string& value,
                                          const RangeOptions& options) = 0;
  /// Of a value observed with a channel axis.
  virtual std::optional<ChannelStatistics> channels(const Model& model, const std::string& value) = 0;
  /// Calls `visit` once for each layer that has a matrix (analysis/layer_matrix.h) and reads a value of
  /// the main graph, in the order of `layers`, with the moments of each of its groups. The data is run
  /// as often as it takes to keep all that is held at one time below a fixed budget; of large images
  /// evenly spread rows are taken. Returns, by layer, why it was left out, or "".
  virtual std::vector<std::string> moments(
      const Model& model, std::span<const Layer> layers,
      const std::function<void(size_t layer, std::span<const LayerMoments> groups)>& visit) = 0;
  /// Calls `visit` for each of the first `samples` samples with `values` (in groups to bound memory).
  virtual void for_each(const Model& model, std::span<const std::string> values, size_t samples,
                        const std::function<void(size_t sample,
                                                 std::span<const std::string> values_of_group,
                                                 std::span<const Tensor> tensors)>& visit) = 0;
};

class CostTable;
class Evaluator;

/// Everything a pass may use besides the model. A missing service is an error with a hint.
class PassContext {
 public:
  struct Services {
    std::shared_ptr<RuntimeService> runtime;
    std::shared_ptr<CalibrationService> calibration;
    std::shared_ptr<OpsetService> opset;
    std::shared_ptr<Progress> progress;
    /// Scores models on the validation data against the input model, where there is data.
    std::shared_ptr<Evaluator> evaluator = nullptr;
    /// Opens a file of mcompress calibrate for a model: throws kData where it was made for another one.
    /// What the table does not know comes from `data`, which may be null.
    std::function<std::shared_ptr<CalibrationService>(const std::string& file, const Model& model,
                                                      std::shared_ptr<CalibrationService> data)>
        open_table = {};
    /// Measured costs of this machine; without it the built-in costs of the target serve.
    std::shared_ptr<const CostTable> costs = nullptr;
    /// One sample to learn shapes with; without data zeros, which the model may refuse.
    std::optional<Feeds> sample = {};
    /// Of the role `training`; null without.
    std::shared_ptr<const Dataset> training_data = nullptr;
    /// Opens libmcompress-train.so; called when a step first trains.
    std::function<std::shared_ptr<Trainer>()> open_trainer = {};
    /// The model that the run began with; outlives the context.
    const Model* input_model = nullptr;
    Target target;
    uint64_t seed = 0;
    int threads = 1;
    bool explain = false;
  };
  explicit PassContext(Services services);

  RuntimeService& runtime();          ///< throws kRuntime without one
  CalibrationService& calibration();  ///< throws kData with a hint (--data calibration=...)
  bool has_runtime() const { return services_.runtime != nullptr; }
  bool has_calibration() const { return services_.calibration || table_; }
  /// Until the next step, calibration() answers from this file; "": from the data again. Called by the
  /// manager with Pass::calibration_table().
  void use_table(const std::string& file, const Model& model);
  void set_evaluator(std::shared_ptr<Evaluator> evaluator) {
    services_.evaluator = std::move(evaluator);
  }
  /// Null where there is no data to judge by.
  Evaluator* evaluator() const { return services_.evaluator.get(); }
  /// Null where the built-in costs of the target serve.
  const CostTable* costs() const { return services_.costs.get(); }
  /// The model as it was before the steps that quantized it, for passes that repair what those did;
  /// null before the first. Kept by the manager.
  const Model* reference() const { return reference_.get(); }
  void keep_reference(Model model);
  OpsetService& opset();
  Trainer& trainer();               ///< throws kRuntime with a hint (tools/setup --training)
  /// Throws kData with a hint (--data training=...).
  std::shared_ptr<const Dataset> training_data() const;
  bool has_training_data() const { return services_.training_data != nullptr; }
  /// The model that the run began with; null outside of a run.
  const Model* input_model() const { return services_.input_model; }
  uint64_t seed() const { return services_.seed; }
  Progress& progress();
  const Target& target() const { return services_.target; }
  int threads() const { return services_.threads; }
  /// Types of the values of `model` as it is now: asks the runtime, keeps the answer until the next edit.
  const ValueTypes& types(const Model& model);
  /// The same with the inputs' shapes fixed to those of the sample, for costs: static as far as the runtime can
  /// tell. Where it does not run the same as `types`.
  ValueTypes sample_types(const Model& model);
  /// Whoever puts an older state back into a Model calls this.
  void forget_types() { types_of_ = nullptr; }
  /// Raises the model's opset to at least `version`. Returns whether it changed; throws Unsupported.
  bool require_opset(Model& model, int64_t version);
  /// Seed for random numbers of this node in this step; independent of order and threads.
  uint64_t random_seed(const NodeRef& node) const;

  /// Layers chosen by `only` and `skip`; set by the manager for each step.
  const LayerSelection& selection() const { return selection_; }
  void set_selection(LayerSelection selection) { selection_ = std::move(selection); }
  void set_step(size_t step) { step_ = step; }

  /// Records for the report. Keyed by the layer's output value.
  void count(std::string_view counter, int64_t by = 1);
  void decided(const Layer& layer, LayerDecision decision);
  void skipped(const Layer& layer, std::string reason);
  /// A pattern that was not changed and is not a layer ("Clip_12": "bounds are not constant").
  void skipped(const NodeRef& node, std::string reason);
  void warn(std::string message);
  /// Worth knowing, and nothing to worry about.
  void note(std::string message);
  /// An epoch of training; its score is the metric in its own unit. `best`: the step's result.
  void trained(const TrainingEpoch& epoch, bool best);
  /// After this step the run goes on to encoding and writing: it was interrupted, and what the step
  /// has so far is worth keeping. Takes the interrupt back, so that the rest can run.
  void finish_early();
  bool finishes_early() const { return finishes_early_; }
  /// A file of its own for each step of the run that asks for this one: the first gets it as it is, the
  /// others NAME-2.EXT, NAME-3.EXT... "" stays "".
  std::filesystem::path own_file(const std::filesystem::path& file);

  struct Decision {
    std::string layer;   ///< label
    std::string output;  ///< identity
    LayerDecision decision;
  };
  struct Skip {
    std::string layer;
    std::string output;
    std::string reason;
  };
  struct Epoch {
    TrainingEpoch figures;
    bool best = false;
  };
  const std::map<std::string, int64_t>& counters() const { return counters_; }
  const std::vector<Decision>& decisions() const { return decisions_; }
  const std::vector<Skip>& skips() const { return skips_; }
  const std::vector<std::string>& warnings() const { return warnings_; }
  const std::vector<std::string>& notes() const { return notes_; }
  const std::vector<Epoch>& epochs() const { return epochs_; }
  /// Forgets what was recorded (before each step).
  void clear_records();

  /// Layers, by output, that this step must leave alone, with the reason (see pass/late_refusal.h).
  void refuse(const std::string& layer_output, std::string reason);
  const std::string* refused(const std::string& layer_output) const;
  void clear_refusals() { refused_.clear(); }

 private:
  Services services_;
  std::shared_ptr<Trainer> trainer_;
  std::shared_ptr<CalibrationService> table_;
  LayerSelection selection_;
  size_t step_ = 0;
  std::map<std::string, int64_t> counters_;
  std::vector<Decision> decisions_;
  std::vector<Skip> skips_;
  std::vector<std::string> warnings_, notes_;
  std::vector<Epoch> epochs_;
  bool finishes_early_ = false;
  std::map<std::filesystem::path, int> file_uses_;
  std::map<std::string, std::string> refused_;
  std::shared_ptr<const Model> reference_;
  ValueTypes types_;
  const Model* types_of_ = nullptr;
  uint64_t types_at_ = 0;
};

}  // namespace mcompress
