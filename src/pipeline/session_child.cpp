// SPDX-License-Identifier: Apache-2.0
#include "pipeline/session_child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <sstream>

#include "pipeline/data_roles.h"
#include "support/memory.h"

extern char** environ;

namespace mcompress {
namespace {

/// Standard output of a program that succeeded; nothing otherwise. Its standard error is dropped.
std::optional<std::string> output_of(const std::string& program, const std::string& command,
                                     const std::string& argument) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return std::nullopt;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::string words[] = {program, command, argument};
  char* arguments[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  pid_t child = 0;
  const int failure = ::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(pipe_ends[1]);
  std::string text;
  if (failure == 0) {
    char block[512];
    for (;;) {
      const ssize_t got = ::read(pipe_ends[0], block, sizeof block);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      text.append(block, static_cast<size_t>(got));
    }
  }
  ::close(pipe_ends[0]);
  if (failure != 0) return std::nullopt;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return std::nullopt;
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::nullopt;
  return text;
}

}  // namespace

SessionFigure session_figure_here(RuntimeService& runtime, const std::filesystem::path& path) {
  const Model model = Model::load(path);
  const auto begin = std::chrono::steady_clock::now();
  const auto session = runtime.open(model);
  SessionFigure figure;
  figure.load_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  if (const auto feeds = sample_feeds(model, nullptr)) {
    try {
      session->time(*feeds);
    } catch (const Error&) {
      // Feeds of ones and zeros do not suit every model; its memory at load is still told.
    }
  }
  figure.peak_bytes = support::peak_resident_bytes();
  figure.steady_bytes = support::resident_bytes();
  return figure;
}

std::string session_figure_text(const SessionFigure& figure) {
  std::ostringstream text;
  text << figure.load_ms << ' ' << figure.peak_bytes << ' ' << figure.steady_bytes << '\n';
  return text.str();
}

std::optional<SessionFigure> session_figure_of_child(const std::filesystem::path& program,
                                                     const std::filesystem::path& model) {
  if (program.empty()) return std::nullopt;
  const auto text = output_of(program.string(), "session-figures", model.string());
  if (!text) return std::nullopt;
  SessionFigure figure;
  std::istringstream words(*text);
  if (!(words >> figure.load_ms >> figure.peak_bytes >> figure.steady_bytes)) return std::nullopt;
  return figure;
}

}  // namespace mcompress
