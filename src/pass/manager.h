// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "mcompress/pass.h"
#include "mcompress/pass_context.h"
#include "mcompress/recipe.h"

namespace mcompress {

/// What one run of a pass did.
struct PassOutcome {
  bool changed = false;
  double seconds = 0;
  std::string options;  ///< effective, on one line: "sparsity: 0.9, scope: global"
};

/// Runs passes with the checks that keep them honest: `changed` is compared with the fingerprint,
/// the graph is checked, the runtime must load what comes out (architecture.md section 1).
class PassManager {
 public:
  PassManager(const PassRegistry& passes, PassContext& context)
      : passes_(passes), context_(context) {}

  /// Binds the options of `step` and runs its pass. On an exception `model` is as it was before. An
  /// Error gets the pass as context; a lie or a model that does not load is a kBug. Records of the
  /// context are those of this run afterwards.
  PassOutcome run(Model& model, const StepSpec& step);

  /// A pass with the options of `step` bound; throws kRecipe listing what is wrong with them.
  std::unique_ptr<Pass> bind(const StepSpec& step) const;

  Fidelity fidelity(const std::string& pass) const;

 private:
  bool run_restarting(Model& model, const StepSpec& step);
  /// The pass stores weights in 8 bits or fewer.
  bool quantizes(const StepSpec& step) const;
  void check_services(const Pass& pass) const;
  void verify(const Model& before, const Model& after, const std::string& pass) const;

  const PassRegistry& passes_;
  PassContext& context_;
};

/// Options of a bound pass on one line, as a recipe would have them.
std::string one_line(const ConfigValue& options);

}  // namespace mcompress
