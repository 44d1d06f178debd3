ALTER TABLE dead_letter
  MODIFY COLUMN reason ENUM('attempts', 'poison', 'failed') NOT NULL;
