#include <cstdio>

#include "common/rabbitmq/broker_control.h"
#include "operator/commands/command.h"

namespace sluice::operate {

Status topology(Context& context, const std::vector<std::string>& words) {
  BrokerControl broker(context.settings.rabbitmq, context.clock);
  const std::string verb = words.size() == 1 ? words[0] : "";
  if (verb == "apply") {
    SLUICE_TRY(broker.declare(Topology::builtin(), context.deadline()));
    std::printf("exchanges and queues are declared\n");
    return {};
  }
  if (verb == "verify") {
    SLUICE_TRY(broker.verify(Topology::builtin(), context.deadline()));
    std::printf("exchanges and queues are as they should be\n");
    return {};
  }
  return fail(ErrorCode::kInvalid, "topology: expected apply or verify");
}

}  // namespace sluice::operate
