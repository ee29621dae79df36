-- Frames that are counted in rows or groups, functions that number rows or look back by rows: computed incrementally, in the
-- maintained part and in the live tail; each view against its batch query.
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FUNCTION maintained(OUT view text, OUT method text, OUT saved bool, OUT differing bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tidemark.wait_until_maintained(c.view) FROM tidemark.continuous_views c;
    RETURN QUERY SELECT c.view::text, c.method, f.saved IS NOT NULL, (SELECT count(*) FROM tidemark.verify(c.view))
        FROM tidemark.continuous_views c JOIN tidemark.frontier f ON f.relid = c.view ORDER BY c.view::text;
END $$;

-- the last 20 s are above the frontier: each answer is of both parts
CREATE TABLE s (id int PRIMARY KEY, t timestamp NOT NULL, k int, v int, n numeric, x float8, label text, folded text COLLATE nocase);
SELECT tidemark.create_stream('s', 't', allowed_delay => '20 s');
CREATE VIEW numbers AS SELECT id, t, k, row_number() OVER w AS number, rank() OVER by_time AS rank, dense_rank() OVER (ORDER BY t) AS dense_rank,
    rank() OVER (ORDER BY t, label DESC NULLS LAST) AS label_rank, rank() OVER w AS same
    FROM s WINDOW w AS (PARTITION BY k ORDER BY t, label DESC NULLS LAST, id), by_time AS (PARTITION BY k ORDER BY t);
CREATE VIEW lags AS SELECT t, lag(v) OVER w AS one, lag(label, 3, 'none of ' || id::text) OVER w AS three, lag(n, 0) OVER w AS itself, lag(n, NULL) OVER w AS nothing,
    lead(x, -2, x / 2) OVER w AS before, lag(v, 1000) OVER (ORDER BY t, id) AS far, lag(v::bigint, 2, 1.5) OVER w AS common,
    v - lag(v, 1, v) OVER (PARTITION BY k % 2, label ORDER BY t, id) AS change FROM s WINDOW w AS (PARTITION BY k ORDER BY t, id ROWS CURRENT ROW EXCLUDE CURRENT ROW);
CREATE VIEW in_rows AS SELECT id, t, k, sum(v) OVER (w ROWS CURRENT ROW) AS zero, sum(v) OVER (w ROWS 1 PRECEDING) AS one, sum(x) OVER (w ROWS 3 PRECEDING) AS three,
    avg(n) OVER (w ROWS 1000 PRECEDING) AS many, max(label) OVER (w ROWS BETWEEN 5 PRECEDING AND 2 PRECEDING) AS before,
    array_agg(v) OVER (w ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS list, count(*) FILTER (WHERE v > 5) OVER (w ROWS BETWEEN 4 PRECEDING AND 0 FOLLOWING) AS few,
    min(60 / v) FILTER (WHERE v <> 0) OVER (w ROWS 2 PRECEDING) AS divided, count(v) OVER (w ROWS BETWEEN 1 PRECEDING AND 3 PRECEDING) AS never,
    first_value(label) OVER (w ROWS 4 PRECEDING) AS first, last_value(n) OVER (w ROWS BETWEEN 4 PRECEDING AND 1 PRECEDING) AS last, nth_value(v, 3) OVER (w ROWS 4 PRECEDING) AS third,
    string_agg(label, '-') OVER (ORDER BY t, id ROWS 2 PRECEDING) AS joined FROM s WINDOW w AS (PARTITION BY k ORDER BY t, id);
CREATE VIEW from_start AS SELECT id, t, sum(n) OVER (w ROWS UNBOUNDED PRECEDING) AS rows, sum(n) OVER w AS peers, max(x) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before,
    sum(v) OVER (PARTITION BY k ORDER BY t GROUPS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS groups_before, count(label) OVER (PARTITION BY k ORDER BY t, label) AS labels,
    nth_value(id, 4) OVER (w ROWS UNBOUNDED PRECEDING) AS fourth FROM s WINDOW w AS (PARTITION BY k ORDER BY t, label, id);
CREATE VIEW in_groups AS SELECT t, k, count(*) OVER (w GROUPS CURRENT ROW) AS zero, sum(v) OVER (w GROUPS 1 PRECEDING) AS one, max(n) OVER (w GROUPS 3 PRECEDING) AS three,
    sum(x) OVER (w GROUPS 1000 PRECEDING) AS many, sum(v) FILTER (WHERE v > 3) OVER (w GROUPS BETWEEN 3 PRECEDING AND 1 PRECEDING) AS before,
    count(*) OVER (PARTITION BY k ORDER BY t, label GROUPS 2 PRECEDING) AS by_label, sum(v) OVER (ORDER BY t, label RANGE CURRENT ROW) AS of_label FROM s WINDOW w AS (PARTITION BY k ORDER BY t);
CREATE VIEW mixed AS SELECT id, t, k, sum(x) OVER (PARTITION BY k ORDER BY t RANGE '10 s' PRECEDING) AS range, sum(x) OVER (PARTITION BY k ORDER BY t, id ROWS 5 PRECEDING) AS rows,
    row_number() OVER (PARTITION BY k ORDER BY t, id) AS number, lag(x) OVER (PARTITION BY k ORDER BY t, id) AS lag, count(*) OVER (ORDER BY t RANGE '1 min' PRECEDING) AS minute,
    sum(v) OVER (ORDER BY t, id GROUPS 2 PRECEDING) AS groups, max(v) OVER (ORDER BY t) AS peak FROM s WHERE v <> 7;
CREATE VIEW nested AS SELECT t, k, avg(three) OVER (ORDER BY t, id ROWS 3 PRECEDING) AS smooth FROM in_rows WHERE three > 0;
-- what goes by slices
CREATE VIEW two_orders AS SELECT t, lag(v) OVER (ORDER BY t, id) AS a, lag(v) OVER (ORDER BY t, id DESC) AS b FROM s;
CREATE VIEW excluded AS SELECT t, sum(v) OVER (ORDER BY t, id ROWS 3 PRECEDING EXCLUDE CURRENT ROW) FROM s;
CREATE VIEW by_case AS SELECT t, rank() OVER (ORDER BY t, folded) FROM s;
SET client_min_messages = warning;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{numbers,lags,in_rows,from_start,in_groups,mixed,nested,two_orders,excluded,by_case}'::text[]) v;
RESET client_min_messages;
SELECT v, part, how, why FROM unnest('{numbers,lags,in_rows,in_groups,mixed}'::regclass[]) v, tidemark.explain(v) WHERE part ~ 'window' OR part = 'maintenance';
SELECT v, how, why FROM unnest('{from_start,nested,two_orders,excluded,by_case}'::regclass[]) v, tidemark.explain(v) WHERE part = 'maintenance';

-- many rows of one event time, null keys and values, keys that come back after a while
CREATE FUNCTION rows(first int, last int) RETURNS SETOF s LANGUAGE sql AS $$
    SELECT i, timestamp '2024-01-01' + i / 7 * interval '1 s', CASE i % 6 WHEN 5 THEN NULL ELSE nullif(i % 6, 4) END, nullif((i * 7919) % 11, 8),
        CASE i % 4 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 WHEN 2 THEN NULL ELSE i / 100.0 END, i / 7.0, CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN 'a' ELSE 'label ' || i % 3 END, CASE i % 2 WHEN 0 THEN 'A' ELSE 'a' END
    FROM generate_series(first, last) i
$$;
INSERT INTO s SELECT * FROM rows(1, 3000);
SELECT * FROM maintained();
-- the states go on from step to step
INSERT INTO s SELECT * FROM rows(3001, 3500);
SELECT * FROM maintained();
INSERT INTO s SELECT * FROM rows(3501, 3503);
SELECT * FROM maintained();
-- the tail alone, in the transaction that writes it
BEGIN;
INSERT INTO s SELECT * FROM rows(3504, 3550);
DELETE FROM s WHERE id IN (3490, 3495);
SELECT v, count(d) FROM unnest('{numbers,lags,in_rows,from_start,in_groups,mixed,nested}'::regclass[]) v LEFT JOIN LATERAL tidemark.verify(v) d ON true GROUP BY v ORDER BY v::text;
ROLLBACK;
-- late rows: of known keys, of a new one, of the key null; then rows that change keys and times, and are gone
INSERT INTO s VALUES (10001, '2024-01-01 00:02:00.5', 1, 100, 3, 4, 'late'), (10002, '2024-01-01 00:03', 77, 5, 6, 7, 'late');
SELECT * FROM maintained();
INSERT INTO s VALUES (10003, '2024-01-01 00:00', NULL, 1, 2, 3, NULL);
INSERT INTO s SELECT * FROM rows(3504, 3900);
SELECT * FROM maintained();
UPDATE s SET k = 2, t = t - interval '1 min' WHERE id % 100 = 3;
DELETE FROM s WHERE id % 10 = 4 AND t > '2024-01-01 00:04:00';
SELECT * FROM maintained();
INSERT INTO s SELECT * FROM rows(3901, 4200);
SELECT * FROM maintained();
-- a maintainer that comes anew goes on from what was saved
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND backend_type ~ 'tidemark';
INSERT INTO s SELECT * FROM rows(4201, 4300);
SELECT * FROM maintained();
INSERT INTO s SELECT * FROM rows(4301, 4350);
SELECT * FROM maintained();
-- more rows of one event time than wait in memory
INSERT INTO s SELECT id + 10000, '2024-01-01 00:20', k, v, n, x, label FROM rows(10000, 13000);
INSERT INTO s SELECT id + 10000, t + interval '1 h', k, v, n, x, label FROM rows(13001, 13300);
SELECT * FROM maintained();
TRUNCATE s;
INSERT INTO s SELECT * FROM rows(20000, 20500);
SELECT * FROM maintained();
DROP TABLE s CASCADE;

-- other types of event time; a row and its peers are the same in several ways
CREATE TABLE days (d date, v int, id bigint UNIQUE NOT NULL);
SELECT tidemark.create_stream('days', 'd', allowed_delay => '3 days', max_ahead => NULL);
CREATE VIEW by_day AS SELECT d, sum(v) OVER (ORDER BY d, id ROWS 3 PRECEDING) AS rows, rank() OVER (ORDER BY d), sum(v) OVER (ORDER BY d GROUPS 2 PRECEDING) AS groups, lag(d) OVER (ORDER BY d, id, v) FROM days;
CREATE VIEW by_value AS SELECT d, rank() OVER (PARTITION BY v % 2 ORDER BY d, v), count(*) OVER (PARTITION BY v % 2 ORDER BY d, v), lag(d) OVER (ORDER BY d, v, id) FROM days;
SELECT tidemark.make_continuous('by_day'), tidemark.make_continuous('by_value');
INSERT INTO days SELECT date '2024-02-20' + i / 4, i % 3, i FROM generate_series(1, 200) i;
SELECT * FROM maintained();
INSERT INTO days SELECT date '2024-02-20' + i / 4, i % 3, i FROM generate_series(201, 230) i;
SELECT * FROM maintained();
DROP TABLE days CASCADE;

-- states that are too large to be saved: the tail is a slice. States that are too large for memory: slices
CREATE TABLE many (t bigint, k int, v text);
SELECT tidemark.create_stream('many', 't', allowed_delay => '10');
SET client_min_messages = warning;
CREATE VIEW long AS SELECT t, k, count(v) OVER (PARTITION BY k ORDER BY t ROWS 10000 PRECEDING) FROM many;
CREATE VIEW counted AS SELECT t, k, lag(v, 100) OVER (PARTITION BY k ORDER BY t), row_number() OVER (PARTITION BY k ORDER BY t) FROM many;
SELECT tidemark.make_continuous('long');
RESET client_min_messages;
INSERT INTO many SELECT i, i % 2, 'v' || i FROM generate_series(1, 20000) i;
SELECT * FROM maintained();
ALTER SYSTEM SET tidemark.work_mem = '64kB';
SELECT pg_reload_conf();
INSERT INTO many SELECT i, i, repeat('v', 10) || i FROM generate_series(20001, 80000) i;
SET client_min_messages = warning;
SELECT tidemark.make_continuous('counted');
RESET client_min_messages;
SELECT * FROM maintained();
SELECT how, why FROM tidemark.explain('counted') WHERE part = 'maintenance';
ALTER SYSTEM RESET tidemark.work_mem;
SELECT pg_reload_conf();
DROP TABLE many CASCADE;
DROP FUNCTION maintained;
