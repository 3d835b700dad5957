// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcompress/dataset.h"

namespace mcompress::data {

/// Options of a DataSource, read strictly. Errors are kRecipe and begin with the source's origin.
class SourceOptions {
 public:
  /// Throws when `source` has an option that this kind of source does not know.
  SourceOptions(const DataSource& source, std::string_view kind);

  bool has(const std::string& name) const;
  std::string text(const std::string& name, const std::string& fallback) const;
  /// One of `choices`.
  std::string choice(const std::string& name, const std::vector<std::string>& choices,
                     const std::string& fallback) const;
  /// A number or a fraction: "0.5", "1/255".
  std::optional<double> number(const std::string& name) const;
  /// An integer of at least `least`.
  std::optional<int64_t> integer(const std::string& name, int64_t least) const;
  /// A number or a list of them: "0.5", "[0.1, 0.2]", "0.1, 0.2".
  std::vector<double> numbers(const std::string& name) const;
  /// One integer (both) or two, height first: "224", "[48, 192]", "48x192". All at least 1.
  std::optional<std::pair<int64_t, int64_t>> height_width(const std::string& name,
                                                          bool& single) const;

  [[noreturn]] void fail(const std::string& name, std::string_view expected) const;

 private:
  const DataSource& source_;
  std::string kind_;
};

}  // namespace mcompress::data
