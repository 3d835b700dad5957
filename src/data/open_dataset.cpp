// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "data/byte_source.h"
#include "data/names.h"
#include "data/readers.h"
#include "mcompress/dataset.h"
#include "mcompress/error.h"
#include "support/did_you_mean.h"

namespace mcompress {
namespace {

namespace fs = std::filesystem;
using Reader = std::shared_ptr<const Dataset> (*)(const DataSource&, const data::Inputs&);

struct KindReader {
  std::string_view kind;
  Reader open;
};
constexpr KindReader kReaders[] = {
    {"npz", data::open_npz},       {"npy", data::open_npy}, {"idx", data::open_idx},
    {"images", data::open_images}, {"csv", data::open_csv}, {"onnx-tests", data::open_onnx_tests},
    {"random", data::open_random},
};

Reader find_reader(const DataSource& source) {
  std::vector<std::string> known;
  for (const KindReader& reader : kReaders) {
    if (reader.kind == source.kind) return reader.open;
    known.emplace_back(reader.kind);
  }
  throw Error(ErrorCode::kRecipe,
              fmt::format("{}: '{}' is no kind of data", source.origin, source.kind))
      .hint(did_you_mean(source.kind, known));
}

std::string kind_of_folder(const fs::path& path) {
  return data::looks_like_onnx_tests(path) ? "onnx-tests" : "images";
}

std::string kind_of_file(const fs::path& path) {
  const support::InputFile file(path, ErrorCode::kData);
  if (file.size() == 0) throw Error(ErrorCode::kData, path.string() + ": empty");
  std::array<std::byte, 6> start = {};
  const size_t have = std::min<size_t>(start.size(), file.size());
  file.read(0, std::span(start).first(have));
  const std::string_view begin(reinterpret_cast<const char*>(start.data()), have);
  if (begin.starts_with("PK")) return "npz";
  if (begin == "\x93NUMPY") return "npy";
  if (data::looks_like_idx(path)) return "idx";
  // What the content does not tell, the name may: its reader then says what is wrong with the
  // content.
  const std::string extension = path.extension().string();
  if (extension == ".npz" || extension == ".npy" || extension == ".csv") return extension.substr(1);
  if (extension == ".tsv" || extension == ".txt") return "csv";
  if (extension == ".gz") return "idx";
  if (data::is_image_name(path)) return "images";
  throw Error(ErrorCode::kData, fmt::format("{}: no kind of data that is known", path.string()))
      .hint("give an .npz, .npy, .csv or IDX file, or a folder of images or test_data_set_*");
}

std::string choose_kind(const DataSource& source) {
  if (source.path.empty() && source.files.count("images") != 0) return "idx";
  std::error_code error;
  const fs::file_status status = fs::status(source.path, error);
  if (!fs::exists(status)) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: no such file or folder{}", source.path.string(),
                            source.origin.empty() ? "" : " (" + source.origin + ")"));
  }
  return fs::is_directory(status) ? kind_of_folder(source.path) : kind_of_file(source.path);
}

/// Every kind but these reads `path`; a folder where a file belongs has its own words.
void require_path(const DataSource& source) {
  if (source.kind == "random" || source.kind == "idx") return;
  if (source.path.empty()) {
    throw Error(ErrorCode::kRecipe,
                fmt::format("{}: {} data without a path", source.origin, source.kind));
  }
  std::error_code error;
  if (!fs::exists(source.path, error)) {
    throw Error(ErrorCode::kData, fmt::format("{}: no such file or folder", source.path.string()));
  }
}

}  // namespace

std::shared_ptr<const Dataset> open_dataset(const DataSource& source,
                                            const std::vector<ValueInfo>& inputs) {
  DataSource chosen = source;
  if (chosen.kind.empty()) chosen.kind = choose_kind(source);
  const Reader open = find_reader(chosen);
  require_path(chosen);
  if (inputs.empty())
    throw Error(ErrorCode::kData, chosen.origin + ": the model has no inputs to feed");
  try {
    return open(chosen, inputs);
  } catch (const fs::filesystem_error& error) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: {}", error.path1().string(), error.code().message()));
  }
}

}  // namespace mcompress
