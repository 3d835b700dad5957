// SPDX-License-Identifier: Apache-2.0
// Recurrent layers, step by step: products with the input are made for all steps at once.
#include <algorithm>

#include "analysis/attributes.h"
#include "train/op.h"
#include "train/ops/arguments.h"

namespace mcompress::train {
namespace {

using Function = at::Tensor (*)(const at::Tensor&);

Function activation(const std::string& name) {
  if (name == "Sigmoid") return at::sigmoid;
  if (name == "Tanh") return at::tanh;
  if (name == "Relu") return at::relu;
  if (name == "HardSigmoid") {
    return [](const at::Tensor& x) { return at::clamp(x * 0.2 + 0.5, 0, 1); };
  }
  if (name == "Softsign") return [](const at::Tensor& x) { return x / (at::abs(x) + 1); };
  if (name == "Softplus") return [](const at::Tensor& x) { return at::softplus(x); };
  return nullptr;
}

std::string obstacle(const NodeRef& node) {
  for (const auto& name : analysis::attribute_strings(node, "activations")) {
    if (activation(name) == nullptr) return "activation " + name + " is not covered";
  }
  if (node.has_attribute("activation_alpha") || node.has_attribute("activation_beta")) {
    return "activations with parameters are not covered";
  }
  return "";
}

/// One direction: weights [gates x hidden, inputs], recurrent weights, biases (undefined without)
/// of the input and of the recurrent product, what it starts from, peepholes.
struct Direction {
  at::Tensor weight, recurrent, input_bias, recurrent_bias, hidden, cell, peepholes;
  std::vector<Function> functions;
};

struct Layer {
  int64_t steps = 0, batch = 0, hidden = 0;
  double clip = 0;
  bool linear_before_reset = false, couples_gates = false;

  at::Tensor clipped(const at::Tensor& x) const { return clip > 0 ? at::clamp(x, -clip, clip) : x; }
};

struct State {
  at::Tensor hidden, cell;
};

/// `x`: W x + all biases that are added to it, [batch, gates x hidden]. Gates i, o, f, c.
State lstm_step(const Layer& layer, const Direction& d, const at::Tensor& x, const State& state) {
  const at::Tensor gates = at::addmm(x, state.hidden, d.recurrent.t());
  const auto gate = [&](int64_t i) { return gates.narrow(1, i * layer.hidden, layer.hidden); };
  const auto peep = [&](const at::Tensor& value, int64_t i, const at::Tensor& cell) {
    if (!d.peepholes.defined()) return layer.clipped(value);
    return layer.clipped(value + d.peepholes.narrow(0, i * layer.hidden, layer.hidden) * cell);
  };
  const at::Tensor input = d.functions[0](peep(gate(0), 0, state.cell));
  const at::Tensor forget =
      layer.couples_gates ? 1 - input : d.functions[0](peep(gate(2), 2, state.cell));
  const at::Tensor candidate = d.functions[1](layer.clipped(gate(3)));
  const at::Tensor cell = forget * state.cell + input * candidate;
  const at::Tensor output = d.functions[0](peep(gate(1), 1, cell));
  return {output * d.functions[2](layer.clipped(cell)), cell};
}

/// Gates z, r, h.
State gru_step(const Layer& layer, const Direction& d, const at::Tensor& x, const State& state) {
  const int64_t n = layer.hidden;
  const at::Tensor both = d.functions[0](layer.clipped(
      at::addmm(x.narrow(1, 0, 2 * n), state.hidden, d.recurrent.narrow(0, 0, 2 * n).t())));
  const at::Tensor update = both.narrow(1, 0, n), reset = both.narrow(1, n, n);
  const at::Tensor recurrent = d.recurrent.narrow(0, 2 * n, n).t();
  at::Tensor inner;
  if (layer.linear_before_reset) {
    at::Tensor product = at::mm(state.hidden, recurrent);
    if (d.recurrent_bias.defined()) product = product + d.recurrent_bias.narrow(0, 2 * n, n);
    inner = x.narrow(1, 2 * n, n) + reset * product;
  } else {
    inner = at::addmm(x.narrow(1, 2 * n, n), reset * state.hidden, recurrent);
  }
  const at::Tensor candidate = d.functions[1](layer.clipped(inner));
  return {candidate + update * (state.hidden - candidate), {}};
}

State rnn_step(const Layer& layer, const Direction& d, const at::Tensor& x, const State& state) {
  return {d.functions[0](layer.clipped(at::addmm(x, state.hidden, d.recurrent.t()))), {}};
}

using Step = State (*)(const Layer&, const Direction&, const at::Tensor&, const State&);

/// Row of each step and sample when sequences are turned round, each within its own length.
at::Tensor reversed_rows(const at::Tensor& lengths, int64_t steps) {
  const at::Tensor forward = at::arange(steps, at::kLong).unsqueeze(1);
  const at::Tensor backward = lengths.to(at::kLong).unsqueeze(0) - 1 - forward;
  return at::where(backward >= 0, backward, forward.expand_as(backward));
}

at::Tensor reversed(const at::Tensor& x, const at::Tensor& lengths) {
  if (!lengths.defined()) return x.flip(0);
  const at::Tensor rows = reversed_rows(lengths, x.size(0)).unsqueeze(2);
  return at::gather(x, 0, rows.expand_as(x));
}

struct Sequence {
  at::Tensor all;  ///< [steps, batch, hidden]; zeros past the end of a sample
  State last;
};

Sequence run_direction(const Layer& layer, const Direction& d, Step step, const at::Tensor& x,
                       const at::Tensor& lengths) {
  at::Tensor bias = d.input_bias;
  if (bias.defined()) {
    at::Tensor added = d.recurrent_bias;
    if (layer.linear_before_reset) {  // that of the last gate is added before the reset
      added = at::cat(
          {added.narrow(0, 0, 2 * layer.hidden), at::zeros({layer.hidden}, added.options())});
    }
    bias = bias + added;
  }
  at::Tensor products = at::matmul(x, d.weight.t());
  if (bias.defined()) products = products + bias;
  State state = {d.hidden, d.cell};
  std::vector<at::Tensor> all;
  const std::vector<at::Tensor> of_step = at::unbind(products, 0);
  for (int64_t t = 0; t < layer.steps; ++t) {
    State next = step(layer, d, of_step[static_cast<size_t>(t)], state);
    if (lengths.defined()) {
      const at::Tensor live = (lengths > t).unsqueeze(1);
      all.push_back(at::where(live, next.hidden, at::zeros_like(next.hidden)));
      next.hidden = at::where(live, next.hidden, state.hidden);
      if (next.cell.defined()) next.cell = at::where(live, next.cell, state.cell);
    } else {
      all.push_back(next.hidden);
    }
    state = std::move(next);
  }
  if (lengths.defined()) {  // the runtime ends an empty sequence in zeros, whatever it started from
    const at::Tensor live = (lengths > 0).unsqueeze(1);
    state.hidden = at::where(live, state.hidden, at::zeros_like(state.hidden));
    if (state.cell.defined()) state.cell = at::where(live, state.cell, at::zeros_like(state.cell));
  }
  return {at::stack(all), state};
}

/// What of the inputs belongs to direction `i`.
Direction direction_of(const NodeRef& node, Inputs inputs, const Layer& layer, int64_t i,
                       const std::vector<std::string>& names) {
  const auto part = [&](size_t index) {
    return has_input(inputs, index) ? inputs[index].select(0, i) : at::Tensor();
  };
  Direction d;
  d.weight = part(1);
  d.recurrent = part(2);
  if (const at::Tensor bias = part(3); bias.defined()) {
    d.input_bias = bias.narrow(0, 0, bias.numel() / 2);
    d.recurrent_bias = bias.narrow(0, bias.numel() / 2, bias.numel() / 2);
  }
  const bool batch_first = node.attribute("layout", int64_t{0}) != 0;
  const auto start = [&](size_t index) {
    if (!has_input(inputs, index)) {
      return at::zeros({layer.batch, layer.hidden}, inputs[0].options());
    }
    return inputs[index].select(batch_first ? 1 : 0, i);
  };
  d.hidden = start(5);
  if (node.op() == "LSTM") {
    d.cell = start(6);
    d.peepholes = part(7);
  }
  const size_t each = node.op() == "LSTM" ? 3 : node.op() == "GRU" ? 2 : 1;
  for (size_t k = 0; k < each; ++k) {
    const size_t at = static_cast<size_t>(i) * each + k;
    const std::string fallback = k == 0 && each > 1 ? "Sigmoid" : "Tanh";
    d.functions.push_back(activation(at < names.size() ? names[at] : fallback));
  }
  return d;
}

/// [steps, directions, batch, hidden] and the last states [directions, batch, hidden].
Tensors run_layer(const NodeRef& node, Inputs inputs, Step step) {
  if (const auto why = obstacle(node); !why.empty()) refuse(node, why);
  const bool batch_first = node.attribute("layout", int64_t{0}) != 0;
  const at::Tensor x = batch_first ? inputs[0].transpose(0, 1) : inputs[0];
  const at::Tensor lengths = has_input(inputs, 4) ? inputs[4] : at::Tensor();
  const Layer layer = {
      .steps = x.size(0),
      .batch = x.size(1),
      .hidden = inputs[2].size(2),
      .clip = node.attribute("clip", 0.0F),
      .linear_before_reset =
          node.op() == "GRU" && node.attribute("linear_before_reset", int64_t{0}) != 0,
      .couples_gates = node.attribute("input_forget", int64_t{0}) != 0};
  const std::string direction = node.attribute("direction", "forward");
  std::vector<at::Tensor> all, hidden, cells;
  for (int64_t i = 0; i < inputs[1].size(0); ++i) {
    const bool backward = direction == "reverse" || i == 1;
    const Direction d =
        direction_of(node, inputs, layer, i, analysis::attribute_strings(node, "activations"));
    Sequence sequence = run_direction(layer, d, step, backward ? reversed(x, lengths) : x, lengths);
    all.push_back(backward ? reversed(sequence.all, lengths) : sequence.all);
    hidden.push_back(sequence.last.hidden);
    if (sequence.last.cell.defined()) cells.push_back(sequence.last.cell);
  }
  const int64_t axis = batch_first ? 1 : 0;
  at::Tensor outputs = at::stack(all, 1);
  if (batch_first) outputs = outputs.permute({2, 0, 1, 3});
  Tensors results = {outputs, at::stack(hidden, axis)};
  if (!cells.empty()) results.push_back(at::stack(cells, axis));
  return results;
}

template <Step step>
Tensors recurrent(const NodeRef& node, Inputs inputs, Execution&) {
  return run_layer(node, inputs, step);
}

}  // namespace

void add_recurrent_ops(OpTable& table) {
  const std::vector<int> weights = {1, 2, 3, 7};
  table["LSTM"] = {.run = recurrent<lstm_step>, .parameters = weights, .obstacle = obstacle};
  table["GRU"] = {.run = recurrent<gru_step>, .parameters = {1, 2, 3}, .obstacle = obstacle};
  table["RNN"] = {.run = recurrent<rnn_step>, .parameters = {1, 2, 3}, .obstacle = obstacle};
}

}  // namespace mcompress::train
