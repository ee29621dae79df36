-- What ingestion refuses, and how it is when there is no broker.
CREATE SERVER nowhere FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');
CREATE FOREIGN TABLE topic (t timestamp, id int) SERVER nowhere OPTIONS (topic 'events', format 'json');
CREATE FOREIGN TABLE timeless (id int) SERVER nowhere OPTIONS (topic 'events', format 'json');
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER other;
CREATE FOREIGN TABLE no_topic (t timestamp, id int) SERVER elsewhere;
CREATE TABLE plain (t timestamp, id int);
CREATE TABLE events (t timestamp, id int);
SELECT tidemark.create_stream('events', 't');

-- what is not a topic, or not a stream
SELECT tidemark.start_ingest('topic', 'plain');
SELECT tidemark.start_ingest('plain', 'events');
SELECT tidemark.start_ingest('no_topic', 'events');
SELECT tidemark.start_ingest('timeless', 'events');
SELECT tidemark.start_ingest('missing', 'events');

-- where to start
SELECT tidemark.start_ingest('topic', 'events', start_at => 'soon');
SELECT tidemark.start_ingest('topic', 'events', start_at => '{"0": -1}');
SELECT tidemark.start_ingest('topic', 'events', start_at => '{"zero": 1}');
SELECT tidemark.start_ingest('topic', 'events', start_at => '{"0": null}');
SELECT tidemark.start_ingest('topic', 'events', start_at => '{"0"');
SELECT tidemark.start_ingest('topic', 'events', start_at => '-infinity'::timestamptz);

-- what does not run
SELECT tidemark.stop_ingest('topic', 'events');
SELECT tidemark.pause_ingest('topic', 'events');
SELECT tidemark.resume_ingest('topic', 'events');
SELECT tidemark.wait_until_ingested('events');
SELECT tidemark.wait_until_ingested('plain');

-- an ingestion that is rolled back was never there
BEGIN;
SELECT tidemark.start_ingest('topic', 'events', start_at => '2024-01-01 00:00:00+00');
SELECT start_at FROM tidemark.ingest;
ROLLBACK;
BEGIN;
SELECT tidemark.start_ingest('topic', 'events', start_at => '{"0": 12, "3": 0}'::jsonb);
SELECT start_at FROM tidemark.ingest;
ROLLBACK;
SELECT count(*) FROM tidemark.ingest_status;

-- no broker: it waits, and says so
SELECT tidemark.start_ingest('topic', 'events');
SELECT tidemark.start_ingest('topic', 'events');
DO $$
BEGIN
    FOR i IN 1 .. 3000 LOOP
        EXIT WHEN (SELECT state = 'waiting for broker' FROM tidemark.ingest_status);
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
SELECT topic, stream, state, partitions, records, lag_records, last_error IS NOT NULL AS says_why, last_error_at IS NOT NULL AS says_when
  FROM tidemark.ingest_status;
\set VERBOSITY terse
SELECT tidemark.wait_until_ingested('events', '100 ms');
\set VERBOSITY default
SELECT tidemark.pause_ingest('topic', 'events');
SELECT state FROM tidemark.ingest_status;
SELECT tidemark.wait_until_ingested('events', '100 ms');
SELECT tidemark.resume_ingest('topic', 'events');

-- who may
CREATE ROLE regress_tidemark_reader;
GRANT SELECT ON events, topic TO regress_tidemark_reader;
SET ROLE regress_tidemark_reader;
SELECT tidemark.start_ingest('topic', 'events');
SELECT tidemark.stop_ingest('topic', 'events');
SELECT tidemark.pause_ingest('topic', 'events');
SELECT tidemark.resume_ingest('topic', 'events', skip_lost => true);
SELECT count(*) FROM tidemark.ingest_status;
SELECT count(*) FROM tidemark.workers();
SELECT count(*) FROM tidemark.dead_letters;
INSERT INTO tidemark.dead_letters (topic, partition, "offset", sqlstate, error) VALUES ('x', 0, 0, 'x', 'x');
SELECT * FROM tidemark.ingest;
SELECT tidemark.wake_workers();
RESET ROLE;

-- what goes away takes its ingestion along
DROP FOREIGN TABLE topic;
SELECT count(*) FROM tidemark.ingest;
DROP TABLE events;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM regress_tidemark_reader;
DROP ROLE regress_tidemark_reader;
