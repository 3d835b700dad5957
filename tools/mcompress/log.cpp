// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "mcompress/error.h"
#include "progress_bar.h"
#include "support/file.h"
#include "support/text_table.h"

namespace mcompress::tool {
namespace {

bool stderr_color = false;

bool wants_color(const std::string& choice, int descriptor) {
  if (choice != "auto") return choice == "always";
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(descriptor) != 0 && (no_color == nullptr || *no_color == '\0');
}

// "mcompress: warning: text", with the progress line out of the way.
class StderrSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string text(message.payload.data(), message.payload.size());
    clear_progress();
    std::cerr << "mcompress: " << label(message.level) << text << std::endl;
  }
  void flush_() override { std::cerr << std::flush; }

 private:
  static std::string label(spdlog::level::level_enum level) {
    if (level >= spdlog::level::err) return styled("error:", "1;31", stderr_color) + " ";
    if (level == spdlog::level::warn) return styled("warning:", "1;33", stderr_color) + " ";
    return "";
  }
};

// A log is begun anew, but nothing that is not a log is lost for it: lines of one start with "[".
void refuse_to_truncate(const std::string& path) {
  std::ifstream file(path);
  const int first = file.get();
  if (!file || first == '[') return;
  throw Error(ErrorCode::kUsage, path + ": exists already and is no log")
      .hint("name another file with --log-file");
}

}  // namespace

bool color_on_stderr() { return stderr_color; }

int terminal_width() {
  constexpr int kDefault = 100, kLeast = 60, kMost = 160;
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefault;
  return std::clamp(static_cast<int>(size.ws_col), kLeast, kMost);
}

void OutputOptions::declare(Arguments& arguments) {
  arguments.group("Messages");
  arguments.flag("-q,--quiet", quiet, "Errors only on standard error");
  arguments.flag("-v,--verbose", verbose, "Say what is done and why");
  arguments.text("--log-file", log_file, "Write everything to a file, too", "FILE");
  arguments.choice("--color", color, "Colours; auto: on a terminal", {"auto", "always", "never"});
  arguments.choice("--progress", progress, "Progress line; auto: on a terminal",
                   {"auto", "always", "never"});
}

void OutputOptions::apply() const {
  stderr_color = wants_color(color, STDERR_FILENO);
  auto on_stderr = std::make_shared<StderrSink>();
  on_stderr->set_level(quiet     ? spdlog::level::err
                       : verbose ? spdlog::level::debug
                                 : spdlog::level::info);
  std::vector<spdlog::sink_ptr> sinks{on_stderr};
  if (!log_file.empty()) {
    support::require_writable(log_file, true);
    refuse_to_truncate(log_file);
    try {
      sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(log_file, true));
    } catch (const spdlog::spdlog_ex&) {
      throw Error(ErrorCode::kUsage, log_file + ": cannot be written")
          .hint("name another file with --log-file");
    }
  }
  auto logger = std::make_shared<spdlog::logger>("mcompress", sinks.begin(), sinks.end());
  logger->set_level(spdlog::level::debug);
  spdlog::set_default_logger(std::move(logger));
}

bool OutputOptions::color_on_stdout() const { return wants_color(color, STDOUT_FILENO); }

std::shared_ptr<Progress> OutputOptions::make_progress() const {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  if (quiet || progress == "never" || (progress == "auto" && !terminal)) return nullptr;
  return std::make_shared<ProgressBar>();
}

}  // namespace mcompress::tool
