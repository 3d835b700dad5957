// SPDX-License-Identifier: Apache-2.0
//
// The exact and rounding rewrites over random graphs: whatever stands beside whatever, the outputs
// stay.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "mcompress/error.h"
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

/// Builds the text of a graph over values of shape [2, 4, 5, 5].
class RandomGraph {
 public:
  explicit RandomGraph(uint64_t seed) : state_(seed * 7919 + 17) {}

  std::string text() {
    values_ = {"x"};
    const int nodes = 4 + pick(12);
    for (int i = 0; i < nodes; ++i) add_node();
    const std::string extra = pick(3) == 0 && values_.size() > 2 ? values_[values_.size() / 2] : "";
    std::string text = "g (float[2,4,5,5] x) => (float[2,4,5,5] y";
    if (!extra.empty()) text += ", float[2,4,5,5] " + extra;
    return text + ") <" + constants_ + "> {\n" + body_ + "y = Identity(" + values_.back() + ")\n}";
  }

 private:
  int pick(int count) {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<int>((state_ >> 33) % static_cast<uint64_t>(count));
  }

  std::string constant(const std::string& dims, int count) {
    static const std::array<const char*, 9> kNumbers = {"0.5", "2.0",  "-1.5", "3.0", "1.0",
                                                        "6.0", "0.25", "-0.5", "1.25"};
    const std::string name = "k" + std::to_string(next_++);
    std::string values;
    for (int i = 0; i < count; ++i) {
      values += (i == 0 ? "" : ", ") + std::string(kNumbers[static_cast<size_t>(pick(9))]);
    }
    constants_ += (constants_.empty() ? "" : ", ") + std::string("float") + dims + " " + name +
                  " = {" + values + "}";
    return name;
  }

  /// Some way to write a constant term; most vary along the channels.
  std::string term() {
    switch (pick(7)) {
      case 0:
        return constant("", 1);
      case 1:
        return constant("[1]", 1);
      case 2:
        return constant("[4,1,1]", 4);
      case 3:
        return constant("[1,4,1,1]", 4);
      case 4:
        return constant("[1,1,1,1]", 1);
      case 5:
        return constant("[5]", 5);
      default:
        return constant("[4,1,1]", 4);
    }
  }

  std::string fixed(const std::string& value) {
    const std::string name = "k" + std::to_string(next_++);
    constants_ +=
        (constants_.empty() ? "" : ", ") + std::string("float ") + name + " = {" + value + "}";
    return name;
  }

  std::string source() {
    return pick(4) == 0 ? values_[static_cast<size_t>(pick(static_cast<int>(values_.size())))]
                        : values_.back();
  }

  std::string emit(const std::string& call) {
    const std::string name = "v" + std::to_string(next_++);
    body_ += name + " = " + call + "\n";
    return name;
  }

  std::string convolution(const std::string& x) {
    switch (pick(4)) {
      case 0:
        return "Conv(" + x + ", " + constant("[4,4,1,1]", 16) + ", " + constant("[4]", 4) + ")";
      case 1:
        return "Conv <pads = [1,1,1,1]> (" + x + ", " + constant("[4,4,3,3]", 144) + ")";
      case 2:
        return "Conv <group = 4, pads = [1,1,1,1]> (" + x + ", " + constant("[4,1,3,3]", 36) +
               ", " + constant("[4]", 4) + ")";
      default:
        return "ConvTranspose <group = 2> (" + x + ", " + constant("[4,2,1,1]", 8) + ")";
    }
  }

  std::string normalization(const std::string& x) {
    const std::string variance = "k" + std::to_string(next_++);
    constants_ += ", float[4] " + variance + " = {1.0, 0.5, 2.0, 4.0}";
    return "BatchNormalization(" + x + ", " + constant("[4]", 4) + ", " + constant("[4]", 4) +
           ", " + constant("[4]", 4) + ", " + variance + ")";
  }

  std::string hard_swish(const std::string& x) {
    const std::string a = emit("Add(" + x + ", " + fixed("3.0") + ")");
    const std::string c = emit("Clip(" + a + ", " + fixed("0.0") + ", " + fixed("6.0") + ")");
    const std::string m = emit("Mul(" + x + ", " + c + ")");
    return "Div(" + m + ", " + fixed("6.0") + ")";
  }

  void add_node() {
    const std::string x = source();
    std::string call;
    switch (pick(18)) {
      case 0:
      case 1:
      case 2:
        call = convolution(x);
        break;
      case 3:
        call = normalization(x);
        break;
      case 4:
      case 5:
        call = "Mul(" + x + ", " + term() + ")";
        break;
      case 6:
      case 7:
        call = "Add(" + term() + ", " + x + ")";
        break;
      case 8:
        call = "Sub(" + x + ", " + term() + ")";
        break;
      case 9:
        call = "Sub(" + term() + ", " + x + ")";
        break;
      case 10:
        call = "Div(" + x + ", " + term() + ")";
        break;
      case 11:
        call = "Relu(" + x + ")";
        break;
      case 12:
        call = hard_swish(x);
        break;
      case 13:
        call = "MaxPool <kernel_shape = [3,3], pads = [1,1,1,1]> (" + x + ")";
        break;
      case 14:
        call = "AveragePool <kernel_shape = [3,3], pads = [1,1,1,1]> (" + x + ")";
        break;
      case 15:
        call = "Add(" + x + ", " + source() + ")";
        break;
      case 16:
        call = "Transpose <perm = [0,1,3,2]> (" + x + ")";
        break;
      default:
        call = "LeakyRelu(" + x + ")";
        break;
    }
    values_.push_back(emit(call));
    // Keeps the numbers in range, so that tolerances mean something.
    if (pick(4) == 0) values_.push_back(emit("Tanh(" + values_.back() + ")"));
  }

  uint64_t state_;
  int next_ = 0;
  std::string constants_ = "float unused = {1.0}";
  std::string body_;
  std::vector<std::string> values_;
};

const char* const kPasses[] = {"eliminate-identity", "fold-constants", "fold-batch-norm",
                               "fuse-activations",   "fold-affine",    "share-initializers",
                               "eliminate-dead",     "shorten-names"};

TEST(RandomGraphs, KeepTheirOutputs) {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    const std::string text = RandomGraph(seed).text();
    SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + text);
    Model model = parse_model(text);
    const Model original = model.clone();
    const Feeds feeds = random_feeds(model, seed);
    SessionOptions options;
    options.optimize = false;
    const auto expected = runtime()->open(original, options)->run(feeds);
    try {
      for (const char* pass : kPasses) {
        run_pass(pass, model);
        EXPECT_FALSE(run_pass(pass, model).changed) << pass << " is not idempotent";
      }
    } catch (const Error& error) {
      FAIL() << error.message();
    }
    EXPECT_EQ(difference(expected, runtime()->open(model, options)->run(feeds), 1e-4), "");
    if (HasFailure()) break;  // the first is enough to look at
  }
}

}  // namespace
}  // namespace mcompress::test
