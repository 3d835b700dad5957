// SPDX-License-Identifier: Apache-2.0
#include "support/hash.h"

#if defined(MCOMPRESS_XXHASH_DISPATCHES)
#include <xxh_x86dispatch.h>  // the same hashes by the widest vectors of the CPU
#else
#include <xxhash.h>
#endif

#include <algorithm>
#include <cstdio>
#include <vector>

#include "support/file.h"

namespace mcompress::support {

std::string Hash128::hex() const {
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(high),
                static_cast<unsigned long long>(low));
  return text;
}

Hasher::Hasher() : state_(XXH3_createState()) {
  XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_));
}

Hasher::~Hasher() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }

void Hasher::update(std::string_view bytes) {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_), bytes.data(), bytes.size());
}

void Hasher::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_), bytes.data(), bytes.size());
}

Hash128 Hasher::digest() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_));
  return {hash.high64, hash.low64};
}

Hash128 hash128(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.high64, hash.low64};
}

Hash128 hash128(std::span<const std::byte> bytes) {
  return hash128(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

Hash128 hash_file(const std::filesystem::path& path) {
  const InputFile file(path, ErrorCode::kRuntime);
  Hasher hasher;
  std::vector<std::byte> block(std::min<uint64_t>(file.size(), uint64_t{1} << 20));
  for (uint64_t at = 0; at < file.size(); at += block.size()) {
    const std::span<std::byte> part(block.data(),
                                    std::min<uint64_t>(file.size() - at, block.size()));
    file.read(at, part);
    hasher.update(part);
  }
  return hasher.digest();
}

}  // namespace mcompress::support
