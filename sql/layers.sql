-- Windows over groups of windows: the groups are kept, and the windows over them computed incrementally.
CREATE TABLE event (at timestamp, key int, x int);
SELECT tidemark.create_stream('event', 'at', allowed_delay => '5 seconds');
INSERT INTO event SELECT '2024-01-01'::timestamp + i * interval '1 second', i * i % 7, i * 7 % 13 FROM generate_series(1, 600) i;

CREATE VIEW minutes AS SELECT date_trunc('minute', at) AS minute, key, count(*) AS n, sum(x) AS s FROM event GROUP BY 1, 2;
CREATE VIEW change AS SELECT minute, key, n, n - lag(n) OVER (PARTITION BY key ORDER BY minute) AS change FROM minutes;
CREATE VIEW moving AS SELECT minute, key, avg(s) OVER (PARTITION BY key ORDER BY minute RANGE '3 minutes' PRECEDING) AS mean, sum(s) OVER (ORDER BY minute) AS so_far FROM minutes;
-- at one level
CREATE VIEW beside AS SELECT key + 1 AS k, date_bin('20 seconds', at, '2000-01-01') + interval '20 seconds' AS until, count(*), sum(count(*)) OVER w AS so_far, lag(max(x), 2) OVER w
  FROM event WHERE x > 1 GROUP BY date_bin('20 seconds', at, '2000-01-01'), key HAVING count(*) > 1 WINDOW w AS (PARTITION BY key ORDER BY date_bin('20 seconds', at, '2000-01-01'));
-- without the window in the output; hopping windows; groups of groups; windows over windows; a condition above
CREATE VIEW hidden AS SELECT max(n) OVER (ORDER BY w ROWS 4 PRECEDING) FROM (SELECT date_bin('10 seconds', at, '2000-01-01') AS w, count(*) AS n FROM event GROUP BY 1) g;
CREATE VIEW hops AS SELECT *, sum(n) OVER (PARTITION BY key ORDER BY window_start RANGE '1 minute' PRECEDING) FROM
  (SELECT window_start, window_end, key, count(*) AS n FROM event, tidemark.hop(at, '20 seconds', '1 minute') GROUP BY 1, 2, 3) g;
CREATE VIEW above AS SELECT * FROM (SELECT m, lag(k) OVER (ORDER BY m) AS l FROM (SELECT date_trunc('hour', minute) AS m, count(*) AS k FROM minutes GROUP BY 1) h) a WHERE l IS NULL OR l > 0;
CREATE VIEW twice AS SELECT minute, max(c) OVER (ORDER BY minute RANGE '2 minutes' PRECEDING) FROM (SELECT minute, count(*) OVER (ORDER BY minute) AS c FROM minutes) t;
-- not in layers: within a window; ahead
CREATE VIEW within AS SELECT minute, key, n, rank() OVER (PARTITION BY minute ORDER BY n DESC) FROM minutes;
CREATE VIEW ahead AS SELECT minute, key, sum(n) OVER (PARTITION BY key ORDER BY minute RANGE BETWEEN '1 minute' PRECEDING AND '1 minute' FOLLOWING) FROM minutes;
-- the largest groups of each window
CREATE VIEW largest AS SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY minute ORDER BY n DESC, key) AS place FROM minutes) r WHERE place <= 2;
CREATE VIEW largest_beside AS SELECT minute, key FROM (SELECT date_trunc('minute', at) AS minute, key, rank() OVER (PARTITION BY date_trunc('minute', at) ORDER BY count(*) DESC) AS place FROM event GROUP BY 1, 2) r WHERE place = 1;
-- over the first row of each key
CREATE VIEW over_first AS SELECT w, n, lag(n) OVER (ORDER BY w) FROM (SELECT date_trunc('minute', at) AS w, count(*) AS n FROM (SELECT DISTINCT ON (x, key) * FROM event ORDER BY x, key, at) f GROUP BY 1) g;

CREATE TABLE layers (view regclass);
INSERT INTO layers SELECT unnest('{change, moving, beside, hidden, hops, above, twice, within, ahead, largest, largest_beside, over_first}'::regclass[]);
DO $$ BEGIN PERFORM tidemark.make_continuous(view) FROM layers; END $$;
CREATE FUNCTION differences() RETURNS TABLE (view regclass, difference text, "row" jsonb) LANGUAGE sql AS
$$ SELECT view, d.* FROM layers, tidemark.verify(view) d $$;
CREATE FUNCTION maintained() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM tidemark.wait_until_maintained(view) FROM layers; RETURN 'maintained'; END $$;

SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();
SELECT view, method, frontier, rows FROM tidemark.continuous_views JOIN layers USING (view) ORDER BY view::text COLLATE "C";
SELECT * FROM tidemark.explain('moving');
SELECT * FROM change WHERE key = 1 ORDER BY minute;
SELECT * FROM beside WHERE k = 2 ORDER BY until LIMIT 3;
SELECT * FROM largest ORDER BY minute, place LIMIT 4;

-- on time and late; groups that are new, that grow, that go, that HAVING lets through or no longer; over the frontier
INSERT INTO event SELECT '2024-01-01'::timestamp + i * interval '1 second', i * i % 7, i * 7 % 13 FROM generate_series(601, 640) i;
SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();
INSERT INTO event SELECT '2024-01-01'::timestamp + i * interval '1 second', i % 9, i % 3 FROM generate_series(590, 800) i;
SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();
INSERT INTO event VALUES ('2024-01-01 00:03:30', 1, 50), ('2024-01-01 00:03:31', 11, 50), ('2023-12-31', 3, 7);
SELECT * FROM differences();
INSERT INTO event VALUES ('2024-01-01 00:12:30', 1, 50), ('2024-01-01 00:20:00', 2, 1);
SELECT * FROM differences();
DELETE FROM event WHERE at BETWEEN '2024-01-01 00:02:10' AND '2024-01-01 00:03:20' OR key = 5;
SELECT * FROM differences();
UPDATE event SET key = key + 1, at = at + interval '45 seconds' WHERE key IN (2, 3) AND x > 8;
SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();

-- a late row that a view fails on: it has the batch query's answer, and comes back when the row goes
CREATE VIEW divided AS SELECT minute, sum(100 / s) OVER (ORDER BY minute) FROM (SELECT date_trunc('minute', at) AS minute, sum(x) AS s FROM event GROUP BY 1) m;
CREATE VIEW divided_first AS SELECT at, key, sum(100 / x) OVER (ORDER BY at RANGE '1 minute' PRECEDING) FROM (SELECT DISTINCT ON (key) * FROM event WHERE x IS NOT NULL ORDER BY key, at) f;
DELETE FROM event WHERE x = 0;
INSERT INTO layers VALUES ('divided'), ('divided_first');
SELECT tidemark.make_continuous('divided'), tidemark.make_continuous('divided_first');
SELECT maintained();
BEGIN;
INSERT INTO event VALUES ('2022-01-01', 200, 0);
SELECT count(*) FROM divided;
ROLLBACK;
BEGIN;
INSERT INTO event VALUES ('2022-01-01', 200, 0);
DELETE FROM event WHERE key = 200;
SELECT * FROM differences();
COMMIT;
SELECT maintained();
SELECT * FROM differences();

BEGIN;
TRUNCATE event;
INSERT INTO event SELECT '2024-01-01'::timestamp + i * interval '1 second', i * i % 7, 1 + i * 7 % 13 FROM generate_series(290, 430) i;
SELECT * FROM differences();
COMMIT;
SELECT maintained();
SELECT * FROM differences();

-- readers that want few columns, or rows, and kept plans
SELECT count(*) FROM moving;
SELECT sum(n) FROM change WHERE minute < '2024-01-01 00:06';
PREPARE one (int) AS SELECT minute, change FROM change WHERE key = $1 ORDER BY 1;
EXECUTE one(1);
INSERT INTO event VALUES ('2024-01-01 00:08', 1, 3);
EXECUTE one(1);
SELECT maintained();
EXECUTE one(1);
DEALLOCATE one;
SELECT * FROM differences();

-- other types of event time
CREATE TABLE counted (t bigint, k int);
CREATE TABLE dated (d date, k int);
SELECT tidemark.create_stream('counted', 't', allowed_delay => '3'), tidemark.create_stream('dated', 'd', allowed_delay => '2 days');
CREATE VIEW tens AS SELECT ten, n, lag(n) OVER (ORDER BY ten) FROM (SELECT t / 10 * 10 AS ten, count(*) AS n FROM counted GROUP BY 1) c;
CREATE VIEW threes AS SELECT w, n, sum(n) OVER (ORDER BY w ROWS 2 PRECEDING) FROM (SELECT t - 3 AS w, count(*) AS n FROM counted GROUP BY 1) c;
CREATE VIEW days AS SELECT d, n, avg(n) OVER (ORDER BY d RANGE '2 days' PRECEDING) FROM (SELECT d, count(*) AS n FROM dated GROUP BY 1) c;
TRUNCATE layers;
INSERT INTO layers VALUES ('tens'), ('threes'), ('days');
DO $$ BEGIN PERFORM tidemark.make_continuous(view) FROM layers; END $$;
INSERT INTO counted SELECT i * 3 % 100, i FROM generate_series(1, 40) i;
INSERT INTO dated SELECT date '2024-01-01' + i * 3 % 40, i FROM generate_series(1, 60) i;
SELECT * FROM differences();
SELECT maintained();
INSERT INTO counted VALUES (5, 1), (130, 2), (-20, 1);
INSERT INTO dated VALUES ('2024-01-05', 1), ('2024-02-12', 2);
SELECT * FROM differences();
SELECT maintained();
DELETE FROM counted WHERE t BETWEEN 30 AND 45;
SELECT * FROM differences();

-- a late row changes results of its key only, if the windows are partitioned by that
CREATE TABLE keyed (t bigint, k int, v int);
SELECT tidemark.create_stream('keyed', 't', allowed_delay => '0');
CREATE VIEW by_key AS SELECT w, k, n, sum(n) OVER (PARTITION BY k ORDER BY w RANGE 30 PRECEDING) AS total FROM (SELECT t / 10 * 10 AS w, k, count(*) AS n FROM keyed GROUP BY 1, 2) g;
CREATE VIEW by_sum AS SELECT w, k, n, sum(n) OVER (ORDER BY w RANGE 30 PRECEDING) AS total FROM (SELECT t / 10 * 10 AS w, k, count(*) AS n FROM keyed GROUP BY 1, 2) g;
SELECT tidemark.make_continuous('by_key'), tidemark.make_continuous('by_sum');
INSERT INTO keyed SELECT i, i % 3, i FROM generate_series(1, 100) i;
SELECT tidemark.wait_until_maintained('by_key'), tidemark.wait_until_maintained('by_sum');
BEGIN;
INSERT INTO keyed VALUES (35, 1, 0);
SELECT c2 AS k, array_agg(c1 ORDER BY c1) AS written FROM tidemark_data.by_key_rows WHERE tidemark.written_here(xmin) GROUP BY 1 ORDER BY 1;
SELECT c2 AS k, array_agg(c1 ORDER BY c1) AS written FROM tidemark_data.by_sum_rows WHERE tidemark.written_here(xmin) GROUP BY 1 ORDER BY 1;
COMMIT;
BEGIN;
DELETE FROM keyed WHERE t = 60;
SELECT c2 AS k, array_agg(c1 ORDER BY c1) AS written FROM tidemark_data.by_key_rows WHERE tidemark.written_here(xmin) GROUP BY 1 ORDER BY 1;
COMMIT;
SELECT count(*) FROM tidemark.verify('by_key') UNION ALL SELECT count(*) FROM tidemark.verify('by_sum');
DROP TABLE keyed CASCADE;

\set VERBOSITY terse
SELECT tidemark.make_batch('days');
DROP TABLE event, counted, dated CASCADE;
SELECT relname FROM pg_class WHERE relnamespace = 'tidemark_data'::regnamespace;
DROP TABLE layers;
DROP FUNCTION differences, maintained;
