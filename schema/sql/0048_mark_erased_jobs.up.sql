-- erased: what the job was asked and answered was taken away. Of its result only the numbers are left: an empty text alone
-- doesn't tell it from a job that said nothing. Jobs that were erased before have 0 here, and an empty request.
ALTER TABLE job
  ADD COLUMN erased TINYINT(1) NOT NULL DEFAULT 0;
