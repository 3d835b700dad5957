// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "mcompress/recipe.h"
#include "recipe/curves.h"
#include "recipe/names.h"

namespace mcompress {
namespace {

using Kind = ConfigValue::Kind;

// Plain where every YAML reader takes the text as it is, else in double quotes.
bool needs_quotes(std::string_view text) {
  if (text.empty()) return true;
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+";
  if (text.find_first_not_of(kPlain) != std::string_view::npos) return true;
  if (text.front() == '-' && (text.size() == 1 || text[1] == '-')) return true;
  constexpr std::string_view kWords[] = {"null", "Null", "NULL"};
  return std::find(std::begin(kWords), std::end(kWords), text) != std::end(kWords);
}

std::string in_quotes(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string text_of(std::string_view text) {
  return needs_quotes(text) ? in_quotes(text) : std::string(text);
}

// Text that reads like a number or a switch is quoted, so that other readers see text too.
std::string text_value(const std::string& text) {
  constexpr std::string_view kWords[] = {"true", "false", "yes", "no", "on", "off"};
  const bool ambiguous =
      std::find(std::begin(kWords), std::end(kWords), text) != std::end(kWords) ||
      (!text.empty() && text.find_first_not_of("0123456789.eE+-_") == std::string::npos);
  return ambiguous ? in_quotes(text) : text_of(text);
}

std::string flow(const ConfigValue& value) {
  switch (value.kind) {
    case Kind::kNull:
      return "null";
    case Kind::kScalar:
      return value.quoted ? text_value(value.scalar) : text_of(value.scalar);
    case Kind::kList: {
      std::string text;
      for (const ConfigValue& item : value.list) text += (text.empty() ? "" : ", ") + flow(item);
      return "[" + text + "]";
    }
    case Kind::kMap:
      break;
  }
  std::string text;
  for (const ConfigValue::Entry& entry : value.map) {
    text +=
        fmt::format("{}{}: {}", text.empty() ? "" : ", ", text_of(entry.key), flow(entry.value));
  }
  return "{" + text + "}";
}

std::string flow(const std::vector<std::string>& texts) {
  std::string text;
  for (const std::string& one : texts) text += (text.empty() ? "" : ", ") + text_value(one);
  return "[" + text + "]";
}

std::string limits_flow(const std::vector<LimitSpec>& limits) {
  std::string text;
  for (const LimitSpec& limit : limits) {
    text +=
        fmt::format("{}{}: {}", text.empty() ? "" : ", ", limit.quantity, text_value(limit.text));
  }
  return text;
}

std::string gate_flow(const GateSpec& gate) {
  return fmt::format("{{{}, on-fail: {}, strict: {}}}", limits_flow(gate.limits),
                     recipe::on_fail_word(gate.on_fail), gate.strict);
}

// All options of a step with their present values; curves stay curves.
ConfigValue effective_options(const StepSpec& step, const PassRegistry& passes) {
  const std::unique_ptr<Pass> pass = passes.create(step.pass);
  OptionSet options;
  pass->describe(options);
  std::vector<Diagnostic> ignored;
  options.bind(resolve_curves(step, 0, 1).options, step.pass, ignored);
  ConfigValue effective = options.effective();
  for (const ConfigValue::Entry& written : step.options.map) {
    if (!is_curve(written.value)) continue;
    ConfigValue curve = written.value;
    std::erase_if(curve.map, [](const auto& entry) { return entry.key == kWholeMark; });
    for (ConfigValue::Entry& entry : effective.map) {
      if (entry.key == written.key) entry.value = curve;
    }
  }
  return effective;
}

void write_steps(std::string& text, const std::vector<StepSpec>& steps, const PassRegistry& passes,
                 const std::string& indent) {
  for (const StepSpec& step : steps) {
    if (step.repeat > 0) {
      if (step.until.empty()) {
        text += fmt::format("{}- repeat: {}\n", indent, step.repeat);
      } else {
        text += fmt::format("{}- until: {{{}}}\n{}  max: {}\n", indent, limits_flow(step.until),
                            indent, step.repeat);
      }
      text += fmt::format("{}  steps:\n", indent);
      write_steps(text, step.steps, passes, indent + "    ");
    } else {
      text += fmt::format("{}- {}: {}\n", indent, step.pass, flow(effective_options(step, passes)));
    }
    if (!step.only.empty()) text += fmt::format("{}  only: {}\n", indent, flow(step.only));
    if (!step.skip.empty()) text += fmt::format("{}  skip: {}\n", indent, flow(step.skip));
    if (step.gate) text += fmt::format("{}  gate: {}\n", indent, gate_flow(*step.gate));
  }
}

std::string source_flow(const DataSource& source) {
  std::string text;
  const auto add = [&](std::string_view key, const std::string& value) {
    text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", key, value);
  };
  if (source.kind == "random") {
    add("random", "{}");
  } else if (source.files.empty()) {
    add(source.kind.empty() ? "path" : source.kind, text_value(source.path.string()));
  } else {
    std::string files = source.path.empty() ? "" : "path: " + text_value(source.path.string());
    for (const auto& [role, path] : source.files) {
      files += fmt::format("{}{}: {}", files.empty() ? "" : ", ", role, text_value(path.string()));
    }
    add(source.kind, "{" + files + "}");
  }
  for (const auto& [name, value] : source.options) add(name, text_of(value));
  return "{" + text + "}";
}

}  // namespace

std::string write_recipe(const Recipe& recipe, const PassRegistry& passes) {
  std::string text;
  const auto add = [&](std::string_view key, const std::string& value) {
    text += fmt::format("{}: {}\n", key, value);
  };
  // The steps say it already: reading them and the plan would be too much.
  if (recipe.plan) text += fmt::format("# the steps follow the plan {}\n", recipe.plan->file);
  add("version", std::to_string(recipe.version));
  if (!recipe.name.empty()) add("name", text_value(recipe.name));
  if (!recipe.summary.empty()) add("summary", text_value(recipe.summary));
  add("seed", std::to_string(recipe.seed));
  add("target", std::string(target_name(recipe.target)));
  if (!recipe.data.empty() || recipe.validate_on_evaluation) text += "data:\n";
  for (const auto& [role, source] : recipe.data)
    text += fmt::format("  {}: {}\n", role, source_flow(source));
  if (recipe.validate_on_evaluation) text += "  validation: evaluation\n";
  if (!recipe.metric.empty()) add("metric", recipe.metric);
  text += "steps:\n";
  write_steps(text, recipe.steps, passes, "  ");
  if (!recipe.constraints.empty()) add("constraints", "{" + limits_flow(recipe.constraints) + "}");
  add("encode", recipe.encode ? "true" : "false");
  add("effort", recipe.effort);
  if (!recipe.costs.empty()) add("costs", text_value(recipe.costs.string()));
  return text;
}

}  // namespace mcompress
