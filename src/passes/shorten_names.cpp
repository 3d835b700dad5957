// SPDX-License-Identifier: Apache-2.0
//
// Gives inner values the shortest names and nodes none.
//
//   Before:  hidden = MatMul[fc1](input, fc1.weight)   probabilities = Relu[relu](hidden)
//   After:   a = MatMul(input, b)   probabilities = Relu(a)
//
// The names that are written most often become the shortest. In a file of few kilobytes names are a
// tenth of the bytes. Belongs last: steps after it know layers by their new names. The report of
// the run goes on showing the layers of the input model; `mcompress compare` pairs layers by their
// order then, and compares outputs alone.
//
// Refuses: inputs and outputs of the model, and of bodies of operators that are not ONNX's own,
// keep their names; a model with training information stays as it is.
#include "ir/short_names.h"

#include "mcompress/pass_context.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

class ShortenNames : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "shorten-names",
        .summary = "give inner values the shortest names and nodes none",
        .fidelity = Fidelity::kExact,
        .cost = "profiles and debuggers show the short names",
        .benefit = "files of few kilobytes become a tenth smaller",
    };
    return info;
  }
  void describe(OptionSet&) override {}

  bool run(Model& model, PassContext& context) override {
    const ir::ShortNames done = ir::shorten_names(model);
    context.count("values renamed", done.values);
    context.count("names of nodes removed", done.nodes);
    context.count("bytes saved", done.bytes);
    return done.values + done.nodes > 0;
  }
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(shorten_names, ShortenNames)
