#include "callback/intake/decider.h"

#include <algorithm>
#include <unordered_map>

#include "callback/guard/webhook_url.h"
#include "common/store/webhook_events.h"

namespace sluice::callback {

namespace {

std::string endpoint_of(const std::string& url) {
  const auto parsed = parse_webhook_url(url);
  return parsed ? parsed->endpoint() : kInvalidEndpoint;
}

bool has_receiver(const Decision& decision) {
  return !decision.deliveries.empty() || decision.waiting;
}

}  // namespace

Result<std::vector<Decision>> Decider::find_receivers(std::span<const EventRecord> events,
                                                      Deadline deadline) {
  std::vector<TenantId> tenants;
  for (const EventRecord& event : events) tenants.push_back(event.tenant);
  std::sort(tenants.begin(), tenants.end());
  tenants.erase(std::unique(tenants.begin(), tenants.end()), tenants.end());
  SLUICE_ASSIGN(const std::vector<Subscriber> subscribers, store_.subscribers(tenants, deadline));
  std::vector<Decision> decisions;
  for (const EventRecord& event : events) {
    Decision& decision = decisions.emplace_back();
    decision.event_id = event.id;
    const int shard = shard_of_id(event.id.value).value_or(0);
    if (event.together && !event.callback_url.empty()) {
      decision.waiting =
          WaitingLine{*event.together, event.callback_url, endpoint_of(event.callback_url), event.tenant};
    } else if (!event.callback_url.empty()) {
      decision.deliveries.push_back(
          {ids_.make<DeliveryId>(shard), {}, event.callback_url, endpoint_of(event.callback_url)});
    }
    for (const Subscriber& one : subscribers) {
      if (one.tenant != event.tenant) continue;
      // Who wants "all" didn't ask for tens of thousands of lines that are told together elsewhere.
      const bool chosen = event.together ? chosen_by_name(one.events, event.type)
                                         : chosen_events_hold(one.events, event.type);
      if (!chosen) continue;
      decision.deliveries.push_back({ids_.make<DeliveryId>(shard), one.id, one.url, one.id.value});
    }
  }
  return decisions;
}

Result<std::vector<Decision>> Decider::make_decisions(std::span<const EventRecord> events,
                                                      Deadline deadline) {
  SLUICE_ASSIGN(std::vector<Decision> decisions, find_receivers(events, deadline));
  std::vector<JobId> wanted;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (has_receiver(decisions[i]) && !tells_id_alone(events[i])) wanted.push_back(events[i].job_id);
  }
  std::unordered_map<JobId, Job> jobs;
  if (!wanted.empty()) {
    SLUICE_ASSIGN(auto final_jobs, jobs_.get_final(wanted, deadline));
    for (Job& job : final_jobs) {
      const JobId id = job.id;
      jobs.emplace(id, std::move(job));
    }
  }
  for (std::size_t i = 0; i < events.size(); ++i) {
    const EventRecord& event = events[i];
    if (!has_receiver(decisions[i])) continue;
    if (tells_id_alone(event)) {
      decisions[i].body = id_event_payload(event);
      continue;
    }
    std::optional<Job> job;
    if (const auto found = jobs.find(event.job_id); found != jobs.end()) {
      job = std::move(found->second);
      jobs.erase(found);
    } else if (auto current = jobs_.get(TenantId{}, event.job_id, deadline)) {
      job = std::move(*current);  // Started anew since: told as far as it still can be.
    } else if (current.error().code != ErrorCode::kNotFound) {
      return fail(current.error());
    }
    decisions[i].body = event_payload(event, job, config_);
  }
  return decisions;
}

Result<DecideCounts> Decider::decide(std::vector<EventId> ids, Deadline deadline) {
  DecideCounts counts;
  const auto named = ids.size();
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  counts.duplicates = static_cast<int>(named - ids.size());

  SLUICE_ASSIGN(std::vector<EventRecord> events, store_.find_events(ids, deadline));
  counts.unknown = static_cast<int>(ids.size() - events.size());
  counts.duplicates +=
      static_cast<int>(std::erase_if(events, [](const EventRecord& event) { return event.decided; }));
  if (events.empty()) return counts;

  SLUICE_ASSIGN(const std::vector<Decision> decisions, make_decisions(events, deadline));
  SLUICE_ASSIGN(const std::vector<DecideOutcome> outcomes, store_.decide(decisions, deadline));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i] == DecideOutcome::kUnknown) {
      ++counts.unknown;
    } else if (outcomes[i] == DecideOutcome::kAlreadyDecided) {
      ++counts.duplicates;
    } else {
      ++(!decisions[i].deliveries.empty() ? counts.deliveries
         : decisions[i].waiting           ? counts.waiting
                                          : counts.no_receiver);
    }
  }
  return counts;
}

}  // namespace sluice::callback
