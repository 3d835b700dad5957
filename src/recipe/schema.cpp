// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "mcompress/recipe.h"
#include "recipe/names.h"

namespace mcompress {
namespace {

using Json = nlohmann::ordered_json;

Json ref(const std::string& name) { return {{"$ref", "#/$defs/" + name}}; }

Json one_or_list(const Json& item) {
  return {{"anyOf", Json::array({item, Json{{"type", "array"}, {"items", item}}})}};
}

// Limits are written as numbers where they are whole: 8 and not 8.0.
Json number(double value) {
  const auto whole = static_cast<int64_t>(value);
  return static_cast<double>(whole) == value ? Json(whole) : Json(value);
}

Json numeric(const OptionInfo& info, const char* type) {
  Json schema{{"type", type}};
  if (info.minimum)
    schema[info.exclusive_minimum ? "exclusiveMinimum" : "minimum"] = number(*info.minimum);
  if (info.maximum) schema["maximum"] = number(*info.maximum);
  return schema;
}

/// A word such as 8 is a number to YAML, and text where it is quoted.
Json words_and_numbers(const std::vector<std::string>& words) {
  Json values = Json::array();
  for (const std::string& word : words) {
    if (!word.empty() && word.find_first_not_of("0123456789") == std::string::npos)
      values.push_back(std::stoi(word));
    values.push_back(word);
  }
  return values;
}

Json option_type(const OptionInfo& info) {
  using Type = OptionInfo::Type;
  switch (info.type) {
    case Type::kBool:
      return {{"type", "boolean"}};
    case Type::kInt:
      return numeric(info, "integer");
    case Type::kNumber:
      return numeric(info, "number");
    case Type::kEnum:
      return {{"enum", words_and_numbers(info.choices)}};
    case Type::kString:
    case Type::kFile:
      return {{"type", "string"}};
    case Type::kStringList:
    case Type::kFileList:
      return one_or_list({{"type", "string"}});
    case Type::kNumberList:
      return one_or_list(numeric(info, "number"));
  }
  return Json::object();
}

Json option_schema(const OptionInfo& info, bool in_repeat) {
  Json schema = option_type(info);
  const bool numeric_type =
      info.type == OptionInfo::Type::kInt || info.type == OptionInfo::Type::kNumber;
  Json alternatives = Json::array({schema});
  if (numeric_type && !info.choices.empty()) alternatives.push_back({{"enum", info.choices}});
  if (numeric_type && in_repeat) alternatives.push_back(ref("curve"));
  if (info.type == OptionInfo::Type::kNumberList && in_repeat)
    alternatives.push_back(ref("curve-of-lists"));
  if (alternatives.size() > 1) schema = {{"anyOf", alternatives}};
  schema["description"] = info.description;
  if (!info.default_text.empty()) schema["$comment"] = "default: " + info.default_text;
  return schema;
}

Json object(Json properties) {
  return {
      {"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
}

Json options_schema(const OptionSet& options, bool in_repeat) {
  Json properties = Json::object();
  for (const OptionInfo& info : options.infos())
    properties[info.name] = option_schema(info, in_repeat);
  Json schema = object(std::move(properties));
  schema["type"] = Json::array({"object", "null"});
  return schema;
}

// An entry of `steps` for one pass: a map with the pass and what may stand beside it.
Json pass_step(const std::string& name, const Pass& pass, Json options) {
  Json properties{{name, std::move(options)}};
  for (const recipe::KeyInfo& key : recipe::step_keys()) {
    const std::string word(key.name);
    if (word == "gate") {
      properties[word] = ref("gate");
    } else if (pass.acts_on_layers()) {
      properties[word] = ref("patterns");
      properties[word]["description"] = key.description;
    }
  }
  Json schema = object(std::move(properties));
  schema["required"] = {name};
  schema["description"] = pass.info().summary;
  return schema;
}

Json repeat_step() {
  Json properties{{"repeat", {{"type", "integer"}, {"minimum", 1}, {"maximum", 1000}}},
                  {"max", {{"type", "integer"}, {"minimum", 1}, {"maximum", 1000}}},
                  {"until", ref("limits")},
                  {"steps", {{"type", "array"}, {"items", ref("repeated-step")}, {"minItems", 1}}},
                  {"gate", ref("gate")}};
  for (const recipe::KeyInfo& key : recipe::repeat_keys()) {
    properties[std::string(key.name)]["description"] = key.description;
  }
  Json schema = object(std::move(properties));
  schema["required"] = {"steps"};
  return schema;
}

Json step_schema(const PassRegistry& passes, bool in_repeat) {
  Json alternatives = Json::array({Json{{"enum", passes.names()}}});
  for (const std::string& name : passes.names()) {
    const std::unique_ptr<Pass> pass = passes.create(name);
    OptionSet options;
    pass->describe(options);
    alternatives.push_back(pass_step(name, *pass, options_schema(options, in_repeat)));
  }
  alternatives.push_back(repeat_step());
  return {{"anyOf", alternatives}};
}

std::string limit_pattern(const std::string& quantity) {
  std::string units = "%|B|[kK]B|MB|GB|[KMG]iB";
  std::string comparison = "(<=)?";
  if (quantity == "latency") units = "%|us|ms|s";
  if (quantity == "metric-drop") units = "%|pt|points|dB";
  if (quantity == "metric") {
    units = "(%|dB)?";
    comparison = "(<=|>=)?";
  }
  return fmt::format("^ *{} *-?[0-9.]+([eE][-+]?[0-9]+)? *({}) *$", comparison, units);
}

Json limits_schema() {
  Json properties = Json::object();
  for (const std::string& quantity : recipe::limit_quantities()) {
    Json text{{"type", "string"}, {"pattern", limit_pattern(quantity)}};
    // A metric has no unit, so that YAML reads its limit as a number.
    if (quantity == "metric") text = {{"anyOf", Json::array({text, Json{{"type", "number"}}})}};
    properties[quantity] = std::move(text);
  }
  return object(std::move(properties));
}

Json gate_schema() {
  Json schema = limits_schema();
  std::vector<std::string> words;
  for (const auto& [word, value] : recipe::on_fail_words()) words.push_back(word);
  schema["properties"]["on-fail"] = {{"enum", words}, {"default", words.front()}};
  schema["properties"]["strict"] = {{"type", "boolean"}, {"default", false}};
  for (const recipe::KeyInfo& key : recipe::gate_keys()) {
    schema["properties"][std::string(key.name)]["description"] = key.description;
  }
  return schema;
}

Json files_schema(std::string_view kind) {
  Json properties = Json::object();
  for (const std::string& file : recipe::data_files(kind)) properties[file] = {{"type", "string"}};
  Json schema = object(std::move(properties));
  schema["required"] = {recipe::data_files(kind).front()};
  return schema;
}

Json source_schema() {
  const Json value{{"type", Json::array({"string", "number", "boolean", "array", "object"})}};
  Json alternatives = Json::array({Json{{"type", "string"}}});
  Json any_option = Json::object();
  for (const std::string_view kind : data_kinds()) {
    Json options = Json::object();
    for (const DataOption& option : data_options(kind)) {
      options[std::string(option.name)] = value;
      options[std::string(option.name)]["description"] = option.summary;
    }
    any_option.update(options);
    Json properties = options;
    properties[std::string(kind)] =
        kind == "random"
            ? Json{{"anyOf", Json::array({Json{{"type", Json::array({"integer", "null"})}},
                                          object(options)})}}
            : Json{{"anyOf", Json::array({Json{{"type", "string"}}, files_schema(kind)})}};
    Json schema = object(std::move(properties));
    schema["required"] = {kind};
    alternatives.push_back(std::move(schema));
  }
  any_option["path"] = {{"type", "string"}};
  Json automatic = object(std::move(any_option));
  automatic["required"] = {"path"};
  alternatives.push_back(std::move(automatic));
  return {{"anyOf", alternatives}};
}

Json data_schema() {
  Json properties = Json::object();
  for (const recipe::KeyInfo& role : recipe::data_roles()) {
    properties[std::string(role.name)] = ref("source");
    properties[std::string(role.name)]["description"] = role.description;
  }
  return object(std::move(properties));
}

Json curve_schema(const Json& end) {
  Json schema = object({{"from", end}, {"to", end}, {"curve", {{"enum", recipe::curve_names()}}}});
  schema["required"] = {"from", "to"};
  return schema;
}

}  // namespace

std::string recipe_json_schema(const PassRegistry& passes) {
  Recipe recipe;
  int64_t seed = 0;
  OptionSet scalars;
  recipe::describe_scalars(recipe, seed, scalars);
  Json properties = Json::object();
  for (const recipe::KeyInfo& key : recipe::top_keys()) {
    const std::string name(key.name);
    if (name == "data") properties[name] = data_schema();
    if (name == "steps")
      properties[name] = {{"type", "array"}, {"items", ref("step")}, {"minItems", 1}};
    if (name == "constraints") properties[name] = ref("limits");
    if (name == "costs" || name == "plan") properties[name] = {{"type", "string"}};
    for (const OptionInfo& info : scalars.infos()) {
      if (info.name == name) properties[name] = option_schema(info, false);
    }
    properties[name]["description"] = key.description;
  }
  Json schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
              {"title", "Recipe of mcompress"}};
  schema.update(object(std::move(properties)));
  schema["required"] = {"steps"};
  schema["$defs"] = {{"step", step_schema(passes, false)},
                     {"repeated-step", step_schema(passes, true)},
                     {"curve", curve_schema({{"type", "number"}})},
                     {"curve-of-lists", curve_schema(one_or_list({{"type", "number"}}))},
                     {"patterns", one_or_list({{"type", "string"}, {"minLength", 1}})},
                     {"limits", limits_schema()},
                     {"gate", gate_schema()},
                     {"source", source_schema()}};
  return schema.dump(2) + "\n";
}

}  // namespace mcompress
