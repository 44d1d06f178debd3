ALTER TABLE job DROP COLUMN leader_id, DROP COLUMN answer_key;
