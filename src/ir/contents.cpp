// SPDX-License-Identifier: Apache-2.0
#include "ir/contents.h"

#include <algorithm>
#include <vector>

#include "ir/model_impl.h"
#include "support/parallel_for.h"

namespace mcompress {

std::optional<ir::PayloadRange> Model::Impl::large_payload(const ValueRef& constant) {
  if (!constant || !constant.is_constant()) return std::nullopt;
  const Graph& scope = constant.scope();
  const auto& definition = scope.index_->definitions.at(constant.name());
  if (definition.initializer == nullptr) return std::nullopt;
  auto range = ir::payload_of(*definition.initializer, *scope.model().impl().payloads);
  const DataType type = constant.constant_type();
  const bool whole = range && data_type_bits(type) >= 8 &&
                     range->length == packed_bytes(type, element_count(constant.constant_shape()));
  return whole ? range : std::nullopt;
}

namespace ir {
namespace {

constexpr uint64_t kEnd = 4096;
constexpr int64_t kPiece = int64_t{1} << 19;  ///< stays in the cache between reading and visiting

/// The serialized proto with lengths in place of payloads.
std::string without_places(const std::string& skeleton) {
  const Rope rope = expand_skeleton(
      skeleton, [](std::string_view, uint64_t, uint64_t length) -> StubReplacement {
        return {{}, 0, std::to_string(length), 0};
      });
  std::string text;
  for (const auto& piece : rope.pieces) text += std::get<std::string>(piece);
  return text;
}

}  // namespace

std::string place_key(const Model& model) {
  return support::hash128(model.proto().SerializeAsString()).hex();
}

bool same_contents(const Model& a, const Model& b) {
  const std::string first = a.proto().SerializeAsString();
  const std::string second = b.proto().SerializeAsString();
  if (first == second) return true;
  return without_places(first) == without_places(second) && a.fingerprint() == b.fingerprint();
}

std::optional<support::Hash128> hash_of_ends(const ValueRef& constant) {
  const auto range = Model::Impl::large_payload(constant);
  if (!range) {
    const auto tensor = constant.constant();
    return tensor ? std::optional(support::hash128(tensor->bytes())) : std::nullopt;
  }
  const uint64_t size = std::min(range->length, kEnd);
  std::vector<std::byte> ends(2 * size);
  const std::span<std::byte> bytes(ends);
  range->file->read(range->offset, bytes.first(size));
  range->file->read(range->offset + range->length - size, bytes.last(size));
  return support::hash128(std::span<const std::byte>(ends));
}

bool for_each_piece(const ValueRef& constant,
                    const std::function<void(std::span<const std::byte>)>& visit) {
  const auto range = Model::Impl::large_payload(constant);
  if (!range) return false;
  const auto length = static_cast<int64_t>(range->length);
  parallel_for(0, length, kPiece, [&](int64_t begin, int64_t end) {
    thread_local std::vector<std::byte> piece(kPiece);
    const std::span<std::byte> part(piece.data(), static_cast<size_t>(end - begin));
    range->file->read(range->offset + static_cast<uint64_t>(begin), part);
    visit(part);
  });
  return true;
}

}  // namespace ir
}  // namespace mcompress
