// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/trainer.h"
#include "train/program.h"

namespace mcompress::train {

/// A trained constant: numbers that the optimizer moves (leaves) and how the constant is made of them, so that
/// what earlier steps made stays made.
class Parameter {
 public:
  virtual ~Parameter() = default;
  const std::string& name() const { return name_; }
  /// What the optimizer moves. A mask or an assignment is no leaf.
  virtual std::vector<at::Tensor>& leaves() = 0;
  /// The constant, made of `leaves` (one shard's own copies, in the order of leaves()).
  virtual at::Tensor value(std::span<const at::Tensor> leaves) const = 0;
  /// After each step of the optimizer: zeros back to zero.
  virtual void project() {}
  /// Puts the present value into the model (type of the file kept).
  virtual void store(Model& model) const = 0;
  /// Decay makes no sense of biases, norms and centroids.
  virtual bool decays() const = 0;

 protected:
  explicit Parameter(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;
};

/// Leaves of one kind each: plain (every element), masked (zeros stay zero), shared (one leaf per distinct value, whose
/// gradient is the sum over its members), integers behind a DequantizeLinear (float weight, learned scale).
/// Which one: ModelState::constraints; without an entry rules.md 15 for foreign files.
std::vector<std::unique_ptr<Parameter>> make_parameters(const Model& model, const Program& program,
                                                        const std::vector<std::string>& names,
                                                        const TrainingTask& task);

}  // namespace mcompress::train
