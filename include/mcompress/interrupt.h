// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mcompress {

/// Asks every Run under way, and those to come, to stop with kInterrupted. Async-signal-unsafe:
/// call from the signal thread.
void request_interrupt();
bool interrupt_requested();
/// Throws kInterrupted if asked to stop; long loops call it.
void check_interrupt();

}  // namespace mcompress
