// SPDX-License-Identifier: Apache-2.0
//
// What every pass must satisfy before its author writes a test (architecture.md section 6).
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "mcompress/error.h"
#include "mcompress/pass.h"
#include "tests/support/pass_test.h"
#include "tests/support/tiny_models.h"

namespace mcompress::test {
namespace {

class EveryPass : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Pass> pass() const { return builtin_passes().create(GetParam()); }
  const PassInfo info_ = builtin_passes().create(GetParam())->info();

  bool needs_data() const { return info_.needs.calibration || info_.needs.training; }

  /// The pass with all it needs. Training data is what these tests do not have.
  Outcome run(Model& model, int threads = 1) const {
    PassContext context =
        info_.needs.calibration ? make_data_context(model, threads) : make_context(threads);
    return run_pass(GetParam(), model, {}, &context);
  }
  Tolerance tolerance() const {
    if (GetParam() == "convert-float16") return {5e-3, true};  // the rounding of half (rules.md 9)
    return tolerance_of(info_.fidelity);
  }
  /// Odd models that the pass can be given: data cannot be run through what does not load.
  std::vector<TinyModel> models() const {
    std::vector<TinyModel> result;
    for (TinyModel& tiny : odd_models()) {
      if (needs_data() && runtime()->load_error(tiny.model)) continue;
      result.push_back(std::move(tiny));
    }
    return result;
  }
};

std::string test_name(const testing::TestParamInfo<std::string>& param) {
  std::string name = param.param;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
}

INSTANTIATE_TEST_SUITE_P(Registry, EveryPass, testing::ValuesIn(builtin_passes().names()),
                         test_name);

TEST(Registry, HoldsThePassOfEveryFile) {
  std::set<std::string> stems;
  const auto folder = std::filesystem::path(MCOMPRESS_SOURCE_DIR) / "src" / "passes";
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    if (file.path().extension() != ".cpp") continue;
    std::string stem = file.path().stem().string();
    for (char& c : stem) c = c == '_' ? '-' : c;
    stems.insert(stem);
  }
  const std::vector<std::string> names = builtin_passes().names();
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()), stems);
}

TEST_P(EveryPass, IsDescribed) {
  EXPECT_EQ(info_.name, GetParam());
  EXPECT_FALSE(info_.summary.empty());
  EXPECT_FALSE(info_.summary.ends_with('.')) << info_.summary;
  EXPECT_EQ(info_.summary.find('\n'), std::string::npos);
  const auto pass_object = pass();
  OptionSet options;
  pass_object->describe(options);
  std::set<std::string> seen;
  for (const OptionInfo& option : options.infos()) {
    EXPECT_FALSE(option.description.empty()) << option.name;
    EXPECT_TRUE(seen.insert(option.name).second) << option.name << " is declared twice";
    EXPECT_EQ(option.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"),
              std::string::npos)
        << option.name;
  }
}

TEST_P(EveryPass, HasValidDefaults) {
  const auto pass_object = pass();
  OptionSet options;
  pass_object->describe(options);
  std::vector<Diagnostic> problems;
  options.bind(options.effective(), GetParam(), problems);
  for (const Diagnostic& problem : problems) ADD_FAILURE() << problem.str();
  EXPECT_EQ(pass_object->check_options(), "");
}

TEST_P(EveryPass, SaysWhatItMisses) {
  Model model = parse_model("g (float[2] x) => (float[2] y) { y = Sin(x) }");
  if (!info_.needs.runtime && !needs_data()) GTEST_SKIP();
  PassContext context{PassContext::Services{}};
  try {
    run_pass(GetParam(), model, {}, &context);
    ADD_FAILURE() << "ran without what it needs";
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ErrorCode::kRuntime || error.code() == ErrorCode::kData)
        << error.message();
    EXPECT_FALSE(error.hint().empty()) << error.message();
  }
}

TEST_P(EveryPass, LeavesAModelWithNothingToDoAlone) {
  if (info_.needs.training) GTEST_SKIP() << "needs training data";
  for (const char* text : {"g (float[2] x) => (float[2] y) { y = Sin(x) }",
                           "g (float[2] x) => (float[2] y) { y = Identity(x) }"}) {
    Model model = parse_model(text);
    EXPECT_FALSE(run(model).changed) << normal_form(model);
  }
}

TEST_P(EveryPass, SurvivesOddModels) {
  if (info_.needs.training) GTEST_SKIP() << "needs training data";
  for (TinyModel& tiny : models()) {
    SCOPED_TRACE(tiny.name);
    const Model before = tiny.model.clone();
    const bool loads = !runtime()->load_error(before).has_value();
    try {
      run(tiny.model);
      if (loads) expect_close(before, tiny.model, tolerance());
    } catch (const Error& error) {
      ADD_FAILURE() << error.message();
    }
  }
}

TEST_P(EveryPass, SecondRunChangesNothing) {
  if (info_.needs.training || !info_.idempotent) GTEST_SKIP();
  for (TinyModel& tiny : models()) {
    SCOPED_TRACE(tiny.name);
    run(tiny.model);
    const std::string once = normal_form(tiny.model);
    EXPECT_FALSE(run(tiny.model).changed) << once << "became\n" << normal_form(tiny.model);
  }
}

TEST_P(EveryPass, SameBytesWithAnyNumberOfThreads) {
  if (info_.needs.training) GTEST_SKIP() << "needs training data";
  for (TinyModel& tiny : models()) {
    SCOPED_TRACE(tiny.name);
    Model other = tiny.model.clone();
    run(tiny.model, 1);
    run(other, 4);
    EXPECT_EQ(tiny.model.fingerprint(), other.fingerprint());
  }
}

}  // namespace
}  // namespace mcompress::test
