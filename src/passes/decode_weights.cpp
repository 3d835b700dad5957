// SPDX-License-Identifier: Apache-2.0
//
// Turns stored forms of constants back into plain tensors; the inverse of encode-weights.
//
//   Before:  w = Reshape(Gather(codebook, Mod(Div(Cast(words), powers), 16)), shape)   y = MatMul(x, w)
//   After:   y = MatMul(x, w)                                                w: a plain initializer
//
// With `casts`, half and bfloat16 behind a Cast become float; with `quantized`, integers behind a
// DequantizeLinear or a Mul by scales do, which makes the layer run in float.
// Refuses: chains whose end is a graph output.
#include <fmt/format.h>

#include <set>
#include <utility>

#include "forms/stored_form.h"
#include "mcompress/interrupt.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

class DecodeWeights : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "decode-weights",
        .summary = "turn encoded weights back into plain tensors",
        .fidelity = Fidelity::kExact,
        .cost = "a larger file",
        .benefit = "faster loading; tools that do not know the stored forms can read the weights",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("casts", casts_, "Also half and bfloat16 behind a Cast to float");
    o.add("quantized", quantized_, "Also integers behind a DequantizeLinear or a Mul by scales");
  }

  bool run(Model& model, PassContext& context) override {
    bool changed = false;
    for (const forms::StoredForm& form : find(model)) {
      check_interrupt();
      if (!form.end.producer()) continue;  // erased with a chain around it
      if (form.end.is_graph_output()) {
        context.skipped(form.end.producer(), "a constant cannot take a graph output's place");
        continue;
      }
      decode(form);
      context.count("tensors decoded");
      changed = true;
    }
    return changed;
  }

 private:
  bool wanted(forms::FormKind kind) const {
    if (forms::is_encoding(kind)) return true;
    return forms::is_quantized(kind) ? quantized_ : casts_;
  }

  /// Whole chains only: a part of one may look like a form by itself.
  std::vector<forms::StoredForm> find(const Model& model) const {
    std::vector<forms::StoredForm> candidates;
    std::set<const onnx::NodeProto*> inside;
    for (Graph* graph : model.graphs()) {
      for (const NodeRef node : graph->nodes()) {
        if (node.output_count() != 1) continue;
        auto form = forms::recognise(node.output());
        if (!form || !wanted(form->kind)) continue;
        for (size_t i = 1; i < form->nodes.size(); ++i) inside.insert(form->nodes[i].proto());
        candidates.push_back(std::move(*form));
      }
    }
    std::erase_if(candidates, [&](const forms::StoredForm& form) {
      return inside.count(form.end.producer().proto()) != 0;
    });
    return candidates;
  }

  static void decode(const forms::StoredForm& form) {
    Graph& graph = form.end.scope();
    const std::string name = form.end.name();
    const Tensor value = form.decode();
    const std::vector<Use> uses = form.end.uses();
    for (const Use& use : uses) use.node.graph().set_input(use.node, use.input, {});
    forms::erase_unread(form);
    const ValueRef constant = graph.add_constant_named(name, value);
    for (const Use& use : uses) use.node.graph().set_input(use.node, use.input, constant);
  }

  bool casts_ = false;
  bool quantized_ = false;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(decode_weights, DecodeWeights)
