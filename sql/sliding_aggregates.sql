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
SELECT timestamp '2026-01-01' + (random() * 100)::int * interval '1 s', (random() * 3)::int, id,
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
FROM (SELECT id, random() AS v FROM generate_series(1, 400) id) q;

-- For a call and a frame: does a plan have it sliding, and how many rows differ from PostgreSQL's own? `named` asks by sliding_window's name
-- (which is null over no rows).
CREATE FUNCTION slide(call text, frame text, named text DEFAULT NULL) RETURNS TABLE (sliding boolean, wrong bigint) LANGUAGE plpgsql AS $$
DECLARE
    over_w text := 'SELECT array_agg(v ORDER BY id) FROM (SELECT id, %s::text AS v FROM slide_stream WINDOW w AS (PARTITION BY k ORDER BY t %s)) q';
    stock_query text := format(over_w, replace(call, '@', 'OVER w'), frame);
    query text := format(over_w, replace(CASE WHEN named LIKE '%@%' THEN named ELSE coalesce('tidemark.sliding_window(' || named || ') @', call) END, '@', 'OVER w'), frame);
    line text;
    slid text[];
    stock text[];
BEGIN
    sliding := false;
    FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS off) ' || query LOOP
        sliding := sliding OR line LIKE '%sliding_window(%';
    END LOOP;
    EXECUTE query INTO slid;
    SET LOCAL tidemark.sliding_aggregates = off;
    EXECUTE stock_query INTO stock;
    SET LOCAL tidemark.sliding_aggregates = on;
    SELECT count(*) INTO wrong FROM unnest(slid, stock) q (a, b) WHERE a IS DISTINCT FROM b;
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
    (16, 'max(t) @'), (17, 'min(x) FILTER (WHERE b) @'), (18, 'max(x) FILTER (WHERE false) @'), (19, 'min(n + id) @'), (20, 'max(iv) @'),
    (21, 'sum(n) @'), (22, 'avg(n) @'), (23, 'variance(n) @'), (24, 'stddev(n) @'), (25, 'var_pop(n) @'), (26, 'stddev_pop(n) @'),
    (27, 'sum(n) FILTER (WHERE b) @'), (28, 'sum(1e-30 * id + (id % 2) * 1e300) @'), (29, 'bit_and(i2) @'), (30, 'bit_or(i4) @'), (31, 'bit_xor(i8) @'),
    (32, 'bit_and(bits) @'), (33, 'bit_xor(bits) @'), (34, 'range_intersect_agg(r) @'), (35, 'bit_or(bits) FILTER (WHERE b) @')) c (number, call),
    LATERAL slide(call, frame)
GROUP BY c.number, call ORDER BY c.number;

-- methods that a query doesn't get, because PostgreSQL's own inverse or way is as good: views are maintained by them
SELECT call, sum(wrong) AS wrong
FROM frames, (VALUES
    (1, 'sum(i2) @', $$NULL::int8, 'sum(int2)'::regprocedure, i2$$), (2, 'sum(i4) @', $$NULL::int8, 'sum(int4)'::regprocedure, i4$$),
    (3, 'sum(i8) @', $$NULL::numeric, 'sum(int8)'::regprocedure, i8$$), (4, 'avg(i2) @', $$NULL::numeric, 'avg(int2)'::regprocedure, i2$$),
    (5, 'avg(i8) @', $$NULL::numeric, 'avg(int8)'::regprocedure, i8$$), (6, 'sum(m) @', $$NULL::money, 'sum(money)'::regprocedure, m$$),
    (7, 'sum(iv) @', $$NULL::interval, 'sum(interval)'::regprocedure, iv$$), (8, 'avg(iv) @', $$NULL::interval, 'avg(interval)'::regprocedure, iv$$),
    (9, 'sum(x) @', $$NULL::float8, 'sum(float8)'::regprocedure, x$$), (10, 'avg(y) @', $$NULL::float8, 'avg(float4)'::regprocedure, y$$),
    (11, 'bool_and(b) @', $$NULL::bool, 'bool_and(bool)'::regprocedure, b$$), (12, 'bool_or(b) @', $$NULL::bool, 'bool_or(bool)'::regprocedure, b$$),
    (13, 'every(b) @', $$NULL::bool, 'every(bool)'::regprocedure, b$$), (14, 'count(s) @', $$coalesce(tidemark.sliding_window(NULL::int8, 'count("any")'::regprocedure, s) @, 0)$$),
    (15, 'stddev(i2) @', $$NULL::numeric, 'stddev(int2)'::regprocedure, i2$$), (16, 'var_samp(i4) @', $$NULL::numeric, 'var_samp(int4)'::regprocedure, i4$$),
    (17, 'stddev_pop(i8) @', $$NULL::numeric, 'stddev_pop(int8)'::regprocedure, i8$$), (18, 'string_agg(s, s) @', $$NULL::text, 'string_agg(text,text)'::regprocedure, s, s$$),
    (19, 'array_agg(n) @', $$NULL::numeric[], 'array_agg(anynonarray)'::regprocedure, n$$), (20, 'array_agg(s) @', $$NULL::text[], 'array_agg(anynonarray)'::regprocedure, s$$),
    (21, 'array_agg(a) FILTER (WHERE a IS NOT NULL) @', $$NULL::int[], 'array_agg(anyarray)'::regprocedure, a) FILTER (WHERE a IS NOT NULL$$),
    (22, 'jsonb_object_agg(id, x) @', $$NULL::jsonb, 'jsonb_object_agg("any","any")'::regprocedure, id, x$$),
    (23, 'range_agg(r) @', $$NULL::int4multirange, 'range_agg(anyrange)'::regprocedure, r$$), (24, 'corr(x, y) @', $$NULL::float8, 'corr(float8,float8)'::regprocedure, x, y::float8$$),
    (25, 'regr_count(x, y) FILTER (WHERE b) @', $$coalesce(tidemark.sliding_window(NULL::int8, 'regr_count(float8,float8)'::regprocedure, x, y::float8) FILTER (WHERE b) @, 0)$$)) c (number, call, named),
    LATERAL slide(call, frame, named)
GROUP BY c.number, call ORDER BY c.number;

-- somebody's own aggregates: strict or not, with and without an initial state, a final function, combining, states of all kinds
CREATE FUNCTION slide_join(text, text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT $1 || '<' || $2 $$;
CREATE FUNCTION slide_join_nulls(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT coalesce($1, 'none') || '<' || coalesce($2, 'null') $$;
CREATE FUNCTION slide_join_states(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN $1 IS NULL THEN $2 WHEN $2 IS NULL THEN $1 ELSE $1 || substr($2, 5) END $$;
CREATE FUNCTION slide_final(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT '[' || $1 || ']' $$;
CREATE AGGREGATE slide_join(text) (SFUNC = slide_join, STYPE = text, COMBINEFUNC = slide_join);
CREATE AGGREGATE slide_join_nulls(text) (SFUNC = slide_join_nulls, STYPE = text, COMBINEFUNC = slide_join_states, FINALFUNC = slide_final);
CREATE AGGREGATE slide_join_from(text) (SFUNC = slide_join, STYPE = text, INITCOND = '^', FINALFUNC = slide_final);
CREATE AGGREGATE slide_append(int) (SFUNC = array_append, STYPE = int[], INITCOND = '{}');
CREATE AGGREGATE slide_append_combined(anycompatible) (SFUNC = array_append, STYPE = anycompatiblearray, COMBINEFUNC = array_cat);
CREATE AGGREGATE slide_count(int) (SFUNC = int8inc_any, STYPE = int8, INITCOND = '0', COMBINEFUNC = int8pl);
SELECT call, count(*) FILTER (WHERE sliding) AS sliding, sum(wrong) AS wrong
FROM frames, (VALUES
    (1, 'slide_join(s) @', NULL), (2, 'slide_join_nulls(s) @', NULL), (3, 'slide_join_from(s) @', $$coalesce(tidemark.sliding_window(NULL::text, 'slide_join_from(text)'::regprocedure, s) @, '[^]')$$),
    (4, 'nullif(slide_append(id) @, ''{}'')', $$NULL::int[], 'slide_append(int)'::regprocedure, id$$),
    (5, 'slide_append_combined(n) @', NULL), (6, 'slide_append_combined(s) @', NULL),
    (7, 'nullif(slide_count(id) @, 0)', $$NULL::int8, 'slide_count(int)'::regprocedure, id$$)) c (number, call, named),
    LATERAL slide(call, frame, named)
GROUP BY c.number, call ORDER BY c.number;

-- count_distinct, which has no like over windows
CREATE FUNCTION slide_distinct(value text, frame text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    wrong bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (
            SELECT tidemark.count_distinct(%1$s) OVER w AS c, array_agg(id) OVER w AS ids
            FROM slide_stream WINDOW w AS (PARTITION BY k ORDER BY t %2$s)) q
        WHERE c <> (SELECT count(DISTINCT %1$s) FROM slide_stream WHERE id = ANY (ids))', value, frame) INTO wrong;
    RETURN wrong;
END $$;
SELECT value, sum(slide_distinct(value, frame)) AS wrong
FROM frames, (VALUES (1, 'n'), (2, 'x'), (3, 's'), (4, 'a'), (5, 'i8 % 3'), (6, 'r'), (7, 'iv'), (8, 'c'), (9, 'b'), (10, 'jsonb_build_array(b)')) v (number, value)
GROUP BY v.number, value ORDER BY v.number;
SELECT k, tidemark.count_distinct(s) = count(DISTINCT s) AS same, tidemark.count_distinct(n) FILTER (WHERE false) FROM slide_stream GROUP BY k ORDER BY k;
SELECT tidemark.count_distinct(point(1, 2));

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
CREATE FUNCTION window_calls(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (VERBOSE, COSTS off) ' || query LOOP
        RETURN QUERY SELECT m[1] FROM regexp_matches(line, '((?:tidemark\.)?\w+\([^()]*(?:\([^()]*\))*[^()]*\)) (?:FILTER \(.*\) )?OVER', 'g') m;
    END LOOP;
END $$;
CREATE TABLE slide_plain AS TABLE slide_stream;
CREATE VIEW slide_view AS SELECT k, t, max(n) OVER (PARTITION BY k ORDER BY t RANGE '5 s' PRECEDING) AS m FROM slide_stream;
SELECT window_calls('SELECT max(n) OVER w, min(s) FILTER (WHERE b) OVER w, count(*) OVER w FROM slide_stream WINDOW w AS (ORDER BY t RANGE ''5 s'' PRECEDING)');
SELECT pg_get_viewdef('slide_view') LIKE '%sliding_window%' AS in_the_definition;
SET tidemark.sliding_aggregates = off;
SELECT window_calls('SELECT max(n) OVER (ORDER BY t RANGE ''5 s'' PRECEDING) FROM slide_stream');
RESET tidemark.sliding_aggregates;
SELECT window_calls('SELECT max(n) OVER (ORDER BY t RANGE ''5 s'' PRECEDING) FROM slide_plain');
-- at every level of a query
SELECT window_calls('SELECT m FROM slide_view UNION ALL SELECT max(n) OVER (ORDER BY t RANGE ''5 s'' PRECEDING) FROM slide_plain');

-- results may be out of range
SELECT tidemark.sliding_window(NULL::numeric, 'sum(numeric)'::regprocedure, v) FROM (VALUES (repeat('9', 131072)::numeric), (1)) q (v);
SELECT tidemark.sliding_window(NULL::money, 'sum(money)'::regprocedure, v) FROM (VALUES ('92233720368547758.07'::money), ('0.01')) q (v);
SELECT tidemark.sliding_window(NULL::interval, 'sum(interval)'::regprocedure, v) FROM (VALUES ('178000000 years'::interval), ('178000000 years')) q (v);

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

-- a view and its batch query agree, by whatever way the view is maintained; late rows too
CREATE TABLE slide_unique (LIKE slide_stream INCLUDING ALL);
DO $$ BEGIN PERFORM tidemark.create_stream('slide_unique', 't', allowed_delay => '1 second'); END $$;
CREATE VIEW slide_moving AS
SELECT k, t, count(*) OVER w AS c1, sum(i2) OVER w AS c2, sum(i8) OVER w AS c3, avg(i4) OVER w AS c4, sum(x) OVER w AS c5, avg(y) OVER w AS c6, sum(n) OVER w AS c7,
    stddev(n) OVER w AS c8, var_pop(i8) OVER w AS c9, sum(iv) OVER w AS c10, avg(iv) OVER w AS c11, max(n) OVER w AS c12, min(s) OVER w AS c13, max(c) OVER w AS c14,
    bool_and(b) OVER w AS c15, bit_or(i4) OVER w AS c16, bit_and(bits) OVER w AS c17, range_intersect_agg(r) OVER w AS c18, first_value(s) OVER w AS c19,
    last_value(n) OVER w AS c20, array_agg(s) OVER w AS c21, tidemark.count_distinct(s) OVER w AS c22, stddev(x) OVER w AS c23, corr(x, y) OVER w AS c24,
    slide_join(s) OVER w AS c25, max(x) FILTER (WHERE b) OVER w AS c26, string_agg(s, ',') OVER w AS c27, sum(m) OVER w AS c28
FROM slide_unique WINDOW w AS (PARTITION BY k ORDER BY t RANGE '7 s' PRECEDING);
CREATE VIEW slide_growing AS
SELECT k, t, count(*) OVER w AS c1, avg(i8) OVER w AS c2, sum(x) OVER w AS c3, avg(n) OVER w AS c4, max(n) OVER w AS c5, min(s) OVER w AS c6, first_value(s) OVER w AS c7,
    nth_value(n, 3) OVER w AS c8, last_value(n) OVER w AS c9, tidemark.count_distinct(s) OVER w AS c10, bit_and(bits) OVER w AS c11, slide_join(s) OVER w AS c12,
    array_agg(n) OVER w AS c13, min(iv) OVER w AS c14, stddev(i4) FILTER (WHERE b) OVER w AS c15
FROM slide_unique WINDOW w AS (PARTITION BY k ORDER BY t);
DO $$ BEGIN PERFORM tidemark.make_continuous('slide_moving'), tidemark.make_continuous('slide_growing'); END $$;
UPDATE slide_stream SET t = t + id * interval '1 ms';
INSERT INTO slide_unique SELECT * FROM slide_stream WHERE id % 3 = 0;
DO $$ BEGIN PERFORM tidemark.wait_until_maintained('slide_moving'), tidemark.wait_until_maintained('slide_growing'); END $$;
SELECT count(*) AS wrong FROM (SELECT tidemark.verify('slide_moving') UNION ALL SELECT tidemark.verify('slide_growing')) q;
INSERT INTO slide_unique SELECT * FROM slide_stream WHERE id % 3 = 1;
SELECT count(*) AS wrong FROM (SELECT tidemark.verify('slide_moving') UNION ALL SELECT tidemark.verify('slide_growing')) q;
UPDATE slide_stream SET t = t + interval '100 s' WHERE id % 3 = 2;
INSERT INTO slide_unique SELECT * FROM slide_stream WHERE id % 3 = 2 ORDER BY t;
DO $$ BEGIN PERFORM tidemark.wait_until_maintained('slide_moving'), tidemark.wait_until_maintained('slide_growing'); END $$;
DELETE FROM slide_unique WHERE id % 5 = 0;
SELECT count(*) AS wrong FROM (SELECT tidemark.verify('slide_moving') UNION ALL SELECT tidemark.verify('slide_growing')) q;
-- in text, too, which shows scales; the batch query as PostgreSQL alone computes it
CREATE TEMP TABLE answered AS SELECT v::text AS v FROM slide_moving v UNION ALL SELECT v::text FROM slide_growing v;
SET tidemark.use_continuous = off;
SET tidemark.sliding_aggregates = off;
CREATE TEMP TABLE batch AS SELECT v::text AS v FROM slide_moving v UNION ALL SELECT v::text FROM slide_growing v;
RESET tidemark.use_continuous;
RESET tidemark.sliding_aggregates;
SELECT count(*) AS wrong FROM ((TABLE answered EXCEPT ALL TABLE batch) UNION ALL (TABLE batch EXCEPT ALL TABLE answered)) q;
SELECT count(*) > 500 AS many FROM answered;

DROP TABLE answered, batch;
DROP VIEW slide_moving, slide_growing;
DROP VIEW slide_view;
DROP FUNCTION slide, slide_distinct, window_calls;
DROP TABLE slide_plain, slide_stream, slide_unique, frames;
DROP AGGREGATE slide_secret(int), slide_join(text), slide_join_nulls(text), slide_join_from(text), slide_append(int), slide_append_combined(anycompatible), slide_count(int);
DROP FUNCTION slide_join, slide_join_nulls, slide_join_states, slide_final;
DROP ROLE slide_reader;
