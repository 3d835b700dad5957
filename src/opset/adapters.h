// SPDX-License-Identifier: Apache-2.0
// The rewrites behind rules.cpp. Each is named after the operator and the version it leads to.
#pragma once

#include "opset/rules.h"

namespace mcompress::opset {

// adapt_attributes.cpp: attributes that became inputs, and back.
void clip_11(Context& context, NodeRef node);
void dft_20(Context& context, NodeRef node);
void dropout_12(Context& context, NodeRef node);
void pad_11(Context& context, NodeRef node);
void reduce_axes(Context& context, NodeRef node);  ///< also Squeeze and Unsqueeze
void slice_10(Context& context, NodeRef node);
void split_13(Context& context, NodeRef node);
void split_18(Context& context, NodeRef node);
void topk_10(Context& context, NodeRef node);

// adapt_softmax.cpp
void softmax_13(Context& context, NodeRef node);  ///< also LogSoftmax and Hardmax

// adapt_resize.cpp
void upsample_9(Context& context, NodeRef node);
void upsample_10(Context& context, NodeRef node);
void resize_11(Context& context, NodeRef node);

// adapt_misc.cpp
void batch_normalization_9(Context& context, NodeRef node);
void batch_normalization_14(Context& context, NodeRef node);
void dropout_10(Context& context, NodeRef node);
void grid_sample_20(Context& context, NodeRef node);
void roi_align_16(Context& context, NodeRef node);
void scatter_11(Context& context, NodeRef node);

/// Throws Unsupported with the node's label before the reason.
[[noreturn]] void refuse(NodeRef node, std::string_view reason);
/// True when anybody reads output `index` of the node.
bool is_read(NodeRef node, int index);

}  // namespace mcompress::opset
