-- Exact variances, covariances, correlation and regression of floats: what is special, windows, streams, continuous views.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS tidemark;
RESET client_min_messages;
\set VERBOSITY terse

-- All of them over one query's pairs, and PostgreSQL's own, as text.
CREATE TYPE all_statistics AS (var_pop text, var_samp text, stddev_pop text, stddev_samp text, var_pop4 text, covar_pop text, covar_samp text, corr text,
    avgx text, avgy text, sxx text, syy text, sxy text, r2 text, slope text, intercept text);
CREATE FUNCTION exactly(ys float8[], xs float8[]) RETURNS all_statistics LANGUAGE sql AS $$
    SELECT tidemark.exact_var_pop(x), tidemark.exact_var_samp(x), tidemark.exact_stddev_pop(x), tidemark.exact_stddev_samp(x),
        tidemark.exact_var_pop(x::float4), tidemark.exact_covar_pop(y, x), tidemark.exact_covar_samp(y, x), tidemark.exact_corr(y, x),
        tidemark.exact_regr_avgx(y, x), tidemark.exact_regr_avgy(y, x), tidemark.exact_regr_sxx(y, x), tidemark.exact_regr_syy(y, x),
        tidemark.exact_regr_sxy(y, x), tidemark.exact_regr_r2(y, x), tidemark.exact_regr_slope(y, x), tidemark.exact_regr_intercept(y, x)
    FROM unnest(ys, xs) u (y, x) $$;
CREATE FUNCTION as_postgresql(ys float8[], xs float8[]) RETURNS all_statistics LANGUAGE sql AS $$
    SELECT var_pop(x), var_samp(x), stddev_pop(x), stddev_samp(x), var_pop(x::float4), covar_pop(y, x), covar_samp(y, x), corr(y, x), regr_avgx(y, x),
        regr_avgy(y, x), regr_sxx(y, x), regr_syy(y, x), regr_sxy(y, x), regr_r2(y, x), regr_slope(y, x), regr_intercept(y, x)
    FROM unnest(ys, xs) u (y, x) $$;

-- What is special is as PostgreSQL has it; so are numbers with which its arithmetic is exact.
CREATE TABLE pairs (name text, ys float8[], xs float8[]);
INSERT INTO pairs VALUES ('none', '{}', '{}'), ('nulls', '{NULL, 1}', '{1, NULL}'), ('one', '{1}', '{2}'), ('one and nulls', '{1, NULL, 2}', '{2, 3, NULL}'),
    ('two', '{1, 2}', '{3, 5}'), ('integers', '{1, 5, 2, 8}', '{1, 2, 3, 4}'), ('horizontal', '{7, 7, 7}', '{1, 2, 3}'), ('vertical', '{1, 2, 3}', '{4, 4, 4}'),
    ('point', '{7, 7}', '{4, 4}'), ('zeros', '{0, -0}', '{-0, 0}'), ('x NaN', '{1, 2, 3}', '{NaN, 3, 4}'), ('y NaN', '{1, NaN, 4}', '{1, 2, 6}'),
    ('x inf', '{1, 2, 3}', '{1, inf, 3}'), ('y inf', '{1, -inf, 4}', '{1, 2, 6}'), ('x infs', '{1, 2}', '{inf, -inf}'), ('y infs', '{inf, inf}', '{1, 2}'),
    ('one inf', '{1}', '{inf}'), ('one NaN', '{NaN}', '{NaN}'), ('x NaN, y constant', '{1, 1}', '{NaN, 2}'), ('y inf, x constant', '{inf, 1}', '{2, 2}');
SELECT name, (exactly(ys, xs)).* FROM pairs;
SELECT name, exactly(ys, xs), as_postgresql(ys, xs) FROM pairs WHERE exactly(ys, xs) IS DISTINCT FROM as_postgresql(ys, xs);

-- Where PostgreSQL's rounding shows: constants, large offsets, cancellation
SELECT tidemark.exact_var_pop(x), tidemark.exact_corr(x, x), tidemark.exact_regr_r2(x, x) FROM (SELECT 0.1::float8 AS x FROM generate_series(1, 1000)) c;
SELECT tidemark.exact_var_samp(x) AS "1", tidemark.exact_corr(x, -x) AS "-1" FROM (VALUES (1e15::float8), (1e15 + 1), (1e15 + 2)) v (x);
SELECT tidemark.exact_regr_slope(y, x) AS "3", tidemark.exact_regr_intercept(y, x) AS "0.5", tidemark.exact_corr(y, x) AS "1"
    FROM (SELECT 3 * x + 0.5 AS y, x FROM (SELECT 1e12::float8 + i AS x FROM generate_series(1, 100) i) x) v;
-- any order
WITH shuffled AS (SELECT n, array_agg(sin(i) ORDER BY o) AS ys, array_agg(cos(i) * 1e5 ORDER BY o) AS xs
    FROM generate_series(1, 1000) i, generate_series(1, 5) n, LATERAL (SELECT i * n * 7919 % 1009 AS o) o GROUP BY n)
SELECT count(DISTINCT exactly(ys, xs)) AS results, count(DISTINCT as_postgresql(ys, xs)) > 1 AS unlike_postgresql FROM shuffled;

-- The range is that of the result.
SELECT tidemark.exact_stddev_pop(x), tidemark.exact_corr(x, x) FROM (VALUES (1e200::float8), (-1e200)) v (x);
SELECT tidemark.exact_var_pop(x) FROM (VALUES (1e200::float8), (-1e200)) v (x);
SELECT tidemark.exact_covar_pop(x, x) FROM (VALUES (1e200::float8), (-1e200)) v (x);
SELECT tidemark.exact_regr_slope(x, x * 1e-300) FROM (VALUES (1e200::float8), (-1e200)) v (x);
SELECT tidemark.exact_var_pop(x) AS "0", tidemark.exact_stddev_pop(x) FROM (VALUES (1e-200::float8), (-1e-200)) v (x);
SELECT tidemark.exact_stddev_samp('1.7976931348623157e308'::float8 * s) FROM (VALUES (1), (-1)) v (s);
SELECT tidemark.exact_stddev_pop('1.7976931348623157e308'::float8 * s) FROM (VALUES (1), (-1)) v (s);
SELECT tidemark.exact_regr_avgx(0, '1.7976931348623157e308'::float8) FROM generate_series(1, 3);

-- A window gives what a query over its frame gives, whatever has passed through.
CREATE TABLE passing AS SELECT i, CASE WHEN i = 40 THEN 'NaN' WHEN i = 80 THEN 'inf' WHEN i % 11 = 0 THEN NULL WHEN i % 60 = 0 THEN 1e150 ELSE sin(i) END AS x,
    CASE WHEN i = 50 THEN '-inf' WHEN i % 13 = 0 THEN NULL WHEN i % 70 = 0 THEN 1e-150 ELSE i % 7 END::float8 AS y FROM generate_series(1, 1000) i;
SELECT count(*) AS rows, count(*) FILTER (WHERE s IS DISTINCT FROM r) AS wrong FROM (
    SELECT i, ROW(tidemark.exact_stddev_samp(x) OVER w, tidemark.exact_var_pop(sin(i)::float4) OVER w, tidemark.exact_corr(y, x) OVER w,
                  tidemark.exact_regr_intercept(y, x) OVER w, tidemark.exact_covar_samp(y, x) OVER w, tidemark.exact_regr_avgy(y, x) OVER w)::text AS s
    FROM passing WINDOW w AS (ORDER BY i ROWS 20 PRECEDING)) v,
    LATERAL (SELECT ROW(tidemark.exact_stddev_samp(x), tidemark.exact_var_pop(sin(i)::float4), tidemark.exact_corr(y, x),
                  tidemark.exact_regr_intercept(y, x), tidemark.exact_covar_samp(y, x), tidemark.exact_regr_avgy(y, x))::text AS r
    FROM passing p WHERE p.i BETWEEN v.i - 20 AND v.i) q;
SELECT i, tidemark.exact_var_pop(x) OVER w, tidemark.exact_regr_sxy(x, x) OVER w FROM (VALUES (1, NULL::float8), (2, NULL), (3, 1), (4, 3), (5, NULL), (6, NULL)) v (i, x)
    WINDOW w AS (ORDER BY i ROWS 1 PRECEDING);

-- Queries over streams get them, others don't.
CREATE TABLE statistics_stream (t timestamp NOT NULL, k int, x float8, y float8, z float4, n numeric);
CREATE TABLE statistics_plain (LIKE statistics_stream);
SELECT tidemark.create_stream('statistics_stream', 't');
CREATE FUNCTION functions_in(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; plan text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS off) ' || query LOOP plan := plan || line || E'\n'; END LOOP;
    RETURN (SELECT string_agg(DISTINCT m[1], ' ' ORDER BY m[1]) FROM regexp_matches(plan, '((?:tidemark\.)?\w+)\((?!s)[\w.]*[xyzn][),]', 'g') m);
END $$;
SELECT functions_in(format(query, t)) FROM (VALUES ('statistics_stream'), ('statistics_plain')) v (t), (VALUES
    (1, 'SELECT variance(x), var_samp(x), var_pop(x), stddev(x), stddev_samp(x), stddev_pop(x) FROM %s'),
    (2, 'SELECT variance(z), var_samp(z), var_pop(z), stddev(z), stddev_samp(z), stddev_pop(z) FROM %s'),
    (3, 'SELECT variance(n), stddev(n) FROM %s'),
    (4, 'SELECT covar_pop(y, x), covar_samp(y, x), corr(y, x), regr_avgx(y, x), regr_avgy(y, x), regr_sxx(y, x) FROM %s'),
    (5, 'SELECT regr_syy(y, x), regr_sxy(y, x), regr_r2(y, x), regr_slope(y, x), regr_intercept(y, x), regr_count(y, x) FROM %s'),
    (6, 'SELECT corr(y, x) OVER (ORDER BY t) FROM %s')) q (i, query) ORDER BY t DESC, i;
SET tidemark.exact_float_sums = off;
SELECT functions_in('SELECT stddev(x), corr(y, x) FROM statistics_stream');
RESET tidemark.exact_float_sums;

-- A continuous view of them depends on no order of peers, and is equal to its query, late rows and deletions included.
INSERT INTO statistics_stream SELECT timestamp '2026-01-01' + i / 3 * interval '1 s', i % 4, 1e6 * sin(i), cos(i * i), i % 10 / 10.0, i FROM generate_series(1, 2000) i;
CREATE VIEW spread AS SELECT t, k, x, stddev(x) OVER w AS deviation, var_pop(z) OVER w AS variance, corr(y, x) OVER w AS correlation, regr_slope(y, x) OVER w AS slope
    FROM statistics_stream WINDOW w AS (PARTITION BY k ORDER BY t RANGE BETWEEN '20 s' PRECEDING AND CURRENT ROW);
SELECT tidemark.make_continuous('spread');
SELECT tidemark.wait_until_maintained('spread');
SELECT frontier IS NOT NULL AS maintained, rows > 0 AS has_rows FROM tidemark.continuous_views WHERE view = 'spread'::regclass;
SELECT * FROM tidemark.verify('spread');
INSERT INTO statistics_stream VALUES ('2026-01-01 00:00:30', 1, 1e300, 1e-300, 1), ('2026-01-01 00:00:40', 1, 'NaN', 2, 3), ('2026-01-01 00:00:50', 2, 5, '-inf', 'inf');
SELECT * FROM tidemark.verify('spread');
DELETE FROM statistics_stream WHERE k = 1 AND (abs(x) > 1e10 OR x = 'NaN');
SELECT * FROM tidemark.verify('spread');

-- Every function has a comment, and everybody may use them.
SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'tidemark'::regnamespace AND proname ~ '^exact_(s|r|v|c)'
    AND (obj_description(oid, 'pg_proc') IS NULL OR provolatile <> 'i' OR proparallel <> 's' OR NOT has_function_privilege('public', oid, 'EXECUTE'));

DROP VIEW spread;
DROP TABLE statistics_stream, statistics_plain, passing, pairs;
DROP FUNCTION exactly, as_postgresql, functions_in;
DROP TYPE all_statistics;
