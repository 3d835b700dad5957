// SPDX-License-Identifier: Apache-2.0
#include "runtime/private_folder.h"

#include <spdlog/fmt/fmt.h>
#include <stdlib.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "mcompress/error.h"

namespace mcompress::runtime {

PrivateFolder::PrivateFolder() {
  std::error_code error;
  auto parent = std::filesystem::temp_directory_path(error);
  if (error) parent = "/tmp";
  std::string pattern = (parent / "mcompress-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: cannot make a temporary folder: {}", parent.string(),
                            std::generic_category().message(errno)))
        .hint("set TMPDIR to a folder that can be written");
  }
  path_ = pattern;
}

PrivateFolder::~PrivateFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace mcompress::runtime
