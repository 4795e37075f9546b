"""What a service finds in PostgreSQL when it is measured: line items in flight, orders that wait, paid readers.

Everything stands under ids that follow from a number, so that whoever asks can name it.
"""

import hashlib
from uuid import UUID

import psycopg

PLACES = ("home-top", "article-mid", "article-bottom")
SECTIONS = ("thoi-su", "kinh-te", "du-lich", "the-thao", "van-hoa")
PENDING = 400
"""Orders one approval away from their invoice, and as many one payment away from their flight."""


def key(what: str, n: int) -> UUID:
    """The id of the n-th of something, as the statements below make it."""
    return UUID(hashlib.md5(f"{what} {n}".encode(), usedforsecurity=False).hexdigest())


_PLACES = """
INSERT INTO agency (code, name, kind, active_from) VALUES ('bkh', 'BKH', 'newspaper', '2020-01-01')
    ON CONFLICT DO NOTHING;
INSERT INTO placement (id, agency, code, site, name, width, height, sections)
SELECT md5('place ' || code)::uuid, 'bkh', code, 'bkh', code, width, height, '{}'
FROM (VALUES ('home-top', 970, 250), ('article-mid', 300, 250), ('article-bottom', 728, 90))
    AS t(code, width, height)
ON CONFLICT DO NOTHING;
"""
_ORDERS = """
INSERT INTO ad_order (id, agency, organisation, kind, name, booked_by, booked_at, submitted_at, invoice, paid_at)
SELECT md5('{kind} ' || n)::uuid, 'bkh', md5('buyer ' || n % 50)::uuid, 'sold', 'Order ' || n, 'bench', now(), now(),
    CASE WHEN {invoiced} THEN md5('{kind} invoice ' || n)::uuid END, CASE WHEN {paid} THEN now() END
FROM generate_series(0, {count} - 1) AS n
"""
_LINES = """
INSERT INTO line_item (id, ad_order, agency, organisation, name, tier, placements, sections, devices, languages,
    hours, starts_on, ends_on, pricing, price_vnd, budget_vnd, goal, net_vnd, vat_vnd, cap_day)
SELECT md5('{kind} line ' || n)::uuid, md5('{kind} ' || n / {each})::uuid, 'bkh',
    md5('buyer ' || n / {each} % 50)::uuid, 'Line ' || n, 1 + n % 3,
    CASE WHEN {whole} AND n % 4 > 0 THEN ARRAY['home-top', 'article-mid', 'article-bottom'] ELSE ARRAY['home-top'] END,
    CASE WHEN n % 3 > 0 THEN ARRAY[(ARRAY['thoi-su', 'kinh-te', 'du-lich', 'the-thao', 'van-hoa'])[1 + n % 5]]
        ELSE '{{}}' END,
    CASE WHEN n % 5 = 0 THEN ARRAY[(ARRAY['phone', 'tablet', 'desktop'])[1 + n % 3]] ELSE '{{}}' END,
    CASE WHEN n % 7 = 0 THEN ARRAY['vi'] ELSE '{{}}' END,
    CASE WHEN n % 4 = 0 THEN ARRAY(SELECT generate_series(0, 23)) ELSE '{{}}' END,
    current_date - 5, current_date + 24, 'cpm', 50000, 500000000, 10000000, 500000000, 50000000,
    CASE WHEN n % 10 = 0 THEN 20 ELSE 0 END
FROM generate_series(0, {count} - 1) AS n
"""
_SALES = """
INSERT INTO sale (id, agency, kind, of, owner, number, buyer, collect, lines, total_vnd, opened_at, expires_at,
    captured_vnd, credits, credited_vnd, paid_at)
SELECT o.invoice, 'bkh', 'order', o.id, o.organisation, 'QC-' || o.id,
    jsonb_build_object('kind', 'organisation', 'id', o.organisation), 'prepaid',
    jsonb_agg(jsonb_build_object('id', l.id, 'agency', 'bkh', 'stream', 'advertising.web', 'product_class',
        'advertising.web.cpm', 'title', l.name, 'net_vnd', l.net_vnd, 'vat_class', 'standard', 'vat_vnd', l.vat_vnd,
        'earn', jsonb_build_object('type', 'delivery', 'unit', 'impression', 'quantity', l.goal))),
    sum(l.net_vnd + l.vat_vnd), now(), now() + interval '2 days',
    CASE WHEN o.paid_at IS NULL THEN 0 ELSE sum(l.net_vnd + l.vat_vnd) END, '{{}}', 0, o.paid_at
FROM ad_order o JOIN line_item l ON l.ad_order = o.id WHERE o.invoice IS NOT NULL
GROUP BY o.id ON CONFLICT DO NOTHING
"""
_CREATIVES = """
INSERT INTO creative (id, ad_order, agency, organisation, width, height, file, media_type, click_url, uploaded_at)
SELECT md5('{kind} creative ' || n * 3 + size)::uuid, md5('{kind} ' || n)::uuid, 'bkh',
    md5('buyer ' || n % 50)::uuid, width, height, repeat(md5('{kind} file ' || n * 3 + size), 2), 'image/png',
    'https://example.com/', now()
FROM generate_series(0, {count} - 1) AS n,
    (VALUES (0, 970, 250), (1, 300, 250), (2, 728, 90)) AS t(size, width, height)
WHERE {whole} OR size = 0
"""
_REVIEWS = """
INSERT INTO review (id, creative, agency, organisation, verdict, reason, checks, reviewed_at)
SELECT md5('review ' || id)::uuid, id, agency, organisation, 'approved', '', '{}', now()
FROM creative WHERE NOT EXISTS (SELECT FROM review WHERE creative = creative.id)
"""
LINES_EACH = 10


def fill_ads(address: str, lines: int) -> None:
    """So many paid line items in flight, ten an order; targeted in five dimensions, a cap on one in ten.

    Besides, `PENDING` approved orders that wait for their money, and as many whose one creative waits for review.
    """
    kinds = (
        ("order", lines // LINES_EACH, LINES_EACH, True, True),
        ("unpaid", PENDING, 1, True, False),
        ("waiting", PENDING, 1, False, False),
    )
    with psycopg.connect(address, autocommit=True) as database:
        database.execute(_PLACES)
        for kind, count, each, invoiced, paid in kinds:
            whole = each > 1
            known = {"kind": kind, "each": each, "invoiced": invoiced, "paid": paid, "whole": whole}
            database.execute(_ORDERS.format(**known, count=count))
            database.execute(_LINES.format(**known, count=count * each))
            database.execute(_SALES.format())
            database.execute(_CREATIVES.format(**known, count=count))
            if kind != "waiting":
                database.execute(_REVIEWS)
        database.execute("INSERT INTO version (name, number) VALUES ('ads', 1) ON CONFLICT DO NOTHING")
        database.execute("ANALYZE")


def cap_all(address: str, cap_day: int) -> None:
    """Let every line item in flight fill any slot, for one visitor so many times a day."""
    with psycopg.connect(address, autocommit=True) as database:
        database.execute(
            "UPDATE line_item SET cap_day = %s, placements = %s, sections = '{}', devices = '{}', languages = '{}', "
            "hours = '{}' WHERE ad_order IN (SELECT id FROM ad_order WHERE paid_at IS NOT NULL)",
            [cap_day, list(PLACES)],
        )


_ITEMS = """
INSERT INTO event (id, agency, slug, title, summary, place, starts_at, sales_end_at, charity, next_bib, version,
    created_at)
VALUES (md5('event')::uuid, 'bkh', 'bench', 'Bench', '', '', now() + interval '9 days', now() + interval '8 days', '',
    1, 1, now());
INSERT INTO sellable (id, agency, event, kind, title, position, price_vnd, capacity, held, sold)
SELECT md5('item ' || n)::uuid, 'bkh', md5('event')::uuid, 'ticket', 'Item ' || n, n, 100000, {capacity}, 0, 0
FROM generate_series(0, {count} - 1) AS n;
ANALYZE;
"""


def fill_events(address: str, count: int, capacity: int) -> None:
    """So many kinds of tickets for one event, and of each as many as the capacity says."""
    with psycopg.connect(address, autocommit=True) as database:
        for statement in _ITEMS.format(count=count, capacity=capacity).split(";\n")[:-1]:
            database.execute(statement)


READERS = 20_000
_READERS = """
INSERT INTO package (id, agency, code, title, title_en, summary, summary_en, reader_group, product_class, grants,
    on_sale_from)
VALUES (md5('package')::uuid, 'bkh', 'month', 'Gói tháng', 'Month', '', '', 'general', 'digital_news',
    '[{"agency": "bkh", "sections": ["*"], "channels": ["article"]}]', '2020-01-01');
INSERT INTO price (id, agency, package, term_unit, term_count, net_vnd, since, made_at)
VALUES (md5('price')::uuid, 'bkh', md5('package')::uuid, 'month', 1, 45370, '2020-01-01', now());
INSERT INTO subscription (id, agency, person, package, price, renewal, anchored, next_path, terms_version, made_at)
SELECT md5('subscription ' || n)::uuid, 'bkh', md5('person ' || n)::uuid, md5('package')::uuid, md5('price')::uuid,
    true, 0, '', '1', now()
FROM generate_series(0, %(readers)s - 1) AS n;
INSERT INTO sale (id, agency, kind, of, owner, number, buyer, collect, lines, total_vnd, opened_at, expires_at,
    captured_vnd, credits, credited_vnd, paid_at)
SELECT md5('invoice ' || n)::uuid, 'bkh', 'period', md5('subscription ' || n)::uuid, md5('person ' || n)::uuid,
    'bench ' || n, '{}', 'prepaid', '[]', 49000, now(), now(), 49000, '{}', 0, now()
FROM generate_series(0, %(readers)s - 1) AS n;
INSERT INTO invoice (id, agency, subscription, person, n, start, until)
SELECT md5('invoice ' || n)::uuid, 'bkh', md5('subscription ' || n)::uuid, md5('person ' || n)::uuid, 0,
    current_date - 5, current_date + 25
FROM generate_series(0, %(readers)s - 1) AS n;
INSERT INTO period (id, agency, subscription, person, package, invoice, n, start, until, suspended, started_at,
    change)
SELECT md5('period ' || n)::uuid, 'bkh', md5('subscription ' || n)::uuid, md5('person ' || n)::uuid,
    md5('package')::uuid, md5('invoice ' || n)::uuid, 0, current_date - 5, current_date + 25, false, now(), 1
FROM generate_series(0, %(readers)s - 1) AS n;
INSERT INTO version (name, number) VALUES ('access', 2) ON CONFLICT (name) DO UPDATE SET number = 2;
ANALYZE;
"""


def fill_subscriptions(address: str) -> None:
    """`READERS` persons, each in a paid month that opens every section."""
    with psycopg.connect(address, autocommit=True) as database:
        for statement in _READERS.split(";\n")[:-1]:
            database.execute(statement.replace("%(readers)s", str(READERS)))
