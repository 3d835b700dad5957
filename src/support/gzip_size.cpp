// SPDX-License-Identifier: Apache-2.0
#include "support/gzip_size.h"

#include <zlib.h>

#include <algorithm>
#include <vector>

#include "support/file.h"

namespace mcompress::support {

uint64_t gzip_size(const std::filesystem::path& path) {
  constexpr size_t kBlock = size_t{1} << 20;
  constexpr int kGzipWindow = 15 + 16;  // zlib: 16 more asks for a gzip header
  const InputFile file(path, ErrorCode::kRuntime);
  z_stream stream = {};
  if (deflateInit2(&stream, 6, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) return 0;
  std::vector<std::byte> in(kBlock);
  std::vector<Bytef> out(kBlock);
  const uint64_t size = file.size();
  uint64_t at = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    const std::span<std::byte> part(in.data(), std::min<uint64_t>(kBlock, size - at));
    file.read(at, part);
    at += part.size();
    stream.next_in = reinterpret_cast<Bytef*>(part.data());
    stream.avail_in = static_cast<uInt>(part.size());
    do {
      stream.next_out = out.data();
      stream.avail_out = static_cast<uInt>(out.size());
      status = deflate(&stream, at == size ? Z_FINISH : Z_NO_FLUSH);
    } while (status == Z_OK && stream.avail_out == 0);
  }
  const uint64_t total = stream.total_out;
  deflateEnd(&stream);
  return total;
}

}  // namespace mcompress::support
