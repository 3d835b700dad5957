// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcompress/config_value.h"
#include "mcompress/dataset.h"
#include "mcompress/pass.h"
#include "mcompress/target.h"

namespace mcompress {

enum class OnFail { kStop, kRollBack, kWarn };

/// A limit as written, judged by src/evaluation: "<= 0.5 pt", "<= 25 %", "2 MB", "5 ms".
struct LimitSpec {
  std::string quantity;  ///< metric-drop, metric, size, latency, memory
  std::string text;
  SourceLocation where;
};

struct GateSpec {
  std::vector<LimitSpec> limits;
  OnFail on_fail = OnFail::kStop;
  bool strict = false;
};

/// One entry of `steps:`: a pass with its options, or a composite step (`repeat`).
struct StepSpec {
  std::string pass;                 ///< "" for a composite step
  ConfigValue options = {};         ///< map; bound when the pipeline is built. A number may be a curve inside repeat
  std::vector<std::string> only = {}, skip = {};
  std::optional<GateSpec> gate = {};
  SourceLocation where = {};

  int repeat = 0;                   ///< rounds of a composite step; 0 for a pass
  std::vector<LimitSpec> until = {};  ///< a composite step ends early when one of these fails
  std::vector<StepSpec> steps = {};   ///< of a composite step
};

/// A file with one line a layer (`plan: FILE`): what each layer becomes. Reading a recipe works it into
/// the steps; what is left of it is for finding lines that name no layer.
struct LayerPlan {
  struct Line {
    std::string layer;   ///< name or output of a layer, or a glob over them
    std::string choice;  ///< "float", or one of the plan's `choices`
    SourceLocation where;
  };
  std::string file;
  std::vector<Line> lines;
  std::vector<std::string> passes;  ///< that its choices run
};

/// A recipe as written, every default filled in where it is not a pass option.
struct Recipe {
  int version = 1;
  std::string name;                 ///< file name or name of a built-in recipe
  std::string summary;
  uint64_t seed = 0;
  TargetKind target = TargetKind::kCpu;
  std::map<std::string, DataSource> data;  ///< calibration, validation, evaluation, training
  bool validate_on_evaluation = false;     ///< `validation: evaluation` (rules.md 2)
  std::string metric;               ///< "" decides from the data
  std::vector<StepSpec> steps;
  std::vector<LimitSpec> constraints;
  bool encode = true;               ///< encode-weights at the end (rules.md 14)
  std::string effort = "normal";    ///< quick, normal, thorough
  std::filesystem::path costs;      ///< `costs: FILE`, a cost table; "": of this machine, else built in
  std::optional<LayerPlan> plan;
  std::string runtime;              ///< reserved: the oldest runtime that the output must load in; no key sets it yet
};

/// Reads a recipe file. Every problem of the whole file at once, in an Error whose message has one line
/// each: kRecipe, or where the command line alone is wrong kUsage, kData for --data. `overrides` are laid
/// over the file: STEP.OPTION=VALUE (STEP: a pass, or its number from 1; 2.1 is inside the repeat at 2),
/// data.ROLE.KEY=VALUE, KEY=VALUE, where VALUE is YAML; or "--data ROLE=PATH", "--KEY VALUE", taken as they are.
Recipe read_recipe(const std::filesystem::path& path, const PassRegistry& passes,
                   const std::vector<std::string>& overrides = {});
/// The same from text; relative paths resolve against `folder`.
Recipe parse_recipe(std::string_view text, const std::string& file_name,
                    const std::filesystem::path& folder, const PassRegistry& passes,
                    const std::vector<std::string>& overrides = {});
/// Problems and warnings (sound order of steps, for example) without throwing.
std::vector<Diagnostic> check_recipe(std::string_view text, const std::string& file_name,
                                     const std::filesystem::path& folder,
                                     const PassRegistry& passes,
                                     const std::vector<std::string>& overrides = {});
/// A file path, or the name of a built-in recipe; throws kRecipe with the nearest name.
Recipe find_recipe(const std::string& file_or_name, const PassRegistry& passes,
                   const std::vector<std::string>& overrides = {});

struct BuiltinRecipe {
  std::string_view name;
  std::string_view text;
};
/// Embedded from src/recipe/presets/*.yaml, sorted by name.
const std::vector<BuiltinRecipe>& builtin_recipes();

/// YAML of a recipe with every default filled in; reading it gives the same run (goes into the report).
std::string write_recipe(const Recipe& recipe, const PassRegistry& passes);
/// JSON schema (draft 2020-12) of recipe files, generated from the passes.
std::string recipe_json_schema(const PassRegistry& passes);

}  // namespace mcompress
