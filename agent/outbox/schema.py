"""The outbox file's schema: one migration a version, applied in order, never changed after a release.

outbox  the ids under which this file has written: rows with base < id <= the next one's base, seq = id - base
entry   receipted messages; a row leaves by age, after its receipt
mark    the daemon's small states, committed with the messages that tell of them
spill   telemetry that waits for a line; thinned by age, bounded in bytes
"""

MIGRATIONS = (
    """
    CREATE TABLE outbox (
        id TEXT NOT NULL UNIQUE,
        base INTEGER NOT NULL,
        fingerprint TEXT NOT NULL,
        upto INTEGER NOT NULL DEFAULT 0,
        store TEXT
    );
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        leaf TEXT NOT NULL,
        body BLOB NOT NULL,
        retained INTEGER NOT NULL,
        at_s INTEGER
    );
    CREATE TABLE mark (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE spill (id INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL)
    """,
    # crc: of the body, since a flash that tires flips bits below SQLite, and a wrong code is worse than none.
    # handed: up to here brokers have taken the rows, as known when the last receipt was committed.
    """
    ALTER TABLE entry ADD COLUMN crc INTEGER;
    ALTER TABLE outbox ADD COLUMN handed INTEGER NOT NULL DEFAULT 0
    """,
    # parts: of the hardware that wrote under this id, hashed, one a line (agent.outbox.hardware); NULL: never looked at.
    "ALTER TABLE outbox ADD COLUMN parts TEXT",
)
