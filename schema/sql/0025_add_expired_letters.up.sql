-- A redriven job that expires leaves a letter again: otherwise no operator could redrive it once more.
ALTER TABLE dead_letter
  MODIFY COLUMN reason ENUM('attempts', 'poison', 'failed', 'expired') NOT NULL;
