// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "mcompress/trainer.h"

namespace mcompress::train {

std::shared_ptr<Trainer> make_trainer();

}  // namespace mcompress::train
