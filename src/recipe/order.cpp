// SPDX-License-Identifier: Apache-2.0
// The sound order of steps (rules.md 14): clean, structured, low rank, sparsity, share or quantize,
// encode, name.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "recipe/binder.h"

namespace mcompress::recipe {
namespace {

enum class Stage { kClean, kStructured, kLowRank, kSparse, kShare, kQuantize, kEncode, kName };

struct Role {
  std::string_view pass;
  Stage stage;
  bool rescales = false;        ///< changes the scale of weights
  bool changes_values = false;  ///< has no meaning on quantized weights
  bool recurs = false;          ///< belongs after any stage up to its own
};

// Passes that are sound anywhere (eliminate-*, fold-constants, share-initializers, decode-weights)
// are not listed.
constexpr std::array kRoles{
    Role{"fold-batch-norm", Stage::kClean, true, true},
    Role{"fold-affine", Stage::kClean, true, true},
    Role{"fuse-activations", Stage::kClean},
    Role{"equalize-ranges", Stage::kClean, true, true},
    Role{"smooth-activations", Stage::kClean, true, true},
    Role{"prune-channels", Stage::kStructured, false, true},
    Role{"prune-layers", Stage::kStructured, false, true},
    Role{"factorize-weights", Stage::kLowRank, false, true},
    Role{"prune-magnitude", Stage::kSparse, false, true},
    Role{"prune-calibrated", Stage::kSparse, false, true},
    // Heals what low rank, pruning and sharing cost.
    Role{"fine-tune", Stage::kShare, false, true, true},
    Role{"share-weights", Stage::kShare, false, true},
    Role{"tie-weights", Stage::kShare, false, true},
    Role{"quantize-dynamic", Stage::kQuantize},
    Role{"quantize-static", Stage::kQuantize},
    Role{"quantize-weights", Stage::kQuantize},
    Role{"quantize-aware-train", Stage::kQuantize},
    Role{"correct-bias", Stage::kQuantize},
    Role{"convert-float16", Stage::kQuantize},
    Role{"encode-weights", Stage::kEncode},
    Role{"shorten-names", Stage::kName},
};

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::kClean:
      return "cleaning";
    case Stage::kStructured:
      return "structured pruning";
    case Stage::kLowRank:
      return "low rank";
    case Stage::kSparse:
      return "sparsity";
    case Stage::kShare:
      return "sharing";
    case Stage::kQuantize:
      return "quantization";
    case Stage::kEncode:
      return "encoding";
    case Stage::kName:
      return "naming";
  }
  return "";
}

const Role* find_role(std::string_view pass) {
  const auto* found = std::find_if(kRoles.begin(), kRoles.end(),
                                   [&](const Role& role) { return role.pass == pass; });
  return found == kRoles.end() ? nullptr : found;
}

class OrderCheck {
 public:
  explicit OrderCheck(std::vector<Diagnostic>& problems) : problems_(problems) {}

  void check(const std::vector<StepSpec>& steps) {
    for (const StepSpec& step : steps) {
      if (step.repeat > 0) {
        // Twice: what ends a round comes before what begins the next.
        if (step.repeat > 1) check(step.steps);
        check(step.steps);
      } else if (const Role* role = find_role(step.pass)) {
        check_step(step, *role);
      } else if (step.pass == "decode-weights") {
        std::erase_if(seen_, [](const Seen& seen) { return seen.role->stage == Stage::kEncode; });
      }
    }
  }

 private:
  struct Seen {
    const StepSpec* step;
    const Role* role;
  };

  void check_step(const StepSpec& step, const Role& role) {
    const Seen* quantized = last([](const Role& seen) {
      return seen.stage == Stage::kQuantize && seen.pass != "convert-float16";
    });
    const Seen* shared = last([](const Role& seen) { return seen.stage == Stage::kShare; });
    if (quantized != nullptr && role.changes_values) {
      report(step, *quantized,
             fmt::format("{}: changes weights that {} has quantized", step.pass,
                         quantized->step->pass));
    } else if (shared != nullptr && role.rescales) {
      report(step, *shared,
             fmt::format("{}: rescales weights that {} has shared", step.pass, shared->step->pass));
    } else if (const Seen* later =
                   last([&](const Role& seen) { return seen.stage > role.stage; })) {
      add({step.where,
           fmt::format("{} ({}) after {} ({}) is an unsound order", step.pass,
                       stage_name(role.stage), later->step->pass, stage_name(later->role->stage)),
           fmt::format("move it before {}", later->step->pass), true});
    }
    if (!role.recurs) seen_.push_back({&step, &role});
  }

  // Steps that select layers may act on different ones; the recipe cannot tell.
  void report(const StepSpec& step, const Seen& earlier, std::string message) {
    const auto selects = [](const StepSpec& one) { return !one.only.empty() || !one.skip.empty(); };
    add({step.where, std::move(message), fmt::format("move it before {}", earlier.step->pass),
         selects(step) || selects(*earlier.step)});
  }

  void add(Diagnostic problem) {
    for (const Diagnostic& known : problems_) {
      if (known.str() == problem.str()) return;
    }
    problems_.push_back(std::move(problem));
  }

  template <class Predicate>
  const Seen* last(Predicate predicate) const {
    const auto found = std::find_if(seen_.rbegin(), seen_.rend(),
                                    [&](const Seen& seen) { return predicate(*seen.role); });
    return found == seen_.rend() ? nullptr : &*found;
  }

  std::vector<Diagnostic>& problems_;
  std::vector<Seen> seen_;
};

}  // namespace

void check_order(const Recipe& recipe, std::vector<Diagnostic>& problems) {
  OrderCheck(problems).check(recipe.steps);
}

}  // namespace mcompress::recipe
