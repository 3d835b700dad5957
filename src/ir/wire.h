// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "support/file.h"

namespace mcompress::ir {

/// Payloads above this stay outside the proto.
constexpr uint64_t kLargePayload = uint64_t{64} << 10;

/// Bytes of a file that are the payload of a tensor.
struct PayloadRange {
  std::shared_ptr<const support::InputFile> file;
  uint64_t offset = 0;
  uint64_t length = 0;
};

/// Walks a serialized ModelProto and returns it with every large payload replaced by an external
/// stub (location, offset, length) into `path`; the rest, unknown fields included, is copied
/// verbatim. `path` must be canonical. Throws kModel naming the byte where the file is truncated or
/// malformed. `typed_fields` gets offset -> field number of payloads that did not stand in
/// raw_data.
std::string make_skeleton(std::string_view file, const std::string& path,
                          std::vector<std::pair<uint64_t, int>>& typed_fields);

/// A serialized message in pieces: text, and payloads still in their files.
struct Rope {
  std::vector<std::variant<std::string, PayloadRange>> pieces;
  uint64_t size = 0;

  void append(std::string_view text);
  void append(PayloadRange payload);
  void append(Rope&& other);
};

/// A tensor of a serialized ModelProto, wherever in it the tensor stands.
struct WireTensor {
  std::string_view name;
  int data_type = 0;
  std::vector<int64_t> dims;
  uint64_t offset = 0, length = 0;  ///< payload as bytes of the file; length 0: none, or not in one piece
  std::string_view location;        ///< of external data; empty: none
  uint64_t external_offset = 0, external_length = 0;  ///< length 0: to the end of that file
};
/// Walks a serialized ModelProto and visits its tensors in order of the file. Throws kModel as
/// make_skeleton does.
void visit_tensors(std::string_view file, const std::function<void(const WireTensor&)>& visit);

/// What to do with one external stub when a model is written.
struct StubReplacement {
  /// Payload to inline; without a file the stub stays external with the new location below.
  PayloadRange payload;
  int field = 9;  ///< raw_data, or the typed field that it came from
  std::string location;
  uint64_t offset = 0;
};

/// Rewrites a skeleton for output: each external stub is given to `replace` (location, offset,
/// length as stored) and becomes an inline payload or another external reference.
Rope expand_skeleton(std::string_view skeleton,
                     const std::function<StubReplacement(std::string_view location, uint64_t offset,
                                                         uint64_t length)>& replace);

}  // namespace mcompress::ir
