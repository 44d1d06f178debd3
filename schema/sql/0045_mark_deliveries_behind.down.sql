ALTER TABLE delivery
  DROP COLUMN behind;
