-- Everything the panel keeps. Times are Unix milliseconds UTC. Never edited once released: a change
-- is a new file.

-- One row: what is true of this database as a whole.
CREATE TABLE meta (
    id                   INTEGER PRIMARY KEY CHECK (id = 1),
    created_at           INTEGER NOT NULL,
    -- How often a panel has started on it; also kept beside the database, to tell a restored one.
    starts               INTEGER NOT NULL DEFAULT 0,
    -- Secret that proves which vault key the database belongs to; set at the very first start.
    vault_check          INTEGER REFERENCES secret (id),
    -- SHA-256 of the one-time set-up secret; only while no user exists.
    setup_secret_sha256  BLOB CHECK (setup_secret_sha256 IS NULL OR length(setup_secret_sha256) = 32)
) STRICT;

-- Vault: ciphertext only. Each value has its own data key, wrapped by the key outside the database.
CREATE TABLE secret (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    kind         TEXT    NOT NULL CHECK (kind <> ''),
    wrapped_key  BLOB    NOT NULL CHECK (length(wrapped_key) > 40),
    ciphertext   BLOB    NOT NULL CHECK (length(ciphertext) > 40),
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE user (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    name           TEXT    NOT NULL COLLATE NOCASE UNIQUE CHECK (length(name) BETWEEN 1 AND 64),
    password_hash  TEXT    NOT NULL CHECK (password_hash LIKE '$argon2id$%'),
    role           TEXT    NOT NULL CHECK (role IN ('viewer', 'operator', 'approver', 'admin')),
    created_at     INTEGER NOT NULL
) STRICT;

-- The token itself exists only in the browser's cookie.
CREATE TABLE session (
    token_sha256  BLOB    PRIMARY KEY CHECK (length(token_sha256) = 32),
    user          INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    created_at    INTEGER NOT NULL,
    last_used_at  INTEGER NOT NULL CHECK (last_used_at >= created_at),
    address       TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX session_by_user ON session (user);

CREATE TABLE credential (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE CHECK (name <> ''),
    public_key   TEXT    NOT NULL CHECK (public_key <> ''),
    private_key  INTEGER NOT NULL UNIQUE REFERENCES secret (id),
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE host (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE CHECK (name <> ''),
    ssh_address   TEXT    NOT NULL CHECK (ssh_address <> '' AND ssh_address NOT LIKE '-%'),
    ssh_port      INTEGER NOT NULL CHECK (ssh_port BETWEEN 1 AND 65535),
    ssh_user      TEXT    NOT NULL CHECK (ssh_user <> '' AND ssh_user NOT LIKE '-%'),
    node_address  TEXT    NOT NULL UNIQUE,
    credential    INTEGER NOT NULL REFERENCES credential (id),
    -- Rises with every change of how the host is reached; open connections of another one are dropped.
    generation    INTEGER NOT NULL DEFAULT 1,
    -- When a person confirmed the pinned keys; null while nobody has.
    confirmed_at  INTEGER,
    -- Latest connection test, as the API gives it.
    last_test     TEXT CHECK (last_test IS NULL OR json_valid(last_test)),
    created_at    INTEGER NOT NULL,
    UNIQUE (ssh_address, ssh_port)
) STRICT;
CREATE INDEX host_by_credential ON host (credential);

-- Keys a person has confirmed, and no others.
CREATE TABLE host_key (
    host         INTEGER NOT NULL REFERENCES host (id) ON DELETE CASCADE,
    algorithm    TEXT    NOT NULL,
    fingerprint  TEXT    NOT NULL CHECK (fingerprint LIKE 'SHA256:%'),
    -- `<algorithm> <base64>`, as a known_hosts line ends.
    public_key   TEXT    NOT NULL,
    PRIMARY KEY (host, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE cluster (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE CHECK (name <> ''),
    -- Null: the load balancer's address, else the first server's.
    endpoint      TEXT CHECK (endpoint IS NULL OR endpoint <> ''),
    phase         TEXT    NOT NULL CHECK (phase IN ('planned', 'running')),
    kubeconfig    INTEGER REFERENCES secret (id),
    server_token  INTEGER REFERENCES secret (id),
    created_at    INTEGER NOT NULL
) STRICT;

CREATE TABLE cluster_member (
    host      INTEGER PRIMARY KEY REFERENCES host (id),
    cluster   INTEGER NOT NULL REFERENCES cluster (id) ON DELETE CASCADE,
    role      TEXT    NOT NULL CHECK (role IN ('server', 'agent', 'load_balancer')),
    position  INTEGER NOT NULL CHECK (position >= 0),
    UNIQUE (cluster, position)
) STRICT;

-- A plan and a cache of what its log says. No foreign key to cluster or user: history outlives both,
-- and AUTOINCREMENT never gives a number twice.
CREATE TABLE run (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow     TEXT    NOT NULL,
    title        TEXT    NOT NULL,
    cluster      INTEGER,
    plan_json    TEXT    NOT NULL CHECK (json_valid(plan_json)),
    plan_sha256  TEXT    NOT NULL CHECK (length(plan_sha256) = 64),
    status       TEXT    NOT NULL CHECK (status IN (
        'preflight', 'waiting', 'running', 'paused', 'stopped', 'failed', 'parked', 'unwinding',
        'completed', 'unwound', 'rejected', 'abandoned')),
    next_seq     INTEGER NOT NULL CHECK (next_seq >= 1),
    steps_done   INTEGER NOT NULL CHECK (steps_done BETWEEN 0 AND steps_total),
    steps_total  INTEGER NOT NULL,
    created_by   TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    finished_at  INTEGER,
    -- Both ways: a final state has an end, and only a final state has one.
    CHECK ((finished_at IS NOT NULL) = (status IN ('completed', 'unwound', 'rejected', 'abandoned')))
) STRICT;
CREATE INDEX run_unfinished ON run (id) WHERE finished_at IS NULL;

CREATE TABLE run_event (
    run    INTEGER NOT NULL REFERENCES run (id),
    seq    INTEGER NOT NULL CHECK (seq >= 0),
    at     INTEGER NOT NULL,
    event  TEXT    NOT NULL CHECK (json_valid(event)),
    PRIMARY KEY (run, seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER run_event_no_update BEFORE UPDATE ON run_event
BEGIN SELECT RAISE(ABORT, 'run_event is append-only'); END;
CREATE TRIGGER run_event_no_delete BEFORE DELETE ON run_event
BEGIN SELECT RAISE(ABORT, 'run_event is append-only'); END;

-- Redacted output, cut only where the redactor held nothing back.
CREATE TABLE step_output (
    run       INTEGER NOT NULL REFERENCES run (id),
    -- From 1, rising over the whole run in the order of commits.
    id        INTEGER NOT NULL CHECK (id >= 1),
    step      INTEGER NOT NULL CHECK (step >= 0),
    attempt   INTEGER NOT NULL CHECK (attempt >= 0),
    raw_from  INTEGER NOT NULL CHECK (raw_from >= 0),
    raw_to    INTEGER NOT NULL CHECK (raw_to > raw_from),
    at        INTEGER NOT NULL,
    bytes     BLOB    NOT NULL,
    PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;
-- No raw byte is stored twice.
CREATE UNIQUE INDEX step_output_once ON step_output (run, step, attempt, raw_from);
CREATE TRIGGER step_output_no_update BEFORE UPDATE ON step_output
BEGIN SELECT RAISE(ABORT, 'step_output is append-only'); END;

CREATE TABLE lock (
    resource  TEXT    PRIMARY KEY CHECK (resource <> ''),
    run       INTEGER NOT NULL REFERENCES run (id),
    taken_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX lock_by_run ON lock (run);

-- Hash chain; see the module `audit`. `run` has no foreign key: the chain must hold by itself.
CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY CHECK (seq >= 1),
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL,
    address  TEXT    NOT NULL,
    action   TEXT    NOT NULL,
    subject  TEXT    NOT NULL,
    detail   TEXT    NOT NULL,
    run      INTEGER,
    hash     TEXT    NOT NULL CHECK (length(hash) = 64)
) STRICT;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END;
