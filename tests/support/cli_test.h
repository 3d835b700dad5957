// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

extern char** environ;

namespace mcompress::testing {

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// What a program said and how it ended; `code` is 128 + the signal where one ended it.
struct CliResult {
  int code = -1;
  std::string out, err;
  double seconds = 0;
};

struct CliOptions {
  int signal = 0;  ///< sent after `signal_after`, and not before the file `signal_when` is there
  std::chrono::milliseconds signal_after{0};
  std::filesystem::path signal_when = {};
  std::string out_file = {};  ///< standard output goes here instead
};

/// Runs the program that was built (MCOMPRESS_PROGRAM) in a folder of its own, removed at the end.
class CliTest : public ::testing::Test {
 protected:
  CliTest() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "mcompress-cli-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    // Cost tables of whoever runs the tests must not decide anything here.
    setenv("XDG_CACHE_HOME", (folder_.string() + ".cache").c_str(), 1);
  }
  ~CliTest() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::remove_all(folder_.string() + ".cache");
  }

  std::filesystem::path path(const std::string& name) const { return folder_ / name; }
  /// Names in the folder, sorted: to see that nothing was left behind.
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  CliResult run(std::vector<std::string> arguments, const CliOptions& options = {}) const {
    // Beside the folder, so that tests can look at all that is in it.
    const std::string out = options.out_file.empty() ? folder_.string() + ".out" : options.out_file;
    const std::string err = folder_.string() + ".err";
    arguments.insert(arguments.begin(), MCOMPRESS_PROGRAM);
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder_.c_str());
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const auto started = std::chrono::steady_clock::now();
    pid_t child = 0;
    const int failure =
        posix_spawn(&child, MCOMPRESS_PROGRAM, &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    CliResult result;
    if (failure != 0) return result;
    if (options.signal != 0) {
      std::this_thread::sleep_for(options.signal_after);
      constexpr int kPolls = 6000;
      for (int i = 0; i < kPolls && !options.signal_when.empty(); ++i) {
        if (std::filesystem::exists(options.signal_when)) break;
        siginfo_t ended{};
        waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT);
        if (ended.si_pid == child) break;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
      kill(child, options.signal);
    }
    const auto signalled = options.signal != 0 ? std::chrono::steady_clock::now() : started;
    int status = 0;
    waitpid(child, &status, 0);
    result.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - signalled).count();
    result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (options.out_file.empty()) result.out = read_bytes(out);
    result.err = read_bytes(err);
    if (options.out_file.empty()) std::filesystem::remove(out);
    std::filesystem::remove(err);
    return result;
  }

  std::filesystem::path folder_;
};

}  // namespace mcompress::testing
