// SPDX-License-Identifier: Apache-2.0
#include "signals.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>

#include "mcompress/error.h"
#include "mcompress/interrupt.h"
#include "support/interrupt.h"
#include "support/temporary_files.h"

namespace mcompress::tool {
namespace {

pthread_t waiting_thread;

/// Libraries make threads before main can block anything there (OpenBLAS does): a signal that one
/// of them gets goes on to the thread that waits for it.
void pass_on(int signal) { pthread_kill(waiting_thread, signal); }

constexpr timespec kPatience{0, 900'000'000};

void wait_for_signals(sigset_t signals) {
  int signal = 0;
  if (sigwait(&signals, &signal) != 0) return;
  const bool waits = support::ends_by_itself();
  request_interrupt();
  if (waits) {
    sigwait(&signals, &signal);
  } else {
    sigtimedwait(&signals, nullptr, &kPatience);
  }
  support::remove_temporary_files();
  constexpr char kMessage[] = "mcompress: interrupted\n";
  // Nothing is left to do about a standard error that is closed.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(static_cast<int>(ErrorCode::kInterrupted));
}

}  // namespace

void start_signal_thread() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  // Threads inherit the mask, so that no other one gets them.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread waiting(wait_for_signals, signals);
  waiting_thread = waiting.native_handle();
  waiting.detach();
  struct sigaction action = {};
  action.sa_handler = pass_on;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction before = {};
    // What was started in the background by a script ignores Ctrl-C, and goes on doing so.
    if (sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    sigaction(signal, &action, nullptr);
  }
}

}  // namespace mcompress::tool
