// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcompress/recipe.h"

namespace mcompress::recipe {

/// Turns the values of a recipe file into a Recipe. Whatever is wrong becomes a diagnostic and is
/// left out; nothing throws.
class Binder {
 public:
  Binder(const PassRegistry& passes, std::filesystem::path folder)
      : passes_(passes), folder_(std::move(folder)) {}

  Recipe bind(const ConfigValue& root);
  const std::vector<Diagnostic>& problems() const { return problems_; }

 private:
  /// Rounds of the `repeat` around a step; none outside of one.
  using Rounds = std::optional<int>;

  void bind_data(const ConfigValue& value, Recipe& recipe);
  void bind_source(const std::string& role, const ConfigValue& value, DataSource& source);
  void bind_source_path(const std::string& role, const std::string& key, const ConfigValue& value,
                        DataSource& source);
  void bind_source_option(const std::string& role, const ConfigValue::Entry& entry,
                          DataSource& source);
  std::vector<StepSpec> bind_steps(const ConfigValue& value, Rounds rounds);
  std::optional<StepSpec> bind_step(const ConfigValue& value, Rounds rounds);
  StepSpec bind_repeat(const ConfigValue& value);
  int bind_rounds(const ConfigValue& value, bool has_until);
  std::optional<StepSpec> bind_pass(const ConfigValue& value, Rounds rounds);
  const ConfigValue::Entry* find_pass(const ConfigValue& value);
  void bind_options(StepSpec& step, Rounds rounds);
  bool prepare_option(const StepSpec& step, const OptionInfo& info, ConfigValue& value,
                      Rounds rounds);
  bool check_curve(const StepSpec& step, const std::string& option, const ConfigValue& value);
  std::vector<std::string> bind_patterns(const std::string& owner, const std::string& key,
                                         const ConfigValue& value);
  GateSpec bind_gate(const std::string& owner, const ConfigValue& value);
  std::vector<LimitSpec> bind_limits(const std::string& owner, const ConfigValue& value);
  void bind_limit(const std::string& owner, const ConfigValue::Entry& entry,
                  const std::vector<std::string>& known, std::vector<LimitSpec>& limits);

  /// A step that has an option `effort` and does not set it takes the recipe's.
  void inherit_effort(std::vector<StepSpec>& steps, const std::string& effort) const;

  void report(const SourceLocation& where, std::string message, std::string hint = "");
  /// Absolute path of what a recipe names: relative to its folder, or to the current folder when it
  /// comes from the command line. Reports what does not exist.
  std::filesystem::path resolve(const std::string& owner, const ConfigValue& value,
                                bool must_exist = true);
  std::filesystem::path bind_file(const std::string& key, const ConfigValue& value);

  // layer_plan.cpp
  struct Choice {
    std::string name;
    StepSpec step;
  };
  /// Reads the file and puts its lines into the steps: a step whose pass some choice runs becomes
  /// one step for each such choice, on the layers that have it.
  void bind_plan(const ConfigValue& value, Recipe& recipe);
  std::vector<Choice> bind_choices(const ConfigValue& root);
  std::vector<StepSpec> planned(const std::vector<StepSpec>& steps, const LayerPlan& plan,
                                const std::vector<Choice>& choices);
  std::vector<StepSpec> planned(const StepSpec& step, const LayerPlan& plan,
                                const std::vector<Choice>& choices);
  void require_steps(const std::vector<StepSpec>& steps, const LayerPlan& plan,
                     const std::vector<Choice>& choices);

  const PassRegistry& passes_;
  std::filesystem::path folder_;
  std::vector<Diagnostic> problems_;
};

/// Complaints about the order of steps (rules.md 14): warnings about an unsound one, errors for a
/// step that changes the values of quantized weights or rescales shared ones.
void check_order(const Recipe& recipe, std::vector<Diagnostic>& problems);

/// Puts --set, --data and the like into the values of a recipe. An entry is STEP.OPTION=VALUE,
/// data.ROLE.KEY=VALUE or KEY=VALUE, where STEP is the name of a pass or its number from 1 (2.1:
/// inside the repeat that is step 2) and VALUE is YAML; or "--data ROLE=PATH", "--KEY VALUE", taken
/// as they are.
void apply_overrides(ConfigValue& root, const std::vector<std::string>& overrides,
                     std::vector<Diagnostic>& problems);

}  // namespace mcompress::recipe
