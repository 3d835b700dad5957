// SPDX-License-Identifier: Apache-2.0
#include "support/did_you_mean.h"

#include <gtest/gtest.h>

namespace mcompress {
namespace {

const std::vector<std::string> kNames{"fold-batch-norm", "prune-magnitude", "quantize-static",
                                      "quantize-dynamic", "share-weights"};

TEST(DidYouMean, FindsMisspelledNames) {
  EXPECT_EQ(nearest_name("quantise-static", kNames), "quantize-static");
  EXPECT_EQ(nearest_name("prune-magnitdue", kNames), "prune-magnitude");
  EXPECT_EQ(nearest_name("fold_batch_norm", kNames), "fold-batch-norm");
  EXPECT_EQ(nearest_name("ShareWeights", kNames), "share-weights");
  EXPECT_EQ(nearest_name("quantize", kNames), "quantize-static");
  EXPECT_EQ(nearest_name("distill", kNames), "");
  EXPECT_EQ(nearest_name("", kNames), "");
  EXPECT_EQ(nearest_name(std::string(100000, 'x'), kNames), "");
  EXPECT_EQ(nearest_name("x", {"y"}), "");
}

TEST(DidYouMean, ListsTheChoicesWhenNoneIsNear) {
  EXPECT_EQ(did_you_mean("bist", {"bits", "scope"}), "did you mean 'bits'?");
  EXPECT_EQ(did_you_mean("zzz", {"bits", "scope"}), "one of bits, scope");
  EXPECT_EQ(did_you_mean("zzz", {}), "");
}

}  // namespace
}  // namespace mcompress
