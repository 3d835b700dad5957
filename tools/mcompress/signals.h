// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mcompress::tool {

/// Takes over SIGINT and SIGTERM; call before any thread starts. The first signal asks all work to
/// stop (the program then ends by itself with exit code 130). A second one, or a second without an
/// end (opening a session cannot be interrupted, rules.md 25), removes the temporary files and
/// leaves at once.
void start_signal_thread();

}  // namespace mcompress::tool
