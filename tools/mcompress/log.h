// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "command.h"
#include "mcompress/pass_context.h"

namespace mcompress::tool {

/// -q, -v, --log-file, --color, --progress: what every command has.
struct OutputOptions {
  bool quiet = false;
  bool verbose = false;
  std::string log_file;
  std::string color = "auto";
  std::string progress = "auto";

  void declare(Arguments& arguments);
  /// Sets up the log on standard error; call first in an action.
  void apply() const;
  bool color_on_stdout() const;
  /// Draws on standard error, on a terminal only unless told otherwise; null when nothing is to be
  /// drawn.
  std::shared_ptr<Progress> make_progress() const;
};

/// Whether messages may be coloured, as the command line said.
bool color_on_stderr();
/// Removes the progress line, so that a message can take its place.
void clear_progress();
/// Columns of the terminal behind standard output; 100 where there is none.
int terminal_width();

}  // namespace mcompress::tool
