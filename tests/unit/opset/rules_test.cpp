// SPDX-License-Identifier: Apache-2.0
#include "opset/rules.h"

#include <gtest/gtest.h>
#include <onnx/defs/schema.h>

#include <map>
#include <set>
#include <string>

#include "opset/raise.h"

namespace mcompress::opset {
namespace {

// What libonnx 1.12 knows ends with this version.
constexpr int64_t kNewestSchema = 17;

std::map<std::string, std::set<int>> versions_by_operator() {
  std::map<std::string, std::set<int>> versions;
  for (const auto& schema : onnx::OpSchemaRegistry::get_all_schemas_with_history()) {
    if (schema.domain().empty()) versions[schema.Name()].insert(schema.SinceVersion());
  }
  return versions;
}

TEST(Rules, EveryChangeOfEveryOperatorHasARow) {
  int changes = 0;
  for (const auto& [op, versions] : versions_by_operator()) {
    for (const int version : versions) {
      if (version == *versions.begin() || version <= kOldestOpset) continue;
      ++changes;
      EXPECT_NE(find_rule(op, version), nullptr) << op << " changed in " << version;
    }
  }
  EXPECT_GT(changes, 150);
}

TEST(Rules, EveryRowUpToTheNewestSchemaIsAChange) {
  const auto versions = versions_by_operator();
  for (const Rule& rule : rules()) {
    const auto op = versions.find(std::string(rule.op));
    if (rule.since > kNewestSchema) continue;
    ASSERT_NE(op, versions.end()) << rule.op;
    EXPECT_EQ(op->second.count(static_cast<int>(rule.since)), 1U) << rule.op << " " << rule.since;
  }
}

TEST(Rules, AreSortedAndComplete) {
  const auto all = rules();
  for (size_t i = 0; i < all.size(); ++i) {
    const Rule& rule = all[i];
    EXPECT_FALSE(rule.note.empty()) << rule.op;
    EXPECT_EQ(rule.adapt != nullptr, rule.action == Action::kAdapt) << rule.op;
    EXPECT_GT(rule.since, kOldestOpset) << rule.op;
    EXPECT_LE(rule.since, kNewestOpset) << rule.op;
    EXPECT_EQ(find_rule(rule.op, rule.since), &rule);
  }
}

// The whole list of what cannot be raised: a new entry is a decision, not an accident.
TEST(Rules, RefusedOperatorsAreNamed) {
  std::set<std::string> refused;
  for (const Rule& rule : rules()) {
    if (rule.action != Action::kRefuse) continue;
    refused.insert(std::string(rule.op) + " " + std::to_string(rule.since));
  }
  EXPECT_EQ(refused, (std::set<std::string>{"GroupNormalization 21", "Scan 9"}));
}

}  // namespace
}  // namespace mcompress::opset
