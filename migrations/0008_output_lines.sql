-- How many lines each step had printed up to and with a chunk, as JSON; now and then, so that nobody has to count
-- from the start.
CREATE TABLE output_lines (
    run     INTEGER NOT NULL REFERENCES run (id),
    chunk   INTEGER NOT NULL CHECK (chunk >= 1),
    counts  TEXT    NOT NULL CHECK (json_valid(counts)),
    PRIMARY KEY (run, chunk)
) STRICT, WITHOUT ROWID;
