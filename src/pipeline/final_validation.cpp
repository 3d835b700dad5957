// SPDX-License-Identifier: Apache-2.0
#include "pipeline/final_validation.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "analysis/extract.h"
#include "forms/stored_form.h"
#include "mcompress/layer.h"
#include "pipeline/data_roles.h"
#include "pipeline/narrow_layer.h"

namespace mcompress {
namespace {

// Integer kernels and their float emulation round differently: below the first it is told, below
// the second it is no rounding any more.
constexpr double kExpectedCosine = 0.999;
constexpr double kLeastCosine = 0.9;

bool is_readable(const Tensor& tensor) {
  return tensor.type() != DataType::kUndefined && tensor.type() != DataType::kString &&
         data_type_bits(tensor.type()) > 0;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, first = 0, second = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i]) || !std::isfinite(b[i])) continue;
    product += double{a[i]} * b[i];
    first += double{a[i]} * a[i];
    second += double{b[i]} * b[i];
  }
  if (first == 0 && second == 0) return 1;
  if (first == 0 || second == 0) return 0;
  return product / std::sqrt(first) / std::sqrt(second);
}

/// Throws where the two are not the same up to rounding; returns their cosine.
double compare(const std::string& name, const Tensor& on, const Tensor& off, size_t sample) {
  if (!is_readable(on) || !is_readable(off)) return 1;
  const bool same_shape = on.shape() == off.shape();
  const double c = same_shape ? cosine(on.to_float(), off.to_float()) : 0;
  if (same_shape && c >= kLeastCosine) return c;
  throw Error(ErrorCode::kBug, "output '" + name + "' of sample " + std::to_string(sample) +
                                   " differs between the runtime's optimized and plain graph: " +
                                   (same_shape ? "cosine " + std::to_string(c)
                                               : "shape " + to_string(on.shape()) + " and " +
                                                     to_string(off.shape())))
      .hint("report this with the model and the recipe; --validate none writes it all the same");
}

/// The written model did not run: neither may the input model.
void require_same_refusal(RuntimeService& runtime, const Model& input, const Feeds& feeds,
                          const Error& refusal) {
  try {
    runtime.open(input)->run(feeds);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) throw;
    return;
  }
  throw Error(ErrorCode::kBug,
              std::string("the input model runs, the compressed one does not: ") + refusal.what())
      .hint("report this with the model and the recipe; --validate none writes it all the same");
}

}  // namespace

std::string validate_final(RuntimeService& runtime, const Model& input, const Model& written,
                           const Dataset* data, const std::optional<Feeds>& sample,
                           size_t samples) {
  const auto optimized = runtime.open(written);
  const auto plain = runtime.open(written, {.optimize = false});
  std::vector<Feeds> feeds;
  if (data != nullptr) {
    for (size_t i = 0; i < std::min(samples, data->size()); ++i) feeds.push_back(data->feeds(i, 1));
  } else if (sample) {
    feeds.push_back(*sample);
  }
  double least = 1;
  for (size_t i = 0; i < feeds.size(); ++i) {
    std::vector<Tensor> on, off;
    try {
      on = optimized->run(feeds[i]);
      off = plain->run(feeds[i]);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kInterrupted) throw;
      require_same_refusal(runtime, input, feeds[i], error);
      if (data != nullptr) throw;
      return "loads with optimizations on and off; not run: no data that fits its inputs";
    }
    for (size_t j = 0; j < on.size(); ++j) {
      least = std::min(least, compare(optimized->output_names()[j], on[j], off[j], i));
    }
  }
  const std::string on_samples =
      std::to_string(feeds.size()) + (feeds.size() == 1 ? " sample" : " samples");
  if (least >= kExpectedCosine) {
    return "a fresh session gives the same with optimizations on and off on " + on_samples;
  }
  return "a fresh session with optimizations on and off: cosine down to " + std::to_string(least) +
         " on " + on_samples + ", as integer kernels round differently than their float emulation";
}

namespace {

/// One layer of each kind (operator and form) whose weight is stored in a form, the smallest.
std::map<std::string, Layer> stored_kinds(Model& model) {
  std::map<std::string, Layer> smallest;
  for (const Layer& layer : find_layers(model)) {
    const auto form = forms::recognise(layer.weight);
    if (!form) continue;
    std::string kind = layer.node.op() + ' ' + std::string(forms::form_name(form->kind));
    if (form->inner) kind += ' ' + std::string(forms::form_name(*form->inner));
    const auto known = smallest.try_emplace(kind, layer).first;
    if (layer.weight_count() < known->second.weight_count()) known->second = layer;
  }
  return smallest;
}

/// A model of the layer and of what its weight is stored in.
std::optional<Model> alone(const Model& model, const Layer& layer, const ValueTypes& types) {
  std::vector<NodeRef> nodes = forms::recognise(layer.weight)->nodes;
  std::reverse(nodes.begin(), nodes.end());
  nodes.push_back(layer.node);
  return analysis::extract_chain(model, nodes, types);
}

std::optional<Feeds> waves_for(const Model& model) {
  auto feeds = sample_feeds(model, nullptr);
  if (!feeds) return feeds;
  for (NamedTensor& feed : *feeds) {
    if (feed.tensor.type() != DataType::kFloat) continue;
    const std::span<float> values = feed.tensor.mutate_as<float>();
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i * 7 + 1));
  }
  return feeds;
}

}  // namespace

std::string validate_layers(RuntimeService& runtime, const Model& written, const ValueTypes& types,
                            int64_t most_weights) {
  if (const auto why = runtime.load_error(written)) {
    throw Error(ErrorCode::kBug, "the model does not load: " + *why)
        .hint("report this with the model and the recipe");
  }
  Model model = written.clone();
  const ValueTypes own_types = types.moved(written.graphs(), model.graphs());
  auto layers = stored_kinds(model);
  double least = 1;
  size_t run = 0;
  for (auto& [kind, layer] : layers) {
    narrow_layer(layer, most_weights);
    const auto small = alone(model, layer, own_types);
    const auto feeds = small ? waves_for(*small) : std::nullopt;
    if (!feeds) continue;
    const auto on = runtime.open(*small, {.prepack = false})->run(*feeds);
    const auto off = runtime.open(*small, {.optimize = false})->run(*feeds);
    least = std::min(least, compare(layer.output, on[0], off[0], 0));
    ++run;
  }
  return "it loads; " + std::to_string(run) + " of " + std::to_string(layers.size()) +
         " kinds of stored layers give the same alone with optimizations on and off" +
         (least < kExpectedCosine ? " (cosine down to " + std::to_string(least) + ")" : "");
}

}  // namespace mcompress
