// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/trainer.h"

namespace mcompress::train {

/// A trained value of the graph: numbers that the optimizer moves (leaves) and how the value is
/// made of them, so that what earlier steps made stays made. Not thread-safe.
class Parameter {
 public:
  virtual ~Parameter() = default;
  /// Of the value that a Program is given: a constant, or the output of a DequantizeLinear.
  const std::string& name() const { return name_; }
  /// What the optimizer moves, in place: contiguous floats or doubles, without gradients. A mask or
  /// an assignment is no leaf.
  virtual std::vector<at::Tensor>& leaves() = 0;
  /// The value, made of `leaves` (copies in the order of leaves(), which may ask for gradients).
  /// Called once a step; the gradient of all shards goes back through it.
  virtual at::Tensor value(std::span<const at::Tensor> leaves) const = 0;
  /// After each step of the optimizer: zeros back to zero, scales back above 0.
  virtual void project() {}
  /// Puts the present value into a model with the same constants (type of the file kept).
  virtual void store(Model& model) const = 0;
  /// Decay makes no sense of biases, norms and centroids.
  virtual bool decays() const = 0;
  /// Numbers that are trained.
  virtual size_t count() const;

  /// All that changes in training, for keeping the best and for checkpoints: copies.
  virtual std::vector<at::Tensor> snapshot() const;
  virtual void restore(const std::vector<at::Tensor>& snapshot);

  /// For pruning while training: 1 where an element is kept, else 0, of the value's shape. With
  /// `keep_masked` what is masked keeps its number (not its effect), so that a later mask may bring
  /// it back. False where this kind of parameter has no masks.
  virtual bool set_mask(const at::Tensor& /*mask*/, bool /*keep_masked*/) { return false; }
  /// Undefined without one.
  virtual at::Tensor mask() const { return {}; }

 protected:
  explicit Parameter(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;
};

/// A constant that always is another parameter's value, or that transposed: layers that an earlier
/// step tied and that another one gave copies of their own.
struct TiedCopy {
  std::string name;
  size_t source = 0;  ///< index among the parameters
  bool transposed = false;
};

struct ParameterSet {
  std::vector<std::unique_ptr<Parameter>> parameters;
  std::vector<TiedCopy> copies;

  size_t count() const;
  /// Names that a Program gets values for: of parameters and copies.
  std::vector<std::string> names() const;
  void store(Model& model) const;
};

/// Parameters of one kind each: plain (every element), masked (zeros stay zero), shared (one leaf
/// per distinct value other than 0, whose gradient is the sum over its members), and with
/// task.quantizers.enabled those of quantizers.h. Which one: ModelState::constraints; weights of
/// layers without an entry by rules.md 15; all plain without task.keep_structure. Leaves out names
/// that are no plain constants of the model, and constants with values that are not finite or below
/// -1e4, which mask and are no weights.
ParameterSet make_parameters(const Model& model, const std::vector<std::string>& names,
                             const TrainingTask& task);

/// For tests and other kinds of parameters.
std::unique_ptr<Parameter> make_dense_parameter(std::string name, const at::Tensor& value,
                                                bool keep_zeros);
std::unique_ptr<Parameter> make_shared_parameter(std::string name, const at::Tensor& value);
/// Writes `value` under a constant's name in the type that the file has.
void store_constant(Model& model, const std::string& name, const at::Tensor& value);

}  // namespace mcompress::train
