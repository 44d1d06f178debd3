// What every command of sluicectl needs, and the table of them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/rng.h"
#include "common/mysql/mysql.h"
#include "common/rabbitmq/config.h"

namespace sluice::operate {

struct Settings {
  MysqlConfig mysql;
  RabbitmqConfig rabbitmq;
  Secret master_key;
  Secret api_key;
  Secret admin_key;
  Secret webhook_secret;
  std::string tenant = "default";
  bool json = false;
  std::chrono::milliseconds timeout{30'000};
};

struct Context {
  Settings settings;
  Clock& clock;
  Rng& rng;

  Deadline deadline() const { return Deadline::in(clock, settings.timeout); }
};

// Prints its result to standard output. kInvalid: the words are wrong.
Status migrate(Context& context, const std::vector<std::string>& words);
Status bootstrap(Context& context, const std::vector<std::string>& words);
Status topology(Context& context, const std::vector<std::string>& words);

}  // namespace sluice::operate
