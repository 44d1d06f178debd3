#include "producer/dispatch/broker.h"

namespace sluice::producer {

PublishOutcome publish_outcome(const Status& status) {
  if (status) return PublishOutcome::kConfirmed;
  switch (status.error().code) {
    case ErrorCode::kNotFound:
    case ErrorCode::kInvalid:  // No such exchange: the broker was wiped.
      return PublishOutcome::kNoRoute;
    case ErrorCode::kOutcomeUnknown:
    case ErrorCode::kInternal:
      return PublishOutcome::kUnknown;
    default:
      return PublishOutcome::kNotSent;
  }
}

}  // namespace sluice::producer
