// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mcompress::tool {

/// OpenBLAS chooses its kernels when it is loaded, and takes those of a CPU of 2004 for one that is
/// newer than itself. Where that happened, and the command computes, the program starts itself
/// again with OPENBLAS_CORETYPE set to what the CPU can do. A value that is set already stands.
void prefer_fast_blas(int argc, char** argv);

}  // namespace mcompress::tool
