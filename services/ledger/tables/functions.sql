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
