// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mcompress/report.h"
#include "report/figures.h"

/// Pieces of a terminal report that more than one command prints.
namespace mcompress::reporting {

/// SGR parameters by meaning.
inline constexpr std::string_view kStrong = "1";
inline constexpr std::string_view kFaint = "2";
inline constexpr std::string_view kBad = "31";
inline constexpr std::string_view kGood = "32";
inline constexpr std::string_view kWarning = "33";
std::string trend_style(int trend);

/// Collects the text; every paragraph keeps to the width, and sections are parted by one empty
/// line.
class TerminalWriter {
 public:
  explicit TerminalWriter(const TerminalStyle& style);
  const TerminalStyle& style() const { return style_; }
  size_t width() const { return width_; }
  /// Starts a section; an empty heading only parts.
  void section(std::string_view heading);
  void line(std::string_view text, std::string_view style = "", size_t indent = 0);
  /// "label  text" with the text's further lines below its first.
  void item(std::string_view label, std::string_view text, std::string_view style = "");
  void raw(std::string_view text) { out_ += text; }
  std::string text() { return std::move(out_); }

 private:
  TerminalStyle style_;
  size_t width_;
  std::string out_;
};

void write_totals(TerminalWriter& out, const Comparison& comparison);
/// Where it was measured, faint; nothing when nothing is known.
void write_environment(TerminalWriter& out, const EnvironmentReport& environment);
void write_list(TerminalWriter& out, std::string_view heading,
                const std::vector<std::string>& items, std::string_view style = "");

}  // namespace mcompress::reporting
