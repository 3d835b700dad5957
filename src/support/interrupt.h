// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace mcompress::support {

/// While it lives, an interrupt calls `stop` (once, from the thread that interrupts). Throws
/// kInterrupted when an interrupt was asked for already.
class ActiveRun {
 public:
  explicit ActiveRun(std::function<void()> stop);
  ActiveRun(const ActiveRun&) = delete;
  ActiveRun& operator=(const ActiveRun&) = delete;
  ~ActiveRun();

 private:
  std::function<void()> stop_;
};

/// While one lives, what is under way ends by itself after an interrupt, and keeps what it has so far:
/// the program waits for it, until a second interrupt.
class EndsByItself {
 public:
  EndsByItself();
  EndsByItself(const EndsByItself&) = delete;
  EndsByItself& operator=(const EndsByItself&) = delete;
  ~EndsByItself();
};
bool ends_by_itself();

/// Forgets an interrupt: what it asked for was done, or a test is over.
void clear_interrupt();

}  // namespace mcompress::support
