// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcompress/config_value.h"

namespace mcompress {

/// What is known of one option: feeds the reader, --set, help, README table, JSON schema.
struct OptionInfo {
  enum class Type { kBool, kInt, kNumber, kString, kEnum, kStringList, kNumberList, kFile, kFileList };
  std::string name;
  std::string description;
  Type type = Type::kString;
  std::string default_text;           ///< as it would be written in a recipe
  std::vector<std::string> choices;   ///< of an enum; for other types, words allowed beside the type ("auto")
  std::optional<double> minimum, maximum;
  bool exclusive_minimum = false;
};

/// The options of a pass (or of a composite step), bound to members. `describe` of a pass holds
/// lines like
///
///     o.add("bits", bits_, "Width of the stored integer").range(1, 8);
///     o.add("scope", scope_, {{"local", Scope::kLocal}, {"global", Scope::kGlobal}}, "...");
///
/// Defaults are the members' initialisers. Members must outlive the set.
class OptionSet {
 public:
  class Handle {
   public:
    Handle(OptionSet* set, size_t at) : set_(set), at_(at) {}
    /// Inclusive limits of a number (of each entry of a list).
    Handle& range(double minimum, double maximum);
    Handle& at_least(double minimum);
    Handle& greater_than(double minimum);

   private:
    OptionSet* set_;
    size_t at_;
  };

  Handle add(std::string name, bool& member, std::string description);
  Handle add(std::string name, int& member, std::string description);
  Handle add(std::string name, int64_t& member, std::string description);
  Handle add(std::string name, double& member, std::string description);
  Handle add(std::string name, std::string& member, std::string description);
  /// A file, relative to the recipe; bound as an absolute path. `words` are no files and stay as they are.
  Handle add_file(std::string name, std::string& member, std::string description,
                  std::vector<std::string> words = {});
  /// The same for several.
  Handle add_files(std::string name, std::vector<std::string>& member, std::string description);
  Handle add(std::string name, std::vector<std::string>& member, std::string description);
  Handle add(std::string name, std::vector<double>& member, std::string description);
  /// May be absent; a word of `words` (for example "auto") leaves it absent too.
  Handle add(std::string name, std::optional<double>& member, std::string description,
             std::vector<std::string> words = {});

  template <class E>
  Handle add(std::string name, E& member, std::vector<std::pair<std::string, E>> table,
             std::string description) {
    std::vector<std::string> names;
    std::string current;
    for (const auto& [text, value] : table) {
      names.push_back(text);
      if (value == member) current = text;
    }
    return add_enum(std::move(name), std::move(names), std::move(current),
                    [&member, table = std::move(table)](std::string_view text) {
                      for (const auto& [word, value] : table) {
                        if (word == text) member = value;
                      }
                    },
                    std::move(description));
  }

  const std::vector<OptionInfo>& infos() const { return infos_; }
  /// Sets members from `values` (a map). Unknown keys, wrong types and values out of range are added
  /// to `problems`, each with its place, what was expected and the nearest known name.
  void bind(const ConfigValue& values, std::string_view owner, std::vector<Diagnostic>& problems);
  /// The present value of every option as it would be written: the effective recipe.
  ConfigValue effective() const;

 private:
  friend class Handle;
  using Setter = std::function<std::optional<std::string>(const ConfigValue&)>;  ///< error text or nothing
  using Getter = std::function<ConfigValue()>;
  Handle add_enum(std::string name, std::vector<std::string> choices, std::string current,
                  std::function<void(std::string_view)> set, std::string description);
  Handle push(OptionInfo info, Setter set, Getter get);
  Handle push_texts(OptionInfo info, std::vector<std::string>& member);

  std::vector<OptionInfo> infos_;
  std::vector<Setter> setters_;
  std::vector<Getter> getters_;
};

}  // namespace mcompress
