// SPDX-License-Identifier: Apache-2.0
#include "pipeline/load_refusal.h"

namespace mcompress {
namespace {

std::string way_out(const std::string& why) {
  const auto says = [&](const char* words) { return why.find(words) != std::string::npos; };
  if (says("two nodes with same node name")) {
    return "a recipe of shorten-names alone takes the names of nodes away: run it first, and this "
           "on its "
           "output";
  }
  if (says("not a registered") || says("No Op registered") || says("implementation")) {
    return "--ops-library FILE registers custom operators; passes that need no data work without "
           "it";
  }
  return "passes that need no data work without ONNX Runtime; for custom operators there is "
         "--ops-library FILE";
}

}  // namespace

Error load_refusal(const std::filesystem::path& path, const std::string& why) {
  Error error(ErrorCode::kModel, path.string() + ": does not load in ONNX Runtime: " + why);
  error.hint(way_out(why));
  return error;
}

}  // namespace mcompress
