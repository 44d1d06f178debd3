DROP TABLE job_payload;
