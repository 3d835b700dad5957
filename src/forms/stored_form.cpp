// SPDX-License-Identifier: Apache-2.0
#include "forms/stored_form.h"

#include <array>
#include <utility>

#include "forms/cast.h"
#include "forms/encodings.h"
#include "forms/quantized_weight.h"

namespace mcompress::forms {
namespace {

constexpr std::array<std::pair<FormKind, std::string_view>, 7> kNames{{
    {FormKind::kFill, "fill"},
    {FormKind::kCodes, "codes"},
    {FormKind::kBitmask, "bitmask"},
    {FormKind::kGap, "gap"},
    {FormKind::kCast, "cast"},
    {FormKind::kScaled, "scaled"},
    {FormKind::kDequantize, "dequantize"},
}};

using Matcher = std::optional<StoredForm> (*)(const ValueRef&);
constexpr std::array<Matcher, 7> kMatchers{match_codes,  match_gap,        match_bitmask, match_cast,
                                           match_scaled, match_dequantize, match_fill};

bool unread(const ValueRef& value) { return value.uses().empty() && !value.is_graph_output(); }

}  // namespace

std::string_view form_name(FormKind kind) {
  for (const auto& [known, name] : kNames) {
    if (known == kind) return name;
  }
  return "plain";
}

std::optional<FormKind> parse_form(std::string_view name) {
  for (const auto& [kind, known] : kNames) {
    if (known == name) return kind;
  }
  return std::nullopt;
}

bool is_quantized(FormKind kind) {
  return kind == FormKind::kScaled || kind == FormKind::kDequantize;
}

bool is_encoding(FormKind kind) {
  return kind == FormKind::kFill || kind == FormKind::kCodes || kind == FormKind::kBitmask ||
         kind == FormKind::kGap;
}

std::optional<StoredForm> recognise(const ValueRef& end) {
  if (!end || !end.producer() || end.is_constant()) return std::nullopt;
  for (const Matcher match : kMatchers) {
    if (auto form = match(end)) return form;
  }
  return std::nullopt;
}

std::optional<Tensor> constant_or_form(const ValueRef& value) {
  if (!value) return std::nullopt;
  if (value.is_constant()) return value.constant();
  if (const auto form = recognise(value)) return form->decode();
  return std::nullopt;
}

std::set<const onnx::NodeProto*> form_nodes(const Model& model) {
  std::set<const onnx::NodeProto*> result;
  for (Graph* graph : model.graphs()) {
    for (const NodeRef node : graph->nodes()) {
      if (node.output_count() != 1) continue;
      const auto form = recognise(node.output());
      if (!form) continue;
      for (const NodeRef& n : form->nodes) result.insert(n.proto());
    }
  }
  return result;
}

void erase_unread(const StoredForm& form) {
  for (bool again = true; std::exchange(again, false);) {
    for (const NodeRef& node : form.nodes) {
      if (!node.alive() || !unread(node.output())) continue;
      node.graph().erase(node);
      again = true;
    }
  }
  for (const ValueRef& constant : form.constants) {
    if (!constant.is_constant() || !unread(constant)) continue;
    if (const NodeRef producer = constant.producer()) {
      producer.graph().erase(producer);
    } else {
      constant.scope().erase_initializer(constant.name());
    }
  }
}

}  // namespace mcompress::forms
