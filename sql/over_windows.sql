-- windows that are computed incrementally: keys, types, ties, what is said of it; each view against its batch query
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE FUNCTION maintained(OUT view text, OUT method text, OUT saved bool, OUT differing bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tidemark.wait_until_maintained(c.view) FROM tidemark.continuous_views c;
    RETURN QUERY SELECT c.view::text, c.method, f.saved = f.frontier, (SELECT count(*) FROM tidemark.verify(c.view))
        FROM tidemark.continuous_views c JOIN tidemark.frontier f ON f.relid = c.view ORDER BY c.view::text;
END $$;
CREATE TABLE s (t timestamp NOT NULL, k text COLLATE nocase, n numeric, j int, x float8, big text, arr int[], p point);
SELECT tidemark.create_stream('s', 't');
-- several lengths, keys that are equal and look different, no keys, null keys, records of the row, constants, FILTER
CREATE VIEW keyed AS SELECT t, k, n, sum(x) OVER (PARTITION BY k ORDER BY t RANGE '10 s' PRECEDING),
    count(*) OVER (PARTITION BY n ORDER BY t RANGE '1 min' PRECEDING),
    max(k) FILTER (WHERE j > 2) OVER (PARTITION BY k, j % 3 ORDER BY t RANGE '10 s' PRECEDING) FROM s;
CREATE VIEW unkeyed AS SELECT *, avg(n) OVER w / 2 AS half, sum(1) OVER w, avg(n) OVER w AS again, lower(big)
    FROM s WHERE j <> 7 WINDOW w AS (ORDER BY t RANGE BETWEEN '5 s' PRECEDING AND '0 s' FOLLOWING);
CREATE VIEW toasted AS SELECT t, length(max(big) OVER w) AS longest, last_value(big) OVER w = big AS is_last, max(arr) OVER w
    FROM s WINDOW w AS (PARTITION BY arr ORDER BY t RANGE '20 s' PRECEDING);
CREATE VIEW same_time AS SELECT t, count(*) OVER (ORDER BY t RANGE CURRENT ROW), sum(j) OVER (PARTITION BY k ORDER BY t) FROM s;
CREATE VIEW hidden AS SELECT k, generate_series(1, (min(j) OVER (PARTITION BY k ORDER BY t RANGE '10 s' PRECEDING))) FROM s;
CREATE VIEW over_view AS SELECT * FROM (SELECT t, k, half, count(half) OVER (ORDER BY t RANGE '3 s' PRECEDING) c FROM unkeyed) q WHERE c > 2;
CREATE VIEW above AS SELECT a.t, a.total FROM (SELECT t, j, sum(j) OVER (PARTITION BY j ORDER BY t RANGE '30 s' PRECEDING) AS total FROM (SELECT * FROM s WHERE j % 2 = 0) even) a WHERE total > 20;
CREATE VIEW plain AS SELECT t, j FROM s WHERE j > 3;
CREATE VIEW months AS SELECT t, sum(j) OVER (ORDER BY t RANGE '1 month' PRECEDING) FROM s;
CREATE VIEW excluded AS SELECT t, sum(j) OVER (ORDER BY t RANGE '1 min' PRECEDING EXCLUDE CURRENT ROW) FROM s;
CREATE VIEW by_point AS SELECT t, count(*) OVER (PARTITION BY p::text ORDER BY t RANGE '1 min' PRECEDING) FROM s;
SET client_min_messages = warning;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{keyed,unkeyed,toasted,same_time,hidden,over_view,above,plain,months,excluded,by_point}'::text[]) v;
RESET client_min_messages;
SELECT * FROM tidemark.explain('keyed');
SELECT * FROM tidemark.explain('over_view');
SELECT * FROM tidemark.explain('months');
SELECT * FROM tidemark.explain('plain');
SELECT view, method, v.how FROM tidemark.continuous_views, tidemark.explain(view) v WHERE part = 'live tail' ORDER BY view::text;

CREATE FUNCTION rows(first int, last int) RETURNS SETOF s LANGUAGE sql AS $$
    SELECT timestamp '2024-01-01' + i / 3 * interval '1 s', CASE i % 5 WHEN 0 THEN 'a' WHEN 1 THEN 'A' WHEN 2 THEN 'b' WHEN 3 THEN NULL ELSE 'c' || i / 50 END,
        CASE i % 4 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 WHEN 2 THEN NULL ELSE i / 100.0 END, i % 8, i / 7.0,
        CASE WHEN i % 50 = 0 THEN (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, 1200) j) ELSE 'short' || i END,
        CASE i % 3 WHEN 0 THEN NULL ELSE ARRAY[i % 2, i % 3] END, point(i % 2, 0)
    FROM generate_series(first, last) i
$$;
INSERT INTO s SELECT * FROM rows(1, 900);
SELECT * FROM maintained();
-- the states go on from step to step
INSERT INTO s SELECT * FROM rows(901, 1000);
SELECT * FROM maintained();
INSERT INTO s SELECT * FROM rows(1001, 1003);
SELECT * FROM maintained();
-- after corrections, of one key, of all, of rows long out of the windows, and after rows that are taken back
INSERT INTO s SELECT * FROM rows(990, 991);
UPDATE s SET x = -x, k = 'B' WHERE j = 3 AND t > '2024-01-01 00:05:00';
SELECT * FROM maintained();
INSERT INTO s SELECT * FROM rows(1004, 1100);
SELECT * FROM maintained();
DELETE FROM s WHERE t < '2024-01-01 00:02:00';
BEGIN; DELETE FROM s WHERE j = 5; ROLLBACK;
INSERT INTO s SELECT * FROM rows(1101, 1200);
SELECT * FROM maintained();
-- a gap in which all keys fall idle: nothing is kept of them
INSERT INTO s SELECT * FROM rows(9000, 9002);
SELECT * FROM maintained();
SELECT count(*) AS keys, sum(rows) AS rows FROM tidemark_data.keyed_state;
VACUUM FULL tidemark_data.keyed_state;
INSERT INTO s SELECT * FROM rows(9003, 9050);
SELECT * FROM maintained();
TRUNCATE s;
INSERT INTO s SELECT * FROM rows(9100, 9150);
SELECT * FROM maintained();
-- an error in a step takes the states back with it
CREATE VIEW divided AS SELECT t, sum(12 / j) OVER (ORDER BY t RANGE '10 s' PRECEDING) FROM s WHERE x > 1400;
SELECT tidemark.make_continuous('divided');
INSERT INTO s (t, j, x) SELECT timestamp '2024-01-02' + i * interval '1 s', i, 1500 FROM generate_series(-3, 3) i;
DO $$ BEGIN
    FOR i IN 1..600 LOOP
        EXIT WHEN EXISTS (SELECT FROM tidemark.continuous_views WHERE view = 'divided'::regclass AND last_error = 'division by zero');
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
SELECT last_error FROM tidemark.continuous_views WHERE view = 'divided'::regclass;
UPDATE s SET j = 9 WHERE j = 0;
SELECT * FROM maintained();
DROP TABLE s CASCADE;
SELECT relname FROM pg_class WHERE relnamespace = 'tidemark_data'::regnamespace;

-- the other types of event time; extremes
CREATE TABLE days (d date, v int);
CREATE TABLE numbers (n bigint, v int);
CREATE TABLE zoned (z timestamptz, v int);
SELECT tidemark.create_stream('days', 'd', max_ahead => NULL), tidemark.create_stream('numbers', 'n'), tidemark.create_stream('zoned', 'z');
CREATE VIEW day_sums AS SELECT d, sum(v) OVER (ORDER BY d RANGE '36 hours' PRECEDING), count(*) OVER (PARTITION BY v % 2 ORDER BY d RANGE '3 days' PRECEDING),
    sum(v) OVER (ORDER BY d RANGE BETWEEN '60 hours' PRECEDING AND '36 hours' PRECEDING) AS earlier, sum(v) OVER (ORDER BY d RANGE BETWEEN '36 hours' FOLLOWING AND '60 hours' FOLLOWING) AS later FROM days;
CREATE VIEW number_sums AS SELECT n, sum(v) OVER (ORDER BY n RANGE 10 PRECEDING), max(v) OVER (ORDER BY n RANGE 9223372036854775807 PRECEDING),
    min(v) OVER (ORDER BY n RANGE BETWEEN 9223372036854775807 PRECEDING AND 10 PRECEDING) FROM numbers;
CREATE VIEW zoned_sums AS SELECT z, avg(v) OVER (ORDER BY z RANGE '24 hours' PRECEDING) FROM zoned;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{day_sums,number_sums,zoned_sums}'::text[]) v;
INSERT INTO days SELECT date '2024-02-20' + i / 2, i FROM generate_series(1, 40) i;
INSERT INTO numbers SELECT i, i FROM generate_series(-100, 100, 3) i UNION ALL VALUES (-9223372036854775807, 1), (9223372036854775806, 2);
INSERT INTO zoned SELECT timestamptz '2024-03-30 00:00 Europe/Berlin' + i * interval '1 hour', i FROM generate_series(1, 60) i;
SELECT * FROM maintained();
INSERT INTO days SELECT date '2024-03-11' + i, i FROM generate_series(1, 4) i;
INSERT INTO zoned SELECT timestamptz '2024-04-02 00:00 Europe/Berlin' + i * interval '1 hour', i FROM generate_series(1, 60) i;
SELECT * FROM maintained();
DROP TABLE days, numbers, zoned CASCADE;

-- states that need more memory than allowed: the view goes on by slices
CREATE TABLE many (t bigint, k int);
SELECT tidemark.create_stream('many', 't');
CREATE VIEW counted AS SELECT t, k, count(*) OVER (PARTITION BY k ORDER BY t RANGE 1000000 PRECEDING) FROM many;
ALTER SYSTEM SET tidemark.work_mem = '64kB';
SELECT pg_reload_conf();
INSERT INTO many SELECT i, i FROM generate_series(1, 120000) i;
SELECT tidemark.make_continuous('counted');
SELECT * FROM maintained();
SELECT how, why FROM tidemark.explain('counted') WHERE part = 'maintenance';
ALTER SYSTEM RESET tidemark.work_mem;
SELECT pg_reload_conf();
DROP TABLE many CASCADE;
DROP FUNCTION maintained;
