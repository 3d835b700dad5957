// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <iostream>
#include <string>

#include "inputs.h"
#include "log.h"
#include "mcompress/report.h"

namespace mcompress::tool {

inline constexpr int kLogWidth = 120;

/// Prints a report on standard output, as JSON if asked, and writes the files of --report.
template <class Report>
void deliver(const Report& report, const ReportOptions& options, const OutputOptions& output,
             bool explain) {
  for (const std::string& file : options.files) write_report(report, file);
  if (options.json) {
    std::cout << render_json(report);
    return;
  }
  TerminalStyle style;
  style.color = output.color_on_stdout();
  style.explain = explain;
  // A log or a pipe has room for whole names and methods.
  style.width = isatty(STDOUT_FILENO) != 0 ? terminal_width() : kLogWidth;
  std::cout << render_terminal(report, style);
}

}  // namespace mcompress::tool
