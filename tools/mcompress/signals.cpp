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
  std::thread(wait_for_signals, signals).detach();
}

}  // namespace mcompress::tool
