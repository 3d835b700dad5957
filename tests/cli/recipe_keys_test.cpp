// SPDX-License-Identifier: Apache-2.0
//
// No key of a recipe is there for nothing (rules.md 32): for each one, two recipes that differ in
// it alone give different bytes or another exit code. An option that a pass gains without a row
// here fails a test.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <set>

#include "mcompress/mcompress.h"
#include "tests/support/cli_test.h"
#include "tests/support/has_trainer.h"
#include "tests/support/model_text.h"

namespace mcompress {
namespace {

namespace fs = std::filesystem;

std::string random_values(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    // The sum of a few has a bell's shape and the same digits everywhere.
    double sum = 0;
    for (int k = 0; k < 4; ++k) sum += static_cast<double>(random() % 2001) / 1000 - 1;
    text += fmt::format("{}{:.7f}", i == 0 ? "" : ", ", sum * sum * sum / 8);
  }
  return text;
}

std::string constant(const std::string& name, const std::string& shape, size_t count,
                     unsigned seed) {
  return fmt::format("float[{}] {} = {{{}}}", shape, name, random_values(count, seed));
}

// Convolutions and products; an affine step in front of a padded convolution, a constant that grows
// when computed, small equal constants.
Model layered_model(int64_t opset) {
  const std::string text = fmt::format(
      "g (float[N,3,8,8] x) => (float[N,10] y) <{}, {}, {}, {}, {}, {}, {},\n"
      "  float[3,1,1] shift = {{0.5, -0.25, 1}}, float[3,1,1] gain = {{2, 0.5, 1.5}},\n"
      "  float[4] small = {{1, 2, 3, 4}}, float[4] same = {{1, 2, 3, 4}},\n"
      "  int64[1] twice = {{2}}, float[5] few = {{0, 1, 2, 3, 4}}, float half = {{0.5}}> {{\n"
      "  scaled = Mul(x, gain)\n"
      "  shifted = Add(scaled, shift)\n"
      "  c1 = Conv<pads = [1, 1, 1, 1]>(shifted, w1, b1)\n"
      "  r1 = Relu(c1)\n"
      "  a1 = Add(r1, half)\n"
      "  c2 = Conv<pads = [1, 1, 1, 1]>(a1, w2)\n"
      "  r2 = Relu(c2)\n"
      "  p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r2)\n"
      "  f = Flatten(p)\n"
      "  m1 = MatMul(f, w3)\n"
      "  r3 = Relu(m1)\n"
      "  m2 = MatMul(r3, w4)\n"
      "  r4 = Relu(m2)\n"
      "  m3 = MatMul(r4, w5)\n"
      "  large = Tile(few, twice)\n"
      "  s1 = ReduceMax<keepdims = 0>(small)\n"
      "  s2 = ReduceMax<keepdims = 0>(same)\n"
      "  off1 = Add(m3, large)\n"
      "  off2 = Add(off1, s1)\n"
      "  y = Add(off2, s2)\n"
      "}}",
      constant("w1", "16,3,3,3", 432, 1), constant("b1", "16", 16, 2),
      constant("w2", "32,16,3,3", 4608, 3), constant("w3", "512,64", 32768, 4),
      constant("w4", "64,96", 6144, 5), constant("w5", "96,10", 960, 6),
      constant("unused", "2", 2, 7));
  return test::parse_model(text, opset);
}

// Channels of very different ranges in front of an activation that needs the true values.
Model gated_model() {
  return test::parse_model(R"(
    g (float[N,3,4,4] x) => (float[N,2,4,4] y)
    <float[4,3,1,1] A = {90.0,30.0,20.0, 0.1,0.2,0.1, 1.0,-1.0,2.0, 0.02,0.01,-0.03},
     float[4] a = {1.0, 0.1, 0.2, 0.01},
     float[2,4,1,1] B = {0.01,9.0,1.0,50.0, 0.02,-5.0,1.0,60.0}> {
      c = Conv(x, A, a)
      s = HardSigmoid(c)
      m = Mul(c, s)
      y = Conv(m, B)
    })");
}

// Biases that keep all values of a channel above 0.
Model biased_model() {
  return test::parse_model(R"(
    g (float[N,3,4,4] x) => (float[N,2,4,4] y)
    <float[2,3,1,1] A = {0.1, 0.2, -0.1, 0.2, 0.1, 0.1}, float[2] a = {50.0, 80.0},
     float[2,2,1,1] B = {1.0, -2.0, 0.5, 3.0}> {
      c = Conv(x, A, a)
      r = Relu(c)
      y = Conv(r, B)
    })");
}

// An image network with all that training treats in its own way, and a second output.
Model trained_model() {
  const std::string text = fmt::format(
      "g (float[N,1,4,4] x) => (float[N,3] y, float[N,3] z) <{}, {}, {},\n"
      "  float[4] gain = {{1, 0.5, 2, 1}}, float[4] shift = {{0.1, 0, -0.1, 0.2}},\n"
      "  float[4] mean = {{0, 0.1, 0.2, -0.1}}, float[4] var = {{1, 2, 0.5, 1}}> {{\n"
      "  c = Conv<pads = [1, 1, 1, 1]>(x, w1)\n"
      "  n = BatchNormalization(c, gain, shift, mean, var)\n"
      "  r = Relu(n)\n"
      "  f = Flatten(r)\n"
      "  y = MatMul(f, w2)\n"
      "  z = MatMul(f, w3)\n"
      "}}",
      constant("w1", "4,1,3,3", 36, 1), constant("w2", "64,3", 192, 2),
      constant("w3", "64,3", 192, 3));
  return test::parse_model(text);
}

/// Rows of 16 numbers and a class.
std::string labelled_rows() {
  std::mt19937 random(5);
  std::string text;
  for (int row = 0; row < 24; ++row) {
    for (int k = 0; k < 16; ++k)
      text += fmt::format("{:.3f},", static_cast<double>(random() % 2001) / 1000 - 1);
    text += fmt::format("{}\n", random() % 3);
  }
  return text;
}

// Two feed-forward parts with hidden units in another order, and a product with a weight transposed.
Model twin_model() {
  return test::parse_model(R"(
    g (float[2,3] x) => (float[2,3] y)
    <float[3,4] a1 = {1,5,-3,2, 0,2,7,-1, 4,-2,1,3}, float[4,3] b1 = {1,2,0, -3,1,5, 2,2,-4, 6,-1,1},
     float[3,4] a2 = {5,2,1,-3, 2,-1,0,7, -2,3,4,1}, float[4,3] b2 = {-3,1,5, 6,-1,1, 1,2,0, 2,2,-4},
     float[3,4] c = {1,2,3,4, 0,-1,5,2, 7,1,-2,3}, float[4,3] t = {1,0,7, 2,-1,1, 3,5,-2, 4,2,3}> {
      h1 = MatMul(x, a1)
      r1 = Relu(h1)
      y1 = MatMul(r1, b1)
      n1 = Softmax(y1)
      h2 = MatMul(n1, a2)
      r2 = Relu(h2)
      y2 = MatMul(r2, b2)
      n2 = Softmax(y2)
      q = MatMul(n2, c)
      y = MatMul(q, t)
    })");
}

class RecipeKeys : public testing::CliTest {
 protected:
  RecipeKeys() {
    layered_model(17).save(path("m.onnx"), {.overwrite = true});
    layered_model(9).save(path("old.onnx"), {.overwrite = true});
    twin_model().save(path("twins.onnx"), {.overwrite = true});
    gated_model().save(path("gated.onnx"), {.overwrite = true});
    biased_model().save(path("biased.onnx"), {.overwrite = true});
    Model trained = trained_model();
    trained.save(path("trained.onnx"), {.overwrite = true});
    trained.graph().set_constant(trained.graph().find("mean"), Tensor(DataType::kFloat, {4}));
    trained.save(path("other.onnx"), {.overwrite = true});
    testing::write_bytes(path("rows.csv"), labelled_rows());
  }

  static std::shared_ptr<RuntimeService> runtime() {
    static const std::shared_ptr<RuntimeService> kRuntime = make_onnx_runtime();
    return kRuntime;
  }

  /// Exit code and bytes.
  std::string result(const std::string& recipe, const std::string& model = "m.onnx") {
    RunOptions options;
    options.runtime = runtime();
    options.validate = Validate::kNone;
    options.measure_latency = recipe.find("latency") != std::string::npos;
    options.measure_layers = false;
    options.save.overwrite = true;
    std::string end;
    try {
      // The name goes into the output: all have the same.
      const Recipe parsed = parse_recipe(recipe, "recipe.yaml", folder_, builtin_passes());
      const RunReport report =
          compress(path(model), path("out.onnx"), parsed, builtin_passes(), options);
      end = report.failed ? "1" : "0";
    } catch (const Error& error) {
      return fmt::format("{}", static_cast<int>(error.code()));
    }
    // The hash of the recipe differs by itself.
    Model written = Model::load(path("out.onnx"));
    written.set_metadata("mcompress.recipe_hash", "");
    written.set_metadata("mcompress.seed", "");
    written.set_metadata("mcompress.costs", "");
    return end + " " + written.fingerprint().hex();
  }

  void expect_effect(const std::string& first, const std::string& second,
                     const std::string& model = "m.onnx") {
    const std::string one = result(first, model);
    EXPECT_TRUE(one.size() > 1) << "exit code " << one << " of\n" << first;
    EXPECT_NE(one, result(second, model)) << first << "\n  and\n" << second;
  }
};

constexpr const char* kData = "data: {calibration: {random: {count: 12, seed: 3}}}\n";

struct OptionCase {
  std::string first, second;  ///< entries of `steps`
  std::string model = "m.onnx";
  std::string more = "encode: false\n";
  std::string data = kData;
};

constexpr const char* kTraining = "data: {training: {random: {count: 12, seed: 3}}}\n";
constexpr const char* kLabelled = "data: {training: {csv: rows.csv, header: no}}\n";
constexpr const char* kJudged =
    "data: {training: {csv: rows.csv, header: no}, validation: {csv: rows.csv, header: no}}\n";

/// Two short trainings of a pruned model, by its input or by labels.
OptionCase trained(const std::string& a, const std::string& b, const char* data = kTraining) {
  const auto steps = [&](const std::string& options) {
    std::string all = options;
    const auto unless_given = [&](const std::string& key, const std::string& value) {
      if (options.find(key + ":") == options.npos) all += ", " + key + ": " + value;
    };
    unless_given("batch", "4");
    unless_given("learning-rate", "0.02");
    if (data != kLabelled && data != kJudged) unless_given("teacher", "input");
    return fmt::format("prune-magnitude: {{sparsity: 0.3}}, fine-tune: {{{}}}", all);
  };
  return {steps(a), steps(b), "trained.onnx", "encode: false\n", data};
}

/// Two short quantization-aware trainings.
OptionCase quantize_aware(const std::string& a, const std::string& b) {
  const auto steps = [](const std::string& options) {
    return fmt::format(
        "quantize-aware-train: {{batch: 4, steps: 2, learning-rate: 0.02, {}}}", options);
  };
  return {steps(a), steps(b), "trained.onnx", "encode: false\n", kTraining};
}

/// quantize-aware-train has the options of fine-tune but for pruning, and some of quantize-static.
std::map<std::string, OptionCase> with_quantize_aware(std::map<std::string, OptionCase> cases) {
  const std::string from = "fine-tune: {", to = "quantize-aware-train: {where: everywhere, ";
  const auto replace = [&](std::string text) {
    return text.replace(text.find(from), from.size(), to);
  };
  std::map<std::string, OptionCase> more;
  for (const auto& [key, one] : cases) {
    if (!key.starts_with("fine-tune.") || key.starts_with("fine-tune.prune-")) continue;
    OptionCase copy = one;
    copy.first = replace(one.first);
    copy.second = replace(one.second);
    more["quantize-aware-train" + key.substr(key.find('.'))] = copy;
  }
  const std::string all = "where: everywhere, ";
  more["quantize-aware-train.teacher"] =
      trained("steps: 3, teacher: none", "steps: 3, teacher: input", kLabelled);
  for (auto* const text : {&more["quantize-aware-train.teacher"].first,
                           &more["quantize-aware-train.teacher"].second}) {
    *text = replace(*text);
  }
  // Of a model that came quantized nothing is folded.
  auto& norm = more["quantize-aware-train.batch-norm"];
  for (auto* const text : {&norm.first, &norm.second}) {
    const std::string step = "quantize-aware-train: {";
    *text = text->replace(text->find(step), step.size(),
                          "quantize-static: {where: everywhere, effort: quick}, " + step);
  }
  // Of few images the share of right answers goes up and down.
  const auto patient = [](int epochs) {
    return fmt::format(
        "quantize-aware-train: {{where: everywhere, teacher: none, epochs: 16, batch: 3, "
        "learning-rate: 0.02, schedule: constant, patience: {}}}", epochs);
  };
  more["quantize-aware-train.patience"] = {
      patient(0), patient(1), "trained.onnx", "encode: false\n",
      "data: {training: {csv: rows.csv, header: no}, validation: {csv: rows.csv, header: no}}\n"};
  more["quantize-aware-train.freeze"] = quantize_aware(all + "freeze: []", all + "freeze: [w1_q]");
  more["quantize-aware-train.weights"] = quantize_aware(all + "weights: 8", all + "weights: 4");
  more["quantize-aware-train.keep-8-bits"] =
      quantize_aware(all + "weights: 4", all + "weights: 4, keep-8-bits: [first]");
  more["quantize-aware-train.scales"] =
      quantize_aware(all + "scales: learned", all + "scales: fixed");
  more["quantize-aware-train.where"] = quantize_aware("where: pays", "where: everywhere");
  more["quantize-aware-train.method"] =
      quantize_aware(all + "method: min-max", all + "method: percentile, percentile: 80");
  more["quantize-aware-train.percentile"] =
      quantize_aware(all + "method: percentile, percentile: 99",
                     all + "method: percentile, percentile: 80");
  more["quantize-aware-train.rounding"] = quantize_aware(all + "weights: 4, rounding: nearest",
                                                         all + "weights: 4, rounding: gptq");
  more["quantize-aware-train.bias-correction"] =
      quantize_aware(all + "weights: 4, bias-correction: false",
                     all + "weights: 4, bias-correction: true");
  cases.merge(more);
  return cases;
}

/// By "pass.option".
const std::map<std::string, OptionCase>& option_cases() {
  const auto step = [](const std::string& pass, const std::string& a, const std::string& b) {
    return OptionCase{fmt::format("{}: {{{}}}", pass, a), fmt::format("{}: {{{}}}", pass, b)};
  };
  static const std::map<std::string, OptionCase> kCases = with_quantize_aware({
      {"convert-float16.type", step("convert-float16", "type: float16", "type: bfloat16")},
      {"convert-float16.mode", step("convert-float16", "mode: weights", "mode: graph")},
      {"convert-float16.block",
       step("convert-float16", "mode: graph", "mode: graph, block: [MatMul]")},
      {"correct-bias.samples",
       {"quantize-static: {where: everywhere, effort: quick, bias-correction: false}, "
        "correct-bias: {samples: 1}",
        "quantize-static: {where: everywhere, effort: quick, bias-correction: false}, "
        "correct-bias: {samples: 12}"}},
      {"decode-weights.casts",
       {"convert-float16, decode-weights: {}", "convert-float16, decode-weights: {casts: true}"}},
      {"decode-weights.quantized",
       {"quantize-weights, decode-weights: {}",
        "quantize-weights, decode-weights: {quantized: true}"}},
      {"encode-weights.forms",
       {"prune-magnitude: {sparsity: 0.9}, encode-weights: {forms: [bitmask]}",
        "prune-magnitude: {sparsity: 0.9}, encode-weights: {forms: [gap]}"}},
      {"encode-weights.min-gain",
       {"prune-magnitude: {sparsity: 0.5}, encode-weights: {min-gain: 1}",
        "prune-magnitude: {sparsity: 0.5}, encode-weights: {min-gain: 90}"}},
      {"encode-weights.raise-opset",
       {"prune-magnitude: {sparsity: 0.9}, encode-weights: {raise-opset: true}",
        "prune-magnitude: {sparsity: 0.9}, encode-weights: {raise-opset: false}", "old.onnx"}},
      {"equalize-ranges.absorb-bias",
       {"equalize-ranges: {absorb-bias: never}", "equalize-ranges: {absorb-bias: observed}",
        "biased.onnx"}},
      {"equalize-ranges.balance", step("equalize-ranges", "balance: 0", "balance: 1")},
      {"equalize-ranges.explicit-mul",
       {"equalize-ranges: {explicit-mul: never}", "equalize-ranges: {explicit-mul: worthwhile}",
        "gated.onnx"}},
      {"factorize-weights.rank", step("factorize-weights", "rank: 4", "rank: 8")},
      {"factorize-weights.ratio", step("factorize-weights", "ratio: 0.25", "ratio: 0.75")},
      {"factorize-weights.energy", step("factorize-weights", "fit: weights, multiple: 1, energy: 0.3",
                                        "fit: weights, multiple: 1, energy: 0.6")},
      {"factorize-weights.budget", step("factorize-weights", "multiple: 1, budget: 0.4",
                                        "multiple: 1, budget: 0.7")},
      {"factorize-weights.convolution",
       step("factorize-weights", "multiple: 1, ratio: 0.5, convolution: channel",
            "multiple: 1, ratio: 0.5, convolution: spatial")},
      {"factorize-weights.goal",
       step("factorize-weights", "rank: 2, goal: size", "rank: 2, goal: latency")},
      {"factorize-weights.fit",
       step("factorize-weights", "rank: 4, fit: weights", "rank: 4, fit: outputs")},
      {"factorize-weights.inputs",
       step("factorize-weights", "rank: 4, inputs: original", "rank: 4, inputs: compressed")},
      {"factorize-weights.damping",
       step("factorize-weights", "rank: 4, damping: 0.01", "rank: 4, damping: 0.5")},
      {"factorize-weights.multiple",
       step("factorize-weights", "energy: 0.5, multiple: 1", "energy: 0.5, multiple: 8")},
      {"fine-tune.epochs", trained("epochs: 1", "epochs: 2")},
      {"fine-tune.steps", trained("steps: 2", "steps: 3")},
      {"fine-tune.batch", trained("epochs: 1", "epochs: 1, batch: 6")},
      {"fine-tune.optimizer", trained("steps: 3, optimizer: adam", "steps: 3, optimizer: sgd")},
      {"fine-tune.learning-rate", trained("steps: 3", "steps: 3, learning-rate: 0.01")},
      {"fine-tune.momentum", trained("steps: 3, momentum: 0.5", "steps: 3, momentum: 0.9")},
      {"fine-tune.beta2", trained("steps: 3, beta2: 0.5", "steps: 3, beta2: 0.99")},
      {"fine-tune.weight-decay",
       trained("steps: 3, weight-decay: 0", "steps: 3, weight-decay: 0.5")},
      {"fine-tune.clip", trained("steps: 3, optimizer: sgd, clip: 0",
                                 "steps: 3, optimizer: sgd, clip: 0.001")},
      {"fine-tune.schedule", trained("steps: 3, schedule: cosine", "steps: 3, schedule: linear")},
      {"fine-tune.warmup", trained("steps: 4, warmup: 0", "steps: 4, warmup: 0.5")},
      {"fine-tune.rate-end", trained("steps: 3, rate-end: 0", "steps: 3, rate-end: 0.5")},
      {"fine-tune.rate-every", trained("steps: 4, schedule: step, rate-every: 0.3",
                                       "steps: 4, schedule: step, rate-every: 0.6")},
      {"fine-tune.rate-factor", trained("steps: 4, schedule: step, rate-factor: 0.1",
                                        "steps: 4, schedule: step, rate-factor: 0.5")},
      {"fine-tune.loss",
       trained("steps: 3, loss: cross-entropy", "steps: 3, loss: binary", kLabelled)},
      {"fine-tune.output", trained("steps: 3, output: y", "steps: 3, output: z")},
      {"fine-tune.label-smoothing", trained("steps: 3, label-smoothing: 0",
                                            "steps: 3, label-smoothing: 0.3", kLabelled)},
      {"fine-tune.shift", trained("steps: 3, shift: 0", "steps: 3, shift: 1")},
      {"fine-tune.flip", trained("steps: 3, flip: false", "steps: 3, flip: true")},
      {"fine-tune.crop", trained("steps: 3, crop: 0", "steps: 3, crop: 1")},
      {"fine-tune.noise", trained("steps: 3, noise: 0", "steps: 3, noise: 0.3")},
      {"fine-tune.augment-share", trained("steps: 3, noise: 0.3, augment-share: 1",
                                          "steps: 3, noise: 0.3, augment-share: 0.2")},
      {"fine-tune.mixup", trained("steps: 3, mixup: 0", "steps: 3, mixup: 1", kLabelled)},
      {"fine-tune.teacher", trained("steps: 3", "steps: 3, teacher: input", kLabelled)},
      {"fine-tune.teachers",
       trained("steps: 3, teachers: [trained.onnx]",
               "steps: 3, teachers: [trained.onnx, other.onnx]", kLabelled)},
      {"fine-tune.teacher-weights",
       trained("steps: 3, teachers: [trained.onnx, other.onnx], teacher-weights: [1, 1]",
               "steps: 3, teachers: [trained.onnx, other.onnx], teacher-weights: [1, 0]",
               kLabelled)},
      {"fine-tune.temperature", trained("steps: 3, temperature: 1", "steps: 3, temperature: 8")},
      {"fine-tune.soft-weight",
       trained("steps: 3, teacher: input, soft-weight: 0.1",
               "steps: 3, teacher: input, soft-weight: 0.9", kLabelled)},
      {"fine-tune.self-every", trained("epochs: 3, teacher: self, self-every: 1",
                                       "epochs: 3, teacher: self, self-every: 2", kLabelled)},
      {"fine-tune.features", trained("steps: 3, features: []", "steps: 3, features: [r=r]")},
      {"fine-tune.feature-weight", trained("steps: 3, features: [r=r], feature-weight: 1",
                                           "steps: 3, features: [r=r], feature-weight: 9")},
      {"fine-tune.freeze", trained("steps: 3, freeze: []", "steps: 3, freeze: [w1]")},
      {"fine-tune.batch-norm",
       trained("steps: 3, batch-norm: frozen", "steps: 3, batch-norm: update")},
      // After worse epochs better ones follow, which who stops early does not see.
      {"fine-tune.patience",
       trained("epochs: 20, schedule: constant, patience: 0",
               "epochs: 20, schedule: constant, patience: 1", kJudged)},
      // This file is none.
      {"fine-tune.checkpoint", trained("steps: 3", "steps: 3, checkpoint: /proc/version")},
      {"fine-tune.missing-data",
       trained("steps: 3, missing-data: skip", "steps: 3, missing-data: fail", "")},
      {"fine-tune.prune-sparsity", trained("steps: 9", "steps: 9, prune-sparsity: 0.6")},
      {"fine-tune.prune-from",
       trained("steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-from: 0.3",
               "steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-from: 0.6")},
      {"fine-tune.prune-curve",
       trained("steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-curve: cubic",
               "steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-curve: linear")},
      {"fine-tune.prune-until",
       trained("steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-until: 0.3",
               "steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-until: 0.9")},
      {"fine-tune.prune-every", trained("steps: 9, prune-sparsity: 0.6, prune-every: 1",
                                        "steps: 9, prune-sparsity: 0.6, prune-every: 3")},
      {"fine-tune.prune-scope",
       trained("steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-scope: local",
               "steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-scope: global")},
      {"fine-tune.prune-score",
       trained("steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-score: magnitude",
               "steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-score: movement")},
      {"fine-tune.prune-regrow",
       trained("steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-regrow: 0",
               "steps: 9, prune-every: 1, prune-sparsity: 0.6, prune-regrow: 0.5")},
      {"fold-affine.leftover", step("fold-affine", "leftover: keep", "leftover: depthwise")},
      {"fold-constants.max-growth",
       step("fold-constants", "max-growth: 0", "max-growth: 10000000")},
      {"prune-calibrated.sparsity", step("prune-calibrated", "sparsity: 0.25", "sparsity: 0.75")},
      {"prune-calibrated.budget",
       {"prune-calibrated: {budget: 30 %}", "prune-calibrated: {budget: 60 %}"}},
      {"prune-calibrated.scope", step("prune-calibrated", "sparsity: 0.6, scope: local",
                                      "sparsity: 0.6, scope: global")},
      {"prune-calibrated.pattern",
       step("prune-calibrated", "pattern: \"2:4\"", "pattern: \"1:4\"")},
      {"prune-calibrated.method", step("prune-calibrated", "method: obs", "method: wanda")},
      {"prune-calibrated.codebook", step("prune-calibrated", "codebook: 2", "codebook: 4")},
      {"prune-calibrated.bits", step("prune-calibrated", "bits: 3", "bits: 6")},
      {"prune-calibrated.missing-data",
       {"prune-calibrated: {missing-data: skip}", "prune-calibrated: {missing-data: fail}", "m.onnx",
        "encode: false\n", ""}},
      {"prune-calibrated.inputs", step("prune-calibrated", "inputs: original", "inputs: compressed")},
      {"prune-calibrated.damping", step("prune-calibrated", "damping: 0.01", "damping: 0.5")},
      {"prune-magnitude.sparsity", step("prune-magnitude", "sparsity: 0.25", "sparsity: 0.75")},
      {"prune-magnitude.scope", step("prune-magnitude", "scope: local", "scope: global")},
      {"prune-magnitude.pattern", step("prune-magnitude", "pattern: \"2:4\"", "pattern: 4x4")},
      {"prune-magnitude.max-layer-sparsity",
       step("prune-magnitude", "sparsity: 0.8, scope: global, max-layer-sparsity: 0.81",
            "sparsity: 0.8, scope: global, max-layer-sparsity: 0.95")},
      {"quantize-dynamic.granularity", step("quantize-dynamic", "min-macs: 0, granularity: channel",
                                            "min-macs: 0, granularity: tensor")},
      {"quantize-dynamic.rounding",
       step("quantize-dynamic", "min-macs: 0, rounding: nearest", "min-macs: 0, rounding: mse")},
      {"quantize-dynamic.min-macs", step("quantize-dynamic", "min-macs: 0", "min-macs: 10000000")},
      {"quantize-dynamic.tolerance",
       {"quantize-dynamic: {min-macs: 0, tolerance: 0}",
        "quantize-dynamic: {min-macs: 0, tolerance: 100}", "m.onnx",
        "encode: false\nmetric: sqnr\n",
        "data: {validation: {random: {count: 4, seed: 3}}}\n"}},
      {"quantize-static.method",
       step("quantize-static", "where: everywhere, effort: quick, method: min-max",
            "where: everywhere, effort: quick, method: mse")},
      {"quantize-static.percentile",
       step("quantize-static",
            "where: everywhere, effort: quick, method: percentile, percentile: 90",
            "where: everywhere, effort: quick, method: percentile, percentile: 99.9")},
      // What a table changes is told by calibrate_test.cpp; this file is none.
      {"quantize-static.table", step("quantize-static", "where: everywhere, effort: quick",
                                     "where: everywhere, effort: quick, table: m.onnx")},
      {"quantize-static.where",
       step("quantize-static", "where: pays, effort: quick", "where: everywhere, effort: quick")},
      {"quantize-static.tolerance", step("quantize-static", "where: everywhere, tolerance: 0",
                                         "where: everywhere, tolerance: 1000")},
      {"quantize-static.rounding",
       step("quantize-static", "where: everywhere, effort: quick, rounding: nearest",
            "where: everywhere, effort: quick, rounding: gptq")},
      {"quantize-static.bias-correction",
       step("quantize-static", "where: everywhere, effort: quick, bias-correction: true",
            "where: everywhere, effort: quick, bias-correction: false")},
      {"quantize-static.effort",
       step("quantize-static", "where: everywhere, tolerance: 0, effort: quick",
            "where: everywhere, tolerance: 0, effort: normal")},
      {"quantize-static.missing-data",
       {"quantize-static: {missing-data: skip}", "quantize-static: {missing-data: fail}", "m.onnx",
        "encode: false\n", ""}},
      {"quantize-static.store-float",
       step("quantize-static", "where: everywhere, tolerance: 0, store-float: true",
            "where: everywhere, tolerance: 0, store-float: false")},
      {"quantize-weights.granularity",
       step("quantize-weights", "granularity: channel", "granularity: tensor")},
      {"quantize-weights.form", step("quantize-weights", "form: scaled", "form: dequantize")},
      {"quantize-weights.bits", step("quantize-weights", "bits: 4", "bits: ternary")},
      {"quantize-weights.block-size",
       step("quantize-weights", "block-size: 0", "block-size: 32")},
      {"quantize-weights.symmetric",
       step("quantize-weights", "symmetric: true", "symmetric: false")},
      {"quantize-weights.method", step("quantize-weights", "method: nearest", "method: gptq")},
      {"share-initializers.min-bytes",
       step("share-initializers", "min-bytes: 0", "min-bytes: 1000000")},
      {"share-weights.values", step("share-weights", "values: 3", "values: 15")},
      {"share-weights.bias-values",
       step("share-weights", "values: 3, bias-values: 0", "values: 3, bias-values: 3")},
      {"smooth-activations.alpha", step("smooth-activations", "alpha: 0.3", "alpha: 0.8")},
      {"smooth-activations.bits",
       step("smooth-activations", "method: aware, bits: 2", "method: aware, bits: 6")},
      {"smooth-activations.method",
       step("smooth-activations", "method: smooth", "method: aware")},
      {"share-weights.scope",
       step("share-weights", "values: 3, scope: tensor", "values: 3, scope: channel")},
      {"share-weights.fit", step("share-weights", "values: 3, fit: weights", "values: 3, fit: outputs")},
      {"share-weights.damping",
       step("share-weights", "values: 3, damping: 0.01", "values: 3, damping: 0.9")},
      {"tie-weights.tolerance",
       {"tie-weights: {tolerance: 0}", "tie-weights: {tolerance: 1}", "twins.onnx"}},
      {"tie-weights.align",
       {"tie-weights: {tolerance: 0.00001, align: true}",
        "tie-weights: {tolerance: 0.00001, align: false}", "twins.onnx"}},
      {"tie-weights.transposes",
       {"tie-weights: {transposes: true}", "tie-weights: {transposes: false}", "twins.onnx"}},
  });
  return kCases;
}

/// Options that choose between ways to the same end: they cost different time and need not give
/// different bytes.
const std::set<std::string>& ways_to_the_same_end() {
  static const std::set<std::string> kOptions{"share-weights.method"};
  return kOptions;
}

std::string recipe_of(const OptionCase& one, const std::string& steps) {
  // "a, b: {...}" is a list of steps; the last one alone has options.
  std::string list;
  size_t from = 0;
  int depth = 0;
  for (size_t i = 0; i <= steps.size(); ++i) {
    if (i < steps.size())
      depth += (steps[i] == '{' || steps[i] == '[') - (steps[i] == '}' || steps[i] == ']');
    if (i < steps.size() && (steps[i] != ',' || depth > 0)) continue;
    std::string entry = steps.substr(from, i - from);
    entry.erase(0, entry.find_first_not_of(' '));
    list += "  - " + entry + "\n";
    from = i + 1;
  }
  return one.data + "steps:\n" + list + one.more;
}

TEST_F(RecipeKeys, EveryOptionOfEveryPassHasACase) {
  std::set<std::string> known;
  for (const std::string& name : builtin_passes().names()) {
    OptionSet options;
    const std::unique_ptr<Pass> pass = builtin_passes().create(name);
    pass->describe(options);
    for (const OptionInfo& info : options.infos()) known.insert(name + "." + info.name);
  }
  for (const std::string& option : known) {
    EXPECT_TRUE(option_cases().contains(option) || ways_to_the_same_end().contains(option))
        << option << " has no case";
  }
  for (const auto& [option, one] : option_cases()) {
    EXPECT_TRUE(known.contains(option)) << option << " is gone";
  }
}

TEST_F(RecipeKeys, EveryOptionChangesTheOutput) {
  const bool trains = testing::has_trainer();
  for (const auto& [option, one] : option_cases()) {
    if (one.model == "trained.onnx" && !trains) continue;
    SCOPED_TRACE(option);
    expect_effect(recipe_of(one, one.first), recipe_of(one, one.second), one.model);
  }
}

TEST_F(RecipeKeys, KeysOfTheFile) {
  const std::string prune = "steps: [{prune-magnitude: {sparsity: 0.9}}]\n";
  expect_effect(prune + "encode: true", prune + "encode: false");
  const std::string quantize =
      kData + std::string("steps: [{quantize-static: {where: everywhere, tolerance: 0}}]\n");
  expect_effect(quantize + "effort: quick", quantize + "effort: normal");
  expect_effect(quantize + "effort: quick\ntarget: cpu",
                quantize + "effort: quick\ntarget: cpu-vnni");
  // The seed decides which samples are held out for the gate.
  const std::string gated = kData + std::string(
                                        "steps:\n  - quantize-static: {where: everywhere}\n"
                                        "    gate: {metric-drop: \"<= 100 pt\"}\nencode: false\n");
  expect_effect(gated + "seed: 1", gated + "seed: 2");
}

TEST_F(RecipeKeys, OneLineOfACostTable) {
  const auto recipe = [&](const std::string& layer, const std::string& form, int nanoseconds,
                          const std::string& step) {
    const std::string file = std::to_string(nanoseconds) + ".json";
    testing::write_bytes(
        path(file),
        R"({"schema": "mcompress-costs", "schema_version": 1, "cpu": "", "instruction_sets": "",
            "runtime": "1", "threads": 1, "nanoseconds": {")" +
            layer + R"(: float": 90000, ")" + layer + ": " + form +
            "\": " + std::to_string(nanoseconds) + "}}");
    return fmt::format("{}steps: [{}]\ncosts: {}\nencode: false\n", kData, step, file);
  };
  const auto line_decides = [&](const std::string& layer, const std::string& form,
                                const std::string& step) {
    expect_effect(recipe(layer, form, 1000, step), recipe(layer, form, 80000000, step));
  };
  line_decides("Conv 32x16x3x3 rows 64", "static int8", "{quantize-static: {effort: quick}}");
  line_decides("MatMul 512x64 rows 1", "dynamic int8", "{quantize-dynamic: {min-macs: 0}}");
  line_decides("MatMul 96x10 rows 1", "8-bit weights", "quantize-weights");
}

TEST_F(RecipeKeys, LinesOfAPlan) {
  const auto plan = [&](const std::string& name, const std::string& layer,
                        const std::string& choice) {
    testing::write_bytes(path(name), "choices: {half: {prune-magnitude: {sparsity: 0.5}}, "
                                     "most: {prune-magnitude: {sparsity: 0.9}}}\nlayers: {\"" +
                                         layer + "\": " + choice + "}\n");
    return "steps: [prune-magnitude]\nencode: false\nplan: " + name + "\n";
  };
  expect_effect(plan("a.yaml", "MatMul:m1", "half"), plan("b.yaml", "MatMul:m2", "half"));
  expect_effect(plan("a.yaml", "MatMul:m1", "half"), plan("b.yaml", "MatMul:m1", "most"));
  expect_effect(plan("a.yaml", "MatMul:m1", "half"), plan("b.yaml", "MatMul:m1", "float"));
  expect_effect(plan("a.yaml", "MatMul:m1", "half"), plan("b.yaml", "MatMul:m9", "half"));
}

TEST_F(RecipeKeys, KeysOfData) {
  const auto with = [](const std::string& source) {
    return "data: {calibration: {random: {" + source +
           "}}}\nsteps: [{quantize-static: {where: everywhere, effort: quick}}]\nencode: false\n";
  };
  expect_effect(with("count: 4"), with("count: 16"));
  expect_effect(with("count: 4, seed: 1"), with("count: 4, seed: 2"));
  expect_effect(with("count: 4, std: 1"), with("count: 4, std: 5"));
}

TEST_F(RecipeKeys, LayersAndSchedules) {
  const auto prune = [](const std::string& beside) {
    return "steps:\n  - prune-magnitude: {sparsity: 0.5}\n" + beside + "encode: false\n";
  };
  expect_effect(prune("    skip: [last]\n"), prune("    skip: [first]\n"));
  expect_effect(prune("    only: [last]\n"), prune("    only: [first]\n"));
  expect_effect(prune("    only: [\"op:Conv\"]\n"), prune("    only: [\"op:MatMul\"]\n"));
  const auto repeat = [](const std::string& rounds, const std::string& sparsity) {
    return "steps:\n  - " + rounds + "\n    steps: [{prune-magnitude: {sparsity: " + sparsity +
           "}}]\nencode: false\n";
  };
  expect_effect(repeat("repeat: 2", "{from: 0.2, to: 0.4}"),
                repeat("repeat: 2", "{from: 0.2, to: 0.8}"));
  // A round that breaks the limit ends the loop with the last good one.
  const auto until = [](const std::string& size) {
    return "steps:\n  - until: {size: \"<= " + size +
           " %\"}\n    max: 2\n    steps: [{prune-magnitude: {sparsity: {from: 0.7, to: 0.9}}}]\n";
  };
  expect_effect(until("90"), until("1"));
}

TEST_F(RecipeKeys, GatesAndConstraints) {
  const auto gate = [](const std::string& text) {
    return "metric: cosine\n" + std::string(kData) +
           std::string("steps:\n  - prune-magnitude: {sparsity: 0.95}\n    gate: {") + text + "}\n";
  };
  expect_effect(gate("size: \"<= 1 %\", on-fail: warn"),
                gate("size: \"<= 1 %\", on-fail: roll-back"));
  expect_effect(gate("size: \"<= 1 %\", on-fail: warn"), gate("size: \"<= 1 %\", on-fail: stop"));
  for (const char* quantity : {"size", "latency", "metric-drop"}) {
    const std::string loose = std::string(quantity) + ": \"<= 100000 %\", on-fail: roll-back";
    const std::string tight = std::string(quantity) + ": \"<= 0.001 %\", on-fail: roll-back";
    expect_effect(gate(loose), gate(tight));
  }
  expect_effect(gate("metric: \">= 0\", on-fail: roll-back"),
                gate("metric: \">= 1000\", on-fail: roll-back"));
  const auto constraint = [](const std::string& text) {
    return "metric: cosine\n" + std::string(kData) +
           std::string("steps: [{prune-magnitude: {sparsity: 0.95}}]\nconstraints: {") + text +
           "}\n";
  };
  for (const char* quantity : {"size", "latency", "metric-drop"}) {
    expect_effect(constraint(std::string(quantity) + ": \"<= 100000 %\""),
                  constraint(std::string(quantity) + ": \"<= 0.001 %\""));
  }
  expect_effect(constraint("metric: \">= 0\""), constraint("metric: \">= 1000\""));
}

TEST_F(RecipeKeys, TheMetricDecidesTheGate) {
  const auto with = [](const std::string& metric) {
    return "metric: " + metric + "\n" + kData +
           std::string(
               "steps:\n  - prune-magnitude: {sparsity: 0.95}\n"
               "    gate: {metric: \">= 1.0001\", on-fail: roll-back}\n");
  };
  // A cosine is never above 1; a signal-to-noise in decibels is.
  expect_effect(with("cosine"), with("sqnr"));
}

}  // namespace
}  // namespace mcompress
