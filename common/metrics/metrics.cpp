#include "common/metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cmath>
#include <list>
#include <unordered_map>

#include "common/base/check.h"
#include "common/base/mutex.h"

namespace sluice::metrics {

namespace {

// prometheus-cpp throws on forbidden names and on a name taken by another kind: defects of ours, so abort
// there.
template <class Make>
auto must(Make make) -> decltype(make()) {
  try {
    return make();
  } catch (const std::exception&) {
    SLUICE_CHECK(!"a metric with a forbidden or already taken name");
  }
  return make();
}

}  // namespace

const Buckets& request_seconds_buckets() {
  static const Buckets buckets{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                               0.5,   1,      2.5,   5,    10,    30,   60};
  return buckets;
}

const Buckets& work_seconds_buckets() {
  static const Buckets buckets{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600};
  return buckets;
}

Buckets power_buckets(int count) {
  Buckets buckets;
  buckets.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) buckets.push_back(std::ldexp(1.0, i));
  return buckets;
}

void Counter::add(double by) const {
  if (series_ != nullptr) series_->Increment(by);
}
double Counter::value() const {
  return series_ == nullptr ? 0 : series_->Value();
}
void Gauge::set(double value) const {
  if (series_ != nullptr) series_->Set(value);
}
void Gauge::add(double by) const {
  if (series_ != nullptr) series_->Increment(by);
}
void Gauge::subtract(double by) const {
  if (series_ != nullptr) series_->Decrement(by);
}
double Gauge::value() const {
  return series_ == nullptr ? 0 : series_->Value();
}
void Histogram::observe(double value) const {
  if (series_ != nullptr) series_->Observe(value);
}

struct Registry::State {
  struct Hook {
    Mutex mutex;
    std::function<void()> collect GUARDED_BY(mutex);
  };

  prometheus::Registry registry;
  Mutex hooks_mutex;
  std::list<std::weak_ptr<Hook>> hooks GUARDED_BY(hooks_mutex);
};

template <class Handle>
struct Family<Handle>::State {
  std::vector<std::string> label_names;
  std::size_t series_max = 0;
  std::function<Handle(const Labels&)> make;
  Mutex mutex;
  std::unordered_map<std::string, Handle> series GUARDED_BY(mutex);
};

template <class Handle>
Handle Family<Handle>::with(std::initializer_list<std::string_view> values) const {
  if (!state_) return Handle();
  SLUICE_CHECK(values.size() == state_->label_names.size());
  std::string key;
  for (const std::string_view value : values) key.append(value).push_back('\x1f');
  MutexLock lock(state_->mutex);
  if (const auto found = state_->series.find(key); found != state_->series.end()) return found->second;
  const bool full = state_->series.size() >= state_->series_max;
  Labels labels;
  std::size_t i = 0;
  for (const std::string_view value : values) {
    labels.emplace(state_->label_names[i++], full ? std::string("other") : std::string(value));
  }
  const Handle handle = state_->make(labels);
  if (!full) state_->series.emplace(std::move(key), handle);
  return handle;
}

template class Family<Counter>;
template class Family<Gauge>;
template class Family<Histogram>;

Registry::Registry() : state_(std::make_shared<State>()) {}
Registry::~Registry() = default;

Counter Registry::counter(const std::string& name, const std::string& help, const Labels& labels) {
  return must([&] {
    return Counter(&prometheus::BuildCounter().Name(name).Help(help).Register(state_->registry).Add(labels));
  });
}

Gauge Registry::gauge(const std::string& name, const std::string& help, const Labels& labels) {
  return must([&] {
    return Gauge(&prometheus::BuildGauge().Name(name).Help(help).Register(state_->registry).Add(labels));
  });
}

Histogram Registry::histogram(const std::string& name, const std::string& help, const Buckets& buckets,
                              const Labels& labels) {
  SLUICE_CHECK(!buckets.empty() && std::is_sorted(buckets.begin(), buckets.end()));
  return must([&] {
    return Histogram(&prometheus::BuildHistogram()
                          .Name(name)
                          .Help(help)
                          .Register(state_->registry)
                          .Add(labels, prometheus::Histogram::BucketBoundaries(buckets)));
  });
}

namespace {

template <class Handle>
std::shared_ptr<typename Family<Handle>::State> family_state(std::vector<std::string> label_names,
                                                             int series_max,
                                                             std::function<Handle(const Labels&)> make) {
  auto state = std::make_shared<typename Family<Handle>::State>();
  state->label_names = std::move(label_names);
  state->series_max = static_cast<std::size_t>(series_max);
  state->make = std::move(make);
  return state;
}

}  // namespace

CounterFamily Registry::counter_family(const std::string& name, const std::string& help,
                                       std::vector<std::string> label_names, int series_max) {
  auto* family =
      must([&] { return &prometheus::BuildCounter().Name(name).Help(help).Register(state_->registry); });
  return CounterFamily(family_state<Counter>(std::move(label_names), series_max,
                                             [family, alive = state_](const Labels& labels) {
                                               return must([&] { return Counter(&family->Add(labels)); });
                                             }));
}

GaugeFamily Registry::gauge_family(const std::string& name, const std::string& help,
                                   std::vector<std::string> label_names, int series_max) {
  auto* family =
      must([&] { return &prometheus::BuildGauge().Name(name).Help(help).Register(state_->registry); });
  return GaugeFamily(
      family_state<Gauge>(std::move(label_names), series_max, [family, alive = state_](const Labels& labels) {
        return must([&] { return Gauge(&family->Add(labels)); });
      }));
}

HistogramFamily Registry::histogram_family(const std::string& name, const std::string& help,
                                           const Buckets& buckets, std::vector<std::string> label_names,
                                           int series_max) {
  SLUICE_CHECK(!buckets.empty() && std::is_sorted(buckets.begin(), buckets.end()));
  auto* family =
      must([&] { return &prometheus::BuildHistogram().Name(name).Help(help).Register(state_->registry); });
  return HistogramFamily(family_state<Histogram>(
      std::move(label_names), series_max, [family, buckets, alive = state_](const Labels& labels) {
        return must([&] {
          return Histogram(&family->Add(labels, prometheus::Histogram::BucketBoundaries(buckets)));
        });
      }));
}

CollectHook Registry::on_expose(std::function<void()> collect) {
  auto hook = std::make_shared<State::Hook>();
  {
    MutexLock lock(hook->mutex);
    hook->collect = std::move(collect);
  }
  {
    MutexLock lock(state_->hooks_mutex);
    state_->hooks.push_back(hook);
  }
  // Once the handle is gone no call begins, and one that runs is waited for: what it captured may then go
  // too.
  return CollectHook(std::shared_ptr<void>(nullptr, [hook](void*) {
    MutexLock lock(hook->mutex);
    hook->collect = nullptr;
  }));
}

std::string Registry::expose() const {
  // The callbacks run without the list's lock: one may well ask for a new series or hook.
  std::vector<std::shared_ptr<State::Hook>> hooks;
  {
    MutexLock lock(state_->hooks_mutex);
    state_->hooks.remove_if([](const std::weak_ptr<State::Hook>& hook) { return hook.expired(); });
    for (const auto& hook : state_->hooks) {
      if (auto held = hook.lock()) hooks.push_back(std::move(held));
    }
  }
  for (const auto& hook : hooks) {
    MutexLock lock(hook->mutex);
    if (hook->collect) hook->collect();
  }
  return prometheus::TextSerializer().Serialize(state_->registry.Collect());
}

}  // namespace sluice::metrics
