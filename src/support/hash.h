// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace mcompress::support {

/// 128 bits of XXH3.
struct Hash128 {
  uint64_t high = 0, low = 0;
  friend bool operator==(const Hash128&, const Hash128&) = default;
  friend auto operator<=>(const Hash128&, const Hash128&) = default;
  std::string hex() const;
  /// For people, who must know what to compare with: "xxh3-128:" and the digits.
  std::string labelled() const { return "xxh3-128:" + hex(); }
};

/// Hash over pieces that come one after another.
class Hasher {
 public:
  Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  ~Hasher();
  void update(std::string_view bytes);
  void update(std::span<const std::byte> bytes);
  Hash128 digest() const;

 private:
  void* state_;
};

Hash128 hash128(std::string_view bytes);
Hash128 hash128(std::span<const std::byte> bytes);
/// Of a whole file, read in blocks. Throws kRuntime.
Hash128 hash_file(const std::filesystem::path& path);

}  // namespace mcompress::support
