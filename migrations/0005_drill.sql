-- How another host switches a host's power: programs with their arguments, as JSON lists of words.
CREATE TABLE host_power (
    host    INTEGER PRIMARY KEY REFERENCES host (id) ON DELETE CASCADE,
    via     INTEGER NOT NULL REFERENCES host (id) CHECK (via <> host),
    "on"    TEXT    NOT NULL CHECK (json_array_length("on") > 0),
    "off"   TEXT    NOT NULL CHECK (json_array_length("off") > 0),
    status  TEXT    NOT NULL CHECK (json_array_length(status) > 0)
) STRICT;
CREATE INDEX host_power_by_via ON host_power (via);

-- Failover drills: what was seen so far, rewritten while one is under way, and at its end the report.
-- `run` has no foreign key, as elsewhere.
CREATE TABLE drill (
    run      INTEGER PRIMARY KEY,
    cluster  INTEGER NOT NULL REFERENCES cluster (id) ON DELETE CASCADE,
    fault    TEXT    NOT NULL CHECK (fault IN ('stopped', 'killed', 'cut', 'power_off')),
    record   TEXT    NOT NULL CHECK (json_valid(record)),
    report   TEXT    CHECK (report IS NULL OR json_valid(report))
) STRICT;
CREATE INDEX drill_by_cluster ON drill (cluster, fault, run);
