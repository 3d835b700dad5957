// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include <iostream>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "command.h"
#include "errors.h"
#include "fast_blas.h"
#include "mcompress/mcompress.h"
#include "signals.h"

namespace mcompress::tool {
namespace {

void declare(CLI::App& app, Action& chosen) {
  app.name("mcompress");
  app.set_version_flag("--version", "mcompress " + version());
  app.require_subcommand(1);
  app.footer(
      "mcompress COMMAND --help tells more. The shortest way in:\n"
      "  mcompress run model.onnx -r lossless");
  add_run(app, chosen);
  add_inspect(app, chosen);
  add_evaluate(app, chosen);
  add_compare(app, chosen);
  add_calibrate(app, chosen);
  add_pack(app, chosen);
  add_unpack(app, chosen);
  add_sensitivity(app, chosen);
  add_passes(app, chosen);
  add_recipe(app, chosen);
  add_session_figures(app, chosen);
}

/// Tensors go back to the system when they are freed. Left to itself the C library puts them into a
/// heap that fragments, and a large model takes as much memory as all that was written of it.
void return_large_blocks() {
#if defined(__GLIBC__)
  constexpr int kLarge = 1 << 20;
  mallopt(M_MMAP_THRESHOLD, kLarge);
  mallopt(M_TRIM_THRESHOLD, kLarge);
#endif
}

int run(int argc, char** argv) {
  return_large_blocks();
  CLI::App app("Compresses ONNX models by recipe, with proof");
  Action chosen;
  declare(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success, std::cout, std::cerr);
  } catch (const CLI::ParseError& error) {
    throw usage_error(app, error, argc > 1 ? argv[1] : "");
  }
  const int code = chosen();
  if (!std::cout.flush()) throw Error(ErrorCode::kRuntime, "standard output: cannot be written");
  return code;
}

}  // namespace
}  // namespace mcompress::tool

int main(int argc, char** argv) {
  mcompress::tool::prefer_fast_blas(argc, argv);
  mcompress::tool::start_signal_thread();
  return mcompress::tool::report_errors([&] { return mcompress::tool::run(argc, argv); });
}
