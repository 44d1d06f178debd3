-- The contents of files, in chunks of bounded size. `start` is where a chunk lies in its file.
CREATE TABLE file_chunk (
  file_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  start BIGINT UNSIGNED NOT NULL,
  length INT UNSIGNED NOT NULL,
  data MEDIUMBLOB NOT NULL,
  PRIMARY KEY (file_id, start),
  CONSTRAINT file_chunk_has_bytes CHECK (length > 0 AND length = OCTET_LENGTH(data))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
