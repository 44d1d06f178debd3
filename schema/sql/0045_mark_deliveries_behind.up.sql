-- behind: pending, unclaimed, and put off because an earlier one of the same job is not over at the same endpoint. The end
-- of that one makes it due; should that be missed, it is looked at again at attempt_due.
ALTER TABLE delivery
  ADD COLUMN behind TINYINT(1) NOT NULL DEFAULT 0;
