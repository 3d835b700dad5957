// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mcompress/pass_context.h"
#include "mcompress/recipe.h"
#include "tests/support/model_text.h"

namespace mcompress::test {

using Options = std::map<std::string, std::string>;

/// ONNX Runtime, opened once per program.
std::shared_ptr<RuntimeService> runtime();
/// A context with the runtime and the opset service and nothing else.
PassContext make_context(int threads = 1);
/// The same with calibration data: `samples` random feeds for `model`.
PassContext make_data_context(const Model& model, int threads = 1, size_t samples = 4);

struct Outcome {
  bool changed = false;
  std::map<std::string, int64_t> counters;
  std::vector<PassContext::Skip> skips;
  std::vector<std::string> warnings;
};
/// Runs a built-in pass under the manager: a lie about `changed`, or a model that does not load,
/// throws.
Outcome run_pass(std::string_view pass, Model& model, const Options& options = {},
                 PassContext* context = nullptr);

/// `before` becomes `after` (compared in normal form), and the result computes the same within
/// what the pass promises.
void expect_rewrite(std::string_view pass, std::string_view before, std::string_view after,
                    const Options& options = {}, int64_t opset = 17);
/// The pass leaves the model alone; with a `reason`, some skip says so.
void expect_unchanged(std::string_view pass, std::string_view text, std::string_view reason = "",
                      const Options& options = {}, int64_t opset = 17);

/// Largest |a - b| allowed, relative to the largest |a| of each output.
struct Tolerance {
  double relative = 1e-4;
  bool optimize = true;  ///< run with the runtime's optimizations
};
inline constexpr Tolerance kExact{0.0, false};
inline constexpr Tolerance kRounding{1e-4, true};
/// Both models on the same feeds. Open dimensions are 2, then 3.
void expect_close(const Model& before, const Model& after, Tolerance tolerance = {},
                  uint64_t seed = 1);
/// Feeds for every input of a model: floats in -3..3, integers 0..3, booleans true.
Feeds random_feeds(const Model& model, uint64_t seed);
/// What a pass of this fidelity promises (rules.md 9).
Tolerance tolerance_of(Fidelity fidelity);
/// Empty when all outputs agree, else what differs by how much.
std::string difference(const std::vector<Tensor>& before, const std::vector<Tensor>& after,
                       double relative);

}  // namespace mcompress::test
