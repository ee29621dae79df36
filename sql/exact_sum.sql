-- Exact sums and averages of floats: order, exactness, windows, what is special, partial sums.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tidemark;
RESET client_min_messages;
\set VERBOSITY terse

-- doubles of all magnitudes, subnormals, zeros
CREATE TABLE all_magnitudes AS SELECT i, i % 7 AS k, 0::float8 AS x, 0::float4 AS x4 FROM generate_series(1, 20000) i;
SELECT setseed(0.25);
UPDATE all_magnitudes SET x = CASE
    WHEN i % 50 = 0 THEN 0
    WHEN i % 49 = 0 THEN '-0'
    WHEN i % 48 = 0 THEN '5e-324'::float8 * (random() * 1e6)::int
    ELSE (random() - 0.5) * power(2::float8, (random() * 2000 - 1000)::int) END,
    x4 = (random() - 0.5) * power(2::float8, (random() * 200 - 100)::int);
ANALYZE all_magnitudes;

-- Any order gives the same bits. PostgreSQL's own sum doesn't.
SELECT count(DISTINCT float8send(s)) AS results FROM (
    SELECT tidemark.exact_sum(x ORDER BY i) FROM all_magnitudes UNION ALL
    SELECT tidemark.exact_sum(x ORDER BY i DESC) FROM all_magnitudes UNION ALL
    SELECT tidemark.exact_sum(x ORDER BY x) FROM all_magnitudes UNION ALL
    SELECT tidemark.exact_sum(x ORDER BY abs(x)) FROM all_magnitudes UNION ALL
    SELECT tidemark.exact_sum(x ORDER BY md5(i::text)) FROM all_magnitudes) o (s);
SELECT count(DISTINCT float8send(s)) AS results FROM (
    SELECT tidemark.exact_avg(x ORDER BY i) FROM all_magnitudes UNION ALL
    SELECT tidemark.exact_avg(x ORDER BY x DESC) FROM all_magnitudes UNION ALL
    SELECT tidemark.exact_avg(x ORDER BY md5(i::text)) FROM all_magnitudes) o (s);
SELECT count(DISTINCT float8send(s)) > 1 AS differ FROM (
    SELECT sum(x ORDER BY i) FROM all_magnitudes UNION ALL
    SELECT sum(x ORDER BY x) FROM all_magnitudes UNION ALL
    SELECT sum(x ORDER BY md5(i::text)) FROM all_magnitudes) o (s);
-- every value and its opposite
SELECT tidemark.exact_sum(x) AS zero FROM (SELECT x FROM all_magnitudes UNION ALL SELECT -x FROM all_magnitudes) b;

-- Nothing is lost on the way, and the result is rounded once.
SELECT tidemark.exact_sum(x) AS "1e+308" FROM (VALUES (1e308::float8), (1e308), (-1e308)) v (x);
SELECT tidemark.exact_sum(x) AS "1" FROM (VALUES (1e17::float8), (1), (-1e17)) v (x);
SELECT tidemark.exact_sum(x) AS "5e-324" FROM (VALUES (1e300::float8), ('5e-324'), (-1e300)) v (x);
SELECT tidemark.exact_sum(0.1::float8) AS "1", tidemark.exact_avg(0.1::float8) AS "0.1" FROM generate_series(1, 10);
SELECT tidemark.exact_sum(x) AS "1.5e-323" FROM (VALUES ('5e-324'::float8), ('1e-323')) v (x);
SELECT tidemark.exact_sum(-0.7::float8) FROM generate_series(1, 10000);
-- halfway: to even, unless something below tips the scales
SELECT tidemark.exact_sum(x) - 1 AS "0" FROM (VALUES (1::float8), (power(2::float8, -53))) v (x);
SELECT tidemark.exact_sum(x) - 1 AS "2.220446049250313e-16" FROM (VALUES (1::float8), (power(2::float8, -53)), ('5e-324')) v (x);
SELECT tidemark.exact_sum(x) - 1 AS "0" FROM (VALUES (1::float8), (power(2::float8, -53)), ('-5e-324')) v (x);
SELECT tidemark.exact_sum(x) - 1 AS "4.440892098500626e-16" FROM (VALUES (1::float8), (power(2::float8, -52)), (power(2::float8, -53))) v (x);
SELECT tidemark.exact_sum(x) + 1 AS "0" FROM (VALUES (-1::float8), (-power(2::float8, -53))) v (x);
SELECT tidemark.exact_sum(x) = power(2::float8, 53) AS carried FROM (VALUES (power(2::float8, 53) - 1), (0.5::float8)) v (x);

-- The result overflows where it can't be represented, and only there.
SELECT tidemark.exact_sum(x) FROM (VALUES (1e308::float8), (1e308)) v (x);
SELECT tidemark.exact_sum(x) FROM (VALUES (-1e308::float8), (-1e308)) v (x);
SELECT tidemark.exact_sum(x) FROM (VALUES ('1.7976931348623157e308'::float8), (power(2::float8, 970))) v (x);
SELECT tidemark.exact_sum(x) FROM (VALUES ('1.7976931348623157e308'::float8), (power(2::float8, 969))) v (x);
SELECT tidemark.exact_sum(x) FROM (VALUES ('1.7976931348623157e308'::float8), (power(2::float8, 970)), ('-5e-324')) v (x);
SELECT tidemark.exact_sum(x * s) AS "0" FROM generate_series(1, 5000), (VALUES ('1.7976931348623157e308'::float8)) v (x), (VALUES (1), (-1)) w (s);
SELECT tidemark.exact_avg('1.7976931348623157e308'::float8) AS no_overflow FROM generate_series(1, 5000);
SELECT tidemark.exact_avg(x) AS "5e-324, halfway to even" FROM (VALUES ('5e-324'::float8), ('1e-323')) v (x);
SELECT tidemark.exact_avg(x) AS "0" FROM (VALUES ('5e-324'::float8), (0)) v (x);
SELECT tidemark.exact_avg(x) = 1::float8 / 3 AS third FROM (VALUES (1::float8), (0), (0)) v (x);

-- What is special: as PostgreSQL's sum and avg have it.
CREATE TABLE special (name text, x float8[]);
INSERT INTO special VALUES ('empty', '{}'), ('nulls', '{NULL, NULL}'), ('a null', '{1, NULL, 2}'), ('zero', '{0}'),
    ('-0', '{-0}'), ('-0 -0', '{-0, -0}'), ('0 -0', '{0, -0}'), ('-0 1', '{-0, 1}'), ('1 -1 -0', '{1, -1, -0}'),
    ('inf', '{1, inf}'), ('-inf', '{1, -inf}'), ('inf inf', '{inf, inf}'), ('inf -inf', '{inf, -inf}'),
    ('nan', '{1, NaN}'), ('nan inf', '{inf, NaN}'), ('1e308 1e308 inf', '{1e308, inf}');
SELECT name, tidemark.exact_sum(v), tidemark.exact_avg(v), tidemark.exact_sum(v::float4) AS sum4, tidemark.exact_avg(v::float4) AS avg4
    FROM special LEFT JOIN LATERAL unnest(x) v ON v IS NULL OR abs(v) < 1e38 OR v::text IN ('NaN', 'Infinity', '-Infinity')
    GROUP BY name ORDER BY name COLLATE "C";
SELECT name FROM special LEFT JOIN LATERAL unnest(x) v ON true GROUP BY name
    HAVING (sum(v)::text, avg(v)::text) IS DISTINCT FROM (tidemark.exact_sum(v)::text, tidemark.exact_avg(v)::text);

-- float4: its sum is a float4, rounded once, not by way of a float8.
SELECT tidemark.exact_sum(x), pg_typeof(tidemark.exact_sum(x)), tidemark.exact_avg(x), pg_typeof(tidemark.exact_avg(x))
    FROM (VALUES (0.1::float4), (0.2::float4)) v (x);
SELECT tidemark.exact_sum(x) > 1 AS "above halfway, if only by 2^-100"
    FROM (VALUES (1::float4), (power(2::float8, -24)::float4), (power(2::float8, -100)::float4)) v (x);
SELECT tidemark.exact_sum(x) FROM (VALUES (3e38::float4), (3e38::float4)) v (x);
SELECT tidemark.exact_sum(x), tidemark.exact_avg(x) FROM (VALUES (3e38::float4), (3e38::float4), (-3e38::float4)) v (x);
SELECT tidemark.exact_sum(x) FROM (VALUES ('1e-45'::float4), ('1e-45'::float4)) v (x);

-- FILTER, DISTINCT, many groups, grouping sets
SELECT tidemark.exact_sum(x) FILTER (WHERE x < 3), tidemark.exact_sum(DISTINCT x), tidemark.exact_avg(DISTINCT x), tidemark.exact_sum(x) FILTER (WHERE x > 9)
    FROM (VALUES (1::float8), (1), (2), (4), (NULL)) v (x);
SELECT count(*) FROM (SELECT i, tidemark.exact_sum(x) FROM all_magnitudes GROUP BY i) g (i, s) JOIN all_magnitudes m USING (i) WHERE s = x;
SELECT count(*) AS groups, count(DISTINCT float8send(s)) > 7 AS ok FROM (SELECT k, tidemark.exact_sum(x) AS s FROM all_magnitudes GROUP BY ROLLUP (k)) g;

-- A window gives what a query over its frame gives, whatever has passed through.
SELECT i, tidemark.exact_sum(x) OVER w AS sum, tidemark.exact_avg(x) OVER w AS avg
    FROM (VALUES (1, 1::float8), (2, 1e17), (3, 1), (4, NULL), (5, 'NaN'), (6, 2), (7, 'inf'), (8, '-inf'), (9, 3), (10, 4), (11, '-0'), (12, NULL),
                 (13, NULL), (14, 5), (15, 1e308), (16, -1e308), (17, 1e308), (18, 0.1)) v (i, x)
    WINDOW w AS (ORDER BY i ROWS BETWEEN 1 PRECEDING AND CURRENT ROW);
CREATE TABLE passing AS SELECT i, k, CASE i % 97 WHEN 3 THEN 'NaN' WHEN 5 THEN 'inf' WHEN 7 THEN '-inf' WHEN 11 THEN NULL ELSE x END AS x
    FROM all_magnitudes WHERE i <= 3000;
CREATE INDEX ON passing (k, i);
SELECT count(*) AS rows, count(*) FILTER (WHERE float8send(s) IS DISTINCT FROM float8send(s2) OR float8send(a) IS DISTINCT FROM float8send(a2)) AS wrong
    FROM (SELECT i, k, tidemark.exact_sum(x) OVER w AS s, tidemark.exact_avg(x) OVER w AS a FROM passing
          WINDOW w AS (PARTITION BY k ORDER BY i RANGE BETWEEN 60 PRECEDING AND CURRENT ROW)) v,
         LATERAL (SELECT tidemark.exact_sum(x) AS s2, tidemark.exact_avg(x) AS a2 FROM passing p WHERE p.k = v.k AND p.i BETWEEN v.i - 60 AND v.i) q;
-- Long enough for carries, in both signs. A product is rounded once too.
SELECT count(*) AS rows, count(*) FILTER (WHERE s <> least(i, 5000) * x) AS wrong
    FROM (SELECT i, x, tidemark.exact_sum(x) OVER (PARTITION BY x ORDER BY i ROWS 4999 PRECEDING) AS s
          FROM generate_series(1, 20000) i,
               (VALUES (1.75::float8), (-1.75), (9007199254740991), (-9007199254740991), (9007199254740991 * power(2::float8, 21)),
                       (-9007199254740991 * power(2::float8, 30)), (power(2::float8, -1074)), (-power(2::float8, -1050))) v (x)) w;
-- an overflow is that of a frame, not of the rows before it
SELECT i, tidemark.exact_sum(x) OVER (ORDER BY i ROWS 2 PRECEDING) FROM (VALUES (1, 1e308::float8), (2, -1e308), (3, 1e308), (4, -1e308), (5, -1)) v (i, x);
SELECT i, tidemark.exact_sum(x) OVER (ORDER BY i ROWS 1 PRECEDING) FROM (VALUES (1, 1e308::float8), (2, 1e308)) v (i, x);

-- Partial sums, from other processes
CREATE TEMP TABLE serially AS SELECT k, tidemark.exact_sum(x) AS s, tidemark.exact_avg(x) AS a, tidemark.exact_sum(x4) AS s4, tidemark.exact_avg(x4) AS a4
    FROM all_magnitudes GROUP BY k;
ALTER TABLE all_magnitudes SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT tidemark.exact_sum(x), tidemark.exact_avg(x) FROM all_magnitudes;
SELECT count(*) AS groups, count(*) FILTER (WHERE float8send(p.s) = float8send(t.s) AND float8send(p.a) = float8send(t.a) AND float4send(p.s4) = float4send(t.s4) AND float8send(p.a4) = float8send(t.a4)) AS same
    FROM (SELECT k, tidemark.exact_sum(x) AS s, tidemark.exact_avg(x) AS a, tidemark.exact_sum(x4) AS s4, tidemark.exact_avg(x4) AS a4
          FROM all_magnitudes GROUP BY k) p JOIN serially t USING (k);
SELECT tidemark.exact_sum(x) = (SELECT tidemark.exact_sum(x ORDER BY i) FROM all_magnitudes) AS same FROM all_magnitudes;
SELECT tidemark.exact_sum(x) AS none, tidemark.exact_sum(-x) FILTER (WHERE false) AS none FROM all_magnitudes WHERE i < 0;
SELECT tidemark.exact_sum(CASE WHEN i = 5 THEN 'inf'::float8 WHEN i = 19999 THEN '-inf' ELSE x END) FROM all_magnitudes;
SELECT tidemark.exact_sum(x - x) AS "0", tidemark.exact_sum('-0'::float8 * i) AS "-0" FROM all_magnitudes;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET max_parallel_workers_per_gather;
RESET parallel_leader_participation;

-- A moving window whose rows are null at first, and again at last.
SELECT i, tidemark.exact_sum(CASE WHEN i IN (3, 4) THEN i END::float8) OVER w, tidemark.exact_avg(CASE WHEN i IN (3, 4) THEN i END::float4) OVER w
    FROM generate_series(1, 7) i WINDOW w AS (ORDER BY i ROWS 1 PRECEDING);

-- Every function has a comment, and everybody may sum.
SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'tidemark'::regnamespace AND proname LIKE 'exact%'
    AND (obj_description(oid, 'pg_proc') IS NULL OR provolatile <> 'i' OR proparallel <> 's' OR NOT has_function_privilege('public', oid, 'EXECUTE'));

DROP TABLE all_magnitudes, special, passing;
