// Task queues of the real broker, made fit for the next test.
#pragma once

#include <string>

#include "common/rabbitmq/broker_control.h"

namespace sluice::testing {

// Waits until the queue serves and nobody consumes from it (what a killed consumer had unacked is then back),
// and empties it. Fails the test if that doesn't come to pass within 30 s.
//
// Tests never delete a task queue that they just declared: RabbitMQ 3.10 may crash what dead-letters at least
// once, for all queues, and those declared later then stay without a leader.
void empty_queue(BrokerControl& control, const std::string& queue);

}  // namespace sluice::testing
