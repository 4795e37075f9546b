CREATE TABLE archive (
    seq bigint PRIMARY KEY CONSTRAINT archive_numbered CHECK (seq > 0),
    fact_id uuid NOT NULL UNIQUE,
    subject text NOT NULL,
    agencies text[] NOT NULL,
    about uuid,
    body bytea NOT NULL,
    recorded_at timestamptz NOT NULL,
    rules integer NOT NULL,
    outcome bytea NOT NULL,
    lines bytea NOT NULL,
    before bytea NOT NULL,
    hash bytea NOT NULL
)


CREATE INDEX archive_by_about ON archive (about)


CREATE TABLE entry (
    id uuid NOT NULL,
    fact_id uuid NOT NULL,
    seq bigint NOT NULL,
    agency text NOT NULL,
    year integer NOT NULL,
    number bigint NOT NULL,
    belongs_on date NOT NULL,
    posted_on date NOT NULL,
    recorded_at timestamptz NOT NULL,
    kind text NOT NULL,
    reversal_of uuid,
    rules integer NOT NULL,
    legs integer NOT NULL,
    before bytea NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (id, posted_on),
    CONSTRAINT entry_numbered UNIQUE (agency, posted_on, number),
    CONSTRAINT entry_in_its_year CHECK (year = date_part('year', posted_on)),
    CONSTRAINT entry_not_early CHECK (posted_on >= belongs_on),
    CONSTRAINT entry_real CHECK (NOT {sandbox})
) PARTITION BY RANGE (posted_on)


CREATE INDEX entry_by_seq ON entry (seq)


CREATE INDEX entry_by_day ON entry (agency, posted_on, id)


CREATE INDEX entry_by_recorded ON entry (recorded_at)


CREATE TABLE leg (
    entry uuid NOT NULL,
    n integer NOT NULL,
    agency text NOT NULL,
    belongs_on date NOT NULL,
    posted_on date NOT NULL,
    account text NOT NULL,
    stream text NOT NULL,
    line uuid,
    amount_vnd bigint NOT NULL,
    party uuid,
    document uuid,
    due_on date,
    quantity bigint,
    reference text NOT NULL,
    PRIMARY KEY (entry, n, posted_on),
    CONSTRAINT leg_not_zero CHECK (amount_vnd <> 0)
) PARTITION BY RANGE (posted_on)


CREATE INDEX leg_by_account ON leg (agency, account, posted_on, entry)


CREATE INDEX leg_by_line ON leg (line) WHERE line IS NOT NULL


CREATE INDEX leg_by_document ON leg (document) WHERE document IS NOT NULL


CREATE TABLE part (
    entry uuid NOT NULL,
    stream text NOT NULL,
    counter text NOT NULL,
    agency text NOT NULL,
    posted_on date NOT NULL,
    lines uuid[] NOT NULL,
    amounts bigint[] NOT NULL,
    PRIMARY KEY (entry, stream, counter, posted_on),
    CONSTRAINT part_pairs CHECK (cardinality(lines) = cardinality(amounts))
) PARTITION BY RANGE (posted_on)


CREATE INDEX part_by_day ON part (agency, posted_on)


CREATE TABLE rollup (
    agency text NOT NULL,
    account text NOT NULL,
    stream text NOT NULL,
    posted_on date NOT NULL,
    belongs_on date NOT NULL,
    recorded_on date NOT NULL,
    debit_vnd bigint NOT NULL,
    credit_vnd bigint NOT NULL,
    PRIMARY KEY (agency, account, stream, posted_on, belongs_on, recorded_on)
)


CREATE TABLE line (
    id uuid PRIMARY KEY,
    agency text NOT NULL,
    payee text NOT NULL,
    seller text NOT NULL,
    stream text NOT NULL,
    invoice uuid,
    party uuid,
    due_on date,
    counter text NOT NULL,
    since date,
    until date,
    amount_vnd bigint NOT NULL,
    through date NOT NULL,
    seq bigint NOT NULL,
    changes integer NOT NULL,
    state text NOT NULL,
    CONSTRAINT line_real CHECK (NOT {sandbox})
)


CREATE INDEX line_by_invoice ON line (invoice)


CREATE INDEX line_live ON line (until, since) WHERE amount_vnd <> 0


CREATE TABLE book (
    agency text NOT NULL,
    year integer NOT NULL,
    number bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (agency, year)
)


CREATE TABLE reached (
    id integer PRIMARY KEY,
    day date NOT NULL,
    CONSTRAINT reached_one CHECK (id = 1)
)


CREATE TRIGGER leg_balances AFTER INSERT ON leg REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION check_legs()
