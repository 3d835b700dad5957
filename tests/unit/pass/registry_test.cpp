// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mcompress/error.h"
#include "mcompress/pass.h"

namespace mcompress {
namespace {

class NoPass : public Pass {
 public:
  const PassInfo& info() const override { return info_; }
  void describe(OptionSet&) override {}
  bool run(Model&, PassContext&) override { return false; }

 private:
  PassInfo info_{"no-pass", "Does nothing"};
};

TEST(PassRegistry, CreatesByNameAndListsSorted) {
  PassRegistry registry;
  registry.add("no-pass", [] { return std::make_unique<NoPass>(); });
  registry.add("another", [] { return std::make_unique<NoPass>(); });
  EXPECT_TRUE(registry.contains("no-pass"));
  EXPECT_FALSE(registry.contains("nopass"));
  EXPECT_THAT(registry.names(), testing::ElementsAre("another", "no-pass"));
  EXPECT_EQ(registry.create("no-pass")->info().name, "no-pass");
}

TEST(PassRegistry, NamesTheNearestOfAnUnknownOne) {
  PassRegistry registry;
  registry.add("no-pass", [] { return std::make_unique<NoPass>(); });
  try {
    registry.create("nopass");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kRecipe);
    EXPECT_EQ(error.message(), "unknown pass 'nopass'");
    EXPECT_EQ(error.hint(), "did you mean 'no-pass'?");
  }
}

TEST(PassRegistry, TheSameNameTwiceIsABug) {
  PassRegistry registry;
  registry.add("no-pass", [] { return std::make_unique<NoPass>(); });
  EXPECT_THROW(registry.add("no-pass", [] { return std::make_unique<NoPass>(); }), Error);
}

}  // namespace
}  // namespace mcompress
