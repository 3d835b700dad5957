// SPDX-License-Identifier: Apache-2.0
// Rows of the operators that move values: shapes, indices, resizing.
#include "op_rows.h"

namespace mcompress::train {
namespace {

std::vector<OpRow> resize_rows() {
  std::vector<OpRow> rows;
  const std::string x = "float[1,2,5,6] x";
  const std::string up = "float[4] s = {1, 1, 2, 1.5}", down = "float[4] s = {1, 1, 0.6, 0.5}";
  const std::string sizes = "int64[4] n = {1, 2, 7, 4}";
  for (const char* const mode : {"nearest", "linear", "cubic"}) {
    const std::string m = std::string("mode=\"") + mode + "\"";
    for (const char* const coordinates :
         {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"}) {
      const std::string all = m + ",coordinate_transformation_mode=\"" + coordinates + "\"";
      rows.push_back({"Resize", x, "Resize<" + all + ">(x, , s)", up});
      rows.push_back({"Resize", x, "Resize<" + all + ">(x, , s)", down});
      rows.push_back({"Resize", x, "Resize<" + all + ">(x, , , n)", sizes});
    }
  }
  for (const char* const nearest : {"floor", "ceil", "round_prefer_ceil"}) {
    rows.push_back(
        {"Resize", x, std::string("Resize<nearest_mode=\"") + nearest + "\">(x, , s)", up});
  }
  const std::string crop = "mode=\"linear\",coordinate_transformation_mode=\"tf_crop_and_resize\"";
  rows.push_back({"Resize", x, "Resize<" + crop + ",extrapolation_value=3.5>(x, r, , n)",
                  sizes + ", float[8] r = {0, 0, 0.1, 0.2, 1, 1, 1.3, 0.8}"});
  rows.push_back({"Resize", x, "Resize<mode=\"cubic\",exclude_outside=1>(x, , s)", up});
  rows.push_back({"Resize", x, "Resize<mode=\"linear\",antialias=1>(x, , s)", down, -1, 1, 18});
  rows.push_back({"Resize", x, "Resize<mode=\"cubic\",antialias=1>(x, , s)", down, -1, 1, 18});
  rows.push_back({"Resize", x, "Resize<mode=\"linear\",axes=[3,2]>(x, , , n)",
                  "int64[2] n = {9, 8}", -1, 1, 18});
  rows.push_back({"Resize", x,
                  "Resize<mode=\"linear\",axes=[2,3],keep_aspect_ratio_policy=\"not_larger\">"
                  "(x, , , n)",
                  "int64[2] n = {9, 8}", -1, 1, 18});
  rows.push_back({"Resize", x, "Resize<mode=\"linear\">(x, s)", up, -1, 1, 10});
  rows.push_back({"Resize", x, "Resize(x, s)", up, -1, 1, 10});
  rows.push_back(
      {"Upsample", x, "Upsample<mode=\"linear\">(x, s)", "float[4] s = {1, 1, 2, 2}", -1, 1, 9});
  rows.push_back({"Upsample", x, "Upsample<scales=[1.0,1.0,2.0,3.0]>(x)", "", -1, 1, 7});
  return rows;
}

std::vector<OpRow> constant_rows() {
  const std::string x = "float[2] unread", integers = "int64[] y";
  return {
      {"Constant", x, "Constant<value = float[3] {1, 2, 3}>()"},
      {"Constant", x, "Constant<value_float=2.5>()"},
      {"Constant", x, "Constant<value_floats=[2.5,1.0]>()"},
      {"Constant", x, "Constant<value_int=3>()", "", -1, 1, 17, integers},
      {"Constant", x, "Constant<value_ints=[3,4]>()", "", -1, 1, 17, integers},
      {"ConstantOfShape", x, "ConstantOfShape(n)", "int64[2] n = {2, 3}"},
      {"ConstantOfShape", x, "ConstantOfShape<value = int64[1] {5}>(n)", "int64[1] n = {3}", -1, 1,
       17, integers},
      {"Range", x, "Range(a, b, c)", "float a = {1}, float b = {4.2}, float c = {0.5}"},
      {"Range", x, "Range(a, b, c)", "int64 a = {9}, int64 b = {2}, int64 c = {-3}", -1, 1, 17,
       integers},
      {"EyeLike", "float[3,4] x", "EyeLike<k=1>(x)"},
      {"EyeLike", "float[3,4] x", "EyeLike<k=-1,dtype=7>(x)", "", -1, 1, 17, integers},
  };
}

}  // namespace

std::vector<OpRow> shape_rows() {
  const std::string x = "float[2,3,4] x", one = "float[1,3,1,2] x", image = "float[1,8,4,6] x";
  const std::string integers = "int64[] y";
  std::vector<OpRow> rows = {
      {"Identity", x, "Identity(x)"},
      {"Reshape", x, "Reshape(x, n)", "int64[2] n = {0, -1}"},
      {"Reshape", x, "Reshape(x, n)", "int64[4] n = {4, 3, 1, 2}"},
      {"Transpose", x, "Transpose(x)"},
      {"Transpose", x, "Transpose<perm=[1,2,0]>(x)"},
      {"Flatten", x, "Flatten(x)"},
      {"Flatten", x, "Flatten<axis=-1>(x)"},
      {"Flatten", x, "Flatten<axis=0>(x)"},
      {"Squeeze", one, "Squeeze(x)"},
      {"Squeeze", one, "Squeeze(x, a)", "int64[1] a = {-2}"},
      {"Squeeze", one, "Squeeze<axes=[0]>(x)", "", -1, 1, 11},
      {"Unsqueeze", x, "Unsqueeze(x, a)", "int64[2] a = {-1, 0}"},
      {"Unsqueeze", x, "Unsqueeze<axes=[1]>(x)", "", -1, 1, 11},
      {"Expand", "float[3,1] x", "Expand(x, n)", "int64[3] n = {2, 1, 4}"},
      {"Tile", x, "Tile(x, n)", "int64[3] n = {1, 2, 3}"},
      {"Shape", x, "Shape(x)", "", -1, 1, 17, integers},
      {"Shape", x, "Shape<start=-2,end=9>(x)", "", -1, 1, 17, integers},
      {"Size", x, "Size(x)", "", -1, 1, 17, integers},
      {"DepthToSpace", image, "DepthToSpace<blocksize=2>(x)"},
      {"DepthToSpace", image, "DepthToSpace<blocksize=2,mode=\"CRD\">(x)"},
      {"SpaceToDepth", image, "SpaceToDepth<blocksize=2>(x)"},
      {"Trilu", x, "Trilu(x)"},
      {"Trilu", x, "Trilu<upper=0>(x, k)", "int64 k = {1}"},
  };
  for (const auto& more : {constant_rows(), resize_rows()}) {
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

std::vector<OpRow> index_rows() {
  const std::string x = "float[3,4,5] x", all = "x, b, e, a, s";
  const std::string scatter = "float[4,3] x, float[2,2] u";
  const std::string places = "int64[2,2] i = {3, -3, 0, 2}";
  std::vector<OpRow> rows = {
      {"Concat", "float[2,3] x, float[2,1] z, float[2,2] v", "Concat<axis=-1>(x, z, v)"},
      {"Split", x, "Split<axis=2>(x, n)", "int64[2] n = {2, 3}", -1, 1, 17, "float[] y, float[] z"},
      {"Split", x, "Split<axis=1>(x)", "", -1, 1, 17, "float[] y, float[] z"},
      {"Split", x, "Split<axis=-1,split=[1,4]>(x)", "", -1, 1, 11, "float[] y, float[] z"},
      {"Split", x, "Split<axis=2,num_outputs=2>(x)", "", -1, 1, 18, "float[] y, float[] z"},
      {"Slice", x, "Slice(x, b, e)", "int64[2] b = {1, -3}, int64[2] e = {9, -1}"},
      {"Slice", x, "Slice(" + all + ")",
       "int64[2] b = {-1, 0}, int64[2] e = {-99, 9}, int64[2] a = {-1, 1}, int64[2] s = {-2, 3}"},
      {"Slice", x, "Slice(" + all + ")",
       "int64[1] b = {2}, int64[1] e = {-9223372036854775807}, int64[1] a = {0}, "
       "int64[1] s = {-1}"},
      {"Slice", x, "Slice<starts=[1],ends=[3],axes=[1]>(x)", "", -1, 1, 9},
      {"Gather", x, "Gather(x, i)", "int64[2,2] i = {0, -1, 2, 0}"},
      {"Gather", x, "Gather<axis=-2>(x, i)", "int32 i = {2}"},
      {"GatherElements", x, "GatherElements<axis=1>(x, i)", "int64[1,2,2] i = {0, -1, 3, 2}"},
      {"GatherND", x, "GatherND(x, i)", "int64[2,2] i = {0, -1, 2, 3}"},
      {"GatherND", x, "GatherND<batch_dims=1>(x, i)", "int64[3,2,1] i = {0, -1, 2, 3, 0, 1}"},
      {"Scatter", scatter, "Scatter<axis=0>(x, i, u)", places, -1, 1, 9},
      {"ScatterElements", scatter, "ScatterElements(x, i, u)", places},
      {"ScatterND", "float[4,3] x, float[2,3] u", "ScatterND(x, i, u)", "int64[2,1] i = {2, 0}"},
      {"Pad", x, "Pad(x, p, v)", "int64[6] p = {1, 0, 2, 0, -1, 1}, float v = {0.5}"},
      {"Pad", x, "Pad<pads=[1,0,2,0,1,1],value=0.5>(x)", "", -1, 1, 9},
      {"Pad", x, "Pad<mode=\"reflect\">(x, p)", "int64[6] p = {1, 0, 3, 0, 2, 1}"},
      {"Pad", x, "Pad<mode=\"edge\">(x, p)", "int64[6] p = {1, 0, 3, 0, 2, 1}"},
      {"Pad", x, "Pad<mode=\"wrap\">(x, p)", "int64[6] p = {1, 0, 3, 0, 2, 1}", -1, 1, 19},
      {"Pad", x, "Pad(x, p, , a)", "int64[2] p = {1, 2}, int64[1] a = {-1}", -1, 1, 18},
      {"OneHot", "float[2] v", "OneHot(i, d, v)", "int64[3] i = {1, -1, 0}, int64 d = {3}"},
      {"OneHot", "float[2] v", "OneHot<axis=0>(i, d, v)", "int64[3] i = {1, 7, 0}, int64 d = {3}"},
      {"NonZero", x, "NonZero(i)", "int64[2,3] i = {1, 0, 3, 0, 0, 6}", -1, 1, 17, "int64[] y"},
      {"Compress", x, "Compress<axis=1>(x, c)", "bool[3] c = {0, 1, 1}"},
      {"Compress", x, "Compress(x, c)", "bool[4] c = {0, 1, 1, 0}"},
  };
  rows.push_back({"ReverseSequence", x, "ReverseSequence(x, n)", "int64[4] n = {1, 3, 2, 3}"});
  rows.push_back({"ReverseSequence", x, "ReverseSequence<time_axis=1,batch_axis=0>(x, n)",
                  "int64[3] n = {4, 1, 3}"});
  for (const char* const how :
       {"", "<align_corners=1>", "<mode=\"nearest\",padding_mode=\"border\">",
        "<mode=\"bicubic\",padding_mode=\"reflection\">"}) {
    rows.push_back({"GridSample", "float[1,2,5,4] x, float[1,3,2,2] g",
                    std::string("GridSample") + how + "(x, g)"});
  }
  for (const char* const reduction : {"add", "mul", "max", "min"}) {
    const std::string how = std::string("<reduction=\"") + reduction + "\">(x, i, u)";
    rows.push_back({"ScatterElements", scatter, "ScatterElements" + how,
                    "int64[2,2] i = {3, -3, 3, 2}", -1, 1, 18});
    rows.push_back({"ScatterND", "float[4,3] x, float[2,3] u", "ScatterND" + how,
                    "int64[2,1] i = {2, 2}", -1, 1, 18});
  }
  return rows;
}

}  // namespace mcompress::train
