-- etcd snapshots that the panel has taken, while their files are there. A snapshot cannot be used without
-- the server token of its time, so there is no row without one. `run` has no foreign key, as elsewhere.
CREATE TABLE snapshot (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster   INTEGER NOT NULL REFERENCES cluster (id) ON DELETE CASCADE,
    host      INTEGER NOT NULL REFERENCES host (id) ON DELETE CASCADE,
    name      TEXT    NOT NULL CHECK (name <> '' AND name NOT LIKE '%/%'),
    path      TEXT    NOT NULL CHECK (path LIKE '/%'),
    size      INTEGER NOT NULL CHECK (size > 0),
    sha256    TEXT    NOT NULL CHECK (length(sha256) = 64),
    -- When k3s made it, by the server's own clock.
    taken_at  INTEGER NOT NULL,
    -- Version of k3s that made it; null if it could not be told.
    version   TEXT CHECK (version IS NULL OR version <> ''),
    token     INTEGER NOT NULL REFERENCES secret (id),
    run       INTEGER NOT NULL,
    UNIQUE (host, path)
) STRICT;
CREATE INDEX snapshot_by_cluster ON snapshot (cluster, taken_at);
