#include "common/rabbitmq/settings.h"

namespace sluice {

using std::chrono::milliseconds;
using std::chrono::seconds;

void bind(config::Settings& settings, RabbitmqConfig& config) {
  settings.add("rabbitmq-host", config.host, "Host of the RabbitMQ broker");
  settings.add("rabbitmq-port", config.port, "Its AMQP port").range(1, 65535);
  settings.add("rabbitmq-user", config.user, "User to log in as");
  settings.add("rabbitmq-password", config.password, "The user's password");
  settings.add("rabbitmq-vhost", config.vhost, "Virtual host that holds sluice's queues");
  settings.add("rabbitmq-heartbeat", config.heartbeat, "A broker silent for about twice this is given up")
      .range(seconds(1), seconds(600));
  settings.add("rabbitmq-connect-timeout", config.connect_timeout, "Longest wait for a connection")
      .range(milliseconds(1), milliseconds(60'000));
  settings
      .add("rabbitmq-rpc-timeout", config.rpc_timeout, "Longest wait for an answer, such as to a declaration")
      .range(milliseconds(1), milliseconds(60'000));
}

}  // namespace sluice
