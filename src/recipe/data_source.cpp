// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "mcompress/data_options.h"
#include "recipe/binder.h"
#include "recipe/names.h"
#include "support/did_you_mean.h"

namespace mcompress::recipe {
namespace {

using Kind = ConfigValue::Kind;

bool is_kind(std::string_view key) {
  const std::span<const std::string_view> kinds = data_kinds();
  return std::find(kinds.begin(), kinds.end(), key) != kinds.end();
}

// Options of the kind, or of every kind while the reader is chosen by what is there.
std::vector<std::string> known_options(const std::string& kind) {
  std::vector<std::string> names;
  for (const std::string_view one : data_kinds()) {
    if (!kind.empty() && kind != one) continue;
    for (const DataOption& option : data_options(one)) names.emplace_back(option.name);
  }
  return names;
}

// As the readers take options: "0.5", "[0.1, 0.2]", "height=3, width=4".
std::optional<std::string> option_text(const ConfigValue& value) {
  if (value.kind == Kind::kScalar) return value.scalar;
  std::string text;
  if (value.kind == Kind::kList) {
    for (const ConfigValue& item : value.list) {
      if (item.kind != Kind::kScalar) return std::nullopt;
      text += (text.empty() ? "" : ", ") + item.scalar;
    }
    return "[" + text + "]";
  }
  if (value.kind != Kind::kMap) return std::nullopt;
  for (const ConfigValue::Entry& entry : value.map) {
    if (entry.value.kind != Kind::kScalar) return std::nullopt;
    text += (text.empty() ? "" : ", ") + entry.key + "=" + entry.value.scalar;
  }
  return text;
}

}  // namespace

void Binder::bind_data(const ConfigValue& value, Recipe& recipe) {
  if (value.kind != Kind::kMap) {
    report(value.where, "'data' must be a map of roles",
           "for example data: {calibration: {npz: calib.npz}}");
    return;
  }
  const std::vector<std::string> roles = names_of(data_roles());
  for (const ConfigValue::Entry& entry : value.map) {
    if (std::find(roles.begin(), roles.end(), entry.key) == roles.end()) {
      report(entry.where, fmt::format("data: unknown role '{}'", entry.key),
             did_you_mean(entry.key, roles));
      continue;
    }
    const bool is_word = entry.value.kind == Kind::kScalar && !entry.value.quoted;
    if (entry.key == "validation" && is_word && entry.value.scalar == "evaluation") {
      recipe.validate_on_evaluation = true;
      continue;
    }
    DataSource source;
    source.origin = entry.where.str();
    bind_source(entry.key, entry.value, source);
    recipe.data[entry.key] = std::move(source);
  }
}

void Binder::bind_source(const std::string& role, const ConfigValue& value, DataSource& source) {
  if (value.kind == Kind::kScalar) {
    source.path = resolve(role, value);
    return;
  }
  if (value.kind != Kind::kMap) {
    report(
        value.where,
        fmt::format("{}: expected a path, or a map such as {{npz: calib.npz, limit: 300}}", role));
    return;
  }
  const ConfigValue::Entry* main = nullptr;
  for (const ConfigValue::Entry& entry : value.map) {
    if (entry.key != "path" && !is_kind(entry.key)) continue;
    if (main != nullptr) {
      report(entry.where,
             fmt::format("{}: '{}' is a second source beside '{}'", role, entry.key, main->key),
             "give one");
      continue;
    }
    main = &entry;
    source.kind = entry.key == "path" ? "" : entry.key;
    bind_source_path(role, entry.key, entry.value, source);
  }
  if (main == nullptr) {
    report(value.where, fmt::format("{}: no path", role),
           fmt::format("one of path, {}", fmt::join(data_kinds(), ", ")));
  }
  for (const ConfigValue::Entry& entry : value.map) {
    if (entry.key != "path" && !is_kind(entry.key)) bind_source_option(role, entry, source);
  }
}

void Binder::bind_source_path(const std::string& role, const std::string& key,
                              const ConfigValue& value, DataSource& source) {
  if (key == "random") {
    // There is no file: what stands here are the options, or the number of samples alone.
    if (value.kind == Kind::kScalar) {
      bind_source_option(role, {"count", value.where, value}, source);
    }
    for (const ConfigValue::Entry& entry : value.map) bind_source_option(role, entry, source);
    return;
  }
  if (value.kind == Kind::kScalar) {
    source.path = resolve(role, value);
    return;
  }
  if (value.kind != Kind::kMap || key == "path") {
    report(value.where, fmt::format("{}: '{}' is no path", role, key));
    return;
  }
  const std::vector<std::string> known = data_files(key);
  for (const ConfigValue::Entry& entry : value.map) {
    if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
      report(entry.where, fmt::format("{}: {}: unknown file '{}'", role, key, entry.key),
             did_you_mean(entry.key, known));
    } else if (entry.value.kind != Kind::kScalar) {
      report(entry.value.where, fmt::format("{}: {}: '{}' is no path", role, key, entry.key));
    } else if (entry.key == "path") {
      source.path = resolve(role, entry.value);
    } else {
      source.files[entry.key] = resolve(role, entry.value);
    }
  }
  if (value.find(known.front()) == nullptr) {
    report(value.where, fmt::format("{}: {}: '{}' is missing", role, key, known.front()));
  }
}

void Binder::bind_source_option(const std::string& role, const ConfigValue::Entry& entry,
                                DataSource& source) {
  const std::vector<std::string> known = known_options(source.kind);
  if (std::find(known.begin(), known.end(), entry.key) == known.end()) {
    report(entry.where,
           fmt::format("{}: unknown option '{}'{}", role, entry.key,
                       source.kind.empty() ? "" : " of " + source.kind + " data"),
           did_you_mean(entry.key, known));
    return;
  }
  const std::optional<std::string> text = option_text(entry.value);
  if (!text) {
    report(entry.value.where,
           fmt::format("{}: '{}' has no value that can be read", role, entry.key));
    return;
  }
  if (const std::string problem = data_option_problem(entry.key, *text); !problem.empty()) {
    report(entry.value.where, role + ": " + problem);
    return;
  }
  source.options[entry.key] = *text;
}

}  // namespace mcompress::recipe
