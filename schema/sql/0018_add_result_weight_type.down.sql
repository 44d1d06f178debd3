ALTER TABLE job_result
  DROP COLUMN weight_type;
