// SPDX-License-Identifier: Apache-2.0
#include "opset/service.h"

#include "opset/raise.h"

namespace mcompress {
namespace {

class Raiser final : public OpsetService {
 public:
  bool raise(Model& model, int64_t version, const ValueTypes& types) override {
    return raise_opset(model, version, types).changed();
  }
};

}  // namespace

std::shared_ptr<OpsetService> make_opset_service() { return std::make_shared<Raiser>(); }

}  // namespace mcompress
