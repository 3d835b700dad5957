// SPDX-License-Identifier: Apache-2.0
// What a user of the library writes first: includes the one header, lists the passes, handles Error.
#include <mcompress/mcompress.h>

#include <iostream>

int main() {
  const mcompress::PassRegistry& passes = mcompress::builtin_passes();
  std::cout << "mcompress " << mcompress::version() << ", " << passes.names().size() << " passes\n";
  try {
    mcompress::find_recipe("no-such-recipe", passes);
  } catch (const mcompress::Error& error) {
    std::cout << error.message() << '\n';
    return 0;
  }
  return 1;
}
