// SPDX-License-Identifier: Apache-2.0
//
// Runs a model on samples and writes what it computes: the part of a comparison of processors that
// is emulated, so it does nothing else.
//
//   qemu_runner MODEL INPUT OUTPUT     INPUT: float32 of the one input of the model, sample after
//   sample
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "mcompress/error.h"
#include "mcompress/runtime_service.h"

namespace {

using namespace mcompress;

void run(const std::string& model_file, const std::string& input_file,
         const std::string& output_file) {
  const auto runtime = make_onnx_runtime();
  const auto session = runtime->open(Model::load(model_file));
  const ValueInfo& input = session->inputs().front();
  Shape shape = input.shape;
  for (int64_t& d : shape) d = d < 0 ? 1 : d;
  std::ifstream in(input_file, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const auto* const values = reinterpret_cast<const float*>(bytes.data());
  const auto count = static_cast<size_t>(element_count(shape));
  std::ofstream out(output_file, std::ios::binary);
  for (size_t at = 0; at + count <= bytes.size() / sizeof(float); at += count) {
    const std::vector<float> sample(values + at, values + at + count);
    for (const Tensor& tensor : session->run({{input.name, Tensor::from<float>(shape, sample)}})) {
      out.write(reinterpret_cast<const char*>(tensor.bytes().data()),
                static_cast<std::streamsize>(tensor.byte_size()));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: qemu_runner MODEL INPUT OUTPUT\n", stderr);
    return 2;
  }
  try {
    run(argv[1], argv[2], argv[3]);
    return 0;
  } catch (const mcompress::Error& error) {
    std::fprintf(stderr, "%s\n", error.message().c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 1;
}
