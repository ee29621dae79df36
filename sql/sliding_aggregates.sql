-- Aggregates over moving windows in queries over streams slide: the same results as PostgreSQL's, to the last digit.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tidemark;
RESET client_min_messages;

CREATE TABLE slide_stream (
    t timestamp NOT NULL, k int, id int, b boolean, i2 int2, i4 int4, i8 int8, x float8, y float4, n numeric, m money, s text COLLATE "C",
    c char(5), d date, iv interval, u uuid, a int[], r int4range, bits bit(70), bytes bytea);
DO $$ BEGIN PERFORM tidemark.create_stream('slide_stream', 't', allowed_delay => '1 second'); END $$;

-- ties of event time, nulls, what is special in each type, equal values that don't look the same
SELECT setseed(0.4);
INSERT INTO slide_stream
SELECT timestamp '2026-01-01' + (random() * 150)::int * interval '1 s', (random() * 3)::int, id,
    CASE WHEN v < 0.8 THEN random() < 0.7 END,
    CASE WHEN v < 0.8 THEN random() * 60000 - 30000 END,
    CASE WHEN v < 0.8 THEN (random() - 0.5) * 4e9 END,
    CASE WHEN v < 0.8 THEN ((random() - 0.5) * 1.8e19)::int8 END,
    CASE WHEN v < 0.05 THEN 'NaN' WHEN v < 0.08 THEN 'Infinity' WHEN v < 0.11 THEN '-Infinity' WHEN v < 0.3 THEN 0 WHEN v < 0.4 THEN '-0'
        WHEN v < 0.8 THEN (random() - 0.5) * 10 ^ (random() * 30 - 10) END,
    CASE WHEN v < 0.05 THEN 'NaN' WHEN v < 0.1 THEN '-0' WHEN v < 0.2 THEN 0 WHEN v < 0.8 THEN random() END,
    CASE WHEN v < 0.03 THEN 'NaN' WHEN v < 0.05 THEN 'Infinity' WHEN v < 0.07 THEN '-Infinity' WHEN v < 0.3 THEN round(random()::numeric, (random() * 3)::int)
        WHEN v < 0.7 THEN round((random() * 10 - 5)::numeric * 10::numeric ^ (random() * 30 - 10)::int, (random() * 12)::int) WHEN v < 0.8 THEN (random() * 4)::int * 1e20 END,
    CASE WHEN v < 0.8 THEN (random() * 1000)::numeric::money END,
    CASE WHEN v < 0.8 THEN substr(md5(random()::text), 1, (random() * 4)::int) END,
    CASE WHEN v < 0.8 THEN substr(md5(random()::text), 1, (random() * 2)::int) END,
    CASE WHEN v < 0.8 THEN date '2026-01-01' + (random() * 100)::int END,
    CASE WHEN v < 0.2 THEN '1 month' WHEN v < 0.4 THEN '30 days' WHEN v < 0.8 THEN random() * interval '100 days' END,
    CASE WHEN v < 0.8 THEN md5(random()::text)::uuid END,
    CASE WHEN v < 0.8 THEN ARRAY[(random() * 3)::int, (random() * 3)::int] END,
    CASE WHEN v < 0.1 THEN 'empty' WHEN v < 0.8 THEN int4range((random() * 5)::int, 5 + (random() * 5)::int) END,
    CASE WHEN v < 0.8 THEN lpad(((random() * 1e18)::int8)::bit(60)::text, 70, '0')::bit(70) END,
    CASE WHEN v < 0.8 THEN decode(md5(random()::text), 'hex') END
FROM (SELECT id, random() AS v FROM generate_series(1, 600) id) q;

-- For a call and a frame: does a plan have it sliding, and how many rows differ from PostgreSQL's own?
CREATE FUNCTION slide(call text, frame text) RETURNS TABLE (sliding boolean, wrong bigint) LANGUAGE plpgsql AS $$
DECLARE
    query text := format('SELECT id, %s::text AS v FROM slide_stream WINDOW w AS (PARTITION BY k ORDER BY t %s)', replace(call, '@', 'OVER w'), frame);
    line text;
BEGIN
    sliding := false;
    FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS off) ' || query LOOP
        sliding := sliding OR line LIKE '%sliding_window(%';
    END LOOP;
    EXECUTE 'CREATE TEMP TABLE slid AS ' || query;
    SET LOCAL tidemark.sliding_aggregates = off;
    EXECUTE 'CREATE TEMP TABLE stock AS ' || query;
    SET LOCAL tidemark.sliding_aggregates = on;
    SELECT count(*) INTO wrong FROM ((TABLE slid EXCEPT ALL TABLE stock) UNION ALL (TABLE stock EXCEPT ALL TABLE slid)) q;
    DROP TABLE slid, stock;
    RETURN NEXT;
END $$;

CREATE TABLE frames (number int, frame text);
INSERT INTO frames VALUES
    (1, 'RANGE ''7 s'' PRECEDING'),
    (2, 'RANGE BETWEEN ''20 s'' PRECEDING AND ''10 s'' PRECEDING'),
    (3, 'RANGE BETWEEN ''2 s'' FOLLOWING AND ''9 s'' FOLLOWING'),
    (4, 'RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING'),
    (5, 'RANGE BETWEEN ''5 s'' PRECEDING AND ''5 s'' FOLLOWING'),
    (6, 'ROWS 9 PRECEDING'),
    (7, 'ROWS BETWEEN 6 PRECEDING AND 2 PRECEDING'),
    (8, 'ROWS BETWEEN 2 FOLLOWING AND 3 FOLLOWING'),
    (9, 'ROWS BETWEEN 2 PRECEDING AND 5 PRECEDING'),
    (10, 'GROUPS 3 PRECEDING'),
    (11, 'GROUPS BETWEEN 5 PRECEDING AND 1 PRECEDING'),
    (12, 'ROWS CURRENT ROW'),
    (13, 'GROUPS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING');

SELECT call, count(*) FILTER (WHERE sliding) AS sliding, sum(wrong) AS wrong
FROM frames, (VALUES
    (1, 'max(x) @'), (2, 'min(x) @'), (3, 'max(y) @'), (4, 'min(i2) @'), (5, 'max(i8) @'), (6, 'max(n) @'), (7, 'min(n) @'), (8, 'min(s) @'),
    (9, 'max(s COLLATE "default") @'), (10, 'max(c) @'), (11, 'min(c) @'), (12, 'max(d) @'), (13, 'min(iv) @'), (14, 'max(a) @'), (15, 'max(m) @'),
    (16, 'max(t) @'), (17, 'min(x) FILTER (WHERE b) @'), (18, 'max(x) FILTER (WHERE false) @'), (19, 'min(n + id) @'), (20, 'max(iv) @')) c (number, call),
    LATERAL slide(call, frame)
GROUP BY c.number, call ORDER BY c.number;

-- what has an inverse stays as it is, and so does what PostgreSQL itself computes anew
SELECT call, sliding, wrong FROM (VALUES
    (1, 'count(*) @', 'RANGE ''7 s'' PRECEDING'),
    (2, 'sum(i4) @', 'RANGE ''7 s'' PRECEDING'),
    (3, 'sum(x) @', 'RANGE ''7 s'' PRECEDING'),
    (4, 'max(x) @', 'RANGE UNBOUNDED PRECEDING'),
    (5, 'max(x) @', 'RANGE ''7 s'' PRECEDING EXCLUDE CURRENT ROW'),
    (6, 'max(x) @', 'RANGE ''7 s'' PRECEDING EXCLUDE TIES'),
    (7, 'max(x + (SELECT 1)) @', 'RANGE ''7 s'' PRECEDING'),
    (8, 'first_value(x) @', 'RANGE ''7 s'' PRECEDING')) c (number, call, frame), LATERAL slide(call, frame) ORDER BY number;

-- where it can be seen; off; and not over other tables
CREATE TABLE slide_plain AS TABLE slide_stream;
CREATE VIEW slide_view AS SELECT k, t, max(n) OVER (PARTITION BY k ORDER BY t RANGE '5 s' PRECEDING) AS m FROM slide_stream;
EXPLAIN (VERBOSE, COSTS off) SELECT max(n) OVER (ORDER BY t RANGE '5 s' PRECEDING) FROM slide_stream;
SELECT pg_get_viewdef('slide_view') LIKE '%sliding_window%' AS in_the_definition;
SET tidemark.sliding_aggregates = off;
EXPLAIN (VERBOSE, COSTS off) SELECT max(n) OVER (ORDER BY t RANGE '5 s' PRECEDING) FROM slide_stream;
RESET tidemark.sliding_aggregates;
EXPLAIN (VERBOSE, COSTS off) SELECT max(n) OVER (ORDER BY t RANGE '5 s' PRECEDING) FROM slide_plain;
-- at every level of a query
SELECT count(*) FROM (SELECT m FROM slide_view UNION ALL SELECT max(n) OVER (ORDER BY t RANGE '5 s' PRECEDING) FROM slide_plain) q;

-- called by name: only with what the aggregate takes and gives
SELECT DISTINCT tidemark.sliding_window(NULL::int, 'max(int)'::regprocedure, x) OVER (ROWS 1 PRECEDING) FROM generate_series(1, 3) x ORDER BY 1;
SELECT tidemark.sliding_window(NULL::int, 'max(int)'::regprocedure, x) FROM generate_series(1, 3) x;
SELECT tidemark.sliding_window(NULL::int, 'max(int)'::regprocedure, x) FROM generate_series(1, 0) x;
SELECT tidemark.sliding_window(NULL::int, 'max(text)'::regprocedure, 1);
SELECT tidemark.sliding_window(NULL::text, 'max(int)'::regprocedure, 1);
SELECT tidemark.sliding_window(NULL::int, 'max(int)'::regprocedure, 1, 2);
SELECT tidemark.sliding_window(NULL::int, NULL, 1);
SELECT tidemark.sliding_window(NULL::int, 'int4pl(int, int)'::regprocedure, 1, 2);
SELECT tidemark.sliding_window(NULL::anyarray, 'max(anyarray)'::regprocedure, x) FROM (VALUES (ARRAY[1])) v (x);
SELECT tidemark.sliding_window(NULL::int[], 'max(anyarray)'::regprocedure, x) FROM (VALUES (ARRAY[1]), (ARRAY[3]), (ARRAY[2])) v (x);
SELECT tidemark.sliding_window(NULL::int, 'max(int)'::regprocedure, VARIADIC ARRAY[1]);
SELECT tidemark.sliding_window(NULL::int, (CASE WHEN x = 1 THEN 'max(int)' ELSE 'min(int)' END)::regprocedure, x)
FROM generate_series(1, 2) x GROUP BY x;

-- nobody gets round a right by it
CREATE AGGREGATE slide_secret(int) (SFUNC = int4larger, STYPE = int, SORTOP = >);
REVOKE ALL ON FUNCTION slide_secret(int) FROM PUBLIC;
CREATE ROLE slide_reader;
GRANT SELECT ON slide_stream TO slide_reader;
SET ROLE slide_reader;
SELECT count(max(n)) OVER () > 0 AS may FROM slide_stream GROUP BY k LIMIT 1;
SELECT max(max(k)) OVER (ORDER BY k ROWS 1 PRECEDING) FROM slide_stream GROUP BY k LIMIT 1;
SELECT slide_secret(id) OVER (ORDER BY t ROWS 1 PRECEDING) FROM slide_stream LIMIT 1;
SELECT tidemark.sliding_window(NULL::int, 'slide_secret(int)'::regprocedure, id) FROM slide_stream;
RESET ROLE;

-- a view and its batch query agree
DO $$ BEGIN
    PERFORM tidemark.make_continuous('slide_view');
END $$;
INSERT INTO slide_stream (t, k, n) SELECT timestamp '2026-01-01 00:03' + i * interval '1 s', i % 3, i % 7 FROM generate_series(1, 50) i;
SELECT tidemark.wait_until_maintained('slide_view');
SELECT count(*) FROM tidemark.verify('slide_view');

DROP VIEW slide_view;
DROP FUNCTION slide;
DROP TABLE slide_plain, slide_stream, frames;
DROP AGGREGATE slide_secret(int);
DROP ROLE slide_reader;
