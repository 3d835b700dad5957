// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "evaluation/scorer_kinds.h"
#include "mcompress/error.h"

namespace mcompress::evaluation {
namespace {

/// Everything make_scorer's rules look at, and the way they fail.
struct Request {
  const MetricInfo& info;
  const OutputProfile& output;
  const LabelProfile& labels;
  const std::string& data;

  [[noreturn]] void fail(const std::string& why, const std::string& hint = "") const {
    throw Error(ErrorCode::kData, fmt::format("{}: {} of {}: {}", info.name,
                                              labels.present ? "labels" : "data", data, why))
        .hint(hint);
  }
  std::string shapes() const {
    return fmt::format("labels of shape {} a sample, output '{}' of shape {}",
                       to_string(labels.row), output.name, to_string(output.row));
  }
  void require_ids() const {
    if (!labels.integer) fail("numbers with fractions (float), class ids (integers) are needed");
  }
  void require_range(int64_t least, int64_t most) const {
    if (labels.least >= least && labels.largest <= most) return;
    const bool from_one = labels.least == 1 && labels.largest == most + 1;
    fail(fmt::format("{} to {}, the output has classes {} to {}", labels.least, labels.largest,
                     std::max<int64_t>(least, 0), most),
         from_one ? "labels count from 0: subtract 1 from each of them" : "");
  }
};

std::unique_ptr<Scorer> make_top(const Request& request) {
  request.require_ids();
  const bool is_value = natural_decision(request.output) == DecisionKind::kValue;
  const size_t size = request.output.row_size();
  if (request.labels.row_size() != 1 || (is_value ? size != 1 : size < 2))
    request.fail(request.shapes());
  if (!is_value) request.require_range(0, static_cast<int64_t>(size) - 1);
  if (request.info.name == "top5" && is_value)
    request.fail("the output is a class already, not scores");
  const size_t most = request.info.name == "top5" ? 5 : 1;
  return top_scorer(request.info, is_value ? DecisionKind::kValue : DecisionKind::kClass, most);
}

std::unique_ptr<Scorer> make_accuracy(const Request& request) {
  request.require_ids();
  const size_t size = request.output.row_size();
  if (size == request.labels.row_size()) {
    request.require_range(-1, 1);
    return accuracy_scorer(request.info);
  }
  return make_top(request);
}

std::unique_ptr<Scorer> make_f1(const Request& request) {
  request.require_ids();
  const size_t size = request.output.row_size();
  if (size == request.labels.row_size()) {
    const bool is_value = natural_decision(request.output) == DecisionKind::kValue;
    const auto decision = is_value ? DecisionKind::kValue : DecisionKind::kThreshold;
    return overlap_scorer(request.info, decision, Overlap::kF1, 1, true);
  }
  if (request.labels.row_size() != 1 || size < 2) request.fail(request.shapes());
  request.require_range(0, static_cast<int64_t>(size) - 1);
  return overlap_scorer(request.info, DecisionKind::kClass, Overlap::kF1, size, false);
}

/// Classes and places of an output that decides at each place, checked against the labels' places.
std::unique_ptr<Scorer> make_iou(const Request& request) {
  request.require_ids();
  const size_t size = request.output.row_size(), places = request.labels.row_size();
  if (places == 0 || size % places != 0) request.fail(request.shapes());
  const size_t classes = size / places;
  if (classes == 1) {
    return overlap_scorer(request.info, DecisionKind::kThreshold, Overlap::kIou, 1, true);
  }
  return overlap_scorer(request.info, DecisionKind::kPositions, Overlap::kIou, classes, false);
}

std::unique_ptr<Scorer> make_ctc(const Request& request) {
  request.require_ids();
  const Decider decider(DecisionKind::kSequence, request.output);
  if (request.output.squeezed().size() < 2) request.fail(request.shapes());
  request.require_range(-1, decider.classes() - 1);
  if (request.info.name == "ctc-cer") {
    return ctc_error_scorer(request.info);
  }
  return ctc_exact_scorer(request.info);
}

std::unique_ptr<Scorer> make_auc(const Request& request) {
  request.require_ids();
  const size_t size = request.output.row_size();
  if (request.labels.row_size() != 1 || size == 0 || size > 2) request.fail(request.shapes());
  request.require_range(-1, 1);
  return auc_scorer(request.info, size - 1);
}

std::unique_ptr<Scorer> make_perplexity(const Request& request) {
  request.require_ids();
  const size_t size = request.output.row_size(), places = request.labels.row_size();
  if (places == 0 || size % places != 0 || size / places < 2) request.fail(request.shapes());
  const size_t classes = size / places;
  request.require_range(-1, static_cast<int64_t>(classes) - 1);
  return perplexity_scorer(request.info, classes);
}

DecisionKind agreement_decision(const OutputProfile& output, const LabelProfile& labels) {
  const DecisionKind natural = natural_decision(output);
  const bool sequences =
      labels.present && labels.integer && labels.row_size() > 1 && output.squeezed().size() == 2;
  if (sequences && natural != DecisionKind::kValue) return DecisionKind::kSequence;
  if (natural != DecisionKind::kNone) return natural;
  // Asked for on an output that is no decision by itself: the largest of each place, or yes and no.
  return output.squeezed().size() >= 2 ? DecisionKind::kPositions : DecisionKind::kThreshold;
}

}  // namespace

void place_classes(OutputProfile& output, const LabelProfile& labels) {
  const Shape row = output.squeezed();
  const size_t places = labels.present ? labels.row_size() : 0;
  if (places < 2 || row.size() < 3 || output.row_size() % places != 0) return;
  const auto classes = static_cast<int64_t>(output.row_size() / places);
  if (row.front() == classes && row.back() != classes) output.classes_first = true;
  if (row.back() == classes && row.front() != classes) output.classes_first = false;
}

std::unique_ptr<Scorer> make_scorer(const MetricInfo& info, const OutputProfile& output,
                                    const LabelProfile& labels, const std::string& data) {
  const Request request{info, output, labels, data};
  if (info.needs_labels && !labels.present) {
    throw Error(ErrorCode::kData, fmt::format("{}: {} has no labels", info.name, data))
        .hint("add labels beside the inputs, or use metric agreement or sqnr");
  }
  if (output.row_size() == 0) request.fail("the output '" + output.name + "' is empty");
  if (info.name == "top1" || info.name == "top5") return make_top(request);
  if (info.name == "accuracy") return make_accuracy(request);
  if (info.name == "auc") return make_auc(request);
  if (info.name == "f1") return make_f1(request);
  if (info.name == "iou") return make_iou(request);
  if (info.name == "perplexity") return make_perplexity(request);
  if (info.name == "ctc-exact" || info.name == "ctc-cer") return make_ctc(request);
  if (info.name == "cosine") return cosine_scorer(info);
  if (info.name == "sqnr") return sqnr_scorer(info);
  if (info.name == "agreement") {
    return agreement_scorer(info, agreement_decision(output, labels));
  }
  if (info.name == "mse" || info.name == "mae") {
    const bool fits = labels.present && labels.row_size() == output.row_size();
    return error_scorer(info, info.name == "mse", fits);
  }
  throw Error(ErrorCode::kBug, fmt::format("metric {} has no implementation", info.name));
}

Choice choose_metric(const OutputProfile& output, const LabelProfile& labels) {
  const Shape row = output.squeezed();
  const size_t size = output.row_size();
  const DecisionKind natural = natural_decision(output);
  if (labels.present && labels.integer) {
    const bool one = labels.row_size() == 1;
    if (one && row.size() == 1 && is_floating(output.type)) {
      return {"top1", fmt::format("labels and an output of {} classes", size)};
    }
    if (one && size == 1 && natural == DecisionKind::kValue)
      return {"top1", "labels and an output that is a class"};
    if (one && size == 1) return {"accuracy", "labels and an output of one value"};
    if (!one && row.size() == 2 && labels.least >= -1) {
      return {"ctc-exact",
              fmt::format("labels are sequences, the output is {} places of {} classes", row[0],
                          row[1])};
    }
    if (!one && labels.row_size() == size && labels.least >= 0 && labels.largest <= 1) {
      return {"f1", "yes-no labels for each element of the output"};
    }
    if (!one && row.size() == 3 && size % labels.row_size() == 0)
      return {"iou", "labels and classes for each pixel"};
  }
  if (labels.present && !labels.integer && labels.row_size() == size)
    return {"mse", "labels are numbers"};
  const std::string_view why = labels.present ? "labels that do not fit the output" : "no labels";
  if (natural != DecisionKind::kNone)
    return {"agreement", fmt::format("{}, and the output is a decision", why)};
  return {"sqnr", fmt::format("{}, and the output is no decision", why)};
}

}  // namespace mcompress::evaluation
