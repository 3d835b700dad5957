// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "forms/digits.h"
#include "mcompress/model.h"
#include "mcompress/tensor.h"

namespace mcompress::forms {

/// How a constant is stored when it is not a plain tensor.
enum class FormKind {
  kFill,        ///< one value and a shape: Expand
  kCodes,       ///< codebook and dense codes
  kBitmask,     ///< one bit per element, values or codes of the non-zeros
  kGap,         ///< distances between non-zeros, values or codes of the non-zeros
  kCast,        ///< half or bfloat16 behind a Cast to float
  kScaled,      ///< 8-bit integers, Cast to float, Mul by scales; folds at load on every layer
  kDequantize,  ///< integers behind a DequantizeLinear, per tensor, channel or block
};
/// "fill", "codes", "bitmask", "gap", "cast", "scaled", "dequantize".
std::string_view form_name(FormKind kind);
std::optional<FormKind> parse_form(std::string_view name);
/// True for kinds that hold integers of a quantization (rules.md 14).
bool is_quantized(FormKind kind);
/// True for kinds that encode-weights chooses by itself: they only store, they do not round.
bool is_encoding(FormKind kind);

/// Integers packed into the words of a constant.
struct StoredDigits {
  ValueRef words;
  DigitLayout layout;
};

/// A chain of nodes over constants that stands for one constant.
struct StoredForm {
  FormKind kind = FormKind::kCodes;  ///< of the node at the end of the chain
  /// A form inside: codes behind a Cast, a Mul or a DequantizeLinear.
  std::optional<FormKind> inner;
  ValueRef end;                      ///< what readers see
  DataType type = DataType::kFloat;  ///< of `end`
  Shape shape;                       ///< of `end`
  std::vector<NodeRef> nodes;        ///< of the chain, end first; some may serve other chains too
  std::vector<ValueRef> constants;   ///< that the chain reads, each once
  double bits_per_weight = 0;        ///< of all constants, per element of `end`
  /// Dense codes, bits of a mask, entries of a gap form: for whoever codes them anew (src/archive).
  std::optional<StoredDigits> digits;
  std::optional<StoredDigits> survivors;  ///< codes of a mask's non-zeros, after one that is 0
  int64_t entry_codes = 1;                ///< of a gap form: entry = distance * entry_codes + code
  /// The constant as a plain tensor of `type` and `shape`, bit for bit what the runtime computes.
  /// Throws kModel where a code points outside its codebook.
  std::function<Tensor()> decode;

  bool quantized() const { return is_quantized(kind); }
};

/// Sees through the chain that ends in `end`. Empty for plain constants and for anything that is
/// not exactly one of our forms. Cheap: reads shapes and small constants only.
std::optional<StoredForm> recognise(const ValueRef& end);

/// A plain constant or a stored form, as a tensor; empty when `value` is neither.
std::optional<Tensor> constant_or_form(const ValueRef& value);

/// Every node of the model that belongs to some stored form; fold-constants leaves them alone.
std::set<const onnx::NodeProto*> form_nodes(const Model& model);

/// Erases the nodes and initializers of a chain that nobody reads any more, `end` downwards.
void erase_unread(const StoredForm& form);

}  // namespace mcompress::forms
