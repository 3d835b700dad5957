// SPDX-License-Identifier: Apache-2.0
// What libmcompress-train.so exports; src/pipeline/open_trainer.cpp looks for it.
#include <memory>

#include "train/make_trainer.h"

extern "C" {

const char* mcompress_trainer_version() { return MCOMPRESS_VERSION; }

/// Fills in a trainer; whoever calls it was built from the same version.
void mcompress_make_trainer(std::shared_ptr<mcompress::Trainer>* trainer) {
  *trainer = mcompress::train::make_trainer();
}
}
