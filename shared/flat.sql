ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {service}_web, {service}_worker


ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {service}_web, {service}_worker


-- Facts to be published. One that NATS will never take stands aside with the reason, so that the others pass.
CREATE TABLE outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    subject text NOT NULL,
    body bytea NOT NULL CHECK (octet_length(body) <= 1000000),
    occurred_at timestamptz NOT NULL,
    aside text NOT NULL DEFAULT ''
)


-- What was published, kept for good: archive, replay and cure of a lost stream. Split by year of occurrence.
CREATE TABLE fact_log (
    seq bigint NOT NULL,
    id uuid NOT NULL,
    subject text NOT NULL,
    body bytea NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (seq, occurred_at)
) PARTITION BY RANGE (occurred_at)


CREATE TABLE fact_log_early PARTITION OF fact_log FOR VALUES FROM (MINVALUE) TO ('2026-01-01 00:00+07')


CREATE TABLE fact_log_2026 PARTITION OF fact_log FOR VALUES FROM ('2026-01-01 00:00+07') TO ('2027-01-01 00:00+07')


CREATE TABLE fact_log_2027 PARTITION OF fact_log FOR VALUES FROM ('2027-01-01 00:00+07') TO ('2028-01-01 00:00+07')


CREATE TABLE fact_log_later PARTITION OF fact_log DEFAULT


-- Facts that were handled. A second delivery finds its id here and does nothing; what bears a known id and has other
-- bytes, of which the digest is the beginning of SHA-256, is parked.
CREATE TABLE inbox (
    fact_id uuid NOT NULL,
    subject text NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 16),
    handled_at timestamptz NOT NULL,
    PRIMARY KEY (fact_id, subject)
)


-- Facts that were not handled: tried again, waiting for a predecessor, parked for a person, or dropped by one.
-- What came with other bytes under the same id stands beside it.
CREATE TABLE retry (
    fact_id uuid NOT NULL,
    subject text NOT NULL,
    body bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('retry', 'waiting', 'parked', 'dropped')),
    waits_for text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    begun integer NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    since timestamptz NOT NULL,
    next_at timestamptz NOT NULL,
    digest bytea GENERATED ALWAYS AS (substring(sha256(body) FOR 16)) STORED,
    PRIMARY KEY (fact_id, subject, digest)
)


CREATE INDEX retry_due ON retry (next_at) WHERE state IN ('retry', 'waiting')


-- By publisher: each has its share of a turn, and what of it was woken comes first.
CREATE INDEX retry_turn ON retry (split_part(subject, '.', 1), next_at) WHERE state IN ('retry', 'waiting')


CREATE INDEX retry_waits ON retry (waits_for, fact_id, subject) WHERE state = 'waiting'


-- Answers already given to business POSTs, by who asked and with which key.
CREATE TABLE idempotency (
    principal text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer,
    body bytea,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (principal, key)
)


-- Agencies and their lineage, as accounts told it.
CREATE TABLE agency (
    code text PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    kind text NOT NULL DEFAULT '',
    active_from date,
    successor text,
    succeeded_on date
)


-- API keys and sessions that no service takes any more: a key for good, a session while a token of it could live.
CREATE TABLE revoked (
    id uuid PRIMARY KEY,
    until timestamptz
)


-- Numbers that rise when a snapshot's source changes; each worker polls them once a second.
CREATE TABLE version (
    name text PRIMARY KEY,
    number bigint NOT NULL
)


-- When each job last ended a turn, and as `lead`, when somebody last began to run them.
CREATE TABLE turn (
    job text PRIMARY KEY,
    ended_at timestamptz NOT NULL
)


-- A text as names are compared, without accents and in lower case: `plain` in `shared/sought.py` does the same.
CREATE FUNCTION plain(p_text text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN replace(regexp_replace(normalize(lower(p_text), NFD), '[\u0300-\u036f]', '', 'g'), 'đ', 'd')


-- Named one by one: who may change a part of a table needs no right to the whole.
REVOKE UPDATE, DELETE ON fact_log, fact_log_early, fact_log_2026, fact_log_2027, fact_log_later FROM {service}_worker


-- Requests say facts and read what all may know; what was said, heard and remembered is the worker's alone.
REVOKE ALL ON outbox, fact_log, fact_log_early, fact_log_2026, fact_log_2027, fact_log_later, inbox, retry,
    agency, revoked, version, turn FROM {service}_web


GRANT INSERT ON outbox TO {service}_web


GRANT SELECT ON agency, revoked, version TO {service}_web


-- What somebody's fact waits for may arrive by a request: it hurries the fact, and reads nothing of it.
GRANT SELECT (state, waits_for), UPDATE (next_at) ON retry TO {service}_web


REVOKE DELETE ON idempotency FROM {service}_web


ALTER TABLE idempotency ENABLE ROW LEVEL SECURITY


ALTER TABLE idempotency FORCE ROW LEVEL SECURITY


CREATE POLICY idempotency_web ON idempotency TO {service}_web
    USING (principal = current_setting('app.asker', true)) WITH CHECK (principal = current_setting('app.asker', true))


CREATE POLICY idempotency_worker ON idempotency TO {service}_worker, {service}_owner USING (true) WITH CHECK (true)
