-- What operators allow: so many requests or tokens in a time. Empty at first: nothing is limited.
CREATE TABLE rate_limit (
  name VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- '*' in these three: each tenant, key or region by itself. api_key '': all keys of the tenant together.
  tenant_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  api_key VARCHAR(200) NOT NULL,
  region VARCHAR(64) NOT NULL,
  -- '*', a class of routes (submit, read, admin), or a route's path as it is documented.
  route VARCHAR(128) NOT NULL,
  unit ENUM('requests', 'tokens') NOT NULL,
  quota BIGINT UNSIGNED NOT NULL,
  window_s INT UNSIGNED NOT NULL,
  changed_at DATETIME(6) NOT NULL,
  PRIMARY KEY (name),
  CONSTRAINT rate_limit_allows_something CHECK (quota > 0 AND window_s > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
