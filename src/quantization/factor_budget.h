// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "quantization/factor_choice.h"

namespace mcompress::quantization {

/// Which ranks a budget may choose from.
struct BudgetRanks {
  int64_t multiple = 16;
  /// Only multiples; else narrow layers have finer ones where somebody knows what these do to the
  /// outputs, and where the budget needs them.
  bool only_multiples = false;
  std::function<bool(const FactorProblem& problem, const numerics::FactorPoint& point)> allowed;
};

/// Tries two points of each weight that has moments in copies of the model, each alone, and makes a
/// curve of what they do to its outputs. What decides between answers may be in the small singular
/// values: the share of a layer's energy that is lost does not tell.
void measure_curves(const Model& model, PassContext& context,
                    std::span<FactorProblem* const> problems);

/// Ranks of all layers at once: each takes one of its points or stays dense (then it has an
/// obstacle), so that they have `budget` parameters at most and the losses by their curves add up to
/// little. Returns the least parameters that can be had, which may be above the budget.
double share_out(std::span<FactorProblem* const> problems, double budget, const BudgetRanks& ranks);

}  // namespace mcompress::quantization
