// SPDX-License-Identifier: Apache-2.0
// A file of numbers and tensors one after another, in the order of `visit`, behind a mark and what
// it belongs to; a hash of all of it ends it.
#include "train/checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/types.h>

#include <array>
#include <cstring>

#include "mcompress/error.h"
#include "support/file.h"
#include "support/hash.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

constexpr std::string_view kMark = "mcompress checkpoint 2\n";

class Writer {
 public:
  void raw(const void* data, size_t size) { bytes.append(static_cast<const char*>(data), size); }
  void number(double value) { raw(&value, sizeof value); }
  void text(const std::string& value) {
    number(static_cast<double>(value.size()));
    bytes += value;
  }
  void tensor(const at::Tensor& value) {
    const at::Tensor plain = value.contiguous();
    number(static_cast<double>(onnx_type(plain.scalar_type())));
    number(static_cast<double>(plain.dim()));
    for (const int64_t size : plain.sizes()) number(static_cast<double>(size));
    raw(plain.data_ptr(), plain.nbytes());
  }

  std::string bytes;
};

class Reader {
 public:
  Reader(std::string_view bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}
  void raw(void* data, size_t size) {
    if (size > bytes_.size() - at_)
      throw Error(ErrorCode::kData, file_ + ": the checkpoint is damaged");
    if (size > 0) std::memcpy(data, bytes_.data() + at_, size);
    at_ += size;
  }
  double number() {
    double value = 0;
    raw(&value, sizeof value);
    return value;
  }
  size_t count() { return static_cast<size_t>(number()); }
  std::string text() {
    std::string value(count(), ' ');
    raw(value.data(), value.size());
    return value;
  }
  at::Tensor tensor() {
    const auto type = torch_type(static_cast<DataType>(static_cast<int>(number())));
    std::vector<int64_t> shape(count());
    for (int64_t& size : shape) size = static_cast<int64_t>(number());
    at::Tensor value = at::empty(shape, type);
    raw(value.data_ptr(), value.nbytes());
    return value;
  }

 private:
  std::string_view bytes_;
  std::string file_;
  size_t at_ = 0;
};

// One list of members serves both directions.
void put(Writer& out, double value) { out.number(value); }
void put(Writer& out, const at::Tensor& value) { out.tensor(value); }
void put(Writer& out, const std::string& value) { out.text(value); }
void get(Reader& in, double& value) { value = in.number(); }
void get(Reader& in, at::Tensor& value) { value = in.tensor(); }

template <class T>
void put(Writer& out, const std::optional<T>& value) {
  put(out, value ? 1.0 : 0.0);
  put(out, value.value_or(T()));
}
template <class T>
void get(Reader& in, std::optional<T>& value) {
  const bool given = in.number() != 0;
  T content{};
  get(in, content);
  value = given ? std::optional<T>(content) : std::nullopt;
}

template <class T>
void put(Writer& out, const std::vector<T>& list) {
  put(out, static_cast<double>(list.size()));
  for (const T& item : list) put(out, item);
}
template <class T>
void get(Reader& in, std::vector<T>& list) {
  list.resize(in.count());
  for (T& item : list) get(in, item);
}

void put(Writer& out, const std::map<std::string, at::Tensor>& map) {
  put(out, static_cast<double>(map.size()));
  for (const auto& [name, value] : map) {
    put(out, name);
    put(out, value);
  }
}
void get(Reader& in, std::map<std::string, at::Tensor>& map) {
  for (size_t left = in.count(); left > 0; --left) {
    const std::string name = in.text();
    map[name] = in.tensor();
  }
}

void put(Writer& out, const Snapshot& snapshot) {
  put(out, snapshot.parameters);
  put(out, snapshot.statistics);
}
void get(Reader& in, Snapshot& snapshot) {
  get(in, snapshot.parameters);
  get(in, snapshot.statistics);
}

void put(Writer& out, const TrainingEpoch& epoch) {
  put(out, epoch.loss);
  put(out, epoch.validation_loss);
  put(out, epoch.score);
  put(out, epoch.learning_rate);
  put(out, epoch.seconds);
}
void get(Reader& in, TrainingEpoch& epoch) {
  get(in, epoch.loss);
  get(in, epoch.validation_loss);
  get(in, epoch.score);
  get(in, epoch.learning_rate);
  get(in, epoch.seconds);
}

void put(Writer& out, const TrainingState& state) {
  put(out, static_cast<double>(state.step));
  put(out, static_cast<double>(state.stale));
  put(out, state.has_best ? 1.0 : 0.0);
  put(out, static_cast<double>(state.optimizer_steps));
  put(out, static_cast<double>(state.result.best_epoch));
  put(out, state.result.start_score);
  put(out, state.result.best_score);
  put(out, state.best_loss);
  put(out, state.result.epochs);
  for (const auto* part : {&state.running, &state.best, &state.teacher}) put(out, *part);
  for (const auto* part : {&state.moments, &state.loss, &state.pruner}) put(out, *part);
}
void get(Reader& in, TrainingState& state) {
  state.step = in.count();
  state.stale = static_cast<int>(in.number());
  state.has_best = in.number() != 0;
  state.optimizer_steps = in.count();
  state.result.best_epoch = static_cast<int>(in.number());
  get(in, state.result.start_score);
  get(in, state.result.best_score);
  get(in, state.best_loss);
  get(in, state.result.epochs);
  for (auto* part : {&state.running, &state.best, &state.teacher}) get(in, *part);
  for (auto* part : {&state.moments, &state.loss, &state.pruner}) get(in, *part);
}

std::string hash_of(const std::string& text) { return support::hash128(text).hex(); }

std::string describe(const TrainingTask& task) {
  const auto number = [](auto value) { return static_cast<int>(value); };
  std::string text = fmt::format("{}|{}|{}|{}|{}|{}|{}", fmt::join(task.parameters, ","),
                                 task.epochs, task.steps.value_or(0), task.batch,
                                 task.keep_structure, task.update_batch_norm, task.patience);
  const auto& o = task.optimizer;
  text += fmt::format("|{}|{}|{}|{}|{}|{}", number(o.kind), o.learning_rate, o.momentum, o.beta2,
                      o.weight_decay, o.clip_norm);
  const auto& r = task.rate;
  text += fmt::format("|{}|{}|{}|{}|{}", number(r.schedule), r.warmup, r.last, r.step_every,
                      r.step_factor);
  const auto& a = task.augment;
  text += fmt::format("|{}|{}|{}|{}|{}|{}", a.shift, a.flip, a.crop, a.noise, a.share, a.mixup);
  text +=
      fmt::format("|{}|{}|{}", number(task.loss.kind), task.loss.output, task.loss.label_smoothing);
  const auto& d = task.distill;
  text += fmt::format("|{}|{}|{}|{}|{}", d.temperature, d.weight, d.feature_weight, d.self,
                      d.self_every);
  for (const Teacher& teacher : d.teachers) {
    text += fmt::format("|{}", teacher.weight);
    // What a teacher says of a sample stands for what it is.
    for (const Tensor& output : teacher.run(task.data->feeds(0, 1))) {
      text += support::hash128(output.bytes()).hex();
    }
  }
  if (task.prefix) {  // what it makes of a sample stands for it
    for (const auto& fed : task.prefix(task.data->feeds(0, 1))) {
      text += fmt::format("|{}:{}", fed.name, support::hash128(fed.tensor.bytes()).hex());
    }
  }
  for (const auto& pair : d.features) text += fmt::format("|{}={}", pair.student, pair.teacher);
  if (task.prune) {
    const auto& p = *task.prune;
    text += fmt::format("|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", fmt::join(p.weights, ","), p.from, p.to,
                        number(p.curve), number(p.scope), number(p.score), p.until, p.every,
                        p.regrow, fmt::join(p.per_weight, ","));
  }
  const auto& q = task.quantizers;
  text += fmt::format("|{}|{}", q.enabled, q.learn_scales);
  text += fmt::format("|{}", fmt::join(q.pairs, ","));
  for (const auto& [name, limit] : q.limits) text += fmt::format("|{}:{}", name, limit);
  for (const auto& [name, value] : q.start)
    text += fmt::format("|{}:{}", name, support::hash128(value.bytes()).hex());
  return text;
}

/// The seed first: it chooses the training's share of the data, too.
std::array<const std::string*, 4> parts_of(const TrainingIdentity& identity) {
  return {&identity.seed, &identity.model, &identity.data, &identity.options};
}

}  // namespace

TrainingIdentity identify(const Model& model, const TrainingTask& task) {
  return {.model = model.fingerprint().hex(),
          .data = hash_of(task.data->fingerprint() +
                          fmt::format("|{}|{}", task.data->size(), task.data->description())),
          .options = hash_of(describe(task)),
          .seed = std::to_string(task.seed)};
}

void save_checkpoint(const std::filesystem::path& path, const TrainingIdentity& identity,
                     const TrainingState& state) {
  Writer out;
  out.bytes = kMark;
  for (const auto* part : parts_of(identity)) put(out, *part);
  put(out, state);
  const auto hash = support::hash128(out.bytes);
  out.raw(&hash, sizeof hash);
  support::write_file_atomically(path, out.bytes);
}

std::optional<TrainingState> load_checkpoint(const std::filesystem::path& path,
                                             const TrainingIdentity& identity) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const std::string bytes = support::read_file(path, ErrorCode::kData);
  const std::string file = path.string();
  support::Hash128 hash;
  if (!std::string_view(bytes).starts_with(kMark) || bytes.size() < kMark.size() + sizeof hash) {
    throw Error(ErrorCode::kData, file + ": is no checkpoint of a training")
        .hint("name another file");
  }
  const std::string_view body = std::string_view(bytes).substr(0, bytes.size() - sizeof hash);
  std::memcpy(&hash, bytes.data() + body.size(), sizeof hash);
  if (!(hash == support::hash128(body))) {
    throw Error(ErrorCode::kData, file + ": the checkpoint is damaged")
        .hint("remove it to start anew");
  }
  Reader in(body.substr(kMark.size()), file);
  constexpr std::array kDifferences{"another seed", "other weights or another model", "other data",
                                    "other options"};
  const auto parts = parts_of(identity);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (in.text() == *parts[i]) continue;
    throw Error(ErrorCode::kData, fmt::format("{}: the checkpoint belongs to a training with {}",
                                              file, kDifferences.at(i)))
        .hint("remove it to start anew, or name another file");
  }
  TrainingState state;
  get(in, state);
  return state;
}

}  // namespace mcompress::train
