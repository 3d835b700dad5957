// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

/// Plan files: what each layer becomes, for people to read and edit and for recipes to take
/// (`plan: FILE`).
///
///     choices:
///       int8: {quantize-static: {where: everywhere}}
///     layers:
///       "/conv1/Conv": float     # int8: 12.3 dB, -0.8 pt, saves 1.2 kB
///       "/fc*": int8
///
/// A choice is a pass with options, laid over those of the recipe's own step. `float` leaves a
/// layer alone. Passes that some choice names act on the layers that the plan gives them and on no
/// others.
namespace mcompress::recipe {

struct PlanChoice {
  std::string name;
  std::string pass;
  std::string options;  ///< on one line: "bits: 4, rounding: mse"
};
struct PlanLine {
  std::string layer;
  std::string choice;
  std::string note;  ///< a comment behind it
};
/// Text of a plan file; reading it gives the same choices and lines. `heading`: comment lines.
std::string write_plan(const std::vector<PlanChoice>& choices, const std::vector<PlanLine>& lines,
                       const std::string& heading = "");

}  // namespace mcompress::recipe
