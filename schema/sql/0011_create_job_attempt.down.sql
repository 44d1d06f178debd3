DROP TABLE job_attempt;
