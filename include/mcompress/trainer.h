// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/dataset.h"
#include "mcompress/model.h"

namespace mcompress {

enum class OptimizerKind { kSgd, kAdam, kAdamW };

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::kAdam;
  double learning_rate = 1e-3;
  double momentum = 0.9;      ///< of SGD; beta1 of Adam
  double beta2 = 0.999;       ///< of Adam
  double weight_decay = 0;    ///< decoupled for AdamW, else added to the gradient; not for vectors
  double clip_norm = 0;       ///< largest norm of all gradients together; 0: none
};

/// How the learning rate goes over the steps of a run.
enum class RateSchedule { kConstant, kCosine, kStep, kLinear };

struct RateOptions {
  RateSchedule schedule = RateSchedule::kCosine;
  double warmup = 0;        ///< share of all steps in which the rate rises from 0
  double last = 0;          ///< of cosine and linear: share of the rate that is left at the end
  double step_every = 0.3;  ///< of step: share of all steps after which the rate falls
  double step_factor = 0.1;
};

/// Changes of the first input of rank 4 [batch, channels, height, width], drawn for each sample anew.
struct AugmentOptions {
  int64_t shift = 0;     ///< at most so many pixels to each side, filled with the edge
  bool flip = false;     ///< left and right, every other sample
  int64_t crop = 0;      ///< padded by so many pixels, and a window of the old size cut out
  double noise = 0;      ///< standard deviation, as a share of the input's own
  double share = 1;      ///< of the samples that shift, crop and noise act on
  double mixup = 0;      ///< alpha of Beta(alpha, alpha) by which pairs of samples are mixed (1710.09412)
};

/// kAuto: from labels and output: class numbers and class scores give cross-entropy, floats of the
/// output's shape mean square (or binary where all are 0 or 1), sequences CTC.
enum class LossKind { kAuto, kCrossEntropy, kBinary, kMeanSquare, kCtc };

struct LossOptions {
  LossKind kind = LossKind::kAuto;
  std::string output = "";      ///< of the model; "" is the first
  double label_smoothing = 0;   ///< share of the label's weight that all classes get
};

/// Runs another model on a batch, in ONNX Runtime: its output, then its features.
struct Teacher {
  std::function<std::vector<Tensor>(const Feeds& batch)> run;
  double weight = 1;  ///< of its output in the mean
};

/// A value of the student that shall be like one of the teacher.
struct FeaturePair {
  std::string student, teacher;  ///< names of values; `teacher` is of the first teacher
};

/// L = (1 - weight) hard + weight T^2 KL(softmax(teacher / T) || softmax(student / T))  (1503.02531), and
/// feature_weight times the mean squared difference of features. Where the loss is no cross-entropy the
/// second term is the mean squared difference of the outputs.
struct DistillOptions {
  std::vector<Teacher> teachers;  ///< their weighted mean is the target
  double temperature = 4;
  double weight = 0.5;            ///< of the soft part; 1 where there are no labels
  std::vector<FeaturePair> features = {};
  double feature_weight = 1;
  /// The best model so far teaches from the second round on (self-distillation).
  bool self = false;
  int self_every = 1;             ///< epochs of a round
};

/// Pruning while training (1710.01878): the sparsity follows `curve` from the first to the `until`
/// share of all steps.
enum class PruneScore { kMagnitude, kMovement };
struct GradualPruning {
  std::vector<std::string> weights;  ///< names of the constants
  double from = 0, to = 0.9;         ///< share of zeros, of all weights together or of each
  enum class Curve { kCubic, kLinear, kExponential } curve = Curve::kCubic;
  enum class Scope { kLocal, kGlobal } scope = Scope::kLocal;
  PruneScore score = PruneScore::kMagnitude;
  double until = 0.6;                ///< share of all steps at which `to` is reached
  int64_t every = 0;                 ///< steps between two masks; 0: by the number of steps
  /// Share of the pruned weights that may come back at each mask: those of the largest gradient.
  double regrow = 0;
  std::vector<double> per_weight = {};  ///< `to` of each of `weights`, where they differ
};

/// What happens to quantization that the model holds (quantize-aware-train). What is named is the
/// constant of integers behind a DequantizeLinear; TrainingTask::parameters may name it, too.
struct QuantizerTraining {
  bool enabled = false;         ///< otherwise integers and scales stay as they are
  bool learn_scales = true;     ///< LSQ (1902.08153); false: only what is rounded is trained
  /// By name of a stored integer weight or bias: the floats that training starts from. What is not
  /// named starts from the dequantized integers.
  std::vector<std::pair<std::string, Tensor>> start = {};
  /// Codes of weights stay within -limit..limit, 0: are -1 or 1; others use their type.
  std::vector<std::pair<std::string, int64_t>> limits = {};
  std::vector<std::string> pairs = {};  ///< weights whose codes obey numerics/pair_rule.h
};

struct TrainingProgress {
  int epoch = 0, epochs = 0;   ///< from 1; of all
  size_t step = 0, steps = 0;  ///< of all
  double loss = 0;             ///< running mean
  /// After the epoch's end.
  std::optional<double> validation_loss, metric;
  double seconds_left = 0;
};

/// How a training goes, whoever asks for it.
struct TrainingPlan {
  double epochs = 1;
  OptimizerOptions optimizer = {};
  RateOptions rate = {};
  AugmentOptions augment = {};
  LossOptions loss = {};
  /// Batch normalization: statistics of the file, or of the batches with the file's updated.
  bool update_batch_norm = false;
  int patience = 0;                            ///< epochs without a better score; 0: all
};

struct TrainingTask : TrainingPlan {
  std::shared_ptr<const Dataset> data;         ///< batchable
  /// Held out: the loss of each epoch on it is told, and decides where scores are equal. May be null.
  std::shared_ptr<const Dataset> validation = {};
  /// Trained values by name of the constant; empty: all that can be (Trainer::check).
  std::vector<std::string> parameters = {};
  std::optional<size_t> steps = {};            ///< instead of epochs
  size_t batch = 64;
  DistillOptions distill = {};
  std::optional<GradualPruning> prune = {};
  QuantizerTraining quantizers = {};
  /// Keeps zeros, codebooks and ties (rules.md 15): what ModelState records, and for foreign files what
  /// the weights show.
  bool keep_structure = true;
  /// Runs what lies before the part that can be trained, in ONNX Runtime: batch -> the values named
  /// by TrainingCheck::fed. Empty where they are the model's inputs.
  std::function<Feeds(const Feeds& batch)> prefix = {};
  /// Scores a candidate, higher is better: after each epoch the best is kept. Without it the last is.
  std::function<double(const Model& candidate)> judge = {};
  std::filesystem::path checkpoint = {};       ///< written after each epoch, read at the start if there
  uint64_t seed = 0;
  int threads = 1;
  /// After each step. Throwing kInterrupted ends the training: the best so far is the result.
  std::function<void(const TrainingProgress&)> progress = {};
};

struct TrainingEpoch {
  double loss = 0;
  std::optional<double> validation_loss;  ///< of TrainingTask::validation
  std::optional<double> score;  ///< of `judge`
  double learning_rate = 0;
  double seconds = 0;
};

struct TrainingResult {
  std::vector<TrainingEpoch> epochs;
  int best_epoch = 0;             ///< from 1; 0: nothing was better than the start
  std::optional<double> start_score, best_score;
  size_t parameters = 0;          ///< numbers that were trained
  std::vector<std::string> warnings;  ///< "stopped at step 40: the loss is not finite"
  std::string resumed;            ///< "after epoch 3, step 120 of 400": what a checkpoint had done
  bool interrupted = false;       ///< by `progress`, after the first step
  bool changed = false;
};

/// What of a model can be trained.
struct TrainingCheck {
  /// Nodes that no gradient passes ("NonMaxSuppression_7: no gradient"), between the trained part and
  /// the outputs: with one of these nothing can be trained.
  std::vector<std::string> obstacles;
  /// Values where the trained part begins: the model's inputs, or ends of a frozen prefix.
  std::vector<std::string> fed;
  bool has_prefix = false;
  std::vector<std::string> frozen;      ///< labels of the nodes of the prefix that stop the gradient
  std::vector<std::string> parameters;  ///< names of constants that can be trained
};

/// Trains models; implemented in src/train with libtorch, which is opened only when a recipe trains.
class Trainer {
 public:
  virtual ~Trainer() = default;
  virtual std::string version() const = 0;
  /// Reads the graph only.
  virtual TrainingCheck check(const Model& model, const std::string& output = "") = 0;
  /// Changes constants of `model` in place, to the best ones found. The same for any number of threads.
  /// Throws kData for labels that are missing or do not fit and for less data than one batch, kModel for
  /// a model without anything to train, and what `judge`, teachers and `progress` throw; `model` is then
  /// untouched. kInterrupted after the first step is no error: TrainingResult::interrupted.
  virtual TrainingResult train(Model& model, const TrainingTask& task) = 0;
  /// Outputs (or other values) of the model as the trainer computes them; for tests of its operators.
  virtual std::vector<Tensor> run(const Model& model, const Feeds& feeds,
                                  const std::vector<std::string>& values) = 0;
};

/// Opens libmcompress-train.so beside the program, in ../lib of it, or at `library`. Throws kRuntime
/// with a hint when it is missing or of another version.
std::shared_ptr<Trainer> open_trainer(const std::filesystem::path& library = {});

}  // namespace mcompress
