// SPDX-License-Identifier: Apache-2.0
#include "ir/contents.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>
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

/// Maps all pages at once, which costs less than each when it is touched. A hint: it may fail.
void populate([[maybe_unused]] std::span<const std::byte> mapped) {
#if defined(MADV_POPULATE_READ)
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(mapped.data()) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(mapped.data() + mapped.size());
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_READ);
#endif
}

/// Large initializers by where they start in the file.
std::map<uint64_t, std::pair<ValueRef, uint64_t>> initializers_in(
    const Model& model, const std::filesystem::path& file) {
  std::map<uint64_t, std::pair<ValueRef, uint64_t>> result;
  for (Graph* const graph : model.graphs()) {
    for (const std::string& name : graph->initializers()) {
      const ValueRef value = graph->find(name);
      const auto range = Model::Impl::large_payload(value);
      if (range && range->file->path() == file) {
        result.try_emplace(range->offset, value, range->length);
      }
    }
  }
  return result;
}

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

std::optional<uint64_t> known_nonzeros(const ValueRef& constant) {
  const auto range = Model::Impl::large_payload(constant);
  if (!range) return std::nullopt;
  return constant.scope().model().impl().payloads->nonzeros(*range, constant.constant_type());
}

void remember_nonzeros(const ValueRef& constant, uint64_t nonzeros) {
  const auto range = Model::Impl::large_payload(constant);
  if (!range) return;
  constant.scope().model().impl().payloads->remember_nonzeros(*range, constant.constant_type(),
                                                              nonzeros);
}

support::Hash128 read_file_once(
    const Model& model, const std::filesystem::path& path,
    const std::function<void(const ValueRef&, std::span<const std::byte>)>& visit) {
  const auto canonical = std::filesystem::canonical(path);
  const support::InputFile file(canonical, ErrorCode::kModel);
  support::Hasher hasher;
  std::vector<std::byte> block(kPiece);
  uint64_t at = 0;
  const auto read_up_to = [&](uint64_t end, const ValueRef& constant) {
    while (at < end) {
      const std::span<std::byte> piece(block.data(), std::min<uint64_t>(end - at, block.size()));
      file.read(at, piece);
      hasher.update(piece);
      if (constant) visit(constant, piece);
      at += piece.size();
    }
  };
  for (const auto& [offset, constant] : initializers_in(model, canonical)) {
    if (offset < at) continue;  // shares bytes with the one before
    read_up_to(offset, ValueRef());
    read_up_to(offset + constant.second, constant.first);
  }
  read_up_to(file.size(), ValueRef());
  return hasher.digest();
}

support::Hash128 hash_with_payloads(const Model& model, const std::filesystem::path& path) {
  std::optional<PayloadRange> open;
  std::optional<support::Hasher> hasher;
  const auto close = [&] {
    if (open) model.impl().payloads->remember_hash(*open, hasher->digest());
  };
  const auto hash = read_file_once(
      model, path, [&](const ValueRef& constant, std::span<const std::byte> piece) {
        auto range = *Model::Impl::large_payload(constant);
        if (!open || open->offset != range.offset) {
          close();
          open = std::move(range);
          hasher.emplace();
        }
        hasher->update(piece);
      });
  close();
  return hash;
}

std::optional<MappedConstant> map_constant(const ValueRef& constant) {
  const auto range = Model::Impl::large_payload(constant);
  if (!range) return std::nullopt;
  MappedConstant result;
  result.file = std::make_unique<support::MappedFile>(range->file->path(), ErrorCode::kModel);
  const auto file = std::as_bytes(std::span(result.file->bytes()));
  if (range->offset > file.size() || range->length > file.size() - range->offset) {
    return std::nullopt;  // reading it says what is wrong
  }
  result.bytes = file.subspan(range->offset, range->length);
  populate(result.bytes);
  return result;
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
