-- Which materialised rows a late row changes: those of its keys, where windows are partitioned by what is in the result.
CREATE TABLE reading (at bigint, id int, k int, name text, x int) PARTITION BY RANGE (at);
CREATE TABLE reading_low PARTITION OF reading FOR VALUES FROM (MINVALUE) TO (50);
CREATE TABLE reading_high PARTITION OF reading FOR VALUES FROM (50) TO (MAXVALUE);
CREATE UNIQUE INDEX ON reading (id, at);
SELECT tidemark.create_stream('reading', 'at');
CREATE VIEW by_k AS SELECT at, k, sum(x) OVER (PARTITION BY k ORDER BY at RANGE 10 PRECEDING) AS s FROM reading;
CREATE VIEW by_two AS SELECT name, k % 3 AS third, k,
    sum(x) OVER (PARTITION BY name, k % 3 ORDER BY at RANGE 10 PRECEDING) AS s,
    max(x) OVER (PARTITION BY k % 3, x > 0 ORDER BY at RANGE 5 PRECEDING) AS m FROM reading WHERE x <> 7;
CREATE VIEW nested AS SELECT k, upper(name) AS name, at, sum(s) OVER (PARTITION BY k ORDER BY at) AS total
  FROM (SELECT *, sum(x) OVER (PARTITION BY k, name ORDER BY at RANGE BETWEEN 10 PRECEDING AND 5 FOLLOWING) AS s FROM reading) r;
-- partitioned by what is not in the result, by different things, and by nothing
CREATE VIEW hidden AS SELECT at, sum(x) OVER (PARTITION BY k ORDER BY at RANGE 10 PRECEDING) AS s FROM reading;
CREATE VIEW different AS SELECT at, k, name, sum(x) OVER (PARTITION BY k ORDER BY at RANGE 10 PRECEDING) AS s,
    count(*) OVER (PARTITION BY name ORDER BY at RANGE 10 PRECEDING) AS n FROM reading;
CREATE VIEW by_none AS SELECT at, k, sum(x) OVER (ORDER BY at RANGE 10 PRECEDING) AS s FROM reading;
SELECT tidemark.make_continuous(v) FROM unnest('{by_k,by_two,nested,hidden,different,by_none}'::regclass[]) v;
INSERT INTO reading SELECT i / 6, i, i % 5, CASE i % 4 WHEN 0 THEN NULL ELSE chr(97 + i % 4) END, i % 11 FROM generate_series(1, 600) i;
INSERT INTO reading SELECT i * 3, i, NULL, 'x', 1 FROM generate_series(1, 30) i;
SELECT tidemark.wait_until_maintained(view) FROM tidemark.continuous_views;

-- how many materialised rows this transaction has written, and with how many keys
CREATE FUNCTION written() RETURNS TABLE (view text, keys bigint) LANGUAGE sql AS $$
    SELECT 'by_k', count(DISTINCT coalesce(c2, -1)) FROM tidemark_data.by_k_rows WHERE tidemark.written_here(xmin)
    UNION ALL SELECT 'by_two', count(DISTINCT (c1, c2)) FROM tidemark_data.by_two_rows WHERE tidemark.written_here(xmin)
    UNION ALL SELECT 'nested', count(DISTINCT coalesce(c1, -1)) FROM tidemark_data.nested_rows WHERE tidemark.written_here(xmin)
    UNION ALL SELECT 'hidden', count(*) FROM tidemark_data.hidden_rows WHERE tidemark.written_here(xmin)
    UNION ALL SELECT 'different', count(DISTINCT coalesce(c2, -1)) FROM tidemark_data.different_rows WHERE tidemark.written_here(xmin)
    UNION ALL SELECT 'by_none', count(DISTINCT coalesce(c2, -1)) FROM tidemark_data.by_none_rows WHERE tidemark.written_here(xmin)
$$;
CREATE FUNCTION differences() RETURNS TABLE (view regclass, difference text, "row" jsonb) LANGUAGE sql AS
    'SELECT c.view, v.* FROM tidemark.continuous_views c, tidemark.verify(c.view) v';

-- one key; a null one; one that is filtered out of a view; one that is new
BEGIN; INSERT INTO reading VALUES (45, 1001, 2, 'b', 3); SELECT * FROM written(); SELECT * FROM differences(); COMMIT;
BEGIN; INSERT INTO reading VALUES (46, 1002, NULL, 'x', 3); SELECT * FROM written(); SELECT * FROM differences(); COMMIT;
BEGIN; INSERT INTO reading VALUES (46, 1003, 1, NULL, 7); SELECT * FROM written(); SELECT * FROM differences(); COMMIT;
BEGIN; INSERT INTO reading VALUES (47, 1004, 99, 'new', 3); SELECT * FROM written(); SELECT * FROM differences(); COMMIT;
-- by COPY, into a partition, in a savepoint, in a block with an exception handler, several at once
BEGIN;
COPY reading FROM STDIN;
20	1005	1	a	5
52	1006	1	a	5
\.
INSERT INTO reading_high VALUES (60, 1007, 1, 'a', 5);
SAVEPOINT p;
INSERT INTO reading VALUES (50, 1008, 1, 'a', 5);
DO $$ BEGIN INSERT INTO reading VALUES (49, 1009, 1, 'a', 5); EXCEPTION WHEN division_by_zero THEN NULL; END $$;
SELECT * FROM written() WHERE view = 'by_k';
SELECT * FROM differences();
INSERT INTO reading VALUES (50, 1010, 3, 'a', 5);
ROLLBACK TO p;
INSERT INTO reading VALUES (5, 1011, 2, 'a', 5), (90, 1012, 2, 'b', 5);
SELECT * FROM written() WHERE view = 'by_k';
SELECT * FROM differences();
COMMIT;
-- rows that are changed or deleted: their keys before and after; through a partition, into another one
BEGIN; UPDATE reading SET x = 9 WHERE id = 1001; SELECT * FROM written(); SELECT * FROM differences(); COMMIT;
BEGIN; UPDATE reading SET k = 3 WHERE id = 1001; SELECT * FROM written() WHERE view = 'by_k'; SELECT * FROM differences(); COMMIT;
BEGIN; DELETE FROM reading_low WHERE id = 1001; SELECT * FROM written() WHERE view = 'by_k'; SELECT * FROM differences(); ROLLBACK;
BEGIN; DELETE FROM reading WHERE id IN (1002, 1003); SELECT * FROM written(); SELECT * FROM differences(); ROLLBACK;
BEGIN; UPDATE reading SET at = at + 20 WHERE id = 1001; SELECT * FROM written() WHERE view = 'by_k'; SELECT * FROM differences(); ROLLBACK;
-- only rows that a view doesn't have
BEGIN; UPDATE reading SET name = name || '!' WHERE id = 1003; SELECT * FROM written() WHERE view IN ('by_k', 'by_two'); SELECT * FROM differences(); ROLLBACK;
-- conflicts that update, rows that move, keys that change
BEGIN; INSERT INTO reading VALUES (45, 1001, 4, 'c', 8), (48, 1013, 0, 'a', 1) ON CONFLICT (id, at) DO UPDATE SET k = excluded.k, x = excluded.x;
SELECT * FROM written() WHERE view = 'by_k'; SELECT * FROM differences(); COMMIT;
WITH moved AS (DELETE FROM reading WHERE at BETWEEN 40 AND 42 RETURNING *) INSERT INTO reading SELECT at - 30, id, k + 1, name, x FROM moved;
SELECT * FROM differences();
UPDATE reading SET k = 3 WHERE at = 55;
DELETE FROM reading WHERE k IS NULL;
SELECT * FROM differences();
-- more event times or keys than are told apart
INSERT INTO reading SELECT i % 100, 2000 + i, i, 'm', i % 9 FROM generate_series(1, 1100) i;
SELECT * FROM differences();
INSERT INTO reading SELECT 30, 4000 + i, i, 'm', i % 9 FROM generate_series(1, 1100) i;
SELECT * FROM differences();
-- an error in what a view is partitioned by is not the writer's
CREATE VIEW failing AS SELECT at, 100 / x AS part, sum(k) OVER (PARTITION BY 100 / x ORDER BY at RANGE 10 PRECEDING) AS s FROM reading WHERE k < 3 AND at < 20;
DELETE FROM reading WHERE x = 0;
SELECT tidemark.make_continuous('failing');
SELECT tidemark.wait_until_maintained('failing');
INSERT INTO reading VALUES (10, 9000, 1, 'a', 0);
SELECT sum(s) FROM failing;
DELETE FROM reading WHERE id = 9000;
SELECT tidemark.wait_until_maintained('failing');
SELECT * FROM differences();
DROP TABLE reading CASCADE;
-- columns in another order in a partition, and dropped ones; computed ones
CREATE TABLE moving (gone int, at bigint, k int, more text, x int, twice int GENERATED ALWAYS AS (k * 2) STORED) PARTITION BY RANGE (at);
ALTER TABLE moving DROP COLUMN gone;
CREATE TABLE moving_1 (x int, dropped text, more text, twice int GENERATED ALWAYS AS (k * 2) STORED, k int, at bigint NOT NULL);
ALTER TABLE moving_1 DROP COLUMN dropped;
ALTER TABLE moving ATTACH PARTITION moving_1 FOR VALUES FROM (0) TO (50);
CREATE TABLE moving_2 PARTITION OF moving FOR VALUES FROM (50) TO (1000);
SELECT tidemark.create_stream('moving', 'at');
CREATE VIEW moved AS SELECT at, twice, sum(x) OVER (PARTITION BY twice ORDER BY at RANGE 10 PRECEDING) AS s FROM moving WHERE more <> 'no';
CREATE VIEW moved_rows AS SELECT at, m.k, count(m) OVER (PARTITION BY k ORDER BY at RANGE 10 PRECEDING) AS n FROM moving m WHERE m IS DISTINCT FROM NULL;
SELECT tidemark.make_continuous('moved'), tidemark.make_continuous('moved_rows');
INSERT INTO moving SELECT i, i % 4, CASE WHEN i % 10 = 0 THEN 'no' ELSE 'yes' END, i FROM generate_series(1, 100) i;
SELECT tidemark.wait_until_maintained('moved'), tidemark.wait_until_maintained('moved_rows');
BEGIN;
UPDATE moving SET x = 1000 WHERE at = 41;
SELECT count(*), count(DISTINCT c2), min(c2) FROM tidemark_data.moved_rows WHERE tidemark.written_here(xmin);
SELECT * FROM differences();
UPDATE moving_1 SET k = 2 WHERE at = 41;
DELETE FROM moving WHERE at = 47;
SELECT * FROM differences();
UPDATE moving SET at = at + 40, more = 'no' WHERE at BETWEEN 10 AND 14;
UPDATE moving_2 SET more = 'yes' WHERE more = 'no';
SELECT * FROM differences();
COMMIT;
DROP TABLE moving CASCADE;
DROP FUNCTION written, differences;
