// SPDX-License-Identifier: Apache-2.0
#include "mcompress/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "mcompress/error.h"
#include "support/did_you_mean.h"

namespace mcompress {
namespace {

using Problem = std::optional<std::string>;

ConfigValue scalar_value(std::string text, bool quoted = false) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kScalar;
  value.scalar = std::move(text);
  value.quoted = quoted;
  return value;
}

ConfigValue list_value(std::vector<ConfigValue> items) {
  ConfigValue value;
  value.kind = ConfigValue::Kind::kList;
  value.list = std::move(items);
  return value;
}

// A value as a person would name it in "'bits' is ...".
std::string shown(const ConfigValue& value) {
  switch (value.kind) {
    case ConfigValue::Kind::kNull:
      return "empty";
    case ConfigValue::Kind::kList:
      return "a list";
    case ConfigValue::Kind::kMap:
      return "a map";
    case ConfigValue::Kind::kScalar:
      break;
  }
  constexpr size_t kLongest = 40;
  std::string text = value.scalar.substr(0, kLongest);
  if (value.scalar.size() > kLongest) text += "...";
  return value.quoted ? "the text \"" + text + "\"" : text;
}

std::string expected(const ConfigValue& value, std::string_view what) {
  return fmt::format("is {}, expected {}", shown(value), what);
}

std::optional<bool> read_bool(const ConfigValue& value) {
  if (value.kind != ConfigValue::Kind::kScalar || value.quoted) return std::nullopt;
  constexpr std::array<std::string_view, 3> kYes{"true", "on", "yes"};
  constexpr std::array<std::string_view, 3> kNo{"false", "off", "no"};
  if (std::find(kYes.begin(), kYes.end(), value.scalar) != kYes.end()) return true;
  if (std::find(kNo.begin(), kNo.end(), value.scalar) != kNo.end()) return false;
  return std::nullopt;
}

template <class T>
std::optional<T> read_number(const ConfigValue& value) {
  if (value.kind != ConfigValue::Kind::kScalar || value.quoted) return std::nullopt;
  const char* first = value.scalar.data();
  const char* last = first + value.scalar.size();
  if (first != last && *first == '+') ++first;
  T number{};
  const auto [rest, error] = std::from_chars(first, last, number);
  if (error != std::errc() || rest != last || first == last) return std::nullopt;
  if constexpr (std::is_floating_point_v<T>) {
    if (!std::isfinite(number)) return std::nullopt;
  }
  return number;
}

std::string number_text(double number) { return fmt::format("{}", number); }

Problem check_range(const OptionInfo& info, double number) {
  const bool low =
      info.minimum && (info.exclusive_minimum ? number <= *info.minimum : number < *info.minimum);
  const bool high = info.maximum && number > *info.maximum;
  if (!low && !high) return std::nullopt;
  const std::string shown_number = number_text(number);
  if (info.minimum && info.maximum && !info.exclusive_minimum) {
    return fmt::format("is {}, outside {}..{}", shown_number, number_text(*info.minimum),
                       number_text(*info.maximum));
  }
  if (low) {
    return fmt::format("is {}, expected {} {}", shown_number,
                       info.exclusive_minimum ? "more than" : "at least",
                       number_text(*info.minimum));
  }
  return fmt::format("is {}, expected at most {}", shown_number, number_text(*info.maximum));
}

// Limits are looked at before the setter, which would not know them: they are declared after it is
// made.
Problem check_limits(const OptionInfo& info, const ConfigValue& value) {
  using Type = OptionInfo::Type;
  if (info.type != Type::kInt && info.type != Type::kNumber && info.type != Type::kNumberList) {
    return std::nullopt;
  }
  if (value.kind == ConfigValue::Kind::kList) {
    for (const ConfigValue& item : value.list) {
      if (Problem problem = check_limits(info, item)) return problem;
    }
  }
  const std::optional<double> number = read_number<double>(value);
  return number ? check_range(info, *number) : std::nullopt;
}

// Reads a scalar or a list of scalars; a lone scalar is a list of one.
template <class T, class Read>
Problem read_list(const ConfigValue& value, std::string_view what, Read read,
                  std::vector<T>& result) {
  std::vector<T> items;
  const auto add = [&](const ConfigValue& item) -> Problem {
    std::optional<T> one = read(item);
    if (!one) return expected(item, what);
    items.push_back(std::move(*one));
    return std::nullopt;
  };
  if (value.kind == ConfigValue::Kind::kList) {
    for (const ConfigValue& item : value.list) {
      if (Problem problem = add(item)) return problem;
    }
  } else if (Problem problem = add(value)) {
    return problem;
  }
  result = std::move(items);
  return std::nullopt;
}

std::optional<std::string> read_text(const ConfigValue& value) {
  if (value.kind != ConfigValue::Kind::kScalar) return std::nullopt;
  return value.scalar;
}

std::string flow_text(const ConfigValue& value) {
  if (value.kind == ConfigValue::Kind::kNull) return "";
  if (value.kind != ConfigValue::Kind::kList) return value.scalar;
  std::string text = "[";
  for (const ConfigValue& item : value.list) text += (text.size() > 1 ? ", " : "") + item.scalar;
  return text + "]";
}

// A long list of choices helps nobody who made a slip.
std::string wrong_word(const ConfigValue& value, const std::vector<std::string>& choices) {
  constexpr size_t kLongList = 6;
  const std::string nearest =
      value.kind == ConfigValue::Kind::kScalar ? nearest_name(value.scalar, choices) : "";
  std::string text = choices.size() > kLongList && !nearest.empty()
                         ? fmt::format("is {}, none of its {} words", shown(value), choices.size())
                         : expected(value, fmt::format("one of {}", fmt::join(choices, ", ")));
  if (!nearest.empty()) text += fmt::format("; did you mean '{}'?", nearest);
  return text;
}

OptionInfo info_of(std::string name, OptionInfo::Type type, std::string description) {
  OptionInfo info;
  info.name = std::move(name);
  info.type = type;
  info.description = std::move(description);
  return info;
}

}  // namespace

OptionSet::Handle& OptionSet::Handle::range(double minimum, double maximum) {
  OptionInfo& info = set_->infos_[at_];
  info.minimum = minimum;
  info.maximum = maximum;
  return *this;
}

OptionSet::Handle& OptionSet::Handle::at_least(double minimum) {
  set_->infos_[at_].minimum = minimum;
  return *this;
}

OptionSet::Handle& OptionSet::Handle::greater_than(double minimum) {
  OptionInfo& info = set_->infos_[at_];
  info.minimum = minimum;
  info.exclusive_minimum = true;
  return *this;
}

OptionSet::Handle OptionSet::push(OptionInfo info, Setter set, Getter get) {
  for (const OptionInfo& known : infos_) {
    if (known.name == info.name) {
      throw Error(ErrorCode::kBug, fmt::format("option '{}' is declared twice", info.name));
    }
  }
  info.default_text = flow_text(get());
  infos_.push_back(std::move(info));
  setters_.push_back(std::move(set));
  getters_.push_back(std::move(get));
  return {this, infos_.size() - 1};
}

OptionSet::Handle OptionSet::add(std::string name, bool& member, std::string description) {
  return push(
      info_of(std::move(name), OptionInfo::Type::kBool, std::move(description)),
      [&member](const ConfigValue& value) -> Problem {
        const std::optional<bool> flag = read_bool(value);
        if (!flag) return expected(value, "true or false");
        member = *flag;
        return std::nullopt;
      },
      [&member] { return scalar_value(member ? "true" : "false"); });
}

OptionSet::Handle OptionSet::add(std::string name, int& member, std::string description) {
  return push(
      info_of(std::move(name), OptionInfo::Type::kInt, std::move(description)),
      [&member](const ConfigValue& value) -> Problem {
        const std::optional<int64_t> number = read_number<int64_t>(value);
        if (!number) return expected(value, "a whole number");
        using Limits = std::numeric_limits<int>;
        if (*number < Limits::min() || *number > Limits::max()) {
          return fmt::format("is {}, outside {}..{}", *number, Limits::min(), Limits::max());
        }
        member = static_cast<int>(*number);
        return std::nullopt;
      },
      [&member] { return scalar_value(std::to_string(member)); });
}

OptionSet::Handle OptionSet::add(std::string name, int64_t& member, std::string description) {
  return push(
      info_of(std::move(name), OptionInfo::Type::kInt, std::move(description)),
      [&member](const ConfigValue& value) -> Problem {
        const std::optional<int64_t> number = read_number<int64_t>(value);
        if (!number) return expected(value, "a whole number");
        member = *number;
        return std::nullopt;
      },
      [&member] { return scalar_value(std::to_string(member)); });
}

OptionSet::Handle OptionSet::add(std::string name, double& member, std::string description) {
  return push(
      info_of(std::move(name), OptionInfo::Type::kNumber, std::move(description)),
      [&member](const ConfigValue& value) -> Problem {
        const std::optional<double> number = read_number<double>(value);
        if (!number) return expected(value, "a number");
        member = *number;
        return std::nullopt;
      },
      [&member] { return scalar_value(number_text(member)); });
}

OptionSet::Handle OptionSet::add(std::string name, std::string& member, std::string description) {
  return push(
      info_of(std::move(name), OptionInfo::Type::kString, std::move(description)),
      [&member](const ConfigValue& value) -> Problem {
        std::optional<std::string> text = read_text(value);
        if (!text) return expected(value, "text");
        member = std::move(*text);
        return std::nullopt;
      },
      [&member] { return scalar_value(member, true); });
}

OptionSet::Handle OptionSet::add_file(std::string name, std::string& member,
                                      std::string description, std::vector<std::string> words) {
  OptionInfo info = info_of(std::move(name), OptionInfo::Type::kFile, std::move(description));
  info.choices = std::move(words);
  return push(
      std::move(info),
      [&member](const ConfigValue& value) -> Problem {
        std::optional<std::string> text = read_text(value);
        if (!text) return expected(value, "the path of a file");
        member = std::move(*text);
        return std::nullopt;
      },
      [&member] { return member.empty() ? ConfigValue() : scalar_value(member, true); });
}

OptionSet::Handle OptionSet::add(std::string name, std::vector<std::string>& member,
                                 std::string description) {
  return push_texts(info_of(std::move(name), OptionInfo::Type::kStringList, std::move(description)),
                    member);
}

OptionSet::Handle OptionSet::add_files(std::string name, std::vector<std::string>& member,
                                       std::string description) {
  return push_texts(info_of(std::move(name), OptionInfo::Type::kFileList, std::move(description)),
                    member);
}

OptionSet::Handle OptionSet::push_texts(OptionInfo info, std::vector<std::string>& member) {
  return push(
      std::move(info),
      [&member](const ConfigValue& value) -> Problem {
        return read_list(value, "a list of texts", read_text, member);
      },
      [&member] {
        std::vector<ConfigValue> items;
        for (const std::string& text : member) items.push_back(scalar_value(text, true));
        return list_value(std::move(items));
      });
}

OptionSet::Handle OptionSet::add(std::string name, std::vector<double>& member,
                                 std::string description) {
  return push(
      info_of(std::move(name), OptionInfo::Type::kNumberList, std::move(description)),
      [&member](const ConfigValue& value) -> Problem {
        return read_list(value, "a list of numbers", read_number<double>, member);
      },
      [&member] {
        std::vector<ConfigValue> items;
        for (const double number : member) items.push_back(scalar_value(number_text(number)));
        return list_value(std::move(items));
      });
}

OptionSet::Handle OptionSet::add(std::string name, std::optional<double>& member,
                                 std::string description, std::vector<std::string> words) {
  OptionInfo info = info_of(std::move(name), OptionInfo::Type::kNumber, std::move(description));
  info.choices = words;
  const std::string absent = words.empty() ? "" : words.front();
  return push(
      std::move(info),
      [&member, words = std::move(words)](const ConfigValue& value) -> Problem {
        const bool is_word = value.kind == ConfigValue::Kind::kScalar &&
                             std::find(words.begin(), words.end(), value.scalar) != words.end();
        if (is_word || value.kind == ConfigValue::Kind::kNull) {
          member.reset();
          return std::nullopt;
        }
        const std::optional<double> number = read_number<double>(value);
        if (!number) {
          return expected(value, words.empty()
                                     ? "a number"
                                     : fmt::format("a number or {}", fmt::join(words, ", ")));
        }
        member = number;
        return std::nullopt;
      },
      [&member, absent] {
        if (member) return scalar_value(number_text(*member));
        return absent.empty() ? ConfigValue() : scalar_value(absent);
      });
}

OptionSet::Handle OptionSet::add_enum(std::string name, std::vector<std::string> choices,
                                      std::string current,
                                      std::function<void(std::string_view)> set,
                                      std::string description) {
  OptionInfo info = info_of(std::move(name), OptionInfo::Type::kEnum, std::move(description));
  info.choices = choices;
  // The member's type is known to the caller only: the word in force is kept here.
  auto word = std::make_shared<std::string>(std::move(current));
  return push(
      std::move(info),
      [word, choices = std::move(choices),
       set = std::move(set)](const ConfigValue& value) -> Problem {
        const bool known = value.kind == ConfigValue::Kind::kScalar &&
                           std::find(choices.begin(), choices.end(), value.scalar) != choices.end();
        if (!known) {
          return wrong_word(value, choices);
        }
        set(value.scalar);
        *word = value.scalar;
        return std::nullopt;
      },
      [word] { return scalar_value(*word); });
}

void OptionSet::bind(const ConfigValue& values, std::string_view owner,
                     std::vector<Diagnostic>& problems) {
  if (values.kind == ConfigValue::Kind::kNull) return;
  if (values.kind != ConfigValue::Kind::kMap) {
    problems.push_back({values.where,
                        fmt::format("{}: options are {}, expected a map", owner, shown(values)),
                        fmt::format("write {}: {{option: value}}", owner)});
    return;
  }
  std::vector<std::string> names;
  for (const OptionInfo& info : infos_) names.push_back(info.name);
  for (const ConfigValue::Entry& entry : values.map) {
    const auto found = std::find(names.begin(), names.end(), entry.key);
    if (found == names.end()) {
      problems.push_back({entry.where, fmt::format("{}: unknown option '{}'", owner, entry.key),
                          names.empty() ? "it has no options" : did_you_mean(entry.key, names)});
      continue;
    }
    const auto at = static_cast<size_t>(found - names.begin());
    Problem problem = check_limits(infos_[at], entry.value);
    if (!problem) problem = setters_[at](entry.value);
    if (problem) {
      problems.push_back(
          {entry.value.where, fmt::format("{}: '{}' {}", owner, entry.key, *problem), ""});
    }
  }
}

ConfigValue OptionSet::effective() const {
  ConfigValue result;
  result.kind = ConfigValue::Kind::kMap;
  for (size_t i = 0; i < infos_.size(); ++i) {
    ConfigValue value = getters_[i]();
    if (value.kind == ConfigValue::Kind::kNull) continue;
    result.map.push_back({infos_[i].name, {}, std::move(value)});
  }
  return result;
}

}  // namespace mcompress
