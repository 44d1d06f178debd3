// Counters, gauges and histograms, and their text for Prometheus.
//
//   metrics::Registry registry;
//   metrics::Counter submitted = registry.counter("sluice_jobs_submitted_total", "Jobs accepted", {{"class",
//   "high"}}); submitted.add(); auto requests = registry.counter_family("sluice_http_requests_total",
//   "Requests answered", {"route", "status"}); requests.with({"/v1/jobs", "2xx"}).add();
//
// Names start with `sluice_`, units come last (`_seconds`, `_bytes`), counters end in `_total`. A label has
// few values: never a job id, a key or a path. Handles are pointers in disguise: copy them freely; they are
// valid as long as the Registry lives. Everything here is safe for concurrent use. Asking twice for the same
// name and labels gives the same series; asking with another kind, or a name or label that Prometheus
// forbids, is a defect and aborts.
#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace sluice::metrics {

using Labels = std::map<std::string, std::string>;
using Buckets = std::vector<double>;

// Upper bounds in seconds. Requests: 1 ms to 60 s. Long work: 10 ms to 10 min.
const Buckets& request_seconds_buckets();
const Buckets& work_seconds_buckets();
// Powers of two from 1 to 2^(count - 1): sizes of batches and queues.
Buckets power_buckets(int count);

// Only ever grows. A default-made handle counts nothing.
class Counter {
 public:
  Counter() = default;
  explicit Counter(prometheus::Counter* series) : series_(series) {}
  void add(double by = 1) const;  // `by` >= 0.
  double value() const;

 private:
  prometheus::Counter* series_ = nullptr;
};

class Gauge {
 public:
  Gauge() = default;
  explicit Gauge(prometheus::Gauge* series) : series_(series) {}
  void set(double value) const;
  void add(double by = 1) const;
  void subtract(double by = 1) const;
  double value() const;

 private:
  prometheus::Gauge* series_ = nullptr;
};

class Histogram {
 public:
  Histogram() = default;
  explicit Histogram(prometheus::Histogram* series) : series_(series) {}
  void observe(double value) const;

 private:
  prometheus::Histogram* series_ = nullptr;
};

// A metric whose label values are known only when it is used. Keep the family; with() is one lookup under a
// lock. `values` stand in the order of the family's label names. More than `series_max` different ones are
// counted under the label value "other", so that no input from outside can fill the memory.
template <class Handle>
class Family {
 public:
  Family() = default;
  Handle with(std::initializer_list<std::string_view> values) const;

  struct State;
  explicit Family(std::shared_ptr<State> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<State> state_;
};
using CounterFamily = Family<Counter>;
using GaugeFamily = Family<Gauge>;
using HistogramFamily = Family<Histogram>;

// Ends the collecting callback when it is destroyed, and waits for a running one. Not to be destroyed by the
// callback.
class [[nodiscard]] CollectHook {
 public:
  CollectHook() = default;
  explicit CollectHook(std::shared_ptr<void> held) : held_(std::move(held)) {}

 private:
  std::shared_ptr<void> held_;
};

class Registry {
 public:
  Registry();
  ~Registry();
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  Counter counter(const std::string& name, const std::string& help, const Labels& labels = {});
  Gauge gauge(const std::string& name, const std::string& help, const Labels& labels = {});
  Histogram histogram(const std::string& name, const std::string& help, const Buckets& buckets,
                      const Labels& labels = {});

  CounterFamily counter_family(const std::string& name, const std::string& help,
                               std::vector<std::string> label_names, int series_max = 1000);
  GaugeFamily gauge_family(const std::string& name, const std::string& help,
                           std::vector<std::string> label_names, int series_max = 1000);
  HistogramFamily histogram_family(const std::string& name, const std::string& help, const Buckets& buckets,
                                   std::vector<std::string> label_names, int series_max = 1000);

  // `collect` runs before each expose(), on its thread: for gauges that are read off something. It must be
  // quick.
  CollectHook on_expose(std::function<void()> collect);

  // The Prometheus text format (version 0.0.4).
  std::string expose() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace sluice::metrics
