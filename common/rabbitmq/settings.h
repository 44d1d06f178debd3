// Binds the settings of the RabbitMQ broker, the same for every program: rabbitmq-host (SLUICE_RABBITMQ_HOST)
// and so on.
#pragma once

#include "common/config/settings.h"
#include "common/rabbitmq/config.h"

namespace sluice {

void bind(config::Settings& settings, RabbitmqConfig& config);

}  // namespace sluice
