// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tiny_models.h"

#include "tests/support/model_text.h"
#include "tests/support/storings.h"

namespace mcompress::test {
namespace {

constexpr const char* kNetwork = R"(
  g (float[N,2,6,6] x) => (float[N,3] y)
  <float[4,2,3,3] W = {0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,-0.1,-0.2,-0.3,-0.4,-0.5,-0.6,-0.7,-0.8,-0.9,
                       0.1,0.0,0.3,0.0,0.5,0.0,0.7,0.0,0.9,0.2,0.2,0.2,0.3,0.3,0.3,0.4,0.4,0.4,
                       0.5,0.1,0.5,0.2,0.5,0.3,0.5,0.4,0.5,0.5,0.5,0.6,0.5,0.7,0.5,0.8,0.5,0.9,
                       0.9,0.8,0.7,0.6,0.5,0.4,0.3,0.2,0.1,0.0,0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8},
   float[4] s = {1.0, 2.0, 0.5, 1.5}, float[4] b = {0.1, 0.2, 0.3, 0.4}, float[4] m = {0.0, 1.0, 0.5, 0.2},
   float[4] v = {1.0, 2.0, 1.0, 0.5}, float three = {3.0}, float six = {6.0}, float zero = {0.0},
   float scale = {2.0}, float[4,3] F = {0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,-0.1,-0.2,-0.3}, float[3] c = {1.0,2.0,3.0}> {
    a = Conv <pads = [1,1,1,1]> (x, W)
    n = BatchNormalization(a, s, b, m, v)
    p = Add(n, three)
    q = Clip(p, zero, six)
    r = Mul(n, q)
    h = Div(r, six)
    t = Mul(h, scale)
    u = GlobalAveragePool(t)
    f = Flatten(u)
    k = MatMul(f, F)
    i = Identity(k)
    y = Add(i, c)
  })";

constexpr const char* kLoop = R"(
  g (float[2,2] x) => (float[2,2] y, float[K,2,2] all) <int64 trips = {3}, bool go = {1}, float[2,2] W = {0.5,0.1,0.2,0.3}> {
    y, all = Loop(trips, go, x) <
      body = b (int64 i, bool goes, float[2,2] state) => (bool more, float[2,2] next, float[2,2] out)
        <float[2] inside = {1.0, 2.0}> {
        more = Identity(goes)
        w = MatMul(state, W)
        k = Sqrt(inside)
        next = Add(w, k)
        out = Identity(next)
      }
    >
  })";

constexpr const char* kScan = R"(
  g (float[3,2] x) => (float[2] last, float[3,2] y) <float[2] start = {0.0, 0.0}, float[2,2] W = {0.5,0.1,0.2,0.3}> {
    last, y = Scan <num_scan_inputs = 1,
      body = b (float[2] state, float[2] row) => (float[2] next, float[2] out) {
        sum = Add(state, row)
        next = MatMul(sum, W)
        out = Relu(next)
      }
    > (start, x)
  })";

constexpr const char* kInputsAndOutputs = R"(
  g (float[2,2] x, float[2,2] W = {1.0, 2.0, 3.0, 4.0}, float one = {1.0}) => (float[2,2] y, float[2,2] x_again, float[2,2] m, float[2] w)
  <float[2] w = {1.0, 1.0}> {
    m = MatMul(x, W)
    a = Mul(m, one)
    b = Mul(a, w)
    y = Add(b, w)
    x_again = Identity(x)
  })";

constexpr const char* kOptionalInputs = R"(
  g (float[2,3] x) => (float[2,3] y, float[2,3] z) <float high = {2.0}, float ratio = {0.5}> {
    a = Clip(x, , high)
    b, mask = Dropout(a, ratio)
    y = Clip(b)
    z = Neg(b)
  })";

constexpr const char* kUnknown = R"(
  <ir_version: 8, opset_import: ["" : 17, "somebody.else" : 3]>
  g (float[2,2] x) => (float[2,2] y) <float[2,2] W = {1.0, 2.0, 3.0, 4.0}, float s = {2.0}> {
    a = somebody.else.Mystery <strength = 3> (x, W)
    b = MatMul(a, W)
    c = Mul(b, s)
    y = Identity(c)
  })";

constexpr const char* kSharedWeights = R"(
  g (float[3,2] x) => (float[3,2] y) <float[2,2] W = {1.0, 0.5, 0.25, 1.5}, float[2] s = {2.0, 3.0}, float[2] b = {1.0, 1.0}> {
    p = MatMul(x, W)
    q = Mul(p, s)
    r = Relu(q)
    t = Gemm <transB = 1> (r, W, b)
    u = Add(t, b)
    v = Gemm(u, W)
    y = Mul(v, s)
  })";

constexpr const char* kEmptyTensors = R"(
  g (float[0,3] x) => (float[0,3] y, float[2,3] z) <float[0,3] nothing = {}, float[2,3] some = {1.0,1.0,1.0,1.0,1.0,1.0}> {
    a = Add(x, nothing)
    y = Mul(a, x)
    z = Concat <axis = 0> (some, nothing, x)
  })";

constexpr const char* kOldOpset = R"(
  g (float[1,2,4,4] x) => (float[1,2,4,4] y) <float[2,2,1,1] W = {0.1, 0.2, 0.3, 0.4}, float three = {3.0}, float six = {6.0}> {
    a = Conv(x, W)
    p = Add(a, three)
    q = Clip <min = 0.0, max = 6.0> (p)
    r = Mul(a, q)
    h = Div(r, six)
    d = Dropout(h)
    y = Conv(d, W)
  })";

constexpr const char* kShapes = R"(
  g (float[N,2,6] x) => (float[N,3,4] y, int64[3] s) <int64 first = {0}, int64[1] axes = {0}, int64[2] tail = {3, 4}> {
    s = Shape(x)
    n = Gather(s, first)
    u = Unsqueeze(n, axes)
    k = Concat <axis = 0> (u, tail)
    y = Reshape(x, k)
  })";

}  // namespace

std::vector<TinyModel> odd_models() {
  std::vector<TinyModel> models;
  const Model network = parse_model(kNetwork);
  for (Storing& storing : six_storings(network, "W")) {
    models.push_back({"network, weight " + storing.how, std::move(storing.model)});
  }
  models.push_back({"Loop", parse_model(kLoop)});
  models.push_back({"Scan", parse_model(kScan)});
  models.push_back({"inputs and outputs", parse_model(kInputsAndOutputs)});
  models.push_back({"optional inputs", parse_model(kOptionalInputs)});
  models.push_back({"unknown operator", parse_model(kUnknown)});
  models.push_back({"shared weights", parse_model(kSharedWeights)});
  models.push_back({"empty tensors", parse_model(kEmptyTensors)});
  models.push_back({"opset 7", parse_model(kOldOpset, 7)});
  models.push_back({"shape arithmetic", parse_model(kShapes)});
  models.push_back({"input is output", parse_model("g (float[2] x) => (float[2] x) { }")});
  return models;
}

}  // namespace mcompress::test
