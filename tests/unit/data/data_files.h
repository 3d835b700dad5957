// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mcompress/dataset.h"
#include "mcompress/error.h"

namespace mcompress::data_test {

/// A folder of its own for each test, removed afterwards.
class DataTest : public testing::Test {
 protected:
  DataTest() {
    static std::atomic<int> counter{0};
    folder_ =
        std::filesystem::temp_directory_path() /
        fmt::format("mcompress-data-{}-{}-{}", testing::UnitTest::GetInstance()->random_seed(),
                    static_cast<long>(::getpid()), counter++);
    std::filesystem::create_directories(folder_);
  }
  ~DataTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    const std::filesystem::path path = folder_ / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  std::filesystem::path folder_;
};

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

inline std::string little(uint64_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xff);
  return bytes;
}

inline std::string big(uint64_t value, int count) {
  const std::string bytes = little(value, count);
  return {bytes.rbegin(), bytes.rend()};
}

/// .npy bytes, version 1 or above.
inline std::string npy(const std::string& descr, const std::string& shape, const std::string& data,
                       bool fortran = false, int version = 1) {
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': ({}), }}\n",
                                   descr, fortran ? "True" : "False", shape);
  return std::string("\x93NUMPY") + static_cast<char>(version) + '\0' +
         little(header.size(), version == 1 ? 2 : 4) + header + data;
}

inline std::string deflated(const std::string& bytes, int window_bits) {
  z_stream stream = {};
  deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  std::string in = bytes;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

/// A zip file written by hand: sizes in the directory, optionally as zip64.
inline std::string zip(const std::vector<std::pair<std::string, std::string>>& entries,
                       bool deflate, bool zip64 = false) {
  std::string file, directory;
  for (const auto& [name, content] : entries) {
    const std::string data = deflate ? deflated(content, -15) : content;
    const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size());
    const uint64_t offset = file.size();
    const std::string method = little(deflate ? 8 : 0, 2);
    file += "PK\x03\x04" + little(20, 2) + little(0, 2) + method + little(0, 4) + little(crc, 4) +
            little(data.size(), 4) + little(content.size(), 4) + little(name.size(), 2) +
            little(0, 2) + name + data;
    const std::string extra = zip64 ? little(1, 2) + little(24, 2) + little(content.size(), 8) +
                                          little(data.size(), 8) + little(offset, 8)
                                    : "";
    constexpr uint64_t kInExtra = 0xffffffff;
    directory += "PK\x01\x02" + little(45, 2) + little(20, 2) + little(0, 2) + method +
                 little(0, 4) + little(crc, 4) + little(zip64 ? kInExtra : data.size(), 4) +
                 little(zip64 ? kInExtra : content.size(), 4) + little(name.size(), 2) +
                 little(extra.size(), 2) + little(0, 2) + little(0, 4) + little(0, 4) +
                 little(zip64 ? kInExtra : offset, 4) + name + extra;
  }
  const uint64_t at = file.size();
  file += directory;
  if (zip64) {
    const uint64_t record = file.size();
    file += "PK\x06\x06" + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 4) +
            little(0, 4) + little(entries.size(), 8) + little(entries.size(), 8) +
            little(directory.size(), 8) + little(at, 8);
    file += "PK\x06\x07" + little(0, 4) + little(record, 8) + little(1, 4);
  }
  file += "PK\x05\x06" + little(0, 4) + little(zip64 ? 0xffff : entries.size(), 2) +
          little(zip64 ? 0xffff : entries.size(), 2) +
          little(zip64 ? 0xffffffff : directory.size(), 4) + little(zip64 ? 0xffffffff : at, 4) +
          little(0, 2);
  return file;
}

inline ValueInfo input(const std::string& name, DataType type, Shape shape) {
  ValueInfo info;
  info.name = name;
  info.type = type;
  info.has_shape = true;
  info.dim_params.resize(shape.size());
  info.shape = std::move(shape);
  return info;
}

inline DataSource source(const std::filesystem::path& path,
                         std::map<std::string, std::string> options = {}) {
  DataSource source;
  source.path = path;
  source.options = std::move(options);
  source.origin = "--data calibration";
  return source;
}

/// Message and hint of the Error that `open` throws, with the code before it: "5: x: ...".
template <class F>
std::string error_of(F&& open) {
  try {
    open();
  } catch (const Error& error) {
    return fmt::format("{}: {} ({})", static_cast<int>(error.code()), error.message(),
                       error.hint());
  }
  return "no error";
}

inline std::vector<float> floats(const Tensor& tensor) { return tensor.to_float(); }

}  // namespace mcompress::data_test
