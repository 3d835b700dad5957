// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an archive: an Error, or every member.
#include <cstddef>
#include <cstdint>

#include "archive/archive.h"
#include "mcompress/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mcompress;
  try {
    const archive::Archive opened(
        archive::source_of(std::span(reinterpret_cast<const std::byte*>(data), size)));
    for (size_t m = 0; m < opened.members().size(); ++m) {
      opened.extract(m, [](std::span<const std::byte>) {});
    }
  } catch (const Error&) {
  }
  return 0;
}
