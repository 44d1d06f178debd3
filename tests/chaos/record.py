"""Reads the record of truth for the checker: plain SQL on the tables, nothing of the product's code."""
import json
from collections.abc import Callable

Sql = Callable[[str], list[list[str]]]

# Columns are UTC; this depends on no session's time zone.
def _seconds(column: str) -> str:
    return f"TIMESTAMPDIFF(MICROSECOND, '1970-01-01', {column}) / 1000000"


_JOBS = ("SELECT JSON_OBJECT('id', j.id, 'batch', j.batch_id, 'state', j.state, 'generation', j.generation, "
         "'attempt', j.attempt, 'forgiven', j.attempts_forgiven, 'callback', j.callback_url IS NOT NULL, "
         f"'started', {_seconds('j.started_at')}, 'finished', {_seconds('j.finished_at')}, 'error', j.error_code, "
         "'leader', j.leader_id, 'text', r.text, 'metadata', p.metadata) FROM job j JOIN job_payload p ON p.job_id = j.id "
         "LEFT JOIN job_result r ON r.job_id = j.id WHERE j.id > '%s' ORDER BY j.id LIMIT 5000")
_BATCHES = ("SELECT JSON_OBJECT('id', id, 'total', total, 'succeeded', succeeded, 'failed', failed, 'dead', dead, "
            "'cancelled', cancelled, 'expired', expired) FROM batch")
_FILE_BATCHES = ("SELECT JSON_OBJECT('id', id, 'status', status, 'revision', revision, 'lines', lines_total, "
                 "'open', open_lines + (work_due IS NOT NULL) + (close_due IS NOT NULL), 'output', output_file_id, "
                 "'error', error_file_id, 'callback', callback_url IS NOT NULL, 'metadata', metadata) FROM file_batch")
_LINES = ("SELECT JSON_OBJECT('job_id', job_id, 'batch', batch_id, 'custom_id', custom_id, 'seq', seq) FROM batch_line "
          "WHERE job_id > '%s' ORDER BY job_id LIMIT 5000")
_EVENTS = ("SELECT JSON_OBJECT('id', id, 'job_id', job_id, 'generation', generation, 'type', type, "
           "'decided', publish_due IS NULL) FROM event")
_DELIVERIES = "SELECT JSON_OBJECT('id', id, 'event_id', event_id, 'state', state, 'error', last_error) FROM delivery"
_ATTEMPTS = ("SELECT JSON_OBJECT('job_id', job_id, 'generation', generation, 'attempt', attempt, 'worker', worker_id, "
             f"'started', {_seconds('started_at')}, 'ended', {_seconds('ended_at')}, 'code', error_code) FROM job_attempt")
_OPEN = ("SELECT (SELECT COUNT(*) FROM job WHERE state IN ('queued', 'running')), "
         "(SELECT COUNT(*) FROM event WHERE publish_due IS NOT NULL), (SELECT COUNT(*) FROM delivery WHERE state = 'pending'), "
         "(SELECT COUNT(*) FROM file_batch WHERE status NOT IN ('completed', 'failed', 'expired', 'cancelled') "
         "OR work_due IS NOT NULL OR close_due IS NOT NULL)")


def _rows(sql: Sql, statement: str) -> list[dict]:
    return [json.loads(row[0]) for row in sql(statement)]


def _in_parts(sql: Sql, statement: str, key: str) -> list[dict]:
    """All rows of a statement that takes the key to go on after and is sorted by it."""
    rows, after = [], ""
    while part := _rows(sql, statement % after):
        rows += part
        after = part[-1][key]
    return rows


def _metadata(row: dict) -> dict:
    metadata = row.pop("metadata")
    return json.loads(metadata) if isinstance(metadata, str) else metadata or {}


def open_ends(sql: Sql) -> tuple[int, ...]:
    """Jobs, events, deliveries and batches of files that are not over yet."""
    return tuple(int(count) for count in sql(_OPEN)[0])


def read(sql: Sql) -> dict[str, list[dict]]:
    """Fields of checker.Evidence. `sql` runs a statement and gives its rows as text, unescaped (`mysql --raw`)."""
    jobs, file_batches = _in_parts(sql, _JOBS, "id"), _rows(sql, _FILE_BATCHES)
    for job in jobs:
        metadata = _metadata(job)
        job["sending"], job["line"] = metadata.get("sending"), int(metadata.get("line", 0))
    for batch in file_batches:
        batch["sending"] = _metadata(batch).get("sending")
    return {"jobs": jobs, "batches": _rows(sql, _BATCHES), "file_batches": file_batches, "lines": _in_parts(sql, _LINES, "job_id"),
            "events": _rows(sql, _EVENTS), "deliveries": _rows(sql, _DELIVERIES), "attempts": _rows(sql, _ATTEMPTS)}
