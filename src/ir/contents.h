// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "mcompress/model.h"
#include "support/file.h"
#include "support/hash.h"

// What can be said of large constants without having them in memory.
namespace mcompress::ir {

/// Hash over the proto and the places of its payloads. Clones of one model with equal keys are
/// equal; others may be, too. Reads no payload.
std::string place_key(const Model& model);

/// Whether clones of one model would be written alike. Reads payloads only where all else is equal.
bool same_contents(const Model& a, const Model& b);

/// Hash over the first and the last bytes: constants of one type and shape that differ in it are
/// not equal. Empty: the value is no constant.
std::optional<support::Hash128> hash_of_ends(const ValueRef& constant);

/// Non-zero elements of a constant with a large payload, remembered by where the payload is, so that
/// models that share it know them, too. Empty: nobody has counted them.
std::optional<uint64_t> known_nonzeros(const ValueRef& constant);
/// Without effect on other constants.
void remember_nonzeros(const ValueRef& constant, uint64_t nonzeros);

/// Reads the file `path` that the model was loaded from once, from its start to its end, and
/// returns its hash. `visit` is called with pieces of the large initializers in it, one after the
/// other; pieces hold whole elements, aligned as such.
support::Hash128 read_file_once(
    const Model& model, const std::filesystem::path& path,
    const std::function<void(const ValueRef&, std::span<const std::byte>)>& visit);

/// Hash of the file `path` that the model was loaded from; what Model::fingerprint needs of it is
/// known then.
support::Hash128 hash_with_payloads(const Model& model, const std::filesystem::path& path);

/// The bytes of a large constant where they are in its file, not aligned as its elements. What is
/// read of them counts as memory of the process while it lives.
struct MappedConstant {
  std::unique_ptr<support::MappedFile> file;
  std::span<const std::byte> bytes;
};
/// Empty: it has to be read as a tensor.
std::optional<MappedConstant> map_constant(const ValueRef& constant);

/// Calls `visit` with every piece of a constant's bytes once, in any order and from several
/// threads; pieces hold whole elements, aligned as such. False, and no call: it has to be read as
/// a tensor, for its payload is small or its elements have no bytes of their own.
bool for_each_piece(const ValueRef& constant,
                    const std::function<void(std::span<const std::byte>)>& visit);

}  // namespace mcompress::ir
