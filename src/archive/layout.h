// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "archive/directory.h"

namespace mcompress::archive {

/// A file to be packed, and the data files that it names if it is an ONNX model.
struct SourceFile {
  std::string name;  ///< in the archive
  std::filesystem::path path;
  uint64_t size = 0;
};

/// What to put into an archive, streams still to be coded.
struct Layout {
  std::vector<SourceFile> files;
  std::vector<Part> parts;
  std::vector<std::string> labels;  ///< name of the tensor of each part; "" for the rest
};

/// Finds the payloads of a model's tensors on the wire, and among them those that encode-weights
/// wrote. A file that is no model is one rest. Data files have to lie below the model's folder, as
/// ONNX demands. Throws kModel where one is missing, kRuntime where a file cannot be read.
Layout lay_out(const std::filesystem::path& path);

}  // namespace mcompress::archive
