// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "mcompress/error.h"
#include "mcompress/pass.h"
#include "support/did_you_mean.h"

namespace mcompress {

void PassRegistry::add(std::string name, Factory factory) {
  if (contains(name)) {
    throw Error(ErrorCode::kBug, fmt::format("pass '{}' is registered twice", name));
  }
  factories_.emplace_back(std::move(name), std::move(factory));
}

bool PassRegistry::contains(std::string_view name) const {
  return std::any_of(factories_.begin(), factories_.end(),
                     [&](const auto& entry) { return entry.first == name; });
}

std::unique_ptr<Pass> PassRegistry::create(std::string_view name) const {
  for (const auto& [known, factory] : factories_) {
    if (known == name) return factory();
  }
  const std::string nearest = nearest_name(name, names());
  throw Error(ErrorCode::kRecipe, fmt::format("unknown pass '{}'", name))
      .hint(nearest.empty() ? "list them with: mcompress passes"
                            : fmt::format("did you mean '{}'?", nearest));
}

std::vector<std::string> PassRegistry::names() const {
  std::vector<std::string> result;
  for (const auto& [name, factory] : factories_) result.push_back(name);
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace mcompress
