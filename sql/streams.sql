-- Streams: create, alter, drop; what is refused; what happens to the table under them.
CREATE TABLE stream_ok (at timestamptz, key int, x float8);
SELECT tidemark.create_stream('stream_ok', 'at', allowed_delay => '15 seconds');
\d stream_ok
SELECT * FROM tidemark.streams WHERE stream = 'stream_ok'::regclass \gx

-- event times of every type, and what is none
CREATE TABLE stream_ts (at timestamp(3));
CREATE TABLE stream_date (at date);
CREATE TABLE stream_number (at bigint);
SELECT tidemark.create_stream('stream_ts', 'at', allowed_delay => '1 day 1 second');
SELECT tidemark.create_stream('stream_date', 'at', allowed_delay => '36 hours');
SELECT tidemark.create_stream('stream_number', 'at', allowed_delay => '1000');
SELECT stream, event_time_type, allowed_delay FROM tidemark.streams WHERE stream::text LIKE 'stream%' ORDER BY stream::text;
INSERT INTO stream_date VALUES ('infinity');
INSERT INTO stream_number VALUES (-9223372036854775808);
INSERT INTO stream_ts VALUES (NULL);

-- the watermark is published for a stream without views too
INSERT INTO stream_ts VALUES ('2024-05-03 12:00:00.4996');
DO $$
BEGIN
    FOR i IN 1 .. 6000 LOOP
        EXIT WHEN EXISTS (SELECT FROM tidemark.streams WHERE stream = 'stream_ts'::regclass AND watermark IS NOT NULL);
        PERFORM pg_sleep(0.01);
        COMMIT;
    END LOOP;
END $$;
SELECT watermark, greatest_event_time FROM tidemark.streams WHERE stream = 'stream_ts'::regclass;

-- refusals
CREATE TABLE stream_bad (at text, t timestamp, "Mixed" timestamp);
SELECT tidemark.create_stream('stream_bad', 'at');
SELECT tidemark.create_stream('stream_bad', 'nothing');
SELECT tidemark.create_stream('stream_bad', 'mixed');
SELECT tidemark.create_stream('stream_bad', 't', allowed_delay => '-1 second');
SELECT tidemark.create_stream('stream_bad', 't', allowed_delay => '1 month');
SELECT tidemark.create_stream('stream_bad', 't', allowed_delay => 'soon');
SELECT tidemark.create_stream('stream_bad', 't', late_rows => 'ignore');
SELECT tidemark.create_stream('stream_bad', 't', late_rows => 'divert');
SELECT tidemark.create_stream('stream_bad', 't', late_table => 'stream_ok');
SELECT tidemark.create_stream('stream_bad', 't', time_index => 'hash');
SELECT tidemark.create_stream('stream_bad', NULL);
SELECT tidemark.create_stream('stream_ok', 'at');
CREATE VIEW stream_view AS SELECT now() AS at;
SELECT tidemark.create_stream('stream_view', 'at');
CREATE TEMP TABLE stream_temp (at timestamp);
SELECT tidemark.create_stream('stream_temp', 'at');
INSERT INTO stream_bad (t) VALUES (NULL);
SELECT tidemark.create_stream('stream_bad', 't');
CREATE TABLE stream_heir () INHERITS (stream_ok);

-- the choice of an index
CREATE TABLE stream_brin (at timestamp);
SELECT tidemark.create_stream('stream_brin', 'at', time_index => 'brin');
CREATE TABLE stream_own_index (at timestamp, PRIMARY KEY (at));
SELECT tidemark.create_stream('stream_own_index', 'at');
SELECT tablename, indexdef FROM pg_indexes WHERE tablename IN ('stream_brin', 'stream_own_index') ORDER BY 1;

-- rights: only the owner; nobody writes the catalogue
CREATE ROLE stream_stranger;
SET ROLE stream_stranger;
SELECT tidemark.create_stream('stream_bad', 't');
SELECT tidemark.alter_stream('stream_ok', allowed_delay => '1 hour');
SELECT tidemark.drop_stream('stream_ok');
UPDATE tidemark.stream SET allowed_delay = 0;
SELECT tidemark.forget('stream_ok'::regclass);
SELECT count(*) AS visible FROM tidemark.streams;
RESET ROLE;
DROP ROLE stream_stranger;

-- alter
CREATE TABLE stream_late (LIKE stream_ok);
SELECT tidemark.alter_stream('stream_ok', allowed_delay => '1 minute', late_rows => 'divert', late_table => 'stream_late');
SELECT allowed_delay, late_rows, late_table, idle_timeout FROM tidemark.streams WHERE stream = 'stream_ok'::regclass;
SELECT tidemark.alter_stream('stream_ok', late_rows => 'keep', idle_timeout => '5 s');
SELECT allowed_delay, late_rows, late_table, idle_timeout FROM tidemark.streams WHERE stream = 'stream_ok'::regclass;
SELECT tidemark.alter_stream('stream_bad', allowed_delay => '1 hour');

-- the table under it
ALTER TABLE stream_ok ALTER COLUMN at TYPE timestamp;
ALTER TABLE stream_ok DROP COLUMN at;
ALTER TABLE stream_ok RENAME COLUMN at TO happened;
ALTER TABLE stream_ok RENAME TO stream_renamed;
SELECT stream, event_time FROM tidemark.streams WHERE stream = 'stream_renamed'::regclass;
SELECT tidemark.drop_stream('stream_renamed');
\d stream_renamed
SELECT tidemark.create_stream('stream_renamed', 'happened');
ALTER TABLE stream_renamed DROP COLUMN happened CASCADE;
SELECT count(*) FROM tidemark.streams WHERE stream = 'stream_renamed'::regclass;
ALTER TABLE stream_renamed ADD at timestamp;
SELECT tidemark.create_stream('stream_renamed', 'at');
DROP TABLE stream_renamed;
BEGIN;
DROP TABLE stream_ts;
ROLLBACK;
SELECT stream FROM tidemark.streams WHERE stream::text LIKE 'stream%' ORDER BY stream::text;
DROP TABLE stream_ts, stream_date, stream_number, stream_bad, stream_brin, stream_own_index, stream_late;
DROP VIEW stream_view;
SELECT count(*) FROM tidemark.streams WHERE stream::text LIKE 'stream%';
