// SPDX-License-Identifier: Apache-2.0
// Rows of the operators with weights and windows.
#include "op_rows.h"

namespace mcompress::train {
namespace {

std::vector<OpRow> convolution_rows() {
  const std::string image = "float[2,4,6,5] x", b = ", float[6] b";
  const std::string w = ", float[6,4,3,3] w", grouped = ", float[6,2,3,3] w";
  const std::string up = ", float[4,3,3,3] w, float[3] b";
  return {
      {"Conv", image + w + b, "Conv<pads=[1,0,2,1],strides=[2,1]>(x, w, b)"},
      {"Conv", image + grouped + b, "Conv<group=2,dilations=[2,1]>(x, w, b)"},
      {"Conv", image + w, "Conv<auto_pad=\"SAME_UPPER\",strides=[2,2]>(x, w)"},
      {"Conv", image + w, "Conv<auto_pad=\"SAME_LOWER\",strides=[2,2]>(x, w)"},
      {"Conv", "float[2,4,9] x, float[6,4,3] w, float[6] b", "Conv<pads=[2,1]>(x, w, b)"},
      {"Conv", "float[1,2,3,4,3] x, float[3,2,2,2,2] w", "Conv(x, w)"},
      {"com.microsoft:FusedConv", image + w + b,
       "com.microsoft.FusedConv<activation=\"Relu\">(x, w, b)"},
      {"ConvTranspose", image + up, "ConvTranspose<pads=[1,0,0,1],strides=[2,1]>(x, w, b)"},
      {"ConvTranspose", image + up,
       "ConvTranspose<strides=[2,2],output_padding=[1,0],dilations=[1,2]>(x, w, b)"},
      {"ConvTranspose", image + ", float[4,3,2,2] w", "ConvTranspose<group=2>(x, w)"},
      {"ConvTranspose", image + up, "ConvTranspose<strides=[2,2],output_shape=[12,10]>(x, w, b)"},
      {"ConvTranspose", "float[2,4,5] x, float[4,3,3] w", "ConvTranspose<strides=[2]>(x, w)"},
  };
}

std::vector<OpRow> pool_rows() {
  const std::string image = "float[2,3,6,5] x", line = "float[2,3,9] x";
  std::vector<OpRow> rows = {
      {"MaxPool", image, "MaxPool<kernel_shape=[3,2],strides=[2,1],pads=[1,0,1,1]>(x)"},
      {"MaxPool", image, "MaxPool<kernel_shape=[2,2],strides=[2,2],ceil_mode=1>(x)"},
      {"MaxPool", image, "MaxPool<kernel_shape=[2,2],dilations=[2,1]>(x)"},
      {"MaxPool", image, "MaxPool<kernel_shape=[3,3],strides=[2,2],auto_pad=\"SAME_UPPER\">(x)"},
      {"MaxPool", line, "MaxPool<kernel_shape=[3],strides=[2]>(x)"},
      {"AveragePool", image, "AveragePool<kernel_shape=[3,2],strides=[2,1],pads=[1,0,1,1]>(x)"},
      {"AveragePool", image,
       "AveragePool<kernel_shape=[3,2],pads=[1,0,1,1],count_include_pad=1>(x)"},
      {"AveragePool", image,
       "AveragePool<kernel_shape=[3,3],strides=[2,2],auto_pad=\"SAME_LOWER\">(x)"},
      {"AveragePool", line, "AveragePool<kernel_shape=[3],strides=[2]>(x)"},
      {"LpPool", image, "LpPool<kernel_shape=[3,2],p=3>(x)"},
  };
  for (const std::string op : {"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"}) {
    rows.push_back({op, image, op + "(x)"});
    rows.push_back({op, line, op + "(x)"});
  }
  return rows;
}

std::vector<OpRow> product_rows() {
  return {
      {"Gemm", "float[3,4] x, float[5,4] w, float[5] b",
       "Gemm<alpha=0.5,beta=2.0,transB=1>(x, w, b)"},
      {"Gemm", "float[4,3] x, float[4,5] w", "Gemm<transA=1>(x, w)"},
      {"Gemm", "float[3,4] x, float[4,5] w, float[3,1] b", "Gemm(x, w, b)"},
      {"MatMul", "float[3,4] x, float[4,5] w", "MatMul(x, w)"},
      {"MatMul", "float[2,1,3,4] x, float[3,4,5] w", "MatMul(x, w)"},
      {"MatMul", "float[4] x, float[2,4,5] w", "MatMul(x, w)"},
      {"Einsum", "float[2,3,4] x, float[5,4] w", "Einsum<equation=\"bij,kj->bki\">(x, w)"},
      {"com.microsoft:FusedGemm", "float[3,4] x, float[4,5] w, float[5] b",
       "com.microsoft.FusedGemm<activation=\"Relu\">(x, w, b)"},
      {"com.microsoft:FusedMatMul", "float[2,4,3] x, float[2,5,4] w",
       "com.microsoft.FusedMatMul<alpha=0.5,transA=1,transB=1>(x, w)"},
  };
}

std::vector<OpRow> normalization_rows() {
  const std::string x = "float[2,4,3] x", image = "float[2,4,3,2] x";
  const std::string last = ", float[3] s, float[3] b", channels = ", float[4] s, float[4] b";
  const std::string statistics =
      "float[4] m = {0.1, -0.2, 0.3, 0.4}, float[4] v = {0.3, 1, 2, 0.7}";
  const std::string skip = "float[2,3,4] x, float[2,3,4] k, float[4] s";
  return {
      {"BatchNormalization", image + channels, "BatchNormalization<epsilon=0.01>(x, s, b, m, v)",
       statistics},
      {"BatchNormalization", image + channels, "BatchNormalization<epsilon=0.01>(x, s, b, m, v)",
       statistics, -1, 1, 17, "float[] y", "", true},
      {"BatchNormalization", "float[3,4] x" + channels, "BatchNormalization(x, s, b, m, v)",
       statistics},
      {"LayerNormalization", x + last, "LayerNormalization<epsilon=0.01>(x, s, b)"},
      {"LayerNormalization", x + ", float[4,3] s", "LayerNormalization<axis=1>(x, s)"},
      {"RMSNormalization", x + ", float[3] s", "RMSNormalization<epsilon=0.01>(x, s)", "", -1, 1,
       23},
      {"SimplifiedLayerNormalization", x + ", float[3] s",
       "SimplifiedLayerNormalization<epsilon=0.01>(x, s)"},
      {"com.microsoft:SkipLayerNormalization", skip + ", float[4] b, float[4] c",
       "com.microsoft.SkipLayerNormalization<epsilon=0.01>(x, k, s, b, c)"},
      {"com.microsoft:SkipSimplifiedLayerNormalization", skip + ", float[4] c",
       "com.microsoft.SkipSimplifiedLayerNormalization<epsilon=0.01>(x, k, s, c)"},
      {"InstanceNormalization", image + channels, "InstanceNormalization<epsilon=0.01>(x, s, b)"},
      {"InstanceNormalization", x + channels, "InstanceNormalization(x, s, b)"},
      {"GroupNormalization", image + channels,
       "GroupNormalization<epsilon=0.01,num_groups=2>(x, s, b)", "", -1, 1, 21},
      {"GroupNormalization", image + ", float[2] s, float[2] b",
       "GroupNormalization<epsilon=0.01,num_groups=2>(x, s, b)", "", -1, 1, 18},
      {"LRN", image, "LRN<size=3,alpha=0.3,beta=0.6,bias=1.5>(x)"},
      {"MeanVarianceNormalization", image, "MeanVarianceNormalization(x)"},
  };
}

std::vector<OpRow> recurrent_rows() {
  const std::string all = "float[] y, float[] h, float[] c", two = "float[] y, float[] h";
  const std::string x = "float[3,2,4] x, ", lengths = "int32[2] n = {3, 2}";
  const std::string empty = "int32[2] n = {0, 2}";
  const std::string lstm = x + "float[1,12,4] w, float[1,12,3] r, float[1,24] b";
  const std::string gru = x + "float[1,9,4] w, float[1,9,3] r, float[1,18] b";
  const std::string rnn = x + "float[1,3,4] w, float[1,3,3] r, float[1,6] b";
  const std::string both = x + "float[2,12,4] w, float[2,12,3] r, float[2,24] b";
  const std::string gru_both = x + "float[2,9,4] w, float[2,9,3] r, float[2,18] b";
  const std::string h = ", float[1,2,3] h0", c = ", float[1,2,3] c0, float[1,9] p";
  return {
      {"LSTM", lstm, "LSTM<hidden_size=3>(x, w, r, b)", "", -1, 1, 17, all},
      {"LSTM", lstm + h + c, "LSTM<hidden_size=3>(x, w, r, b, n, h0, c0, p)", lengths, -1, 1, 17,
       all},
      {"LSTM", lstm, "LSTM<hidden_size=3,direction=\"reverse\">(x, w, r, b)", "", -1, 1, 17, all},
      {"LSTM", both, "LSTM<hidden_size=3,direction=\"bidirectional\">(x, w, r, b, n)", lengths, -1,
       1, 17, all},
      {"GRU", gru, "GRU<hidden_size=3>(x, w, r, b)", "", -1, 1, 17, two},
      {"GRU", gru + h, "GRU<hidden_size=3,linear_before_reset=1>(x, w, r, b, n, h0)", lengths, -1,
       1, 17, two},
      {"GRU", gru_both, "GRU<hidden_size=3,direction=\"bidirectional\">(x, w, r, b)", "", -1, 1, 17,
       two},
      {"LSTM", lstm + h + c, "LSTM<hidden_size=3>(x, w, r, b, n, h0, c0, p)", empty, -1, 1, 17,
       all},
      {"GRU", gru + h, "GRU<hidden_size=3,direction=\"reverse\">(x, w, r, b, n, h0)", empty, -1, 1,
       17, two},
      {"RNN", rnn + h, "RNN<hidden_size=3>(x, w, r, b, n, h0)", empty, -1, 1, 17, two},
      {"RNN", rnn, "RNN<hidden_size=3>(x, w, r, b)", "", -1, 1, 17, two},
      {"RNN", rnn + h,
       "RNN<hidden_size=3,direction=\"reverse\",activations=[\"Relu\"]>"
       "(x, w, r, b, n, h0)",
       lengths, -1, 1, 17, two},
  };
}

std::vector<OpRow> quantization_rows() {
  const std::string x = "float[3,4] x", through = "straight through";
  const std::string codes = "int8[3,4] q = {1, -2, 3, 4, 5, 6, 7, 8, 9, 10, 11, -12}";
  const std::string one = "float s = {0.01}, uint8 z = {100}";
  const std::string rows = "float[3] s = {0.01, 0.02, 0.1}, int8[3] z = {0, 0, 0}";
  std::vector<OpRow> all;
  for (const std::string domain : {"", "com.microsoft"}) {
    const std::string op = domain.empty() ? "" : domain + ":",
                      dot = domain.empty() ? "" : domain + ".";
    all.push_back({op + "QuantizeLinear", x, dot + "QuantizeLinear(x, s, z)", one, -2, 2, 17,
                   "uint8[] y", through});
    all.push_back({op + "QuantizeLinear", x, dot + "QuantizeLinear<axis=0>(x, s, z)", rows, -2, 2,
                   17, "int8[] y", through});
    all.push_back({op + "DequantizeLinear", "float[3] s", dot + "DequantizeLinear<axis=0>(q, s, z)",
                   codes + ", int8[3] z = {1, 0, -1}", 0.01, 0.1, 17, "float[] y",
                   "of the scale: times the factor of LSQ"});
  }
  return all;
}

}  // namespace

std::vector<OpRow> layer_rows() {
  std::vector<OpRow> rows;
  for (const auto& more : {convolution_rows(), pool_rows(), product_rows(), normalization_rows(),
                           recurrent_rows(), quantization_rows()}) {
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

}  // namespace mcompress::train
