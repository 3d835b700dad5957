// SPDX-License-Identifier: Apache-2.0
#include "support/interrupt.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>
#include <vector>

#include "mcompress/error.h"
#include "mcompress/interrupt.h"

namespace mcompress {
namespace support {
namespace {

struct State {
  std::atomic<bool> requested{false};
  std::atomic<int> ending_by_itself{0};
  std::mutex mutex;
  std::vector<const std::function<void()>*> active;
};

// Never destroyed: the signal thread may outlive main's statics.
State& state() {
  static State* const instance = new State;
  return *instance;
}

}  // namespace

ActiveRun::ActiveRun(std::function<void()> stop) : stop_(std::move(stop)) {
  const std::lock_guard lock(state().mutex);
  check_interrupt();
  state().active.push_back(&stop_);
}

ActiveRun::~ActiveRun() {
  const std::lock_guard lock(state().mutex);
  std::erase(state().active, &stop_);
}

EndsByItself::EndsByItself() { ++state().ending_by_itself; }
EndsByItself::~EndsByItself() { --state().ending_by_itself; }
bool ends_by_itself() { return state().ending_by_itself > 0; }

void clear_interrupt() { state().requested = false; }

}  // namespace support

void request_interrupt() {
  auto& state = support::state();
  const std::lock_guard lock(state.mutex);
  state.requested = true;
  for (const auto* stop : state.active) (*stop)();
}

bool interrupt_requested() { return support::state().requested; }

void check_interrupt() {
  if (interrupt_requested()) throw Error(ErrorCode::kInterrupted, "interrupted");
}

}  // namespace mcompress
