// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mcompress/pass.h"

/// Last line of src/passes/<stem>.cpp. The generated builtin_passes.cpp calls register_<stem>, so a
/// file that forgets this line fails at link with its own name in the message.
#define MCOMPRESS_REGISTER_PASS(stem, Class)                                                  \
  namespace mcompress::passes {                                                               \
  void register_##stem(PassRegistry& registry);                                               \
  void register_##stem(PassRegistry& registry) {                                              \
    registry.add(std::string(Class().info().name), [] { return std::make_unique<Class>(); }); \
  }                                                                                           \
  }
