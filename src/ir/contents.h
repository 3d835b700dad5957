// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "mcompress/model.h"
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

/// Calls `visit` with every piece of a constant's bytes once, in any order and from several
/// threads; pieces hold whole elements, aligned as such. False, and no call: it has to be read as
/// a tensor, for its payload is small or its elements have no bytes of their own.
bool for_each_piece(const ValueRef& constant,
                    const std::function<void(std::span<const std::byte>)>& visit);

}  // namespace mcompress::ir
