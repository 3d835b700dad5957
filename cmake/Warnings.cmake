# SPDX-License-Identifier: Apache-2.0
# Our own warnings, linked privately into our targets and never exported.
add_library(mcompress_warnings INTERFACE)
target_compile_options(mcompress_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  $<$<BOOL:${MCOMPRESS_WERROR}>:-Werror>)
