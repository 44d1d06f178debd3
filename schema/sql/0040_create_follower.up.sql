-- Queued jobs that wait for the result of another, their leader. A row is gone once the job ended or runs by itself.
CREATE TABLE follower (
  job_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  leader_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  -- When to look whether the leader is still at it, should its end have left this one out.
  look_due DATETIME(6) NOT NULL,
  PRIMARY KEY (job_id),
  KEY follower_leader (leader_id, job_id),
  KEY follower_look (look_due)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
