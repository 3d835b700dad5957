// SPDX-License-Identifier: Apache-2.0
#include "progress_bar.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>

#include "log.h"
#include "support/text_table.h"
#include "support/units.h"

namespace mcompress::tool {
namespace {

constexpr std::chrono::milliseconds kBetweenDraws{100};
constexpr double kSecondsBeforeGuess = 0.5;

std::mutex current_mutex;
ProgressBar* current = nullptr;

size_t columns() {
  constexpr size_t kDefault = 80;
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kDefault;
  return size.ws_col;
}

}  // namespace

void clear_progress() {
  const std::lock_guard lock(current_mutex);
  if (current != nullptr) current->clear();
}

ProgressBar::ProgressBar() : started_(Clock::now()), drawn_(started_) {
  const std::lock_guard lock(current_mutex);
  current = this;
}

ProgressBar::~ProgressBar() {
  const std::lock_guard lock(current_mutex);
  clear();
  current = nullptr;
}

void ProgressBar::begin(std::string_view what, size_t total) {
  const std::lock_guard lock(mutex_);
  parts_.push_back({std::string(what), total, 0, Clock::now()});
  draw();
}

void ProgressBar::advance(size_t by) {
  const std::lock_guard lock(mutex_);
  if (parts_.empty()) return;
  parts_.back().done += by;
  draw();
}

void ProgressBar::end() {
  const std::lock_guard lock(mutex_);
  if (!parts_.empty()) parts_.pop_back();
  draw();
}

void ProgressBar::change(std::string_view what) {
  const std::lock_guard lock(mutex_);
  if (!parts_.empty()) parts_.back().what = what;
  draw();
}

void ProgressBar::clear() {
  const std::lock_guard lock(mutex_);
  if (visible_) std::cerr << "\r\x1b[K" << std::flush;
  visible_ = false;
}

std::string ProgressBar::line() const {
  std::string text;
  for (const Part& part : parts_) {
    text += (text.empty() ? "" : " | ") + part.what;
    if (part.total > 0) text += " " + std::to_string(part.done) + "/" + std::to_string(part.total);
  }
  const auto seconds_since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  text += "  " + format_seconds(seconds_since(started_));
  const Part& inner = parts_.back();
  const double spent = seconds_since(inner.started);
  if (inner.total > inner.done && inner.done > 0 && spent > kSecondsBeforeGuess) {
    const double left =
        spent / static_cast<double>(inner.done) * static_cast<double>(inner.total - inner.done);
    text += ", " + format_seconds(left) + " left";
  }
  return text;
}

void ProgressBar::draw() {
  if (!parts_.empty() && Clock::now() - drawn_ < kBetweenDraws) return;
  drawn_ = Clock::now();
  // The last column stays free: a terminal would break the line there.
  const std::string text = parts_.empty() ? "" : shorten_middle(line(), columns() - 1);
  std::cerr << "\r\x1b[K" << text << std::flush;
  visible_ = !text.empty();
}

}  // namespace mcompress::tool
