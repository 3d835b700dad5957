# SPDX-License-Identifier: Apache-2.0
# MCOMPRESS_SANITIZE, a list, applies to every target of the tree.
if(MCOMPRESS_SANITIZE)
  list(JOIN MCOMPRESS_SANITIZE "," sanitizers)
  add_compile_options(-fsanitize=${sanitizers} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${sanitizers})
endif()
