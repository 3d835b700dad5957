// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include "command.h"
#include "mcompress/runtime_service.h"
#include "pipeline/session_child.h"

namespace mcompress::tool {

// Not for people: `run` starts it as a child to see the memory of one session alone (rules.md 8).
void add_session_figures(CLI::App& app, Action& chosen) {
  constexpr bool kHidden = true;
  add_command(
      app, "session-figures", "Load time and memory of a session", chosen,
      [](Arguments& arguments) {
        const auto model = std::make_shared<std::string>();
        arguments.text("MODEL", *model, "ONNX model", "", true);
        return [model] {
          const auto runtime = make_onnx_runtime();
          std::cout << session_figure_text(session_figure_here(*runtime, *model));
          return 0;
        };
      },
      kHidden);
}

}  // namespace mcompress::tool
