// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fake_passes.h"
#include "mcompress/recipe.h"
#include "recipe/yaml.h"
#include "tests/support/json_schema.h"
#include "tests/support/yaml_json.h"

namespace mcompress {
namespace {

using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> problems(std::string_view text) {
  static const testing::JsonSchema kSchema(
      nlohmann::json::parse(recipe_json_schema(testing::fake_passes())));
  std::vector<Diagnostic> syntax;
  const ConfigValue value = recipe::parse_yaml(text, "r.yaml", syntax);
  EXPECT_THAT(syntax, IsEmpty());
  return kSchema.problems(testing::to_json(value));
}

TEST(RecipeSchema, AcceptsWhatTheReaderAccepts) {
  EXPECT_THAT(problems("steps: [fold-batch-norm]"), IsEmpty());
  EXPECT_THAT(problems("steps: [fold-batch-norm]\nmetric: sqnr\n"
                       "constraints: {metric: \">= 30 dB\", metric-drop: \"<= 3 dB\"}"),
              IsEmpty());
  EXPECT_THAT(problems(R"(
version: 1
seed: 7
target: cpu-vnni
data:
  calibration: {npz: calib.npz, limit: 300}
  evaluation: {idx: {images: i.gz, labels: l.gz}, scale: 1/255}
  training: {random: 16}
  validation: evaluation
metric: top1
steps:
  - fold-batch-norm:
  - repeat: 5
    steps:
      - prune-magnitude: {sparsity: {from: 0.5, to: 0.92, curve: cubic}, levels: {from: 1, to: [2, 3]}}
        skip: last
  - until: {metric-drop: "<= 1 pt"}
    max: 4
    steps: [share-weights]
  - quantize-static: {granularity: channel, rank: auto, levels: [1, 2], ops: Conv}
    skip: ["/head/*", "op:Softmax", last]
    gate: {metric-drop: "<= 0.5 pt", on-fail: roll-back, strict: true}
constraints: {metric: 0.9, size: "<= 25 %", latency: 5 ms}
encode: false
effort: quick
)"),
              IsEmpty());
}

TEST(RecipeSchema, RefusesWhatTheReaderRefuses) {
  for (const char* text :
       {"seed: 7", "steps: []", "steps: [unknown-pass]", "steps: [fold-constants]\nsed: 1",
        "steps: [{quantize-static: {bits: 9}}]", "steps: [{quantize-static: {bist: 8}}]",
        "steps: [{fold-constants: {}, skip: last}]",
        "steps: [{prune-magnitude: {sparsity: {from: 0, to: 1}}}]",
        "steps: [{quantize-static: {levels: 0}}]",
        "steps: [{quantize-static: {}, gate: {size: 5 potatoes}}]",
        "steps: [{quantize-static: {}, gate: {size: 5 %, on-fail: rollback}}]",
        "steps: [fold-constants]\nversion: 2", "steps: [fold-constants]\ntarget: cup",
        "steps: [fold-constants]\nmetric: top2",
        "steps: [fold-constants]\nconstraints: {speed: 5 ms}",
        "steps: [fold-constants]\ndata: {calib: x}",
        "steps: [fold-constants]\ndata: {calibration: {npz: x, limt: 3}}",
        "steps: [{repeat: 0, steps: [fold-constants]}]"}) {
    EXPECT_THAT(problems(text), Not(IsEmpty())) << text;
  }
}

TEST(JsonSchema, ChecksEveryKeyword) {
  using nlohmann::json;
  const auto valid = [](const char* schema, const char* value) {
    return testing::JsonSchema(json::parse(schema)).problems(json::parse(value)).empty();
  };
  EXPECT_TRUE(valid(R"({"type": ["integer", "null"]})", "3"));
  EXPECT_FALSE(valid(R"({"type": "integer"})", "3.5"));
  EXPECT_TRUE(valid(R"({"oneOf": [{"const": 1}, {"minimum": 5}]})", "6"));
  EXPECT_FALSE(valid(R"({"oneOf": [{"minimum": 1}, {"minimum": 5}]})", "6"));
  EXPECT_FALSE(valid(R"({"items": {"type": "string"}})", R"(["a", 1])"));
  EXPECT_FALSE(valid(R"({"pattern": "^a$"})", R"("b")"));
  EXPECT_FALSE(valid(R"({"exclusiveMinimum": 0})", "0"));
  EXPECT_FALSE(valid(R"({"required": ["a"]})", "{}"));
  EXPECT_FALSE(valid(R"({"additionalProperties": {"type": "string"}})", R"({"a": 1})"));
  EXPECT_TRUE(
      valid(R"({"patternProperties": {"^x": {"type": "number"}}, "additionalProperties": false})",
            R"({"x1": 1})"));
  EXPECT_TRUE(valid(R"({"$defs": {"a": {"type": "null"}}, "$ref": "#/$defs/a"})", "null"));
  EXPECT_FALSE(valid(R"({"unheard-of": 1})", "1"));
}

}  // namespace
}  // namespace mcompress
