// Binds the settings of a MySQL server, the same for every program: mysql-host (SLUICE_MYSQL_HOST) and so on.
#pragma once

#include "common/config/settings.h"
#include "common/mysql/mysql.h"

namespace sluice {

void bind(config::Settings& settings, MysqlConfig& config);

}  // namespace sluice
