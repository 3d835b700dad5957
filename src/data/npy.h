// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/stored_array.h"

namespace mcompress::data {

/// Reads the header of .npy bytes (versions 1-3; numpy.lib.format): bool, (u)int8-64, float16-64,
/// either byte order. A Fortran-ordered array is transposed in memory up to 256 MB. `size` is the
/// length of the bytes. Throws kData: not .npy, cut, a type that is no number.
StoredArray read_npy(std::shared_ptr<const ByteSource> source, uint64_t size);
StoredArray read_npy(const std::filesystem::path& path);

/// The arrays of an .npz file in its order; entries that are no .npy are left out.
/// An entry that cannot be opened throws only when it is `load`ed.
class Npz {
 public:
  explicit Npz(const std::filesystem::path& path);
  ~Npz();
  std::vector<std::string> keys() const;
  bool has(const std::string& key) const;
  /// Throws kData, naming the keys there are, when `key` is absent.
  StoredArray load(const std::string& key) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mcompress::data
