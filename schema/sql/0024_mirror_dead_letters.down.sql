ALTER TABLE dead_letter
  DROP KEY dead_letter_mirrored,
  DROP COLUMN mirrored;
