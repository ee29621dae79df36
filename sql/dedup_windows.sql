-- Windows over the first row of each key: the kept rows are a stream of their own.
CREATE TABLE event (at timestamp, key int, x int, part int);
SELECT tidemark.create_stream('event', 'at', allowed_delay => '5 seconds');
INSERT INTO event SELECT '2024-01-01'::timestamp + i * interval '1 second', i * i % 67, i * 7 % 13, i % 3 FROM generate_series(1, 300) i;
INSERT INTO event VALUES ('2024-01-01', NULL, 1, 1), ('2024-01-01 00:00:10', NULL, 1, 2);

-- through a view that is continuous itself, through one that is not, and without any
CREATE VIEW once AS SELECT DISTINCT ON (key) * FROM event ORDER BY key, at;
CREATE VIEW first_numbered AS SELECT at, key FROM (SELECT at, key, row_number() OVER (PARTITION BY key ORDER BY at) AS n FROM event WHERE x > 2) e WHERE n = 1;
CREATE VIEW recent AS SELECT at, key, part, sum(x) OVER (PARTITION BY part ORDER BY at RANGE '20 seconds' PRECEDING) FROM once;
CREATE VIEW around AS SELECT key, count(*) OVER (ORDER BY at RANGE BETWEEN '5 seconds' PRECEDING AND '5 seconds' FOLLOWING) FROM first_numbered;
CREATE VIEW new_by_minute AS SELECT date_trunc('minute', at) AS minute, part, count(*), sum(x) FROM once GROUP BY 1, 2 HAVING count(*) > 1;
CREATE VIEW so_far AS SELECT key, count(*) OVER (ORDER BY at) FROM (SELECT DISTINCT at, key FROM event) e;
CREATE TABLE windows (view regclass);
INSERT INTO windows VALUES ('once'), ('recent'), ('around'), ('new_by_minute'), ('so_far');
DO $$ BEGIN PERFORM tidemark.make_continuous(view) FROM windows; END $$;
CREATE FUNCTION differences() RETURNS TABLE (view regclass, difference text, "row" jsonb) LANGUAGE sql AS
$$ SELECT view, d.* FROM windows, tidemark.verify(view) d $$;
CREATE FUNCTION maintained() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM tidemark.wait_until_maintained(view) FROM windows; RETURN 'maintained'; END $$;

SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();
SELECT view, method, frontier, rows FROM tidemark.continuous_views JOIN windows USING (view) ORDER BY view::text;
SELECT * FROM tidemark.explain('recent');

-- on time and late, again and first; rows that go, and come up; over the frontier
INSERT INTO event SELECT '2024-01-01'::timestamp + i * interval '1 second', i * i % 77, i * 7 % 13, i % 3 FROM generate_series(290, 430) i;
SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();
INSERT INTO event VALUES ('2024-01-01', 3, 100, 1), ('2024-01-01 00:00:50', 4, 100, 2), ('2023-01-01', NULL, 5, 0), ('2024-01-01', 5, 1, 1);
SELECT * FROM differences();
INSERT INTO event VALUES ('2024-01-01 00:06:30', 300, 100, 1), ('2024-01-01 00:07:05', 301, 100, 2), ('2024-01-01 00:07:06', 302, 100, 2);
SELECT * FROM differences();
DELETE FROM event WHERE key < 12;
SELECT * FROM differences();
UPDATE event SET key = key + 1, at = at + interval '1 minute' WHERE key IN (12, 13, 20);
SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();
BEGIN;
TRUNCATE event;
INSERT INTO event SELECT '2024-01-01'::timestamp + i * interval '1 second', i * i % 77, i * 7 % 13, i % 3 FROM generate_series(290, 430) i;
SELECT * FROM differences();
COMMIT;
SELECT maintained();
SELECT * FROM differences();

-- a view that starts anew still has the rows that were kept before: they don't count
CREATE TABLE parted (LIKE event) PARTITION BY RANGE (at);
CREATE TABLE parted_early PARTITION OF parted FOR VALUES FROM (MINVALUE) TO ('2024-01-01 00:06');
CREATE TABLE parted_late PARTITION OF parted FOR VALUES FROM ('2024-01-01 00:06') TO (MAXVALUE);
SELECT tidemark.create_stream('parted', 'at', allowed_delay => '5 seconds');
CREATE VIEW parted_recent AS SELECT at, key, sum(x) OVER (ORDER BY at RANGE '20 seconds' PRECEDING) FROM (SELECT DISTINCT ON (key) * FROM parted ORDER BY key, at) e;
SELECT tidemark.make_continuous('parted_recent');
INSERT INTO parted SELECT * FROM event;
SELECT tidemark.wait_until_maintained('parted_recent');
BEGIN;
ALTER TABLE parted DETACH PARTITION parted_late;
SELECT * FROM tidemark.verify('parted_recent');
COMMIT;
SELECT tidemark.wait_until_maintained('parted_recent');
SELECT * FROM tidemark.verify('parted_recent');
DROP TABLE parted, parted_late CASCADE;

-- rows that come in order, after the watermark has come into their window: they are first rows, too
CREATE TABLE early (t bigint, key int);
SELECT tidemark.create_stream('early', 't', allowed_delay => '5');
CREATE VIEW early_counts AS SELECT window_end, count(*) AS n, max(key) AS key FROM (SELECT DISTINCT ON (key) * FROM early ORDER BY key, t) once, tidemark.cumulate(t, 6, 18)
    GROUP BY window_end;
SELECT tidemark.make_continuous('early_counts');
INSERT INTO early SELECT i, i FROM generate_series(1, 90) i;
SELECT tidemark.wait_until_maintained('early_counts');
SELECT frontier FROM tidemark.continuous_views WHERE view = 'early_counts'::regclass;
INSERT INTO early SELECT i, 1000 + i FROM generate_series(86, 89) i;
SELECT * FROM tidemark.verify('early_counts');
INSERT INTO early VALUES (120, 120);
SELECT tidemark.wait_until_maintained('early_counts');
SELECT * FROM tidemark.verify('early_counts');
DROP TABLE early CASCADE;

-- an ordinary view, continuous again; and its tables go with it
SELECT tidemark.make_batch('recent');
SELECT tidemark.make_continuous('recent');
SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();
\set VERBOSITY terse
DROP VIEW once CASCADE;
DROP TABLE event CASCADE;
SELECT relname FROM pg_class WHERE relnamespace = 'tidemark_data'::regnamespace;
DROP TABLE windows;
DROP FUNCTION differences, maintained;
