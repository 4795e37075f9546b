CREATE TABLE archive (
    seq bigint PRIMARY KEY,
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


CREATE FUNCTION open_month(month date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    books text := current_schema();
    parent text;
    made text;
BEGIN
    -- A partition is made beside its table and then attached, which lets readers and writers of the others go on.
    FOREACH parent IN ARRAY ARRAY['entry', 'leg', 'part'] LOOP
        made := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
        IF to_regclass(format('%I.%I', books, made)) IS NULL THEN
            EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', books, made, books, parent);
            EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY', books, made);
            EXECUTE format('ALTER TABLE %I.%I ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)', books, parent, books, made,
                           date_trunc('month', month)::date, (date_trunc('month', month) + interval '1 month')::date);
        END IF;
    END LOOP;
END $$


CREATE FUNCTION check_legs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong uuid;
BEGIN
    -- An entry's legs come in one statement: they are numbered from 0, as many as the entry says, and sum to zero.
    SELECT l.entry INTO wrong
    FROM (SELECT entry, posted_on, sum(amount_vnd) AS total, count(*) AS legs, min(n) AS first, max(n) AS last,
                 min(agency) AS low, max(agency) AS high, min(belongs_on) AS early, max(belongs_on) AS late
          FROM added GROUP BY entry, posted_on) AS l
    LEFT JOIN entry AS e ON e.id = l.entry AND e.posted_on = l.posted_on
    WHERE e.id IS NULL OR l.total <> 0 OR l.legs <> e.legs OR l.first <> 0 OR l.last <> e.legs - 1
       OR l.low <> e.agency OR l.high <> e.agency OR l.early <> e.belongs_on OR l.late <> e.belongs_on
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'entry % does not balance or does not match its legs', wrong USING ERRCODE = '23514';
    END IF;
    -- What a day earned for a stream is what its lines earned, whose parts are there before the legs.
    SELECT l.entry INTO wrong
    FROM (SELECT a.entry, a.posted_on, a.stream, a.account, sum(a.amount_vnd) AS total FROM added AS a
          JOIN entry AS e ON e.id = a.entry AND e.posted_on = a.posted_on AND e.kind = 'day'
          WHERE a.line IS NULL AND a.account IN ('deferred_revenue', 'unbilled_delivery')
          GROUP BY a.entry, a.posted_on, a.stream, a.account) AS l
    FULL JOIN (SELECT p.entry, p.stream, p.counter, (SELECT sum(a) FROM unnest(p.amounts) AS a) AS total FROM part AS p
               WHERE (p.entry, p.posted_on) IN (SELECT a.entry, a.posted_on FROM added AS a
                   JOIN entry AS e ON e.id = a.entry AND e.posted_on = a.posted_on AND e.kind = 'day'
                   WHERE a.line IS NULL)) AS p
    ON p.entry = l.entry AND p.stream = l.stream AND p.counter = l.account
    WHERE coalesce(p.total, 0) <> coalesce(l.total, 0)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the parts of a day do not add up' USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$


CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the books are append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '23001';
END $$


CREATE TRIGGER leg_balances AFTER INSERT ON leg REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION check_legs()
