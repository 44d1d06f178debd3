-- A batch's pause or resumption reaches its lines in steps: up to this job they were held back, or let go again. NULL: all
-- were.
ALTER TABLE file_batch ADD COLUMN moved_to VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL;
