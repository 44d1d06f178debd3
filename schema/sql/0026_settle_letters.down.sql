-- What was before can't read this reason.
UPDATE dead_letter SET reason = 'failed' WHERE reason = 'expired';
