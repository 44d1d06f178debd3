-- In whose shape a job was asked for and is answered: ours, or one of the OpenAI-compatible routes'. The ids of the others
-- are the job's own under another prefix.
ALTER TABLE job
  ADD COLUMN surface ENUM('job', 'chat', 'completion', 'response') NOT NULL DEFAULT 'job';
