ALTER TABLE file_batch DROP COLUMN moved_to;
