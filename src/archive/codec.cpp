// SPDX-License-Identifier: Apache-2.0
#include "archive/codec.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "archive/damage.h"
#include "archive/symbol_model.h"
#include "numerics/entropy.h"
#include "support/hash.h"

namespace mcompress::archive {
namespace {

/// Above this, coders are tried on samples.
constexpr size_t kTryWhole = size_t{512} << 10;
/// Fewer bytes than this look uneven by chance.
constexpr size_t kEnoughForEvenness = size_t{16} << 10;
constexpr size_t kSamples = 4, kSampleBytes = size_t{64} << 10;
/// zstd expands a byte to at most its window a few times over; real data stays far below.
constexpr uint64_t kZstdRatio = 1 << 20;

std::span<const uint8_t> as_octets(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

std::span<uint8_t> as_octets(std::span<std::byte> bytes) {
  return {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()};
}

SymbolShape byte_matrix(uint64_t count, uint64_t row_length) {
  return {count, 256, std::max<uint64_t>(row_length, 1)};
}

std::vector<std::byte> encode_zstd(std::span<const std::byte> bytes, int level) {
  std::vector<std::byte> out(ZSTD_compressBound(bytes.size()));
  const size_t size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), level);
  if (ZSTD_isError(size) != 0) {
    throw Error(ErrorCode::kRuntime, fmt::format("zstd: {}", ZSTD_getErrorName(size)));
  }
  out.resize(size);
  return out;
}

std::vector<std::byte> encode_with(Coder coder, std::span<const std::byte> bytes,
                                   const CodecHints& hints) {
  switch (coder) {
    case Coder::kZstd:
      return encode_zstd(bytes, hints.zstd_level);
    case Coder::kOrder0:
      return encode_order0(as_octets(bytes));
    case Coder::kMixing:
      return encode_symbols(as_octets(bytes), byte_matrix(bytes.size(), hints.row_length));
    case Coder::kRaw:
      break;
  }
  return {bytes.begin(), bytes.end()};
}

/// Some of `bytes`, evenly spread.
std::vector<std::byte> sample_of(std::span<const std::byte> bytes) {
  std::vector<std::byte> sample;
  for (size_t i = 0; i < kSamples; ++i) {
    const size_t at = (bytes.size() - kSampleBytes) / (kSamples - 1) * i;
    const auto part = bytes.subspan(at, kSampleBytes);
    sample.insert(sample.end(), part.begin(), part.end());
  }
  return sample;
}

/// Some coders cannot gain on bytes that are all equally frequent, as those of mantissas: not worth
/// the time.
std::vector<Coder> candidates(std::span<const std::byte> bytes, const CodecHints& hints) {
  std::array<int64_t, 256> counts{};
  for (const std::byte byte : bytes) ++counts[static_cast<size_t>(byte)];
  const bool even = numerics::entropy_bits(counts) > 7.92 * static_cast<double>(bytes.size());
  if (even && bytes.size() >= kEnoughForEvenness) return {Coder::kZstd};
  if (!hints.matrix) return {Coder::kZstd, Coder::kOrder0};
  return {Coder::kZstd, Coder::kOrder0, Coder::kMixing};
}

CodedBytes smallest(std::span<const std::byte> bytes, const CodecHints& hints,
                    const std::vector<Coder>& coders, size_t limit) {
  CodedBytes best{Coder::kRaw, {}};
  for (const Coder coder : coders) {
    auto coded = encode_with(coder, bytes, hints);
    if (coded.size() >= limit) continue;
    limit = coded.size();
    best = {coder, std::move(coded)};
  }
  return best;
}

}  // namespace

CodedBytes encode_bytes(std::span<const std::byte> bytes, const CodecHints& hints) {
  auto coders = candidates(bytes, hints);
  if (bytes.size() > kTryWhole) {
    const auto sample = sample_of(bytes);
    // A gain below one per cent is not worth the time.
    const auto best = smallest(sample, hints, coders, sample.size() - sample.size() / 100);
    coders = {best.coder};
    // Mixing is many times slower than order 0: it has to earn that.
    if (best.coder == Coder::kMixing) {
      const size_t order0 = encode_with(Coder::kOrder0, sample, hints).size();
      if (best.bytes.size() > order0 - order0 / 100) coders = {Coder::kOrder0};
    }
  }
  auto best = smallest(bytes, hints, coders, bytes.size());
  if (best.coder == Coder::kRaw) best.bytes.assign(bytes.begin(), bytes.end());
  return best;
}

void decode_bytes(Coder coder, std::span<const std::byte> stream, uint64_t row_length,
                  std::span<std::byte> out) {
  check_stream(coder, stream.size(), out.size());
  switch (coder) {
    case Coder::kRaw:
      std::copy(stream.begin(), stream.end(), out.begin());
      return;
    case Coder::kZstd: {
      const size_t size = ZSTD_decompress(out.data(), out.size(), stream.data(), stream.size());
      if (ZSTD_isError(size) != 0 || size != out.size()) {
        throw damaged("a zstd stream does not hold its data");
      }
      return;
    }
    case Coder::kOrder0:
      return decode_order0(stream, as_octets(out));
    case Coder::kMixing:
      return decode_symbols(stream, byte_matrix(out.size(), row_length), as_octets(out));
  }
}

void check_stream(Coder coder, uint64_t stored, uint64_t plain) {
  bool possible = false;
  switch (coder) {
    case Coder::kRaw:
      possible = stored == plain;
      break;
    case Coder::kZstd:
      possible = stored > 0 && plain / kZstdRatio <= stored;
      break;
    case Coder::kOrder0:
    case Coder::kMixing:
      // Eight bits or more to a byte; one where it is zero.
      possible = plain <= stored * 32768 + 65536;
      break;
  }
  if (!possible) {
    throw damaged(fmt::format("a stream of {} bytes cannot hold {}", stored, plain));
  }
}

uint32_t stream_checksum(std::span<const std::byte> stream) {
  return static_cast<uint32_t>(support::hash128(stream).low);
}

}  // namespace mcompress::archive
