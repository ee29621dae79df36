-- Statements around continuous views: one-statement declaration, transactions, replacing, renaming, dropping.
CREATE TABLE readings (at bigint, sensor int, x numeric);
SELECT tidemark.create_stream('readings', 'at', allowed_delay => '10');
INSERT INTO readings SELECT i, i % 3, i / 10.0 FROM generate_series(1, 1000) i;

CREATE MATERIALIZED VIEW smooth (at, sensor, mean) WITH (tidemark.continuous) AS
SELECT at, sensor, avg(x) OVER (PARTITION BY sensor ORDER BY at RANGE BETWEEN 30 PRECEDING AND CURRENT ROW) FROM readings;
\d smooth
-- (16 and later leave out the table's name)
SELECT replace(pg_get_viewdef('smooth'), 'readings.', '');
SELECT tidemark.wait_until_maintained('smooth');
SELECT state, frontier, rows FROM tidemark.continuous_views WHERE view = 'smooth'::regclass;
CREATE MATERIALIZED VIEW IF NOT EXISTS smooth WITH (tidemark.continuous = true) AS SELECT * FROM readings;
CREATE MATERIALIZED VIEW smooth WITH (tidemark.continuous) AS SELECT * FROM readings;
CREATE MATERIALIZED VIEW bad WITH (tidemark.continous) AS SELECT * FROM readings;
CREATE MATERIALIZED VIEW bad WITH (tidemark.continuous) AS SELECT * FROM readings LIMIT 1;
PREPARE reading AS SELECT * FROM readings;
CREATE MATERIALIZED VIEW bad WITH (tidemark.continuous) AS EXECUTE reading;
CREATE MATERIALIZED VIEW stock WITH (tidemark.continuous = off) AS SELECT * FROM readings;
SELECT relname, relkind FROM pg_class WHERE relname IN ('smooth', 'bad', 'stock') ORDER BY 1;

-- in a transaction that is rolled back nothing is left
BEGIN;
CREATE VIEW gone AS SELECT at, x * 2 AS twice FROM readings;
SELECT tidemark.make_continuous('gone');
SELECT count(*), sum(twice) FROM gone;
SELECT * FROM tidemark.verify('gone');
ROLLBACK;
BEGIN;
SELECT tidemark.make_batch('smooth');
ROLLBACK;
SELECT view FROM tidemark.continuous_views ORDER BY view::text;
SELECT relname FROM pg_class WHERE relnamespace = 'tidemark_data'::regnamespace AND relkind = 'r' ORDER BY 1;

-- CREATE OR REPLACE starts anew; what can't be maintained is refused and changes nothing
CREATE OR REPLACE VIEW smooth (at, sensor, mean, n) AS
SELECT at, sensor, avg(x) OVER w, count(*) OVER w FROM readings WINDOW w AS (PARTITION BY sensor ORDER BY at RANGE 50 PRECEDING);
SELECT * FROM tidemark.verify('smooth');
SELECT tidemark.wait_until_maintained('smooth');
SELECT * FROM tidemark.verify('smooth');
CREATE OR REPLACE VIEW smooth (at, sensor, mean, n) AS SELECT at, sensor, avg(x) OVER w, count(*) OVER w FROM readings WINDOW w AS (PARTITION BY sensor);
SELECT * FROM smooth ORDER BY at DESC LIMIT 2;
SELECT * FROM tidemark.verify('smooth');

-- names and owners
ALTER VIEW smooth RENAME TO smoothed;
ALTER VIEW smoothed RENAME COLUMN mean TO average;
ALTER TABLE readings RENAME COLUMN x TO value;
CREATE SCHEMA other;
ALTER VIEW smoothed SET SCHEMA other;
INSERT INTO readings VALUES (500, 1, 7);
SELECT * FROM tidemark.verify('other.smoothed');
SELECT average FROM other.smoothed WHERE at = 500 AND sensor = 2;
CREATE ROLE ddl_owner;
ALTER VIEW other.smoothed OWNER TO ddl_owner;
SELECT count(*) FROM other.smoothed;
INSERT INTO readings VALUES (501, 1, 7);
GRANT SELECT ON readings TO ddl_owner;
INSERT INTO readings VALUES (501, 1, 7);
SELECT * FROM tidemark.verify('other.smoothed');
COMMENT ON VIEW other.smoothed IS 'a comment stays';
CREATE VIEW on_top AS SELECT count(*) AS n FROM other.smoothed;
SELECT tidemark.make_batch('other.smoothed');
SELECT tidemark.make_continuous('other.smoothed');
SELECT obj_description('other.smoothed'::regclass), n FROM on_top;

-- dropping
ALTER TABLE readings DROP COLUMN value;
SELECT tidemark.drop_stream('readings');
DROP VIEW other.smoothed;
DROP TABLE tidemark_data.smoothed_rows;
SELECT count(*) FROM tidemark.continuous_views;
SELECT n FROM on_top;
SELECT tidemark.make_continuous('other.smoothed');
DROP VIEW other.smoothed CASCADE;
SELECT relname FROM pg_class WHERE relnamespace = 'tidemark_data'::regnamespace;
DROP MATERIALIZED VIEW stock;
SELECT tidemark.drop_stream('readings');
DROP TABLE readings;
DROP SCHEMA other;
DROP ROLE ddl_owner;

-- the extension goes, views stay as what they are declared as
CREATE TABLE readings (at bigint, x int);
SELECT tidemark.create_stream('readings', 'at');
CREATE VIEW v AS SELECT at FROM readings WHERE x > 0;
SELECT tidemark.make_continuous('v');
DROP EXTENSION tidemark;
DROP EXTENSION tidemark CASCADE;
INSERT INTO readings VALUES (1, 1);
SELECT * FROM v;
DROP TABLE readings CASCADE;
