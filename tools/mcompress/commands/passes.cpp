// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "command.h"
#include "log.h"
#include "mcompress/error.h"
#include "pass_table.h"
#include "support/did_you_mean.h"

namespace mcompress::tool {
namespace {

struct PassesCommand {
  std::string pass;
  bool markdown = false, json = false;
  OutputOptions output;

  int run() const {
    output.apply();
    const PassRegistry& passes = builtin_passes();
    if (!pass.empty()) return print_one(passes);
    if (json) {
      std::cout << pass_details_json(passes);
    } else if (markdown) {
      std::cout << pass_table_markdown(passes);
    } else {
      std::cout << pass_table(passes, terminal_width(), output.color_on_stdout());
    }
    return 0;
  }

 private:
  int print_one(const PassRegistry& passes) const {
    if (!passes.contains(pass)) {
      const std::string nearest = nearest_name(pass, passes.names());
      throw Error(ErrorCode::kUsage, "unknown pass '" + pass + "'")
          .hint(nearest.empty() ? "list them with: mcompress passes"
                                : "did you mean '" + nearest + "'?");
    }
    const std::unique_ptr<Pass> one = passes.create(pass);
    OptionSet options;
    one->describe(options);
    std::cout << pass_details(*one, options, terminal_width(), output.color_on_stdout());
    return 0;
  }
};

}  // namespace

void add_passes(CLI::App& app, Action& chosen) {
  add_command(
      app, "passes", "List the passes, or one with its options", chosen, [](Arguments& arguments) {
        const auto command = std::make_shared<PassesCommand>();
        arguments.text("PASS", command->pass,
                       "Show this one with options, defaults, limits, cost and benefit", "");
        arguments.flag("--markdown", command->markdown, "Print a Markdown table");
        arguments.flag("--json", command->json, "Print everything as JSON");
        command->output.declare(arguments);
        return [command] { return command->run(); };
      });
}

}  // namespace mcompress::tool
