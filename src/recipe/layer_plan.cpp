// SPDX-License-Identifier: Apache-2.0
#include "recipe/layer_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>

#include "recipe/binder.h"
#include "recipe/yaml.h"
#include "support/did_you_mean.h"

namespace mcompress::recipe {
namespace {

using Kind = ConfigValue::Kind;

constexpr std::string_view kFloat = "float";

bool has_pass(const std::vector<StepSpec>& steps, const std::string& pass) {
  return std::any_of(steps.begin(), steps.end(), [&](const StepSpec& step) {
    return step.pass == pass || has_pass(step.steps, pass);
  });
}

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

/// `options` with those of `over` on top.
ConfigValue overlaid(ConfigValue options, const ConfigValue& over) {
  options.kind = Kind::kMap;
  for (const ConfigValue::Entry& entry : over.map) {
    std::erase_if(options.map, [&](const auto& old) { return old.key == entry.key; });
    options.map.push_back(entry);
  }
  return options;
}

/// The root of a plan file, or nothing where `problems` says why.
std::optional<ConfigValue> read_plan(const std::filesystem::path& path,
                                     std::vector<Diagnostic>& problems) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const size_t before = problems.size();
  ConfigValue root = parse_yaml(text, path.string(), problems);
  if (problems.size() > before) return std::nullopt;
  if (root.kind != Kind::kMap || root.find("layers") == nullptr) {
    problems.push_back({{path.string(), 1, 1},
                        "a plan is a map with 'layers'",
                        "mcompress sensitivity writes one",
                        false});
    return std::nullopt;
  }
  return root;
}

}  // namespace

void Binder::bind_plan(const ConfigValue& value, Recipe& recipe) {
  const size_t before = problems_.size();
  const std::filesystem::path path = bind_file("plan", value);
  if (problems_.size() > before) return;
  const std::optional<ConfigValue> root = read_plan(path, problems_);
  if (!root) return;
  static const std::vector<std::string> kKeys{"choices", "layers"};
  for (const ConfigValue::Entry& entry : root->map) {
    if (std::find(kKeys.begin(), kKeys.end(), entry.key) == kKeys.end()) {
      report(entry.where, fmt::format("plan: unknown key '{}'", entry.key),
             did_you_mean(entry.key, kKeys));
    }
  }
  const std::vector<Choice> choices = bind_choices(*root);
  std::vector<std::string> names{std::string(kFloat)};
  LayerPlan plan;
  plan.file = path.string();
  for (const Choice& choice : choices) {
    names.push_back(choice.name);
    if (!std::count(plan.passes.begin(), plan.passes.end(), choice.step.pass))
      plan.passes.push_back(choice.step.pass);
  }
  const ConfigValue& layers = *root->find("layers");
  if (layers.kind != Kind::kMap) report(layers.where, "plan: 'layers' is no map of LAYER: CHOICE");
  for (const ConfigValue::Entry& entry : layers.map) {
    const std::string choice = entry.value.kind == Kind::kScalar ? entry.value.scalar : "";
    if (std::find(names.begin(), names.end(), choice) == names.end()) {
      report(entry.value.where,
             fmt::format("plan: unknown choice '{}' of layer '{}'", choice, entry.key),
             did_you_mean(choice, names));
      continue;
    }
    plan.lines.push_back({entry.key, choice, entry.where});
  }
  if (problems_.size() > before) return;
  require_steps(recipe.steps, plan, choices);
  recipe.steps = planned(recipe.steps, plan, choices);
  recipe.plan = std::move(plan);
}

std::vector<Binder::Choice> Binder::bind_choices(const ConfigValue& root) {
  std::vector<Choice> choices;
  const ConfigValue* map = root.find("choices");
  if (map == nullptr) return choices;
  for (const ConfigValue::Entry& entry : map->map) {
    const bool one_pass = entry.value.kind == Kind::kMap && entry.value.map.size() == 1;
    if (!one_pass || entry.key == kFloat) {
      report(entry.where,
             entry.key == kFloat
                 ? "plan: 'float' leaves a layer as it is and needs no definition"
                 : fmt::format("plan: choice '{}' is no pass with its options", entry.key),
             "for example int8: {quantize-static: {where: everywhere}}");
      continue;
    }
    std::optional<StepSpec> step = bind_pass(entry.value, std::nullopt);
    if (!step) continue;
    if (!passes_.create(step->pass)->acts_on_layers()) {
      report(entry.where, fmt::format("plan: {} does not act on single layers", step->pass));
      continue;
    }
    choices.push_back({entry.key, std::move(*step)});
  }
  return choices;
}

void Binder::require_steps(const std::vector<StepSpec>& steps, const LayerPlan& plan,
                           const std::vector<Choice>& choices) {
  std::set<std::string> said;
  for (const LayerPlan::Line& line : plan.lines) {
    for (const Choice& choice : choices) {
      if (choice.name != line.choice || has_pass(steps, choice.step.pass)) continue;
      if (!said.insert(choice.name).second) continue;
      report(line.where,
             fmt::format("plan: '{}' is {}, and the recipe has no such step", choice.name,
                         choice.step.pass),
             fmt::format("add '- {}' to its steps", choice.step.pass));
    }
  }
}

std::vector<StepSpec> Binder::planned(const std::vector<StepSpec>& steps, const LayerPlan& plan,
                                      const std::vector<Choice>& choices) {
  std::vector<StepSpec> result;
  for (const StepSpec& step : steps) {
    if (step.repeat > 0) {
      StepSpec loop = step;
      loop.steps = planned(step.steps, plan, choices);
      if (!loop.steps.empty()) result.push_back(std::move(loop));
    } else if (std::count(plan.passes.begin(), plan.passes.end(), step.pass) == 0) {
      result.push_back(step);
    } else {
      for (StepSpec& one : planned(step, plan, choices)) result.push_back(std::move(one));
    }
  }
  return result;
}

std::vector<StepSpec> Binder::planned(const StepSpec& step, const LayerPlan& plan,
                                      const std::vector<Choice>& choices) {
  std::vector<StepSpec> result;
  if (!step.only.empty()) {
    report(step.where, fmt::format("{}: 'only' beside a plan, which says the layers", step.pass),
           "leave 'only' out, or the layers out of the plan");
    return result;
  }
  for (const Choice& choice : choices) {
    if (choice.step.pass != step.pass) continue;
    StepSpec one = step;
    one.options = overlaid(step.options, choice.step.options);
    for (const LayerPlan::Line& line : plan.lines) {
      if (line.choice == choice.name) one.only.push_back(line.layer);
    }
    if (one.only.empty()) continue;
    bind_options(one, std::nullopt);
    result.push_back(std::move(one));
  }
  return result;
}

std::string write_plan(const std::vector<PlanChoice>& choices, const std::vector<PlanLine>& lines,
                       const std::string& heading) {
  std::string text;
  if (!heading.empty()) {
    std::string::size_type from = 0;
    for (;;) {
      const auto end = heading.find('\n', from);
      text += "# " + heading.substr(from, end - from) + "\n";
      if (end == std::string::npos) break;
      from = end + 1;
    }
  }
  text += "choices:\n";
  for (const PlanChoice& choice : choices)
    text += fmt::format("  {}: {{{}: {{{}}}}}\n", choice.name, choice.pass, choice.options);
  if (choices.empty()) text.replace(text.size() - 1, 1, " {}\n");
  text += "layers:\n";
  size_t width = 0;
  for (const PlanLine& line : lines)
    width = std::max(width, in_quotes(line.layer).size() + line.choice.size());
  for (const PlanLine& line : lines) {
    const std::string entry = fmt::format("{}: {}", in_quotes(line.layer), line.choice);
    text += fmt::format("  {:<{}}{}\n", entry, line.note.empty() ? 0 : width + 4,
                        line.note.empty() ? "" : "# " + line.note);
  }
  if (lines.empty()) text.replace(text.size() - 1, 1, " {}\n");
  return text;
}

}  // namespace mcompress::recipe
