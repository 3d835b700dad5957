// SPDX-License-Identifier: Apache-2.0
#include "recipe/binder.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "recipe/curves.h"
#include "recipe/names.h"
#include "support/did_you_mean.h"
#include "support/limit.h"

namespace mcompress::recipe {
namespace {

using Kind = ConfigValue::Kind;

constexpr int kMaxRounds = 1000;

std::string_view kind_name(const ConfigValue& value) {
  switch (value.kind) {
    case Kind::kNull:
      return "empty";
    case Kind::kScalar:
      return "a single value";
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      return "a map";
  }
  return "";
}

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::optional<int> read_int(const ConfigValue& value) {
  if (value.kind != Kind::kScalar || value.quoted) return std::nullopt;
  int number = 0;
  const char* last = value.scalar.data() + value.scalar.size();
  const auto [rest, error] = std::from_chars(value.scalar.data(), last, number);
  if (error != std::errc() || rest != last) return std::nullopt;
  return number;
}

}  // namespace

void Binder::report(const SourceLocation& where, std::string message, std::string hint) {
  problems_.push_back({where, std::move(message), std::move(hint), false});
}

Recipe Binder::bind(const ConfigValue& root) {
  Recipe recipe;
  if (root.kind != Kind::kMap) {
    report(root.where,
           root.kind == Kind::kNull
               ? "the recipe is empty"
               : fmt::format("the recipe is {}, expected a map", kind_name(root)),
           "the shortest one is: steps: [fold-batch-norm]");
    return recipe;
  }
  const std::vector<std::string> known = names_of(top_keys());
  ConfigValue scalars;
  scalars.kind = Kind::kMap;
  for (const ConfigValue::Entry& entry : root.map) {
    if (!contains(known, entry.key)) {
      report(entry.where, fmt::format("unknown key '{}'", entry.key),
             did_you_mean(entry.key, known));
    } else if (entry.key == "data") {
      bind_data(entry.value, recipe);
    } else if (entry.key == "steps") {
      recipe.steps = bind_steps(entry.value, std::nullopt);
    } else if (entry.key == "constraints") {
      recipe.constraints = bind_limits("constraints", entry.value);
    } else if (entry.key == "costs") {
      recipe.costs = bind_file("costs", entry.value);
    } else if (entry.key != "plan") {
      scalars.map.push_back(entry);
    }
  }
  if (root.find("steps") == nullptr)
    report(root.where, "'steps' is missing", "the shortest recipe is: steps: [fold-batch-norm]");
  int64_t seed = 0;
  OptionSet options;
  describe_scalars(recipe, seed, options);
  options.bind(scalars, "recipe", problems_);
  recipe.seed = static_cast<uint64_t>(seed);
  inherit_effort(recipe.steps, recipe.effort);
  if (const ConfigValue* plan = root.find("plan")) bind_plan(*plan, recipe);
  return recipe;
}

void Binder::inherit_effort(std::vector<StepSpec>& steps, const std::string& effort) const {
  for (StepSpec& step : steps) {
    inherit_effort(step.steps, effort);
    if (step.pass.empty() || step.options.find("effort") != nullptr) continue;
    OptionSet options;
    const std::unique_ptr<Pass> pass = passes_.create(step.pass);
    pass->describe(options);
    for (const OptionInfo& info : options.infos()) {
      if (info.name != "effort") continue;
      ConfigValue value;
      value.kind = Kind::kScalar;
      value.scalar = effort;
      step.options.map.push_back({"effort", {}, std::move(value)});
    }
  }
}

std::filesystem::path Binder::bind_file(const std::string& key, const ConfigValue& value) {
  if (value.kind == Kind::kScalar && !value.scalar.empty()) {
    // One that a run is to make (--costs FILE --measure) is not there yet: it is missed when opened.
    const bool made_later = key == "costs" && value.where.line == 0;
    return resolve(key, value, !made_later);
  }
  report(value.where, fmt::format("'{}' is {}, expected a file", key,
                                  value.kind == Kind::kScalar ? "empty" : kind_name(value)));
  return {};
}

std::filesystem::path Binder::resolve(const std::string& owner, const ConfigValue& value,
                                      bool must_exist) {
  std::filesystem::path path(value.scalar);
  const bool from_command_line = value.where.line == 0;
  std::error_code error;
  if (path.is_relative()) {
    const std::filesystem::path here = std::filesystem::current_path(error);
    path = (from_command_line ? here : here / folder_) / path;
  }
  path = path.lexically_normal();
  if (must_exist && !std::filesystem::exists(path, error)) {
    report(value.where, fmt::format("{}: no file or folder '{}'", owner, value.scalar),
           from_command_line || path == value.scalar ? ""
                                                     : "paths are relative to the recipe's folder");
  }
  return path;
}

std::vector<StepSpec> Binder::bind_steps(const ConfigValue& value, Rounds rounds) {
  std::vector<StepSpec> steps;
  if (value.kind != Kind::kList) {
    report(value.where, fmt::format("'steps' is {}, expected a list", kind_name(value)),
           "one '- PASS' a line");
    return steps;
  }
  if (value.list.empty())
    report(value.where, "'steps' is an empty list", "list the passes with: mcompress passes");
  for (const ConfigValue& item : value.list) {
    if (std::optional<StepSpec> step = bind_step(item, rounds)) steps.push_back(std::move(*step));
  }
  return steps;
}

std::optional<StepSpec> Binder::bind_step(const ConfigValue& value, Rounds rounds) {
  if (value.kind == Kind::kScalar) {
    ConfigValue named;
    named.kind = Kind::kMap;
    named.where = value.where;
    named.map.push_back({value.scalar, value.where, {}});
    return bind_pass(named, rounds);
  }
  if (value.kind != Kind::kMap) {
    report(value.where,
           fmt::format("a step is {}, expected the name of a pass, or PASS: {{options}}",
                       kind_name(value)));
    return std::nullopt;
  }
  if (value.find("repeat") != nullptr || value.find("steps") != nullptr ||
      value.find("until") != nullptr) {
    return bind_repeat(value);
  }
  return bind_pass(value, rounds);
}

StepSpec Binder::bind_repeat(const ConfigValue& value) {
  const std::vector<std::string> known = names_of(repeat_keys());
  StepSpec step;
  step.where = value.where;
  const ConfigValue* steps = nullptr;
  for (const ConfigValue::Entry& entry : value.map) {
    if (entry.key == "steps") {
      steps = &entry.value;
    } else if (entry.key == "until") {
      step.until = bind_limits("until", entry.value);
    } else if (entry.key == "gate") {
      step.gate = bind_gate("repeat", entry.value);
    } else if (!contains(known, entry.key)) {
      report(entry.where, fmt::format("repeat: unknown key '{}'", entry.key),
             did_you_mean(entry.key, known));
    }
  }
  step.repeat = bind_rounds(value, value.find("until") != nullptr);
  if (steps == nullptr) {
    report(value.where, "repeat: 'steps' is missing", "put them beside 'repeat', one level deep");
  } else {
    step.steps = bind_steps(*steps, step.repeat);
  }
  return step;
}

int Binder::bind_rounds(const ConfigValue& value, bool has_until) {
  const ConfigValue* repeat = value.find("repeat");
  const ConfigValue* max = value.find("max");
  if (max != nullptr && !has_until)
    report(max->where, "repeat: 'max' is without 'until'", "write repeat: N");
  if (repeat != nullptr && repeat->kind != Kind::kNull && max != nullptr) {
    report(max->where, "repeat: both a number of rounds and 'max' are given", "leave one out");
  }
  const bool use_max = (repeat == nullptr || repeat->kind == Kind::kNull) && max != nullptr;
  const ConfigValue* rounds = use_max ? max : repeat;
  const std::string_view key = use_max ? "max" : "repeat";
  if (rounds == nullptr) {
    report(value.where, "repeat: the number of rounds is missing",
           "write repeat: N, or max: N beside 'until'");
    return 1;
  }
  const std::optional<int> number = read_int(*rounds);
  if (!number || *number < 1 || *number > kMaxRounds) {
    report(rounds->where,
           fmt::format(
               "repeat: '{}' is {}, expected a whole number from 1 to {}", key,
               rounds->kind == Kind::kScalar ? rounds->scalar : std::string(kind_name(*rounds)),
               kMaxRounds));
    return 1;
  }
  return *number;
}

const ConfigValue::Entry* Binder::find_pass(const ConfigValue& value) {
  const std::vector<std::string> beside = names_of(step_keys());
  const ConfigValue::Entry* found = nullptr;
  const ConfigValue::Entry* unknown = nullptr;
  for (const ConfigValue::Entry& entry : value.map) {
    if (contains(beside, entry.key)) continue;
    if (!passes_.contains(entry.key)) {
      if (unknown == nullptr) unknown = &entry;
    } else if (found == nullptr) {
      found = &entry;
    } else {
      report(entry.where,
             fmt::format("'{}' is a second pass in the step of '{}'", entry.key, found->key),
             "start each step with '- '");
    }
  }
  if (unknown != nullptr && found != nullptr) {
    std::vector<std::string> known = beside;
    const bool is_option = [&] {
      const std::unique_ptr<Pass> pass = passes_.create(found->key);
      OptionSet options;
      pass->describe(options);
      return std::any_of(options.infos().begin(), options.infos().end(),
                         [&](const OptionInfo& info) { return info.name == unknown->key; });
    }();
    report(unknown->where,
           fmt::format("{}: unknown key '{}' beside the pass", found->key, unknown->key),
           is_option ? fmt::format("options go inside: {}: {{{}: ...}}", found->key, unknown->key)
                     : did_you_mean(unknown->key, known));
  } else if (unknown != nullptr) {
    std::vector<std::string> known = passes_.names();
    known.push_back("repeat");
    const std::string hint = did_you_mean(unknown->key, known);
    report(unknown->where, fmt::format("unknown pass '{}'", unknown->key),
           hint.starts_with("one of") || hint.empty() ? "list them with: mcompress passes" : hint);
  } else if (found == nullptr) {
    report(value.where, "a step without a pass", "list the passes with: mcompress passes");
  }
  return found;
}

std::optional<StepSpec> Binder::bind_pass(const ConfigValue& value, Rounds rounds) {
  const ConfigValue::Entry* pass = find_pass(value);
  StepSpec step;
  step.where = value.where;
  step.pass = pass == nullptr ? "step" : pass->key;
  const bool selects = pass != nullptr && passes_.create(pass->key)->acts_on_layers();
  for (const ConfigValue::Entry& entry : value.map) {
    if (entry.key == "gate") {
      step.gate = bind_gate(step.pass, entry.value);
    } else if (entry.key == "only" || entry.key == "skip") {
      if (pass != nullptr && !selects) {
        report(entry.where,
               fmt::format("{}: '{}' is for passes that act on layers", step.pass, entry.key),
               "leave it out");
      }
      (entry.key == "only" ? step.only : step.skip) =
          bind_patterns(step.pass, entry.key, entry.value);
    }
  }
  if (pass == nullptr) return std::nullopt;
  step.where = pass->where;
  step.options = pass->value;
  if (step.options.kind == Kind::kNull) {
    step.options.kind = Kind::kMap;
    step.options.where = pass->where;
  }
  bind_options(step, rounds);
  return step;
}

void Binder::bind_options(StepSpec& step, Rounds rounds) {
  const std::unique_ptr<Pass> pass = passes_.create(step.pass);
  OptionSet options;
  pass->describe(options);
  const size_t before = problems_.size();
  bool curved = false;
  for (ConfigValue::Entry& entry : step.options.map) {
    for (const OptionInfo& info : options.infos()) {
      if (info.name == entry.key) curved |= prepare_option(step, info, entry.value, rounds);
    }
  }
  // What is wrong with a curve has been said; what is left of it must not be said again.
  if (problems_.size() > before)
    std::erase_if(step.options.map, [](const auto& entry) { return is_curve(entry.value); });
  const int last = rounds.value_or(1) - 1;
  options.bind(resolve_curves(step, 0, last + 1).options, step.pass, problems_);
  if (problems_.size() == before) {
    if (const std::string problem = pass->check_options(); !problem.empty()) {
      report(step.where, fmt::format("{}: {}", step.pass, problem));
    }
  }
  if (!curved || problems_.size() > before) return;
  options.bind(resolve_curves(step, last, last + 1).options, step.pass, problems_);
  if (problems_.size() > before) return;
  if (const std::string problem = pass->check_options(); !problem.empty()) {
    report(step.where, fmt::format("{}: in the last round: {}", step.pass, problem));
  }
}

bool Binder::prepare_option(const StepSpec& step, const OptionInfo& info, ConfigValue& value,
                            Rounds rounds) {
  const auto make_absolute = [&](ConfigValue& file) {
    const auto& words = info.choices;
    if (file.kind != Kind::kScalar || file.scalar.empty() ||
        std::find(words.begin(), words.end(), file.scalar) != words.end())
      return;
    file.scalar = resolve(fmt::format("{}: '{}'", step.pass, info.name), file).string();
  };
  if (info.type == OptionInfo::Type::kFile || info.type == OptionInfo::Type::kFileList) {
    make_absolute(value);
    for (ConfigValue& file : value.list) make_absolute(file);
    if (value.kind != Kind::kMap) return false;
  }
  if (!is_curve(value)) return false;
  const bool whole = info.type == OptionInfo::Type::kInt;
  const bool list = info.type == OptionInfo::Type::kNumberList;
  if (!whole && !list && info.type != OptionInfo::Type::kNumber) {
    report(value.where,
           fmt::format("{}: '{}' is a curve, which only a number can be", step.pass, info.name));
    return true;
  }
  if (!rounds) {
    report(value.where,
           fmt::format("{}: '{}' is a curve outside of a 'repeat'", step.pass, info.name),
           "give one number, or put the step into a repeat");
    return true;
  }
  if (check_curve(step, info.name, value) && whole)
    value.map.push_back({std::string(kWholeMark), {}, {}});
  return true;
}

bool Binder::check_curve(const StepSpec& step, const std::string& option,
                         const ConfigValue& value) {
  static const std::vector<std::string> kKeys{"from", "to", "curve"};
  const size_t before = problems_.size();
  const std::string owner = fmt::format("{}: '{}'", step.pass, option);
  for (const ConfigValue::Entry& entry : value.map) {
    if (!contains(kKeys, entry.key)) {
      report(entry.where, fmt::format("{}: unknown key '{}'", owner, entry.key),
             did_you_mean(entry.key, kKeys));
    } else if (entry.key == "curve" && !(entry.value.kind == Kind::kScalar &&
                                         contains(curve_names(), entry.value.scalar))) {
      report(entry.value.where,
             fmt::format("{}: 'curve' is {}, expected one of {}", owner,
                         entry.value.kind == Kind::kScalar ? entry.value.scalar
                                                           : std::string(kind_name(entry.value)),
                         fmt::join(curve_names(), ", ")));
    }
  }
  for (const char* end : {"from", "to"}) {
    if (value.find(end) == nullptr)
      report(value.where, fmt::format("{}: the curve has no '{}'", owner, end));
  }
  const ConfigValue* const from = value.find("from");
  const ConfigValue* const to = value.find("to");
  if (from != nullptr && to != nullptr && from->kind == Kind::kList && to->kind == Kind::kList &&
      from->list.size() != to->list.size()) {
    report(value.where, fmt::format("{}: the curve goes from {} numbers to {}", owner,
                                    from->list.size(), to->list.size()));
  }
  return problems_.size() == before;
}

std::vector<std::string> Binder::bind_patterns(const std::string& owner, const std::string& key,
                                               const ConfigValue& value) {
  std::vector<std::string> patterns;
  const auto add = [&](const ConfigValue& item) {
    if (item.kind == Kind::kScalar && !item.scalar.empty() && item.scalar != "op:") {
      patterns.push_back(item.scalar);
      return;
    }
    // `op: Conv`, with a blank, is a map to YAML.
    const bool spaced = item.kind == Kind::kMap && item.find("op") != nullptr;
    report(item.where,
           fmt::format("{}: a pattern of '{}' is {}, expected text such as \"/head/*\" or op:Conv",
                       owner, key, item.kind == Kind::kScalar ? "empty" : kind_name(item)),
           spaced ? "no blank after 'op:'" : "");
  };
  if (value.kind == Kind::kList) {
    for (const ConfigValue& item : value.list) add(item);
  } else {
    add(value);
  }
  return patterns;
}

GateSpec Binder::bind_gate(const std::string& owner, const ConfigValue& value) {
  GateSpec gate;
  if (value.kind != Kind::kMap) {
    report(value.where,
           fmt::format("{}: 'gate' is {}, expected a map such as {{metric-drop: \"<= 0.5 pt\"}}",
                       owner, kind_name(value)));
    return gate;
  }
  std::vector<std::string> known = limit_quantities();
  for (const KeyInfo& key : gate_keys()) known.emplace_back(key.name);
  ConfigValue words;
  words.kind = Kind::kMap;
  for (const ConfigValue::Entry& entry : value.map) {
    if (entry.key == "on-fail" || entry.key == "strict") {
      words.map.push_back(entry);
    } else {
      bind_limit(owner + ": gate", entry, known, gate.limits);
    }
  }
  OptionSet options;
  options.add("on-fail", gate.on_fail, on_fail_words(), "");
  options.add("strict", gate.strict, "");
  options.bind(words, owner + ": gate", problems_);
  if (value.map.size() == words.map.size()) {
    report(value.where, fmt::format("{}: 'gate' limits nothing", owner),
           "one of " + fmt::format("{}", fmt::join(limit_quantities(), ", ")));
  }
  return gate;
}

std::vector<LimitSpec> Binder::bind_limits(const std::string& owner, const ConfigValue& value) {
  std::vector<LimitSpec> limits;
  if (value.kind != Kind::kMap) {
    report(value.where,
           fmt::format("'{}' is {}, expected a map such as {{metric-drop: \"<= 1 pt\"}}", owner,
                       kind_name(value)));
    return limits;
  }
  for (const ConfigValue::Entry& entry : value.map)
    bind_limit(owner, entry, limit_quantities(), limits);
  return limits;
}

void Binder::bind_limit(const std::string& owner, const ConfigValue::Entry& entry,
                        const std::vector<std::string>& known, std::vector<LimitSpec>& limits) {
  if (!contains(known, entry.key)) {
    report(entry.where, fmt::format("{}: unknown quantity '{}'", owner, entry.key),
           did_you_mean(entry.key, known));
    return;
  }
  if (entry.value.kind != Kind::kScalar) {
    report(entry.value.where, fmt::format("{}: '{}' is {}, expected a limit", owner, entry.key,
                                          kind_name(entry.value)));
    return;
  }
  std::string problem;
  if (!parse_limit(entry.key, entry.value.scalar, &problem)) {
    report(entry.value.where, fmt::format("{}: {}", owner, problem));
    return;
  }
  limits.push_back({entry.key, entry.value.scalar, entry.value.where});
}

}  // namespace mcompress::recipe
