// SPDX-License-Identifier: Apache-2.0
// Rows of the operators that work on values: activations, element-wise, reductions.
#include "op_rows.h"

#include <array>

namespace mcompress::train {

std::vector<OpRow> op_rows() {
  std::vector<OpRow> all;
  for (const auto rows :
       {activation_rows, elementwise_rows, reduction_rows, shape_rows, index_rows, layer_rows}) {
    for (OpRow& row : rows()) all.push_back(std::move(row));
  }
  return all;
}

std::vector<OpRow> activation_rows() {
  const std::string x = "float[2,3,4] x";
  return {
      {"Relu", x, "Relu(x)"},
      {"LeakyRelu", x, "LeakyRelu<alpha=0.2>(x)"},
      {"PRelu", x + ", float[3,1] slope", "PRelu(x, slope)"},
      {"Elu", x, "Elu<alpha=0.5>(x)"},
      {"Selu", x, "Selu(x)"},
      {"Celu", x, "Celu<alpha=0.5>(x)"},
      {"Clip", x, "Clip(x, a, b)", "float a = {-0.31}, float b = {0.42}"},
      {"Clip", x, "Clip(x, , b)", "float b = {0.42}"},
      {"Clip", x, "Clip<min=-0.31,max=0.42>(x)", "", -1, 1, 9},
      {"Sigmoid", x, "Sigmoid(x)", "", -6, 6},
      {"HardSigmoid", x, "HardSigmoid<alpha=0.25>(x)", "", -4, 4},
      {"HardSwish", x, "HardSwish(x)", "", -4, 4},
      {"Gelu", x, "Gelu(x)", "", -4, 4, 20},
      {"Gelu", x, "Gelu<approximate=\"tanh\">(x)", "", -4, 4, 20},
      {"com.microsoft:Gelu", x, "com.microsoft.Gelu(x)", "", -4, 4},
      {"com.microsoft:BiasGelu", "float[2,3,4] x, float[4] b", "com.microsoft.BiasGelu(x, b)"},
      {"com.microsoft:FastGelu", "float[2,3,4] x, float[4] b", "com.microsoft.FastGelu(x, b)"},
      {"com.microsoft:FastGelu", x, "com.microsoft.FastGelu(x)", "", -4, 4},
      {"com.microsoft:QuickGelu", x, "com.microsoft.QuickGelu(x)", "", -4, 4},
      {"Swish", x, "Swish<alpha=0.7>(x)", "", -4, 4, 24},
      {"Swish", x, "Swish(x)", "", -4, 4, 24},
      {"Softmax", x, "Softmax(x)"},
      {"Softmax", x, "Softmax<axis=1>(x)"},
      {"Softmax", x, "Softmax(x)", "", -1, 1, 11},
      {"Softmax", x, "Softmax<axis=0>(x)", "", -1, 1, 12},
      {"LogSoftmax", x, "LogSoftmax<axis=-2>(x)"},
      {"LogSoftmax", x, "LogSoftmax(x)", "", -1, 1, 11},
      {"Hardmax", x, "Hardmax(x)"},
      {"Hardmax", x, "Hardmax<axis=1>(x)", "", -1, 1, 11},
      {"Tanh", x, "Tanh(x)"},
      {"Softplus", x, "Softplus(x)", "", -4, 4},
      {"Softsign", x, "Softsign(x)"},
      {"Mish", x, "Mish(x)", "", -4, 4, 18},
      {"ThresholdedRelu", x, "ThresholdedRelu<alpha=0.3>(x)"},
      {"Shrink", x, "Shrink<lambd=0.3,bias=0.1>(x)"},
      {"Erf", x, "Erf(x)"},
      {"Dropout", x, "Dropout(x)", "", -1, 1, 17, "float[] y, bool[] mask"},
      {"Dropout", x, "Dropout<ratio=0.3>(x)", "", -1, 1, 9},
      {"Dropout", x, "Dropout(x, r)", "float r = {0.3}"},
  };
}

namespace {

/// Functions of one input without attributes, each where it is smooth.
std::vector<OpRow> function_rows() {
  struct Function {
    const char* op;
    double low, high;
  };
  static constexpr std::array<Function, 21> kFunctions = {{
      {"Sqrt", 0.1, 2},     {"Exp", -1, 1},         {"Log", 0.1, 2},     {"Abs", -1, 1},
      {"Neg", -1, 1},       {"Reciprocal", 0.2, 2}, {"Sin", -3, 3},      {"Cos", -3, 3},
      {"Tan", -1, 1},       {"Asin", -0.9, 0.9},    {"Acos", -0.9, 0.9}, {"Atan", -2, 2},
      {"Sinh", -1, 1},      {"Cosh", -1, 1},        {"Asinh", -2, 2},    {"Acosh", 1.1, 3},
      {"Atanh", -0.9, 0.9}, {"Floor", -3, 3},       {"Ceil", -3, 3},     {"Round", -3, 3},
      {"Sign", -1, 1},
  }};
  std::vector<OpRow> rows;
  for (const auto& [op, low, high] : kFunctions) {
    rows.push_back({op, "float[2,3,4] x", std::string(op) + "(x)", "", low, high});
  }
  return rows;
}

std::vector<OpRow> logic_rows() {
  std::vector<OpRow> rows;
  const std::string floats = "float[2,3,4] x, float[3,1] z", truth = "bool[] y";
  for (const std::string op : {"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"}) {
    rows.push_back({op, floats, op + "(x, z)", "", -1, 1, 17, truth});
    rows.push_back({op, "float[2] unread", op + "(i, j)",
                    "int64[2,2] i = {1, -2, 3, 4}, int64[2] j = {1, 4}", -1, 1, 17, truth});
  }
  for (const std::string op : {"And", "Or", "Xor"}) {
    rows.push_back({op, floats, op + "(p, q)", "bool[2,2] p = {1, 0, 0, 1}, bool[2] q = {1, 0}", -1,
                    1, 17, truth});
  }
  rows.push_back({"Not", floats, "Not(p)", "bool[3] p = {1, 0, 1}", -1, 1, 17, truth});
  for (const std::string op : {"BitwiseAnd", "BitwiseOr", "BitwiseXor"}) {
    rows.push_back({op, floats, op + "(i, j)", "int32[2,2] i = {1, -2, 3, 4}, int32[2] j = {5, 6}",
                    -1, 1, 18, "int32[] y"});
  }
  rows.push_back(
      {"BitwiseNot", floats, "BitwiseNot(i)", "int32[3] i = {1, -2, 7}", -1, 1, 18, "int32[] y"});
  for (const char* const direction : {"LEFT", "RIGHT"}) {
    rows.push_back({"BitShift", floats,
                    std::string("BitShift<direction=\"") + direction + "\">(i, j)",
                    "uint8[3] i = {9, 200, 7}, uint8[3] j = {1, 3, 0}", -1, 1, 17, "uint8[] y"});
  }
  return rows;
}

}  // namespace

std::vector<OpRow> elementwise_rows() {
  const std::string two = "float[2,3,4] x, float[3,1] z";
  std::vector<OpRow> rows = {
      {"Add", two, "Add(x, z)"},
      {"Add", two, "Add(z, x)"},
      {"Sub", two, "Sub(z, x)"},
      {"Mul", two, "Mul(x, z)"},
      {"Div", two, "Div(x, z)", "", 0.2, 2},
      {"Div", two, "Div(i, j)", "int64[2,2] i = {7, -7, 9, -1}, int64[2] j = {2, 3}", -1, 1, 17,
       "int64[] y"},
      {"Pow", two, "Pow(x, z)", "", 0.2, 2},
      {"Pow", two, "Pow(x, e)", "float e = {2}"},
      {"Pow", two, "Pow(x, e)", "int64[1] e = {3}"},
      {"Pow", two, "Pow(x, e)", "float[4] e = {2, 3, 0, 1}", 0.1, 1},
      {"Mod", two, "Mod<fmod=1>(x, c)", "float[1] c = {0.3}"},
      {"Mod", two, "Mod(i, j)", "int64[2,2] i = {7, -7, 9, -1}, int64[2] j = {-2, 3}", -1, 1, 17,
       "int64[] y"},
      {"Min", two + ", float[4] v", "Min(x, z, v)"},
      {"Max", two + ", float[4] v", "Max(x, z, v)"},
      {"Max", two, "Max(i, j)", "int64[2,2] i = {7, -7, 9, -1}, int64[2] j = {-2, 3}", -1, 1, 17,
       "int64[] y"},
      {"Sum", two + ", float[4] v", "Sum(x, z, v)"},
      {"Sum", "float[3] x", "Sum(x)"},
      {"Mean", two + ", float[4] v", "Mean(x, z, v)"},
      {"Where", two, "Where(c, x, z)", "bool[4] c = {1, 0, 0, 1}"},
      {"Cast", "float[2,3] x", "Cast<to=11>(x)", "", -3, 3, 17, "double[] y"},
      {"Cast", "float[2,3] x", "Cast<to=7>(x)", "", -3, 3, 17, "int64[] y"},
      {"Cast", "float[2,3] x", "Cast<to=1>(i)", "int64[3] i = {1, -2, 3}"},
      {"CastLike", "float[2,3] x", "CastLike(x, d)", "double d = {0}", -3, 3, 17, "double[] y"},
      {"IsNaN", "float[2,3] x", "IsNaN(x)", "", -3, 3, 17, "bool[] y"},
      {"IsInf", "float[2,3] x", "IsInf<detect_negative=0>(x)", "", -3, 3, 17, "bool[] y"},
  };
  for (const auto& more : {function_rows(), logic_rows()}) {
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

std::vector<OpRow> reduction_rows() {
  const std::string x = "float[2,3,4] x";
  std::vector<OpRow> rows;
  for (const std::string op :
       {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
        "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"}) {
    const double low = op == "ReduceLogSum" ? 0.1 : -1;
    rows.push_back({op, x, op + "<axes=[0,-1]>(x)", "", low, 1, 11});
    rows.push_back({op, x, op + "<axes=[1],keepdims=0>(x)", "", low, 1, 11});
    rows.push_back({op, x, op + "(x)", "", low, 1, 18});
    rows.push_back({op, x, op + "<keepdims=0>(x, a)", "int64[2] a = {-2, 0}", low, 1, 18});
    rows.push_back(
        {op, x, op + "(i)", "int32[2,3] i = {2, 3, 5, 7, 11, 4}", -1, 1, 18, "int32[] y"});
  }
  rows.push_back({"ReduceSum", x, "ReduceSum<noop_with_empty_axes=1>(x)"});
  rows.push_back({"ReduceMean", x, "ReduceMean<noop_with_empty_axes=1>(x)", "", -1, 1, 18});
  const std::string integers = "int64[] y";
  for (const std::string op : {"ArgMax", "ArgMin"}) {
    rows.push_back({op, x, op + "<axis=1>(x)", "", -1, 1, 17, integers});
    rows.push_back({op, x, op + "<axis=-1,keepdims=0,select_last_index=1>(i)",
                    "float[2,3] i = {1, 1, 0, 0, 0, 1}", -1, 1, 17, integers});
    rows.push_back(
        {op, x, op + "<axis=-1>(i)", "float[2,3] i = {1, 1, 0, 0, 0, 1}", -1, 1, 17, integers});
  }
  const std::string axis = "int64 a = {1}";
  rows.push_back({"CumSum", x, "CumSum(x, a)", axis});
  rows.push_back({"CumSum", x, "CumSum<exclusive=1,reverse=1>(x, a)", axis});
  rows.push_back({"TopK", x, "TopK(x, k)", "int64[1] k = {2}", -1, 1, 17, "float[] y, int64[] i"});
  rows.push_back({"TopK", x, "TopK<axis=1,largest=0>(x, k)", "int64[1] k = {2}", -1, 1, 17,
                  "float[] y, int64[] i"});
  rows.push_back({"TopK", x, "TopK<axis=1,k=2>(x)", "", -1, 1, 9, "float[] y, int64[] i"});
  return rows;
}

}  // namespace mcompress::train
