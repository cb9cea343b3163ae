-- What binds a run's log to the trail: the entry that records an event holds the SHA-256 of the event's text, and
-- its own hash covers it. Null: the entry records no event, or is older than this.
ALTER TABLE audit ADD COLUMN event_sha256 TEXT CHECK (event_sha256 IS NULL OR length(event_sha256) = 64);
CREATE INDEX audit_by_run ON audit (run) WHERE run IS NOT NULL;
