// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "mcompress/report.h"
#include "mcompress/runtime_service.h"

namespace mcompress {

/// Opens the model in this process and reports load time and memory: what `mcompress
/// session-figures` prints as three numbers. Runs once when there are feeds it can make by itself.
SessionFigure session_figure_here(RuntimeService& runtime, const std::filesystem::path& model);
std::string session_figure_text(const SessionFigure& figure);

/// Runs `program session-figures MODEL` as a child, so that the memory of a session is seen alone.
/// Nothing when the child cannot be started or fails.
std::optional<SessionFigure> session_figure_of_child(const std::filesystem::path& program,
                                                     const std::filesystem::path& model);

}  // namespace mcompress
