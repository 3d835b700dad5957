// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "ir/wire.h"
#include "mcompress/tensor.h"
#include "support/hash.h"
#include "support/temporary_files.h"

namespace onnx {
class TensorProto;
}

namespace mcompress::ir {

/// The files that hold large payloads: originals, and one private append-only spill file for what
/// was changed. Shared between clones of a model; thread-safe.
class PayloadStore {
 public:
  /// Opens `path` (canonical) once.
  std::shared_ptr<const support::InputFile> open(const std::string& path);
  /// Appends to the spill file; equal bytes are stored once.
  PayloadRange spill(std::span<const std::byte> bytes);
  /// The same, written while the caller goes on: one large tensor at a time, which is kept so long.
  PayloadRange spill(const Tensor& tensor);
  /// Returns when all that was spilled can be read from the file. Throws where it could not be
  /// written. Whoever hands out places in the file calls it; `open` of the file does.
  void finish_writing();
  /// Hash of a range, computed once.
  support::Hash128 content_hash(const PayloadRange& range);

  void remember_hash(const PayloadRange& range, support::Hash128 hash);
  /// Non-zero elements of a range that holds elements of `type`, if they were counted.
  std::optional<uint64_t> nonzeros(const PayloadRange& range, DataType type) const;
  void remember_nonzeros(const PayloadRange& range, DataType type, uint64_t nonzeros);

  void remember_typed_fields(const std::string& path, std::vector<std::pair<uint64_t, int>> fields);
  /// Field of TensorProto that a payload came from: raw_data unless remembered.
  int field_of(const PayloadRange& range) const;

 private:
  using Place = std::tuple<std::string, uint64_t, uint64_t>;
  static Place place_of(const PayloadRange& range);
  /// Bytes that are not in the spill file yet, and where they go.
  struct Spill {
    support::Hash128 hash;
    PayloadRange range;
    bool is_new = false;
  };
  void open_spill_file();
  Spill place_for(std::span<const std::byte> bytes);
  void remember(const Spill& spill);
  void write(std::span<const std::byte> bytes, const PayloadRange& range) const;
  void wait_for_writing();

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const support::InputFile>> files_;
  std::map<std::pair<std::string, uint64_t>, int> typed_fields_;
  std::map<Place, support::Hash128> hashes_;
  std::map<std::pair<Place, DataType>, uint64_t> nonzeros_;
  std::map<support::Hash128, std::pair<uint64_t, uint64_t>> spilled_;
  std::unique_ptr<support::TemporaryFile> spill_name_;
  int spill_descriptor_ = -1;
  uint64_t spill_size_ = 0;
  std::shared_future<void> writing_;  ///< what is not finished, or has failed

 public:
  PayloadStore() = default;
  PayloadStore(const PayloadStore&) = delete;
  PayloadStore& operator=(const PayloadStore&) = delete;
  ~PayloadStore();
};

/// Where an external stub points: location, offset, length as text of external_data; nullopt when
/// the payload is inside the proto.
struct StubEntries {
  std::string location;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
};
std::optional<StubEntries> stub_of(const onnx::TensorProto& tensor);

/// Range of a stub whose location is a canonical path without leading slash.
std::optional<PayloadRange> payload_of(const onnx::TensorProto& tensor, PayloadStore& store);

/// Value of a tensor, wherever its payload is. nullopt for strings and types of unknown width.
std::optional<Tensor> read_tensor(const onnx::TensorProto& tensor, PayloadStore& store);
/// Replaces type, shape and payload; the name stays.
void write_tensor(onnx::TensorProto& tensor, const Tensor& value, PayloadStore& store);
/// Makes `tensor` a stub into `range`.
void set_stub(onnx::TensorProto& tensor, const PayloadRange& range);

}  // namespace mcompress::ir
