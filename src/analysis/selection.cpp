// SPDX-License-Identifier: Apache-2.0
#include "mcompress/error.h"
#include "mcompress/layer.h"

namespace mcompress {
namespace {

/// `*` stands for any run of characters, slashes included, `?` for one.
bool matches_glob(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0;
  size_t star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool matches(std::string_view pattern, const std::vector<Layer>& layers, size_t index) {
  const Layer& layer = layers[index];
  if (pattern == "first") return index == 0;
  if (pattern == "last") return index + 1 == layers.size();
  if (pattern == "depthwise") return layer.is_depthwise();
  if (pattern.starts_with("op:")) return matches_glob(pattern.substr(3), layer.node.op());
  return matches_glob(pattern, layer.name) || matches_glob(pattern, layer.output);
}

void check(const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    if (pattern.empty() || pattern == "op:") {
      throw Error(ErrorCode::kRecipe, "layer pattern '" + pattern + "': names nothing")
          .hint("write a name with * and ?, op:Conv, first, last or depthwise");
    }
  }
}

}  // namespace

LayerSelection::LayerSelection(std::vector<std::string> only, std::vector<std::string> skip)
    : only_(std::move(only)), skip_(std::move(skip)) {
  check(only_);
  check(skip_);
}

std::string LayerSelection::reason_to_skip(const std::vector<Layer>& layers, size_t index) const {
  for (const std::string& pattern : skip_) {
    if (matches(pattern, layers, index)) return "skip: '" + pattern + "'";
  }
  if (only_.empty()) return "";
  for (const std::string& pattern : only_) {
    if (matches(pattern, layers, index)) return "";
  }
  return "not among 'only'";
}

std::vector<std::string> LayerSelection::unmatched(const std::vector<Layer>& layers) const {
  std::vector<std::string> result;
  for (const auto* patterns : {&only_, &skip_}) {
    for (const std::string& pattern : *patterns) {
      bool found = false;
      for (size_t i = 0; i < layers.size() && !found; ++i) found = matches(pattern, layers, i);
      if (!found) result.push_back(pattern);
    }
  }
  return result;
}

}  // namespace mcompress
