// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>
#include <utility>
#include <vector>

namespace mcompress::testing {

namespace json_schema_detail {

inline std::string excerpt(const nlohmann::json& value) {
  std::string text = value.dump();
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

inline bool has_type(const nlohmann::json& value, const std::string& type) {
  if (type == "null") return value.is_null();
  if (type == "boolean") return value.is_boolean();
  if (type == "string") return value.is_string();
  if (type == "array") return value.is_array();
  if (type == "object") return value.is_object();
  if (type == "number") return value.is_number();
  if (type != "integer" || !value.is_number()) return false;
  return value.is_number_integer() || std::floor(value.get<double>()) == value.get<double>();
}

inline size_t code_points(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

}  // namespace json_schema_detail

/// A JSON schema (draft 2020-12) of which every keyword is checked: type, const, enum, the limits
/// of numbers, strings and arrays, pattern, (pattern|additional)Properties, propertyNames,
/// required, items, prefixItems, allOf, anyOf, oneOf, not, if/then/else and references into the
/// schema itself. A keyword it does not know is a problem too, so that no schema passes unread.
class JsonSchema {
  using json = nlohmann::json;
  using Errors = std::vector<std::string>;

 public:
  explicit JsonSchema(json root) : root_(std::move(root)) {}

  /// Where and why `value` does not obey, one line each: "/steps/0/size: missing file_bytes".
  Errors problems(const json& value) const { return check(root_, value, ""); }

 private:
  Errors check(const json& schema, const json& value, const std::string& path) const {
    if (schema.is_boolean()) {
      return schema.get<bool>() ? Errors{} : Errors{path + ": not allowed here"};
    }
    if (!schema.is_object())
      return {path + ": the schema is no object: " + json_schema_detail::excerpt(schema)};
    Errors errors;
    for (const auto& [keyword, rule] : schema.items()) {
      const auto found = keywords().find(keyword);
      if (found == keywords().end()) {
        errors.push_back(path + ": the validator does not know the keyword " + keyword);
      } else if (found->second != nullptr) {
        (this->*found->second)({schema, rule, value, path}, errors);
      }
    }
    return errors;
  }

  struct At {
    const json& schema;
    const json& rule;
    const json& value;
    const std::string& path;
  };
  using Check = void (JsonSchema::*)(const At&, Errors&) const;

  // A null check is a keyword that constrains nothing, or that a neighbour reads.
  static const std::map<std::string, Check>& keywords();

  void add(Errors& errors, const json& schema, const json& value, const std::string& path) const {
    const Errors more = check(schema, value, path);
    errors.insert(errors.end(), more.begin(), more.end());
  }

  void reference(const At& at, Errors& errors) const {
    const std::string target = at.rule.get<std::string>();
    const bool local = target.starts_with("#");
    const json::json_pointer pointer(local ? target.substr(1) : "");
    if (!local || !root_.contains(pointer)) {
      errors.push_back(at.path + ": reference to nothing: " + target);
      return;
    }
    add(errors, root_.at(pointer), at.value, at.path);
  }

  void type(const At& at, Errors& errors) const {
    const json types = at.rule.is_array() ? at.rule : json::array({at.rule});
    const bool fits = std::any_of(types.begin(), types.end(), [&](const json& name) {
      return json_schema_detail::has_type(at.value, name.get<std::string>());
    });
    if (!fits) {
      errors.push_back(at.path + ": " + json_schema_detail::excerpt(at.value) + " is not of type " +
                       at.rule.dump());
    }
  }

  void constant(const At& at, Errors& errors) const {
    if (at.value != at.rule) {
      errors.push_back(at.path + ": " + json_schema_detail::excerpt(at.value) + " is not " +
                       at.rule.dump());
    }
  }

  void one_of_values(const At& at, Errors& errors) const {
    if (std::find(at.rule.begin(), at.rule.end(), at.value) == at.rule.end()) {
      errors.push_back(at.path + ": " + json_schema_detail::excerpt(at.value) + " is none of " +
                       json_schema_detail::excerpt(at.rule));
    }
  }

  static void limit(const At& at, Errors& errors, bool holds, const char* what) {
    if (!holds) {
      errors.push_back(at.path + ": " + json_schema_detail::excerpt(at.value) + " breaks " + what +
                       " " + at.rule.dump());
    }
  }
  void minimum(const At& at, Errors& e) const {
    limit(at, e, !at.value.is_number() || at.value >= at.rule, "minimum");
  }
  void maximum(const At& at, Errors& e) const {
    limit(at, e, !at.value.is_number() || at.value <= at.rule, "maximum");
  }
  void above(const At& at, Errors& e) const {
    limit(at, e, !at.value.is_number() || at.value > at.rule, "exclusiveMinimum");
  }
  void below(const At& at, Errors& e) const {
    limit(at, e, !at.value.is_number() || at.value < at.rule, "exclusiveMaximum");
  }
  void min_length(const At& at, Errors& e) const {
    const bool text = at.value.is_string();
    limit(at, e,
          !text ||
              json_schema_detail::code_points(at.value.get<std::string>()) >= at.rule.get<size_t>(),
          "minLength");
  }
  void max_length(const At& at, Errors& e) const {
    const bool text = at.value.is_string();
    limit(at, e,
          !text ||
              json_schema_detail::code_points(at.value.get<std::string>()) <= at.rule.get<size_t>(),
          "maxLength");
  }
  void pattern(const At& at, Errors& e) const {
    const bool text = at.value.is_string();
    limit(
        at, e,
        !text || std::regex_search(at.value.get<std::string>(),
                                   std::regex(at.rule.get<std::string>(), std::regex::ECMAScript)),
        "pattern");
  }
  void min_items(const At& at, Errors& e) const {
    limit(at, e, !at.value.is_array() || at.value.size() >= at.rule.get<size_t>(), "minItems");
  }
  void max_items(const At& at, Errors& e) const {
    limit(at, e, !at.value.is_array() || at.value.size() <= at.rule.get<size_t>(), "maxItems");
  }
  void min_properties(const At& at, Errors& e) const {
    limit(at, e, !at.value.is_object() || at.value.size() >= at.rule.get<size_t>(),
          "minProperties");
  }
  void max_properties(const At& at, Errors& e) const {
    limit(at, e, !at.value.is_object() || at.value.size() <= at.rule.get<size_t>(),
          "maxProperties");
  }
  void unique_items(const At& at, Errors& e) const {
    if (!at.value.is_array() || !at.rule.get<bool>()) return;
    std::vector<json> sorted(at.value.begin(), at.value.end());
    std::sort(sorted.begin(), sorted.end());
    limit(at, e, std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), "uniqueItems");
  }

  void required(const At& at, Errors& errors) const {
    if (!at.value.is_object()) return;
    for (const json& name : at.rule) {
      if (!at.value.contains(name.get<std::string>())) {
        errors.push_back(at.path + ": missing " + name.get<std::string>());
      }
    }
  }

  void properties(const At& at, Errors& errors) const {
    if (!at.value.is_object()) return;
    for (const auto& [name, rule] : at.rule.items()) {
      if (at.value.contains(name)) add(errors, rule, at.value.at(name), at.path + "/" + name);
    }
  }

  void pattern_properties(const At& at, Errors& errors) const {
    if (!at.value.is_object()) return;
    for (const auto& [name, value] : at.value.items()) {
      for (const auto& [expression, rule] : at.rule.items()) {
        if (std::regex_search(name, std::regex(expression))) {
          add(errors, rule, value, at.path + "/" + name);
        }
      }
    }
  }

  static bool is_named(const json& schema, const std::string& name) {
    if (schema.contains("properties") && schema.at("properties").contains(name)) return true;
    if (!schema.contains("patternProperties")) return false;
    const json& patterns = schema.at("patternProperties");
    return std::any_of(patterns.items().begin(), patterns.items().end(), [&](const auto& item) {
      return std::regex_search(name, std::regex(item.key()));
    });
  }

  void additional_properties(const At& at, Errors& errors) const {
    if (!at.value.is_object()) return;
    for (const auto& [name, value] : at.value.items()) {
      if (!is_named(at.schema, name)) add(errors, at.rule, value, at.path + "/" + name);
    }
  }

  void property_names(const At& at, Errors& errors) const {
    if (!at.value.is_object()) return;
    for (const auto& [name, value] : at.value.items()) {
      add(errors, at.rule, json(name), at.path + "/" + name + " (its name)");
    }
  }

  void prefix_items(const At& at, Errors& errors) const {
    if (!at.value.is_array()) return;
    for (size_t i = 0; i < std::min(at.rule.size(), at.value.size()); ++i) {
      add(errors, at.rule[i], at.value[i], at.path + "/" + std::to_string(i));
    }
  }

  void items(const At& at, Errors& errors) const {
    if (!at.value.is_array()) return;
    const size_t first = at.schema.contains("prefixItems") ? at.schema.at("prefixItems").size() : 0;
    for (size_t i = first; i < at.value.size(); ++i) {
      add(errors, at.rule, at.value[i], at.path + "/" + std::to_string(i));
    }
  }

  void all_of(const At& at, Errors& errors) const {
    for (const json& rule : at.rule) add(errors, rule, at.value, at.path);
  }

  // The branch that comes nearest tells most: its errors are the ones shown.
  void some_of(const At& at, Errors& errors, bool exactly_one) const {
    size_t fitting = 0;
    Errors nearest;
    for (const json& rule : at.rule) {
      Errors found = check(rule, at.value, at.path);
      fitting += found.empty() ? 1 : 0;
      if (nearest.empty() || found.size() < nearest.size()) nearest = std::move(found);
    }
    if (fitting == 0) {
      errors.push_back(at.path + ": fits no alternative; the nearest:");
      errors.insert(errors.end(), nearest.begin(), nearest.end());
    } else if (exactly_one && fitting > 1) {
      errors.push_back(at.path + ": fits " + std::to_string(fitting) + " alternatives of oneOf");
    }
  }
  void any_of(const At& at, Errors& errors) const { some_of(at, errors, false); }
  void one_of(const At& at, Errors& errors) const { some_of(at, errors, true); }

  void negation(const At& at, Errors& errors) const {
    if (check(at.rule, at.value, at.path).empty()) {
      errors.push_back(at.path + ": " + json_schema_detail::excerpt(at.value) +
                       " is what `not` forbids");
    }
  }

  void condition(const At& at, Errors& errors) const {
    const char* branch = check(at.rule, at.value, at.path).empty() ? "then" : "else";
    if (at.schema.contains(branch)) add(errors, at.schema.at(branch), at.value, at.path);
  }

  json root_;
};

inline const std::map<std::string, JsonSchema::Check>& JsonSchema::keywords() {
  static const std::map<std::string, Check> all = {
      {"$schema", nullptr},
      {"$id", nullptr},
      {"$defs", nullptr},
      {"$comment", nullptr},
      {"title", nullptr},
      {"description", nullptr},
      {"default", nullptr},
      {"examples", nullptr},
      {"deprecated", nullptr},
      {"then", nullptr},
      {"else", nullptr},
      {"$ref", &JsonSchema::reference},
      {"type", &JsonSchema::type},
      {"const", &JsonSchema::constant},
      {"enum", &JsonSchema::one_of_values},
      {"minimum", &JsonSchema::minimum},
      {"maximum", &JsonSchema::maximum},
      {"exclusiveMinimum", &JsonSchema::above},
      {"exclusiveMaximum", &JsonSchema::below},
      {"minLength", &JsonSchema::min_length},
      {"maxLength", &JsonSchema::max_length},
      {"pattern", &JsonSchema::pattern},
      {"minItems", &JsonSchema::min_items},
      {"maxItems", &JsonSchema::max_items},
      {"uniqueItems", &JsonSchema::unique_items},
      {"minProperties", &JsonSchema::min_properties},
      {"maxProperties", &JsonSchema::max_properties},
      {"required", &JsonSchema::required},
      {"properties", &JsonSchema::properties},
      {"patternProperties", &JsonSchema::pattern_properties},
      {"additionalProperties", &JsonSchema::additional_properties},
      {"propertyNames", &JsonSchema::property_names},
      {"prefixItems", &JsonSchema::prefix_items},
      {"items", &JsonSchema::items},
      {"allOf", &JsonSchema::all_of},
      {"anyOf", &JsonSchema::any_of},
      {"oneOf", &JsonSchema::one_of},
      {"not", &JsonSchema::negation},
      {"if", &JsonSchema::condition},
  };
  return all;
}

}  // namespace mcompress::testing
