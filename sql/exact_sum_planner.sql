-- Queries over streams get the exact sums of floats, others don't, and definitions stay as written.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tidemark;
RESET client_min_messages;

CREATE TABLE sums_stream (t timestamp NOT NULL, k int, x float8, y float4, n numeric, b bigint);
CREATE TABLE sums_plain (LIKE sums_stream);
DO $$ BEGIN PERFORM tidemark.create_stream('sums_stream', 't', allowed_delay => '1 second'); END $$;

-- which sums and averages are in a query's plan
CREATE FUNCTION sums_in(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    plan text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS off) ' || query LOOP
        plan := plan || line || E'\n';
    END LOOP;
    RETURN (SELECT string_agg(DISTINCT m[1], ' ' ORDER BY m[1])
        FROM regexp_matches(plan, '((?:tidemark\.)?\y(?:exact_)?(?:sum|avg))\(', 'g') m);
END $$;

CREATE VIEW sums_view AS SELECT k, sum(x) AS s, avg(y) AS a, sum(n) AS exact_anyway FROM sums_stream GROUP BY k;
CREATE VIEW sums_window AS SELECT k, avg(x) OVER (PARTITION BY k ORDER BY t RANGE BETWEEN '10 s' PRECEDING AND CURRENT ROW) FROM sums_stream;

SELECT query, sums_in(query) FROM (VALUES
    (1, 'SELECT sum(x) FROM sums_stream'),
    (2, 'SELECT sum(y) FROM sums_stream'),
    (3, 'SELECT avg(x) FROM sums_stream'),
    (4, 'SELECT avg(y) FROM sums_stream'),
    (5, 'SELECT sum(n), avg(b) FROM sums_stream'),
    (6, 'SELECT sum(DISTINCT x) FILTER (WHERE k > 1) FROM sums_stream'),
    (7, 'SELECT sum(x ORDER BY t) FROM sums_stream'),
    (8, 'SELECT k FROM sums_stream GROUP BY k HAVING sum(x) > 3 ORDER BY avg(x)'),
    (9, 'SELECT sum(x) OVER (ORDER BY t) FROM sums_stream'),
    (10, 'SELECT sum(sum(x)) OVER (ORDER BY k) FROM sums_stream GROUP BY k'),
    (11, 'SELECT * FROM sums_view'),
    (12, 'SELECT * FROM sums_window'),
    (13, 'SELECT avg(s) FROM sums_view'),
    (14, 'SELECT sum(x) FROM (SELECT x FROM sums_stream OFFSET 0) q'),
    (15, 'WITH q AS MATERIALIZED (SELECT x FROM sums_stream) SELECT sum(x) FROM q'),
    (16, 'SELECT b FROM sums_plain p WHERE x > (SELECT sum(x) FROM sums_stream s WHERE s.k = p.k)'),
    (17, 'SELECT sum(x) FROM sums_plain UNION ALL SELECT sum(x) FROM sums_stream'),
    (18, 'SELECT s.k, (SELECT sum(x) FROM sums_plain) FROM sums_stream s'),
    (19, 'SELECT k, (SELECT sum(s.x + g) FROM generate_series(1, 3) g) FROM sums_stream s'),
    (20, 'INSERT INTO sums_plain (x) SELECT sum(x) FROM sums_stream'),
    (21, 'UPDATE sums_plain SET x = (SELECT sum(x) FROM sums_stream)'),
    (22, 'SELECT sum(x), avg(y) FROM sums_plain'),
    (23, 'SELECT k, sum(x) OVER (ORDER BY t) FROM sums_plain'),
    (24, 'SELECT sum(g::float8) FROM generate_series(1, 3) g'),
    (25, 'INSERT INTO sums_plain (b) SELECT b FROM sums_stream')) q (i, query) ORDER BY i;

-- the definition stays
SELECT pg_get_viewdef('sums_view') LIKE '%sum(%' AS stock, pg_get_viewdef('sums_view') LIKE '%tidemark%' AS ours;

-- off: PostgreSQL's own
SET tidemark.exact_float_sums = off;
SELECT sums_in('SELECT * FROM sums_view');
RESET tidemark.exact_float_sums;

-- the same bits in every order, grouped, windowed and by way of a view
INSERT INTO sums_stream SELECT timestamp '2026-01-01' + i * interval '1 s', i % 3, CASE i % 4 WHEN 0 THEN 1e17 WHEN 1 THEN 0.1 WHEN 2 THEN -1e17 ELSE 0.7 END, 0.1 FROM generate_series(0, 299) i;
SELECT sum(x ORDER BY t) AS sum, sum(x ORDER BY t DESC) AS sum, sum(x ORDER BY md5(t::text)) AS sum, avg(x ORDER BY x) = avg(x ORDER BY t) AS same, sum(y) FROM sums_stream;
SELECT count(*) AS rows, count(*) FILTER (WHERE s <> r) AS wrong FROM (
    SELECT k, t, sum(x) OVER (PARTITION BY k ORDER BY t RANGE BETWEEN '10 s' PRECEDING AND CURRENT ROW) AS s FROM sums_stream) w,
    LATERAL (SELECT sum(x ORDER BY md5(t::text)) AS r FROM sums_stream z WHERE z.k = w.k AND z.t BETWEEN w.t - interval '10 s' AND w.t) z;

-- somebody without any right on the extension
CREATE ROLE sums_reader;
GRANT SELECT ON sums_stream TO sums_reader;
SET ROLE sums_reader;
SELECT sum(x) FROM sums_stream;
RESET ROLE;

DROP VIEW sums_view, sums_window;
DROP FUNCTION sums_in;
DROP TABLE sums_plain, sums_stream;
DROP ROLE sums_reader;
