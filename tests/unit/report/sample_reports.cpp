// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/report/sample_reports.h"

#include <limits>

namespace mcompress::testing {
namespace {

MetricFigure exact(double value, double low, double high) {
  return {"ctc-exact", value, low, high, 1000, true, true};
}

LatencyFigure latency(double median, double ratio, double low, double high) {
  return {median, median * 0.97, median * 0.03, ratio, low, high, 300};
}

EnvironmentReport environment() {
  return {"0.1.0", "1.30.0", "Example CPU 3000", "avx2 vnni", "Linux", "g++ 12.2.0", 1};
}

StepReport step(const std::string& name, int number, uint64_t bytes, double metric) {
  StepReport s;
  s.name = name;
  s.label = std::to_string(number) + ": " + name;
  s.changed = true;
  s.seconds = 0.12 * number;
  s.peak_bytes = 210'000'000;
  s.size = {bytes, bytes - 120'000, 0, 2'700'000, 2'690'000, 812'000'000};
  s.metric = exact(metric, metric - 0.02, metric + 0.02);
  return s;
}

LayerReport layer(const std::string& name, std::vector<int64_t> shape, double sqnr,
                  const std::string& method) {
  LayerReport l;
  l.name = name;
  l.op = shape.size() == 4 ? "Conv" : "MatMul";
  l.output = name + ".out";
  uint64_t count = 1;
  for (const int64_t size : shape) count *= static_cast<uint64_t>(size);
  l.weight_shape = std::move(shape);
  l.bytes_before = count * 4;
  l.bytes_after = method.empty() ? count * 4 : count;
  l.bits_before = 32;
  l.bits_after = method.empty() ? 32 : 8;
  l.macs = count * 100;
  l.distinct = 256;
  if (!method.empty()) l.sqnr_db = sqnr;
  l.method = method;
  return l;
}

std::vector<StepReport> sample_steps() {
  std::vector<StepReport> steps = {
      step("fold-batch-norm", 1, 10'700'000, 0.865), step("fold-constants", 2, 10'700'000, 0.865),
      step("prune-magnitude", 3, 6'100'000, 0.741), step("quantize-static", 4, 3'110'000, 0.8646),
      step("encode-weights", 5, 3'100'000, 0.8646)};
  steps[1].changed = false;
  StepReport& pruned = steps[2];
  pruned.rolled_back = true;
  pruned.options = "sparsity 0.9, scope global";
  pruned.gates = {{"metric-drop <= 0.5 pt", 0.124, "12.4 pt", false, false, "rolled back"}};
  StepReport& quantized = steps[3];
  quantized.options = "granularity channel, method mse";
  quantized.latency = latency(25.3, 0.613, 0.604, 0.627);
  quantized.gates = {{"metric-drop <= 0.5 pt", 0.0004, "0.04 pt", true, true, ""}};
  quantized.counters = {{"layers", 60}, {"nodes added", 240}};
  quantized.skips = {
      {"/backbone/stage1/depthwise", "dw1", "int8 is slower here: 1.31 ms against 0.92 ms"},
      {"/backbone/stage2/depthwise", "dw2", "int8 is slower here: 0.71 ms against 0.52 ms"},
      {"/head/ctc", "ctc", "skipped by the recipe (last)"},
      {"", "softmax_0.tmp_0", "weight is shared with /head/ctc"}};
  quantized.warnings = {"pattern \"/neck/*\" of skip matches no layer"};
  return steps;
}

}  // namespace

RunReport sample_run() {
  RunReport r;
  r.command = "run";
  r.input = "models/ocr-recognition.onnx";
  r.output = "out/ocr-int8.onnx";
  r.input_hash = "xxh3:00112233445566778899aabbccddeeff";
  r.output_hash = "xxh3:ffeeddccbbaa99887766554433221100";
  r.recipe_hash = "xxh3:0123456789abcdef0123456789abcdef";
  r.recipe_name = "int8";
  r.effective_recipe = "version: 1\nseed: 7\nsteps:\n  - quantize-static: {granularity: channel}\n";
  r.data = {{"calibration", "calib.npz (300 of 1,000 samples)"},
            {"evaluation", "lines.npz (1,000 samples)"}};
  r.metric_reason = "ctc-exact, because the labels are sequences";
  r.seed = 7;
  r.environment = environment();
  r.size_before = {10'820'331, 10'700'120, 9'950'000, 2'700'000, 2'699'001, 812'000'000};
  r.size_after = {3'100'442, 2'980'000, 2'450'000, 2'700'000, 2'431'007, 812'000'000};
  r.metric_baseline = exact(0.865, 0.843, 0.885);
  r.metric_before = exact(0.865, 0.843, 0.885);
  r.metric_after = exact(0.8622, 0.839, 0.882);
  r.metric_drop = 0.0028;
  r.metric_drop_low = -0.003;
  r.metric_drop_high = 0.009;
  r.latency_before = latency(41.3, 1, 1, 1);
  r.latency_after = latency(25.2, 0.611, 0.604, 0.625);
  r.session_before = SessionFigure{64.5, 71'000'000, 66'000'000};
  r.session_after = SessionFigure{41.2, 58'300'000, 49'100'000};
  r.peak_bytes = 214'000'000;
  r.seconds = 12.34;
  r.steps = sample_steps();
  r.layers = {layer("/backbone/conv1", {16, 3, 3, 3}, 21.25, "int8 per-channel"),
              layer("/backbone/stage1/depthwise", {16, 1, 3, 3}, 0, ""),
              layer("/backbone/stage3/block|7/a_very_long_name_of_a_layer/that_goes_on/conv2d_81",
                    {240, 120, 5, 5}, 17.5, "int8 per-channel + codes"),
              layer("/neck/mix/qkv", {120, 360}, std::numeric_limits<double>::infinity(), "codes"),
              layer("/neck/mix/proj", {120, 120}, 33.125, "int8 per-channel"),
              layer("/neck/mix/mlp/fc1", {120, 240}, 38.5, "int8 per-channel"),
              layer("/neck/mix/mlp/fc2", {240, 120}, 29.75, "int8 per-channel")};
  r.layers[1].reason = "int8 is slower here: 1.31 ms against 0.92 ms";
  r.layers[2].microseconds_before = 1310;
  r.layers[2].microseconds_after = 620;
  r.layers[5].rank = 64;
  r.layers[5].sparsity = 0.5;
  r.constraints = {{"size <= 30 %", 0.2865, "28.7 %", true, false, ""},
                   {"latency <= 60 %", 0.611, "61.1 %", false, true, ""}};
  r.warnings = {"calibration data has 12 constant samples"};
  r.advice = {"recipe int8 with effort: thorough may win back 0.2 pt",
              "/backbone/stage3 carries most of the error: try skip: [\"/backbone/stage3/*\"]"};
  r.failed = true;
  r.validation = "full: 1,000 samples with optimizations, 8 without, cosine 0.9998";
  return r;
}

RunReport bare_run() {
  RunReport r;
  r.command = "run";
  r.input = "a.onnx";
  return r;
}

RunReport trained_run() {
  RunReport r = bare_run();
  r.metric_baseline = exact(0.865, 0.843, 0.885);
  StepReport trained = step("fine-tune", 1, 10'700'000, 0.9);
  for (int i = 0; i < 12; ++i) {
    EpochFigure epoch{1.0 / (i + 1), 1.5 / (i + 1), 0.8 + 0.01 * i, 0.001, 3.5, i == 7};
    if (i == 11) epoch.metric = epoch.validation_loss = std::nullopt;  // interrupted
    trained.epochs.push_back(epoch);
  }
  trained.notes = {"training went on after epoch 3, step 120 of 480"};
  r.steps = {trained};
  return r;
}

InspectReport sample_inspect() {
  InspectReport r;
  r.input = "models/ocr-recognition.onnx";
  r.hash = "xxh3:00112233445566778899aabbccddeeff";
  r.ir_version = 7;
  r.producer = "paddle2onnx 1.0";
  r.opsets = {{"ai.onnx", 11}, {"com.microsoft", 1}};
  r.metadata = {{"character", "dictionary of 6,623 characters"}};
  r.size = {10'820'331, 10'700'120, 9'950'000, 2'700'000, 2'699'001, 812'000'000};
  r.nodes = 440;
  r.subgraphs = 2;
  r.inputs = {{"x", "float", {-1, 3, 48, -1}, true}};
  r.outputs = {{"softmax_11.tmp_0", "float", {}, false}};
  r.ops = {{"Conv", "", 62},
           {"Mul", "", 58},
           {"Add", "", 40},
           {"MatMul", "", 13},
           {"FusedMatMul", "com.microsoft", 1}};
  r.precision = {{"float", 210, 2'700'000, 10'800'000}, {"int64", 96, 310, 2'480}};
  r.layers = {
      {"/conv1", "Conv", "c1", "w1", {16, 3, 3, 3}, "float", 1728, 0, 430, 4'147'200, false, 32,
       8.74},
      {"", "MatMul", "m_out", "w2", {120, 6625}, "codebook 16 x float", 397'564, 0.25, 16, 0, true,
       4.0007, 3.62},
      {"/neck/fc", "Gemm", "g", "w3", {120, 240}, "float", 115'200, 0.00002, 0, 28'800, false, 32,
       0}};
  r.environment = environment();
  r.warnings = {"declared shape of output \"softmax_11.tmp_0\" is not what the runtime gives"};
  return r;
}

CompareReport sample_compare() {
  CompareReport r;
  r.input_a = "a/fp32.onnx";
  r.input_b = "b/int8.onnx";
  r.data = {{"evaluation", "lines.npz (1,000 samples)"}};
  r.size_before = {10'820'331, 10'700'120, 0, 2'700'000, 2'699'001, 0};
  r.size_after = {10'820'347, 10'700'120, 0, 2'700'000, 2'699'001, 0};
  r.metric_before = MetricFigure{"mse", 0.00123, 0.0011, 0.0013, 1000, false, false};
  r.metric_after = MetricFigure{"mse", 0.0012301, 0.0011, 0.0013, 1000, false, false};
  r.metric_drop = 1e-7 / 0.00123;
  r.metric_drop_low = 2e-8 / 0.00123;
  r.metric_drop_high = 1.8e-7 / 0.00123;
  r.latency_before = latency(41.3, 1, 1, 1);
  r.latency_after = latency(41.31, 1.0004, 0.998, 1.003);
  r.samples = 64;
  r.outputs = {{"softmax_11.tmp_0", "", "softmax_11.tmp_0", 41.25, 0.99996, 0.0123, 0, 0, {}, {}}};
  r.layers = {{"/conv1",
               "Conv",
               "c1",
               std::numeric_limits<double>::infinity(),
               1.0,
               0.0,
               1728,
               1728,
               {},
               {}},
              {"/neck/fc", "Gemm", "g", 28.5, 0.99999999, 0.25, 115'200, 28'800, 120.0, 61.0}};
  r.environment = environment();
  return r;
}

EvaluateReport sample_evaluate() {
  EvaluateReport r;
  r.input = "models/ocr-recognition.onnx";
  r.data = {{"evaluation", "lines.npz (1,000 samples)"}};
  r.metric_reason = "ctc-exact, because the labels are sequences";
  r.size = {10'820'331, 10'700'120, 0, 2'700'000, 2'699'001, 0};
  r.metrics = {exact(0.865, 0.843, 0.885), {"ctc-cer", 0.0213, 0.0181, 0.0246, 1000, false, true}};
  r.latency = latency(41.3, 1, 1, 1);
  r.session = SessionFigure{64.5, 71'000'000, 66'000'000};
  r.environment = environment();
  return r;
}

namespace {

SensitivityChange change(const std::string& choice, double damage, double sqnr_db, double drop,
                         int64_t bytes, std::optional<double> microseconds) {
  SensitivityChange result;
  result.choice = choice;
  result.applied = true;
  result.damage = damage;
  result.sqnr_db = sqnr_db;
  result.metric_drop = drop;
  result.metric_drop_low = drop - 0.01;
  result.metric_drop_high = drop + 0.01;
  result.bytes_saved = bytes;
  result.microseconds_saved = microseconds;
  return result;
}

}  // namespace

SensitivityReport sample_sensitivity() {
  SensitivityReport r;
  r.input = "models/ocr-recognition.onnx";
  r.recipe_name = "int8";
  r.data = {{"calibration", "calib.npz (240 of 300 samples, the others decide)"}};
  r.metric = exact(0.865, 0.843, 0.885);
  r.samples = 60;
  r.file_bytes = 10'820'331;
  r.tolerance = 0.01;
  r.planned_damage = 0.0007;
  r.planned_bytes_saved = 3'100'000;
  r.choices = {{"int8", "quantize-static", "where: everywhere"}, {"int4", "quantize-weights", ""}};
  r.layers = {{"p2o.Conv.1", "Conv", "conv_1.tmp", {"p2o.Conv.1"},
               {change("int8", 0.12, 9.1, 0.031, 4'310, 21.4),
                change("int4", 0.02, 17.0, 0, 5'120, {})}, "float"},
              {"", "MatMul", "linear_9.tmp", {"linear_9.tmp"},
               {change("int8", 0.0007, 31.6, -0.001, 3'100'000, 180), {}}, "int8"}};
  r.layers[1].changes[1].choice = "int4";
  r.layers[1].changes[1].reason = "its weight is no matrix";
  r.plan = "plan.yaml";
  r.costs = {"costs.json", "xxh3-128:0123", 212, 12, 30.1, 41.3, 12.2, 11.8};
  r.environment = environment();
  r.seconds = 21.5;
  return r;
}

}  // namespace mcompress::testing
