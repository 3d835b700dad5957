// SPDX-License-Identifier: Apache-2.0
// Every operator that can be trained through, in the forms of op_rows.h: values as ONNX Runtime's,
// gradients as finite differences.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <sstream>

#include "mcompress/runtime_service.h"
#include "op_rows.h"
#include "tests/support/model_text.h"
#include "train/op.h"
#include "train/program.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

/// What the trainer promises at least (issue 6), by name of the operator.
constexpr auto kPromised = std::to_array<const char*>({"Conv",
                                                       "ConvTranspose",
                                                       "Gemm",
                                                       "MatMul",
                                                       "BatchNormalization",
                                                       "LayerNormalization",
                                                       "GroupNormalization",
                                                       "InstanceNormalization",
                                                       "Relu",
                                                       "LeakyRelu",
                                                       "PRelu",
                                                       "Elu",
                                                       "Selu",
                                                       "Celu",
                                                       "ThresholdedRelu",
                                                       "Clip",
                                                       "Sigmoid",
                                                       "HardSwish",
                                                       "HardSigmoid",
                                                       "Gelu",
                                                       "Softmax",
                                                       "LogSoftmax",
                                                       "Tanh",
                                                       "Erf",
                                                       "Softplus",
                                                       "Softsign",
                                                       "Mish",
                                                       "Swish",
                                                       "MaxPool",
                                                       "AveragePool",
                                                       "GlobalAveragePool",
                                                       "GlobalMaxPool",
                                                       "Add",
                                                       "Sub",
                                                       "Mul",
                                                       "Div",
                                                       "Pow",
                                                       "Min",
                                                       "Max",
                                                       "Mean",
                                                       "Sum",
                                                       "Sqrt",
                                                       "Exp",
                                                       "Log",
                                                       "Abs",
                                                       "Neg",
                                                       "Reciprocal",
                                                       "ReduceSum",
                                                       "ReduceMean",
                                                       "ReduceMax",
                                                       "ReduceMin",
                                                       "ReduceProd",
                                                       "ReduceL1",
                                                       "ReduceL2",
                                                       "ReduceSumSquare",
                                                       "ReduceLogSum",
                                                       "ReduceLogSumExp",
                                                       "Concat",
                                                       "Split",
                                                       "Slice",
                                                       "Gather",
                                                       "Pad",
                                                       "Reshape",
                                                       "Transpose",
                                                       "Flatten",
                                                       "Squeeze",
                                                       "Unsqueeze",
                                                       "Expand",
                                                       "Where",
                                                       "Cast",
                                                       "Shape",
                                                       "Constant",
                                                       "Resize",
                                                       "Dropout",
                                                       "LSTM",
                                                       "GRU",
                                                       "QuantizeLinear",
                                                       "DequantizeLinear"});

std::shared_ptr<RuntimeService> runtime() {
  static const auto instance = make_onnx_runtime();
  return instance;
}

/// "float[] y, int64[] i" -> "y, i".
std::string names_of(const std::string& outputs) {
  std::istringstream stream(outputs);
  std::string names, type, name;
  while (stream >> type >> name) names += name + (name.back() == ',' ? " " : "");
  return names;
}

Model model_of(const OpRow& row) {
  const std::string text = "<ir_version: 10, opset_import: [\"\" : " + std::to_string(row.opset) +
                           ", \"com.microsoft\" : 1]>\ng (" + row.inputs + ") => (" + row.outputs +
                           ") <" + row.constants + "> {\n" + names_of(row.outputs) + " = " +
                           row.call + "\n}";
  return test::parse_model(text);
}

/// Distinct values, evenly spaced between `low` and `high`, in an order of their own for each seed.
at::Tensor made_up(const Shape& shape, double low, double high, unsigned seed) {
  const auto count = static_cast<size_t>(element_count(shape));
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = low + (high - low) * (static_cast<double>(i) + 0.37) / static_cast<double>(count);
  }
  std::mt19937 random(seed);
  for (size_t i = count; i > 1; --i) std::swap(values[i - 1], values[random() % i]);
  return at::tensor(values, at::kDouble).reshape(shape);
}

Values made_up_inputs(const OpRow& row, const Model& model) {
  Values values;
  unsigned seed = 1;
  for (const auto& input : model.graph().inputs()) {
    values[input.name] = made_up(input.shape, row.low, row.high, seed++);
  }
  return values;
}

std::string title(const OpRow& row) {
  return row.call + " [" + row.inputs + "; " + row.constants + "] opset " +
         std::to_string(row.opset);
}

/// "" or how they differ.
std::string difference(const Tensor& expected, const at::Tensor& actual, double tolerance) {
  if (!actual.defined()) return "no output";
  if (Shape(actual.sizes().vec()) != expected.shape()) {
    return "shape " + to_string(actual.sizes().vec()) + ", expected " + to_string(expected.shape());
  }
  const at::Tensor want = to_torch(expected);
  if (want.scalar_type() != actual.scalar_type()) return "another type";
  const at::Tensor a = want.to(at::kDouble).reshape(-1), b = actual.to(at::kDouble).reshape(-1);
  const at::Tensor finite = at::isfinite(a);
  const double scale =
      finite.any().item<bool>() ? a.masked_select(finite).abs().max().item<double>() : 0;
  if (at::allclose(b, a, 0, tolerance * std::max(scale, 1e-3), true)) return "";
  return "differs by " + std::to_string((a - b).abs().max().item<double>());
}

class OpRows : public testing::Test {
 protected:
  void SetUp() override { at::set_num_threads(1); }
};

TEST_F(OpRows, CoverWhatIsPromised) {
  for (const char* const op : kPromised) EXPECT_TRUE(op_table().contains(op)) << op;
}

// The build runs this one (CMakeLists.txt): a row that is missing fails it.
TEST_F(OpRows, CoverTheTable) {
  std::set<std::string> covered;
  for (const OpRow& row : op_rows()) {
    covered.insert(row.op);
    EXPECT_TRUE(op_table().contains(row.op)) << row.op << " has a row and no function";
  }
  for (const auto& [op, info] : op_table()) {
    EXPECT_TRUE(covered.contains(op)) << op << " has no row in op_rows.h";
  }
}

void compare_with_runtime(const OpRow& row) {
  SCOPED_TRACE(title(row));
  const Model model = model_of(row);
  std::vector<std::string> fed, outputs;
  for (const auto& input : model.graph().inputs()) fed.push_back(input.name);
  for (const auto& output : model.graph().outputs()) outputs.push_back(output.name);
  Values values = made_up_inputs(row, model);
  Feeds feeds;
  for (auto& [name, value] : values) {
    value = value.to(at::kFloat);
    feeds.push_back({name, from_torch(value)});
  }
  const std::vector<Tensor> expected = runtime()->open(model)->run(feeds);
  Execution execution;
  const Tensors actual = Program(model, fed, outputs).run(values, execution);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(difference(expected[i], actual[i], 2e-6), "") << outputs[i];
  }
}

TEST_F(OpRows, ComputeWhatTheRuntimeComputes) {
  for (const OpRow& row : op_rows()) {
    if (row.batch_statistics) continue;
    try {
      compare_with_runtime(row);
    } catch (const Unsupported& reason) {
      ADD_FAILURE() << title(row) << ": " << reason.reason();
    } catch (const std::exception& error) {
      ADD_FAILURE() << title(row) << ": " << error.what();
    }
  }
}

/// A node with inputs of double precision: the sum of its floating outputs, weighted at random.
class Projection {
 public:
  explicit Projection(const OpRow& row) : model_(model_of(row)), info_(op_table().at(row.op)) {
    execution_.opset = row.opset;
    execution_.batch_statistics = row.batch_statistics;
    const Values values = made_up_inputs(row, model_);
    for (const NodeRef node : model_.graph().nodes()) node_ = node;
    for (int i = 0; i < node_.input_count(); ++i) {
      const ValueRef value = node_.input(i);
      if (!value) {
        inputs_.emplace_back();
      } else if (value.is_constant()) {
        const at::Tensor constant = to_torch(*value.constant());
        inputs_.push_back(constant.is_floating_point() ? constant.to(at::kDouble) : constant);
      } else {
        varied_.push_back(inputs_.size());
        inputs_.push_back(values.at(value.name()));
      }
    }
  }

  /// Positions of the inputs that vary.
  const std::vector<size_t>& varied() const { return varied_; }
  Tensors& inputs() { return inputs_; }

  /// Undefined where no output is floating.
  at::Tensor value() {
    const Tensors outputs = info_.run(node_, inputs_, execution_);
    at::Tensor sum;
    const size_t count = std::min(outputs.size(), static_cast<size_t>(node_.output_count()));
    for (size_t i = 0; i < count; ++i) {
      if (!outputs[i].defined() || !outputs[i].is_floating_point()) continue;
      const at::Tensor weights =
          made_up(outputs[i].sizes().vec(), -1, 1, 77 + static_cast<unsigned>(i));
      const at::Tensor part = (outputs[i].to(at::kDouble) * weights).sum();
      sum = sum.defined() ? sum + part : part;
    }
    return sum;
  }

 private:
  Model model_;
  const OpInfo& info_;
  NodeRef node_;
  Execution execution_;
  Tensors inputs_;
  std::vector<size_t> varied_;
};

/// Which elements of an input are moved: all of a small one.
std::vector<int64_t> chosen_elements(int64_t count) {
  constexpr int64_t kMost = 24;
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < std::min(count, kMost); ++i) {
    chosen.push_back(count <= kMost ? i : i * count / kMost);
  }
  return chosen;
}

at::Tensor finite_differences(Projection& projection, size_t input,
                              const std::vector<int64_t>& elements) {
  const at::Tensor original = projection.inputs()[input];
  std::vector<double> gradient;
  constexpr double kStep = 1e-6;
  for (const int64_t i : elements) {
    double sides[2];
    for (const int side : {0, 1}) {
      at::Tensor moved = original.clone();
      moved.data_ptr<double>()[i] += side == 0 ? -kStep : kStep;
      projection.inputs()[input] = moved;
      sides[side] = projection.value().item<double>();
    }
    gradient.push_back((sides[1] - sides[0]) / (2 * kStep));
  }
  projection.inputs()[input] = original;
  return at::tensor(gradient, at::kDouble);
}

/// Whether any gradient arrived.
bool check_gradient(const OpRow& row) {
  SCOPED_TRACE(title(row));
  Projection projection(row);
  Tensors leaves;
  for (const size_t i : projection.varied()) {
    leaves.push_back(projection.inputs()[i].clone().requires_grad_());
    projection.inputs()[i] = leaves.back();
  }
  const at::Tensor value = projection.value();
  if (!value.defined() || leaves.empty()) return false;
  Tensors gradients(leaves.size());
  if (value.requires_grad()) {
    gradients = torch::autograd::grad({value}, leaves, {}, false, false, true);
  }
  at::NoGradGuard no_gradient;
  bool arrived = false;
  for (size_t i = 0; i < leaves.size(); ++i) {
    projection.inputs()[projection.varied()[i]] = leaves[i].detach();
  }
  for (size_t i = 0; i < leaves.size(); ++i) {
    const auto elements = chosen_elements(leaves[i].numel());
    const at::Tensor expected = finite_differences(projection, projection.varied()[i], elements);
    const at::Tensor all =
        gradients[i].defined() ? gradients[i].detach() : at::zeros_like(leaves[i].detach());
    const at::Tensor actual = all.reshape(-1).index_select(0, at::tensor(elements, at::kLong));
    arrived = arrived || all.abs().max().item<double>() > 0;
    const double scale = std::max(expected.abs().max().item<double>(), 1e-2);
    const double error = (expected - actual).abs().max().item<double>();
    EXPECT_LT(error, 1e-6 * scale) << "input " << projection.varied()[i];
  }
  return arrived;
}

TEST_F(OpRows, HaveTheGradientOfFiniteDifferences) {
  std::set<std::string> proved = {"Constant"};  // takes nothing
  for (const OpRow& row : op_rows()) {
    if (!row.no_derivative.empty()) {
      proved.insert(row.op);
      continue;
    }
    try {
      if (check_gradient(row)) proved.insert(row.op);
    } catch (const std::exception& error) {
      ADD_FAILURE() << title(row) << ": " << error.what();
    }
  }
  for (const auto& [op, info] : op_table()) {
    EXPECT_EQ(proved.contains(op), info.differentiable) << op;
  }
}

}  // namespace
}  // namespace mcompress::train
