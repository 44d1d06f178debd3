-- Letters of ends that a redrive has left behind: 0015 calls every letter that it finds unhandled.
UPDATE dead_letter d JOIN job j ON j.id = d.job_id
SET d.state = 'redriven', d.handled_at = UTC_TIMESTAMP(6)
WHERE d.state = 'dead' AND j.generation > d.generation;
