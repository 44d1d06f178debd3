#include "common/mysql/settings.h"

namespace sluice {

using std::chrono::seconds;

void bind(config::Settings& settings, MysqlConfig& config) {
  settings.add("mysql-host", config.host, "Host of the MySQL or MariaDB server");
  settings.add("mysql-port", config.port, "Its port").range(1, 65535);
  settings.add("mysql-user", config.user, "User to log in as");
  settings.add("mysql-password", config.password, "The user's password");
  settings.add("mysql-database", config.database, "Database that holds sluice's tables");
  settings
      .add("mysql-connections-max", config.connections_max,
           "Most connections of this process; each costs the server a thread")
      .range(1, 1000);
  settings.add("mysql-connect-timeout", config.connect_timeout, "Longest wait for a connection")
      .range(seconds(1), seconds(60));
  settings
      .add("mysql-read-timeout", config.read_timeout,
           "Longest wait for an answer; also the longest that one statement may run")
      .range(seconds(1), seconds(3600));
  settings.add("mysql-write-timeout", config.write_timeout, "Longest wait to send a statement")
      .range(seconds(1), seconds(3600));
  settings.add("mysql-tls-ca-file", config.tls_ca_file,
               "Certificates that the server's must descend from; set = TLS is required and verified");
  settings.add("mysql-tls-cert-file", config.tls_cert_file,
               "Our own certificate, where the server asks for one");
  settings.add("mysql-tls-key-file", config.tls_key_file, "Our certificate's key");
}

}  // namespace sluice
