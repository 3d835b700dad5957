// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <span>

#include "recipe/binder.h"
#include "recipe/names.h"
#include "recipe/yaml.h"
#include "support/did_you_mean.h"

namespace mcompress::recipe {
namespace {

using Kind = ConfigValue::Kind;

void set_place(ConfigValue& value, const SourceLocation& where) {
  value.where = where;
  for (ConfigValue& item : value.list) set_place(item, where);
  for (ConfigValue::Entry& entry : value.map) {
    entry.where = where;
    set_place(entry.value, where);
  }
}

std::vector<std::string> split(std::string_view path) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t dot = path.find('.');
    parts.emplace_back(path.substr(0, dot));
    if (dot == std::string_view::npos) return parts;
    path.remove_prefix(dot + 1);
  }
}

bool has_key(const std::vector<KeyInfo>& keys, std::string_view name) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](const KeyInfo& key) { return key.name == name; });
}

bool is_composite(const ConfigValue& step) {
  return step.find("steps") != nullptr || step.find("repeat") != nullptr;
}

class Override {
 public:
  Override(ConfigValue& root, const std::string& text, std::vector<Diagnostic>& problems)
      : root_(root), text_(text), problems_(problems) {}

  void apply() {
    if (text_.starts_with("--")) return apply_named();
    where_ = {"--set " + text_, 0, 0};
    const size_t equals = text_.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail("expected STEP.OPTION=VALUE, data.ROLE.KEY=VALUE or KEY=VALUE");
    }
    ConfigValue value =
        parse_yaml(std::string_view(text_).substr(equals + 1), where_.file, problems_);
    set_place(value, where_);
    apply_path(split(std::string_view(text_).substr(0, equals)), std::move(value));
  }

 private:
  void fail(std::string message, std::string hint = "") {
    problems_.push_back({where_, std::move(message), std::move(hint), false});
  }

  // "--data ROLE=PATH" and "--KEY VALUE": what follows is text as it stands and no YAML.
  void apply_named() {
    const size_t space = text_.find(' ');
    const std::string key = text_.substr(2, space == std::string::npos ? space : space - 2);
    ConfigValue value;
    value.kind = Kind::kScalar;
    value.scalar = space == std::string::npos ? "" : text_.substr(space + 1);
    where_ = {"--" + key, 0, 0};
    if (key != "data") {
      value.where = where_;
      return set(root_, std::vector<std::string>{key}, std::move(value));
    }
    const size_t equals = value.scalar.find('=');
    if (equals == std::string::npos)
      return fail(fmt::format("'{}' is not ROLE=PATH", value.scalar));
    const std::string role = value.scalar.substr(0, equals);
    value.scalar.erase(0, equals + 1);
    value.quoted = true;
    where_ = {"--data " + role, 0, 0};
    value.where = where_;
    set(root_, std::vector<std::string>{"data", role}, std::move(value));
  }

  void apply_path(const std::vector<std::string>& path, ConfigValue value) {
    if (path.front() == "data") return set_data(path, std::move(value));
    if (has_key(top_keys(), path.front())) return set(root_, path, std::move(value));
    size_t used = 0;
    ConfigValue* step = find_step(path, used);
    if (step == nullptr) return;
    if (used == path.size()) return fail("names a step and no option", "write STEP.OPTION=VALUE");
    set_in_step(*step, std::span(path).subspan(used), std::move(value));
  }

  void set_data(const std::vector<std::string>& path, ConfigValue value) {
    if (path.size() == 3) {
      // The short form (a path alone) makes room for options.
      ConfigValue* data = child(root_, "data");
      ConfigValue* source = data == nullptr ? nullptr : child(*data, path[1]);
      if (source != nullptr && source->kind == Kind::kScalar) {
        ConfigValue map;
        map.kind = Kind::kMap;
        map.where = source->where;
        map.map.push_back({"path", source->where, std::move(*source)});
        *source = std::move(map);
      }
    }
    set(root_, path, std::move(value));
  }

  static ConfigValue* child(ConfigValue& map, std::string_view key) {
    for (ConfigValue::Entry& entry : map.map) {
      if (entry.key == key) return &entry.value;
    }
    return nullptr;
  }

  void set(ConfigValue& at, std::span<const std::string> path, ConfigValue value) {
    if (path.empty()) {
      at = std::move(value);
      return;
    }
    if (at.kind != Kind::kMap) {
      at = {};
      at.kind = Kind::kMap;
      at.where = where_;
    }
    ConfigValue* next = child(at, path.front());
    if (next == nullptr) {
      at.map.push_back({path.front(), where_, {}});
      next = &at.map.back().value;
    }
    set(*next, path.subspan(1), std::move(value));
  }

  void set_in_step(ConfigValue& step, std::span<const std::string> path, ConfigValue value) {
    if (step.kind == Kind::kScalar) {
      ConfigValue map;
      map.kind = Kind::kMap;
      map.where = step.where;
      map.map.push_back({step.scalar, step.where, {}});
      step = std::move(map);
    }
    if (is_composite(step) || has_key(step_keys(), path.front()))
      return set(step, path, std::move(value));
    for (ConfigValue::Entry& entry : step.map) {
      if (!has_key(step_keys(), entry.key)) return set(entry.value, path, std::move(value));
    }
  }

  // The step that the front of `path` names; `used` says how many parts did.
  ConfigValue* find_step(const std::vector<std::string>& path, size_t& used) {
    const std::string& name = path.front();
    const bool numbered =
        !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
    return numbered ? find_numbered(path, used) : (used = 1, find_named(name));
  }

  ConfigValue* find_numbered(const std::vector<std::string>& path, size_t& used) {
    ConfigValue* steps = child(root_, "steps");
    ConfigValue* step = nullptr;
    for (; used < path.size() && steps != nullptr; ++used) {
      size_t number = 0;
      const std::string& part = path[used];
      const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), number);
      if (error != std::errc() || rest != part.data() + part.size()) break;
      if (number < 1 || number > steps->list.size()) {
        fail(fmt::format("there is no step {}", part),
             fmt::format("the steps are 1 to {}", steps->list.size()));
        return nullptr;
      }
      step = &steps->list[number - 1];
      steps = child(*step, "steps");
    }
    if (step == nullptr) fail("the recipe has no steps");
    return step;
  }

  ConfigValue* find_named(const std::string& name) {
    std::vector<ConfigValue*> found;
    std::vector<std::string> known = names_of(top_keys());
    if (ConfigValue* steps = child(root_, "steps")) collect(*steps, name, found, known);
    if (found.size() == 1) return found.front();
    if (found.empty()) {
      fail(fmt::format("the recipe has no step or key '{}'", name), did_you_mean(name, known));
    } else {
      fail(fmt::format("'{}' is the name of {} steps", name, found.size()),
           "use the number of the step, from 1");
    }
    return nullptr;
  }

  static void collect(ConfigValue& steps, const std::string& name, std::vector<ConfigValue*>& found,
                      std::vector<std::string>& known) {
    for (ConfigValue& step : steps.list) {
      if (step.kind == Kind::kScalar) {
        known.push_back(step.scalar);
        if (step.scalar == name) found.push_back(&step);
      } else if (is_composite(step)) {
        if (name == "repeat") found.push_back(&step);
        if (ConfigValue* inner = child(step, "steps")) collect(*inner, name, found, known);
      } else {
        for (const ConfigValue::Entry& entry : step.map) {
          if (has_key(step_keys(), entry.key)) continue;
          known.push_back(entry.key);
          if (entry.key == name) found.push_back(&step);
        }
      }
    }
  }

  ConfigValue& root_;
  const std::string& text_;
  std::vector<Diagnostic>& problems_;
  SourceLocation where_;
};

}  // namespace

void apply_overrides(ConfigValue& root, const std::vector<std::string>& overrides,
                     std::vector<Diagnostic>& problems) {
  // Sources first, so that `--set data.ROLE.KEY` finds them wherever it stands on the command line.
  for (const bool sources : {true, false}) {
    for (const std::string& text : overrides) {
      if (text.starts_with("--data ") == sources) Override(root, text, problems).apply();
    }
  }
}

}  // namespace mcompress::recipe
