// SPDX-License-Identifier: Apache-2.0
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <functional>
#include <set>

#include "mcompress/error.h"
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

/// Every name that the graphs of a model write down, and how often.
std::multiset<std::string> names_of(const Model& model) {
  std::multiset<std::string> names;
  for (Graph* graph : model.graphs()) {
    for (const ValueInfo& input : graph->inputs()) names.insert(input.name);
    for (const ValueInfo& output : graph->outputs()) names.insert(output.name);
    for (const std::string& name : graph->initializers()) names.insert(name);
    for (const NodeRef node : graph->nodes()) {
      if (!node.name().empty()) names.insert(node.name());
      for (int i = 0; i < node.input_count(); ++i) names.insert(node.input_name(i));
      for (int i = 0; i < node.output_count(); ++i) names.insert(node.output_name(i));
    }
  }
  names.erase("");
  return names;
}

/// Runs the pass: structure and outputs stay, and a second run finds nothing to do.
Model shortened(const Model& before) {
  Model model = before.clone();
  const std::string form = normal_form(model);
  EXPECT_TRUE(run_pass("shorten-names", model).changed);
  if (model.graphs().size() == 1) {  // of bodies the form says what inputs are called
    EXPECT_EQ(normal_form(model), form);
  }
  EXPECT_LT(model.file_size(), before.file_size());
  if (!runtime()->load_error(before)) expect_close(before, model, kExact);
  const Model once = model.clone();
  EXPECT_FALSE(run_pass("shorten-names", model).changed);
  EXPECT_EQ(model.fingerprint(), once.fingerprint());
  return model;
}

/// A model that the text form of the tests cannot say.
Model edited(const std::string& text, const std::function<void(onnx::ModelProto&)>& edit) {
  onnx::ModelProto proto = parse_model(text).proto();
  edit(proto);
  return Model::parse(proto.SerializeAsString());
}

TEST(ShortenNames, GivesInnerValuesLettersAndNodesNoName) {
  const Model model = shortened(parse_model(R"(
    # name hidden first_layer
    g (float[1,2] input) => (float[1,2] result) <float[2,2] weight = {1.0, 2.0, 3.0, 4.0}, float[2] bias = {1.0, 2.0}> {
      hidden = MatMul(input, weight)
      moved = Add(hidden, bias)
      result = Mul(moved, bias)
    })"));
  // `bias` is written three times, the others twice.
  EXPECT_EQ(names_of(model), (std::multiset<std::string>{"input", "input", "result", "result", "a",
                                                         "a", "a", "b", "b", "c", "c", "d", "d"}));
  EXPECT_EQ(model.graph().initializers(), (std::vector<std::string>{"b", "a"}));
}

TEST(ShortenNames, TakesNoNameThatTheModelHas) {
  const Model model = shortened(parse_model(R"(
    # name inner b
    g (float[2] a) => (float[2] d) { c = Sqrt(a)  inner = Exp(c)  other = Neg(inner)  d = Abs(other) })"));
  EXPECT_EQ(names_of(model),
            (std::multiset<std::string>{"a", "a", "c", "c", "d", "d", "e", "e", "f", "f"}));
}

TEST(ShortenNames, KeepsWhatBodiesReadOfTheGraphsAround) {
  const Model model = shortened(parse_model(R"(
    g (bool choose, float[2] input) => (float[2] result) <float[2] scale = {2.0, 3.0}> {
      outer = Mul(input, scale)
      result = If(choose) <
        then_branch = t () => (float[2] branch_result) <float[2] own = {1.0, 2.0}> {
          inner = Add(outer, own)
          branch_result = Mul(inner, scale)
        },
        else_branch = e () => (float[2] branch_result) <float[2] own = {4.0, 5.0}> {
          inner = Mul(outer, own)
          branch_result = Add(inner, scale)
        }
      >
    })"));
  for (const std::string& name : names_of(model)) {
    EXPECT_TRUE(name == "choose" || name == "input" || name == "result" || name.size() == 1)
        << name;
  }
  // A name of one branch is not one of the other.
  const auto graphs = model.graphs();
  EXPECT_NE(graphs[1]->initializers(), graphs[2]->initializers());
  EXPECT_NE(graphs[1]->outputs()[0].name, graphs[2]->outputs()[0].name);
}

TEST(ShortenNames, RenamesInputsAndOutputsOfLoops) {
  const Model model = shortened(parse_model(R"(
    g (float[2] input) => (float[2] result) <int64 trips = {3}, bool always = {1}> {
      result = Loop(trips, always, input) <
        body = b (int64 index, bool goes_on, float[2] state) => (bool more, float[2] next_state) {
          more = Identity(goes_on)
          next_state = Add(state, state)
        }
      >
    })"));
  EXPECT_EQ(model.graphs()[1]->inputs()[2].name.size(), 1U);
  EXPECT_EQ(model.graph().inputs()[0].name, "input");
}

TEST(ShortenNames, LeavesTheInterfaceOfBodiesOfOtherOperatorsAlone) {
  const Model before = edited(R"(
    g (bool choose, float[2] input) => (float[2] result) {
      result = If(choose) <
        then_branch = t () => (float[2] token_scores) { inner = Exp(input)  token_scores = Neg(inner) },
        else_branch = e () => (float[2] other_scores) { other_scores = Neg(input) }
      >
    })",
                              [](onnx::ModelProto& proto) {
                                auto* node = proto.mutable_graph()->mutable_node(0);
                                node->set_op_type("Search");
                                node->set_domain("somebody.else");
                                auto* import = proto.add_opset_import();
                                import->set_domain("somebody.else");
                                import->set_version(1);
                              });
  const Model model = shortened(before);
  EXPECT_EQ(model.graphs()[1]->outputs()[0].name, "token_scores");
  EXPECT_FALSE(names_of(model).contains("inner"));
}

TEST(ShortenNames, RenamesInsideFunctions) {
  const auto text = [](const char* value, const char* scale) {
    return std::string(R"(<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
      g (float[2] input) => (float[2] result) { hidden = own.Twice(input)  result = own.Twice(hidden) }
      <domain: "own", opset_import: ["" : 17]>
      Twice (operand) => (doubled) { )") +
           value + " = Identity(operand)  " + scale + " = Exp(" + value + ")  doubled = Add(" +
           value + ", " + scale + ") }";
  };
  const Model model = shortened(parse_model(text("first_copy", "second_copy")));
  const auto& function = model.proto().functions(0);
  EXPECT_EQ(function.node(0).output(0), "a");  // written three times
  EXPECT_EQ(function.input(0).size(), 1U);
  EXPECT_EQ(function.output(0), function.node(2).output(0));
}

TEST(ShortenNames, FollowsNamesOutsideOfNodes) {
  const Model before = edited(
      R"(
    g (float[2] input) => (float[2] result) <float[2] scale = {2.0, 3.0}> {
      hidden = Mul(input, scale)
      constant = Constant <value = float[2] {1.0, 2.0}> ()
      result = Add(hidden, constant)
    })",
      [](onnx::ModelProto& proto) {
        auto& graph = *proto.mutable_graph();
        auto* info = graph.add_value_info();
        *info = graph.output(0);
        info->set_name("hidden");
        auto* annotation = graph.add_quantization_annotation();
        annotation->set_tensor_name("hidden");
        auto* entry = annotation->add_quant_parameter_tensor_names();
        entry->set_key("SCALE_TENSOR");
        entry->set_value("scale");
        graph.mutable_node(1)->mutable_attribute(0)->mutable_t()->set_name("of_the_exporter");
      });
  const Model model = shortened(before);
  const auto& graph = model.proto().graph();
  const std::string hidden = graph.node(0).output(0), scale = graph.node(0).input(1);
  EXPECT_EQ(hidden.size(), 1U);
  EXPECT_EQ(graph.value_info(0).name(), hidden);
  EXPECT_EQ(graph.quantization_annotation(0).tensor_name(), hidden);
  EXPECT_EQ(graph.quantization_annotation(0).quant_parameter_tensor_names(0).value(), scale);
  EXPECT_EQ(graph.initializer(0).name(), scale);
  EXPECT_EQ(graph.node(1).attribute(0).t().name(), "");
}

TEST(ShortenNames, LeavesAbsentInputsAbsent) {
  const Model model = shortened(parse_model(R"(
    g (float[2] input) => (float[2] result) <float highest = {2.0}> {
      clipped, = Dropout(input)
      result = Clip(clipped, , highest)
    })"));
  const auto& clip = model.proto().graph().node(1);
  EXPECT_EQ(clip.input(1), "");
  EXPECT_EQ(clip.input(2).size(), 1U);
}

TEST(ShortenNames, KeepsInitializersThatAreInputsOrOutputs) {
  const Model model = shortened(parse_model(R"(
    g (float[2] input, float[2] default = {1.0, 2.0}) => (float[2] result, float[2] constant) <float[2] constant = {1.0, 2.0}> {
      hidden = Add(input, default)
      result = Add(hidden, constant)
    })"));
  const auto names = names_of(model);
  for (const char* name : {"input", "default", "result", "constant"})
    EXPECT_TRUE(names.contains(name)) << name;
  EXPECT_FALSE(names.contains("hidden"));
}

TEST(ShortenNames, TakesTwoLettersBehindTheFiftyThird) {
  std::string text = "g (float[2] input) => (float[2] result) { value0 = Neg(input)  ";
  for (int i = 1; i < 60; ++i)
    text += "value" + std::to_string(i) + " = Neg(value" + std::to_string(i - 1) + ")  ";
  const Model model = shortened(parse_model(text + "result = Neg(value59) }"));
  std::set<std::string> names;
  for (const std::string& name : names_of(model)) names.insert(name);
  EXPECT_EQ(names.size(), 62U);
  EXPECT_EQ(std::count_if(names.begin(), names.end(),
                          [](const std::string& name) { return name.size() == 1; }),
            53);
  EXPECT_TRUE(names.contains("ag"));
  EXPECT_FALSE(names.contains("ah"));
}

TEST(ShortenNames, SaysWhatEachValueWasCalled) {
  Model model = parse_model(R"(
    g (float[1,2] input) => (float[1,2] result) <float[2,2] weight = {1.0, 2.0, 3.0, 4.0}> {
      hidden = MatMul(input, weight)
      result = Relu(hidden)
    })");
  model.state().constraints.emplace("weight",
                                    TensorConstraint{ConstraintKind::kMask, "prune-magnitude"});
  model.state().origin["hidden"] = "of_the_input_model";
  run_pass("shorten-names", model);
  const auto& state = model.state();
  const NodeRef node = *model.graph().nodes().begin();
  EXPECT_EQ(state.origin.at(node.output_name()), "of_the_input_model");
  EXPECT_EQ(state.origin.at(node.input_name(1)), "weight");
  EXPECT_EQ(state.constraints.count(node.input_name(1)), 1U);
}

TEST(ShortenNames, LeavesModelsWithTrainingInformationAlone) {
  Model model = edited(
      "g (float[2] input) => (float[2] result) { hidden = Exp(input)  result = Neg(hidden) }",
      [](onnx::ModelProto& proto) { proto.add_training_info(); });
  const Outcome outcome = run_pass("shorten-names", model);
  EXPECT_FALSE(outcome.changed);
  ASSERT_EQ(outcome.warnings.size(), 1U);
  EXPECT_NE(outcome.warnings[0].find("training information"), std::string::npos)
      << outcome.warnings[0];
}

}  // namespace
}  // namespace mcompress::test
