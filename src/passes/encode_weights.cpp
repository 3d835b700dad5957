// SPDX-License-Identifier: Apache-2.0
//
// Stores each constant in its smallest lossless form that stock ONNX Runtime unfolds at load.
//
//   Before:  y = MatMul(x, w)                  w: float[784, 300], 7 values and zeros, 97 % zeros
//   After:   y = MatMul(x, w)
//            w = Reshape(ScatterElements(zeros, CumSum(Div(e, 8)), Gather(codebook, Mod(e, 8))), shape)
//            e = Reshape(Mod(Div(words, powers), 504), -1)               distance to the next * 8 + code
//
// Forms: one value (fill), dense codes of a codebook, distances between non-zeros, a bitmask, half or bfloat16
// where they are exact; the smallest per tensor, protobuf included (src/forms). Values are told apart by
// their bits, and every encoding is decoded and compared before it stays. The runtime folds the chain into one
// dense tensor, so the layer runs as before; without its optimizations each Run decodes anew.
// Refuses: tensors where no form saves `min-gain`, constants that are graph inputs or outputs, parameters of
// quantization, constants of ops that want them plain (Resize, other domains).
// Source: Han et al., Deep Compression, 2016, for relative indices.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "forms/cast.h"
#include "forms/encodings.h"
#include "forms/quantized_weight.h"
#include "mcompress/interrupt.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "support/hash.h"

namespace mcompress::passes {
namespace {

using ValueKey = std::pair<const Graph*, std::string>;

/// What unfolding a chain costs while a session opens, measured on 1 to 134 M weights
/// (algorithms.md section 4): time a weight, and memory at its peak over the dense tensor's.
constexpr double kUnfoldNanoseconds = 40;
constexpr double kUnfoldMemory = 5;

/// Where sparse forms begin (CumSum), and what the opset is raised to for them.
constexpr int64_t kSparseOpset = 11;
constexpr int64_t kRaisedOpset = 13;

ValueKey key_of(const ValueRef& value) { return {&value.scope(), value.name()}; }

/// Readers that take a folded chain as well as a plain constant.
bool accepts_chain(const Use& use, DataType type) {
  const std::string& op = use.node.op();
  const bool integers = type == DataType::kInt8 || type == DataType::kUint8;
  if (!use.node.domain().empty()) return false;
  if (op == "DequantizeLinear") return integers && use.input == 0;
  if (op == "QLinearConv" || op == "QLinearMatMul") return integers && use.input == 3;
  if (op == "MatMulInteger" || op == "ConvInteger") return integers && use.input == 1;
  if (op == "Cast" || op == "Gather") return use.input == 0;
  // The runtime reads these when it builds the session, before anything is folded.
  if (op == "Resize" || op == "Upsample" || op == "QuantizeLinear") return false;
  return !integers;
}

bool can_encode(const ValueRef& value) {
  if (!value.is_constant() || value.is_graph_input() || value.is_graph_output()) return false;
  const DataType type = value.constant_type();
  if (!forms::is_encodable(type) || element_count(value.constant_shape()) < 2) return false;
  const std::vector<Use> uses = value.uses();
  return !uses.empty() && std::all_of(uses.begin(), uses.end(), [type](const Use& use) {
    return accepts_chain(use, type);
  });
}

/// Constants that belong to a form already: codebooks, words, scales. The codes of a quantized weight and the
/// half of a cast are tensors like any other.
std::set<ValueKey> taken_constants(const Model& model) {
  std::set<ValueKey> taken;
  for (Graph* graph : model.graphs()) {
    for (const NodeRef node : graph->nodes()) {
      if (node.output_count() != 1) continue;
      const auto form = forms::recognise(node.output());
      if (!form) continue;
      ValueRef payload;
      if (!form->inner && form->quantized()) payload = forms::quantized_codes(form->end);
      if (!form->inner && form->kind == forms::FormKind::kCast) payload = form->constants.front();
      for (const ValueRef& constant : form->constants) {
        if (constant != payload) taken.insert(key_of(constant));
      }
    }
  }
  return taken;
}

std::vector<ValueRef> all_constants(Graph& graph) {
  std::vector<ValueRef> result;
  for (const std::string& name : graph.initializers()) result.push_back(graph.find(name));
  for (const NodeRef node : graph.nodes()) {
    if (node.is("Constant")) result.push_back(node.output());
  }
  return result;
}

class EncodeWeights : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "encode-weights",
        .summary = "store each weight in its smallest lossless form that the runtime unfolds at load",
        .fidelity = Fidelity::kExact,
        .cost = "loading takes some 50 ns a weight; a session without optimizations decodes at every run",
        .benefit = "8 to 100 times smaller files after pruning, sharing or quantization",
    };
    return info;
  }
  bool acts_on_layers() const override { return true; }
  void describe(OptionSet& o) override {
    o.add("forms", forms_, "Forms to choose from: fill, codes, gap, bitmask, cast; all when empty");
    o.add("min-gain", min_gain_, "Per cent of a tensor's bytes that a form must save").range(0, 99);
    o.add("raise-opset", raise_opset_, "Raise opsets below 11 where sparse forms then save bytes");
  }
  std::string check_options() const override {
    for (const std::string& name : forms_) {
      const auto kind = forms::parse_form(name);
      if (!kind || forms::is_quantized(*kind)) {
        return fmt::format("'forms' has '{}', expected fill, codes, gap, bitmask or cast", name);
      }
    }
    return "";
  }

  bool run(Model& model, PassContext& context) override {
    limits_.opset = model.opset();
    unfolded_ = largest_ = 0;
    plain_.clear();
    limits_.forms.clear();
    for (const std::string& name : forms_) limits_.forms.push_back(*forms::parse_form(name));
    bool changed = false;
    if (raise_opset_ && limits_.opset < kSparseOpset && sparse_forms_pay(model, context)) {
      changed = raise(model, context);
    }
    const std::vector<ValueRef> constants = select(model, context);
    context.progress().begin(info().name, constants.size());
    for (const ValueRef& constant : constants) {
      check_interrupt();
      changed |= encode(constant, context);
      context.progress().advance();
    }
    context.progress().end();
    report_loading(context);
    emitters_.clear();
    encoded_.clear();
    return changed;
  }

 private:
  /// A prediction: the report's load time and memory are measured.
  void report_loading(PassContext& context) const {
    if (unfolded_ == 0) return;
    const double seconds = kUnfoldNanoseconds * 1e-9 * static_cast<double>(unfolded_);
    const double bytes = kUnfoldMemory * static_cast<double>(largest_);
    context.count("load time more, microseconds predicted", std::llround(seconds * 1e6));
    context.count("load memory at the peak, bytes predicted", std::llround(bytes));
  }

  /// Constants to look at; `layers_` knows which layers they belong to.
  std::vector<ValueRef> select(Model& model, PassContext& context) {
    layers_.clear();
    std::set<ValueKey> excluded = taken_constants(model);
    const std::vector<Layer> layers = find_layers(model);
    for (size_t i = 0; i < layers.size(); ++i) {
      const ValueRef stored = stored_weight(layers[i]);
      if (!stored) continue;
      const std::string reason = context.selection().reason_to_skip(layers, i);
      if (reason.empty()) {
        layers_[key_of(stored)].push_back(layers[i]);
      } else {
        excluded.insert(key_of(stored));
        context.skipped(layers[i], reason);
      }
    }
    const bool only_layers = !context.selection().only().empty();
    std::vector<ValueRef> result;
    for (Graph* graph : model.graphs()) {
      for (const ValueRef& value : all_constants(*graph)) {
        if (excluded.count(key_of(value)) != 0 || !can_encode(value)) continue;
        if (only_layers && layers_.count(key_of(value)) == 0) continue;
        result.push_back(value);
      }
    }
    return result;
  }

  /// The constant that holds a layer's weight: plain, half behind a Cast, or integer codes.
  static ValueRef stored_weight(const Layer& layer) {
    if (layer.weight_is_plain) return layer.weight;
    if (const ValueRef codes = forms::quantized_codes(layer.weight)) return codes;
    const auto form = forms::recognise(layer.weight);
    return form && form->kind == forms::FormKind::kCast && !form->inner ? form->constants.front()
                                                                        : ValueRef();
  }

  forms::Emitter& emitter(Graph& graph) {
    return emitters_.try_emplace(&graph, graph).first->second;
  }

  std::optional<forms::Choice> choose(const ValueRef& constant, const forms::Content& content,
                                      const forms::EncodingLimits& limits) {
    const auto plain = static_cast<double>(forms::plain_bytes(constant));
    const auto limit = static_cast<uint64_t>(plain * (1 - min_gain_ / 100));
    return forms::smallest_encoding(content, emitter(constant.scope()), constant.name().size(),
                                    limits, limit);
  }

  bool sparse_forms_pay(Model& model, PassContext& context) {
    forms::EncodingLimits raised = limits_;
    raised.opset = kRaisedOpset;
    bool pays = false;
    for (const ValueRef& constant : select(model, context)) {
      const forms::Content content = forms::examine(*constant.constant());
      const auto then = choose(constant, content, raised);
      if (!then) plain_.insert(key_of(constant));
      if (!then || then->encoding.chain.least_opset() < kSparseOpset) continue;
      const auto now = choose(constant, content, limits_);
      if (!now || then->bytes < now->bytes) {
        pays = true;
        break;
      }
    }
    emitters_.clear();
    context.clear_records();
    return pays;
  }

  bool raise(Model& model, PassContext& context) {
    if (!context.has_runtime()) return false;
    try {
      const bool changed = context.require_opset(model, kRaisedOpset);
      limits_.opset = model.opset();
      return changed;
    } catch (const Unsupported& refusal) {
      context.warn(fmt::format("sparse forms need opset {}, and the model stays at {}: {}", kSparseOpset,
                               limits_.opset, refusal.reason()));
      return false;
    }
  }

  bool encode(const ValueRef& constant, PassContext& context) {
    const Tensor value = *constant.constant();
    const uint64_t plain = forms::plain_bytes(constant);
    const auto content_key = std::make_tuple(&constant.scope(), value.type(), value.shape(),
                                             support::hash128(value.bytes()));
    if (const auto twin = encoded_.find(content_key); twin != encoded_.end()) {
      share(constant, twin->second, plain, context);
      return true;
    }
    const auto choice = plain_.contains(key_of(constant))
                            ? std::nullopt
                            : choose(constant, forms::examine(value), limits_);
    if (!choice) {
      for (const Layer& layer : layers_of(constant)) {
        context.skipped(layer, fmt::format("no form saves {:g} % of {} bytes", min_gain_, plain));
      }
      return false;
    }
    const std::vector<Layer> layers = layers_of(constant);
    const ValueRef end =
        forms::replace_constant(constant, emitter(constant.scope()).emit(choice->encoding.chain));
    const auto form = forms::recognise(end);
    if (!form || !(form->decode() == value)) {
      throw Error(ErrorCode::kBug, fmt::format("{}: encoded as {}, it does not decode to itself",
                                               end.name(), forms::form_name(choice->encoding.kind)));
    }
    encoded_[content_key] = end;
    unfolded_ += value.count();
    largest_ = std::max<uint64_t>(largest_, value.byte_size());
    context.count("tensors encoded");
    context.count("bytes saved", static_cast<int64_t>(plain - choice->bytes));
    context.count(fmt::format("stored as {}", forms::form_name(form->kind)));
    for (const Layer& layer : layers) {
      context.decided(layer, {.method = std::string(forms::form_name(choice->encoding.kind)),
                              .detail = fmt::format("{}: {} bytes instead of {}",
                                                    choice->encoding.detail, choice->bytes, plain)});
    }
    return true;
  }

  /// A constant equal to one that is encoded already reads that chain.
  void share(const ValueRef& constant, const ValueRef& end, uint64_t plain, PassContext& context) {
    for (const Layer& layer : layers_of(constant)) {
      context.decided(layer, {.method = "shared", .detail = "equal to " + end.name()});
    }
    constant.scope().replace_uses(constant, end);
    if (const NodeRef node = constant.producer()) {
      constant.scope().erase(node);
    } else {
      constant.scope().erase_initializer(constant.name());
    }
    context.count("tensors encoded");
    context.count("bytes saved", static_cast<int64_t>(plain));
  }

  std::vector<Layer> layers_of(const ValueRef& constant) const {
    const auto it = layers_.find(key_of(constant));
    return it == layers_.end() ? std::vector<Layer>() : it->second;
  }

  std::vector<std::string> forms_;
  double min_gain_ = 5;
  bool raise_opset_ = true;

  forms::EncodingLimits limits_;
  int64_t unfolded_ = 0;   ///< elements of all chains
  uint64_t largest_ = 0;   ///< bytes of the largest tensor that one unfolds to
  std::set<ValueKey> plain_;  ///< what no form saves, with forms of later opsets or without
  std::map<ValueKey, std::vector<Layer>> layers_;
  std::map<Graph*, forms::Emitter> emitters_;
  std::map<std::tuple<const Graph*, DataType, Shape, support::Hash128>, ValueRef> encoded_;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(encode_weights, EncodeWeights)
