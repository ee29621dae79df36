-- What may be a sink, whose it is, and what it keeps from being dropped. There is no broker here: t/060_sink.pl has one.
CREATE ROLE sink_owner;
CREATE ROLE sink_sender;
GRANT CREATE ON SCHEMA public TO sink_owner;
CREATE SERVER nowhere FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers '127.0.0.1:1', log_level '0');
CREATE FOREIGN TABLE results (k int, n bigint) SERVER nowhere OPTIONS (topic 'results');
CREATE FOREIGN TABLE other_results (k int, n bigint, sent timestamptz OPTIONS (metadata 'timestamp')) SERVER nowhere OPTIONS (topic 'results');
SET ROLE sink_owner;
CREATE TABLE s (t bigint, k int, v int);
SELECT tidemark.create_stream('s', 't');
CREATE VIEW counts AS SELECT t, k, count(*) OVER (PARTITION BY k ORDER BY t RANGE 10 PRECEDING) AS n FROM s;
-- a plain view
RESET ROLE;
SELECT tidemark.start_sink('counts', 'results');
SET ROLE sink_owner;
SELECT tidemark.make_continuous('counts');
INSERT INTO s SELECT i, i % 2, i FROM generate_series(1, 10) i;
SELECT tidemark.wait_until_maintained('counts');
-- rights: SELECT on the view, INSERT on the topic
SELECT tidemark.start_sink('counts', 'results');
SET ROLE sink_sender;
SELECT tidemark.start_sink('counts', 'results');
RESET ROLE;
GRANT INSERT ON results TO sink_sender;
SET ROLE sink_sender;
SELECT tidemark.start_sink('counts', 'results');
RESET ROLE;
GRANT SELECT ON counts TO sink_sender;
-- arguments
SELECT tidemark.start_sink('counts', 's');
SELECT tidemark.start_sink('counts', 'results', mode => 'replace');
SELECT tidemark.start_sink('counts', 'results', start_at => 'earliest');
SELECT tidemark.start_sink('counts', 'results', corrections => 'drop');
SELECT tidemark.start_sink('counts', 'results', mode => 'upsert');
SELECT tidemark.start_sink('counts', 'results', mode => 'upsert', key => '{}');
SELECT tidemark.start_sink('counts', 'results', mode => 'upsert', key => '{x}');
SELECT tidemark.start_sink('counts', 'results', mode => 'upsert', key => '{k}', corrections => 'mark');
SELECT tidemark.start_sink('counts', 'results', delivery => 'at_most_once');
SELECT tidemark.start_sink('counts', 'results', envelope => 'soap');
CREATE FOREIGN TABLE lines (k int, n bigint) SERVER nowhere OPTIONS (topic 'results', format 'csv');
SELECT tidemark.start_sink('counts', 'lines', envelope => 'debezium');
CREATE FOREIGN TABLE wrong_names (k int, m bigint) SERVER nowhere OPTIONS (topic 'results');
SELECT tidemark.start_sink('counts', 'wrong_names');
CREATE FOREIGN TABLE wrong_types (k int, n point) SERVER nowhere OPTIONS (topic 'results');
SELECT tidemark.start_sink('counts', 'wrong_types');
CREATE FOREIGN TABLE no_columns (at timestamptz OPTIONS (metadata 'timestamp')) SERVER nowhere OPTIONS (topic 'results');
SELECT tidemark.start_sink('counts', 'no_columns');
-- one row a key: none is final, and its changes are logged, with what is there at the beginning; its key is the view's
CREATE VIEW latest AS SELECT DISTINCT ON (k) t, k, v::bigint AS n FROM s ORDER BY k, t DESC;
SELECT tidemark.make_continuous('latest');
SELECT tidemark.start_sink('latest', 'results');
SELECT tidemark.wait_until_maintained('latest');
SELECT tidemark.start_sink('latest', 'results', mode => 'upsert');
SELECT topic, mode, key, corrections, delivery, envelope, lag_rows FROM tidemark.sinks;
INSERT INTO s VALUES (10, 2, 100), (9, 1, 101);
DELETE FROM s WHERE v = 9;
SELECT seq, dense_rank() OVER (ORDER BY written_by) AS transaction, op, c1, c2, c3 FROM tidemark_data.latest_changes ORDER BY seq;
DELETE FROM s WHERE v >= 100;
INSERT INTO s VALUES (9, 1, 9);
SELECT tidemark.start_sink('latest', 'other_results', corrections => 'mark', start_at => 'now');
SELECT topic, key, lag_rows FROM tidemark.sinks ORDER BY topic;
DROP VIEW latest;
DROP VIEW latest CASCADE;
-- which columns are the key; of several rows a key has none
CREATE VIEW firsts AS SELECT DISTINCT ON (k, v % 2) t, v % 2 AS n, k FROM s ORDER BY k, v % 2, t;
CREATE VIEW sums AS SELECT k, sum(v)::bigint AS n FROM s GROUP BY k;
CREATE VIEW best AS SELECT * FROM (SELECT k, v::bigint AS n, row_number() OVER (PARTITION BY k ORDER BY v DESC) AS place FROM s) r WHERE place <= 2;
SELECT tidemark.make_continuous('firsts'), tidemark.make_continuous('sums'), tidemark.make_continuous('best');
SELECT tidemark.start_sink('firsts', 'results');
SELECT tidemark.start_sink('firsts', 'other_results', mode => 'upsert');
SELECT tidemark.start_sink('sums', 'results', mode => 'upsert', delivery => 'at_least_once', envelope => 'debezium');
SELECT tidemark.start_sink('best', 'results', mode => 'upsert');
SELECT view, topic, mode, key, corrections, delivery, envelope FROM tidemark.sinks ORDER BY view::text, topic::text;
DROP VIEW firsts, sums, best CASCADE;
-- groups by sessions are final when they are over, if the view advances with the watermark
CREATE TABLE e (t bigint, k int, v int);
SELECT tidemark.create_stream('e', 't', allowed_delay => '0');
INSERT INTO e SELECT i, i % 2, i FROM generate_series(1, 10) i;
CREATE VIEW visits AS SELECT k, start AS t, count(*) AS n FROM (SELECT k, t, tidemark.session(t, 5) OVER (PARTITION BY k ORDER BY t) AS start FROM e) x GROUP BY k, start;
SELECT tidemark.make_continuous('visits');
SELECT tidemark.wait_until_maintained('visits');
SELECT tidemark.start_sink('visits', 'results');
SELECT tidemark.start_sink('visits', 'other_results', mode => 'upsert');
SELECT topic, mode, key, lag_rows FROM tidemark.sinks ORDER BY topic::text;
INSERT INTO e VALUES (17, 1, 0), (18, 2, 0);
SELECT tidemark.wait_until_maintained('visits');
INSERT INTO e VALUES (15, 2, 1), (2, 3, 1);
DELETE FROM e WHERE t BETWEEN 14 AND 16;
SELECT dense_rank() OVER (ORDER BY written_by) AS transaction, op, c1, c2, c3 FROM tidemark_data.visits_changes ORDER BY 1, 2, 3, 4, 5;
SELECT tidemark.make_continuous('visits', 'arrival');
SELECT tidemark.make_continuous('visits', 'watermark');
SELECT tidemark.stop_sink('visits', 'results'), tidemark.stop_sink('visits', 'other_results');
SELECT tidemark.make_continuous('visits', 'arrival');
SELECT tidemark.wait_until_maintained('visits');
SELECT tidemark.start_sink('visits', 'results');
SELECT tidemark.start_sink('visits', 'results', mode => 'upsert', start_at => 'now');
INSERT INTO e VALUES (18, 1, 2), (30, 1, 2);
SELECT tidemark.wait_until_maintained('visits');
SELECT dense_rank() OVER (ORDER BY written_by) AS transaction, op, c1, c2, c3 FROM tidemark_data.visits_changes ORDER BY 1, 2, 3, 4, 5;
SELECT count(*) FROM tidemark.verify('visits');
DROP VIEW visits CASCADE;
DELETE FROM e WHERE t > 10;
-- rows that expire: each is final once, and doesn't go when it does
CREATE VIEW expiring AS SELECT DISTINCT ON (k) k, t, v AS n FROM e ORDER BY k, t;
SELECT tidemark.make_continuous('expiring', dedup_for => '3');
SELECT tidemark.wait_until_maintained('expiring');
SELECT tidemark.start_sink('expiring', 'results');
SELECT tidemark.start_sink('expiring', 'other_results', mode => 'upsert');
SELECT topic, mode, key, lag_rows FROM tidemark.sinks ORDER BY topic::text;
INSERT INTO e SELECT i, i % 2, i FROM generate_series(20, 40) i;
SELECT tidemark.wait_until_maintained('expiring');
DELETE FROM e WHERE t IN (32, 36, 37);
SELECT dense_rank() OVER (ORDER BY written_by) AS transaction, op, c1, c2, c3 FROM tidemark_data.expiring_changes ORDER BY 1, 2, 3, 4, 5;
TABLE expiring ORDER BY k, t;
SELECT count(*) FROM tidemark.verify('expiring');
DROP TABLE e CASCADE;
-- two sinks
SET ROLE sink_sender;
SELECT tidemark.start_sink('counts', 'results');
SELECT tidemark.start_sink('counts', 'results');
RESET ROLE;
SELECT tidemark.start_sink('counts', 'other_results', mode => 'upsert', key => '{t,k}', start_at => 'now');
SELECT view, topic, mode, key, corrections, sent_up_to, records, corrections_ignored, lag_rows, role FROM tidemark.sinks ORDER BY topic;
-- what is corrected is logged: what went and what came
INSERT INTO s VALUES (5, 1, 1);
UPDATE s SET v = 0 WHERE t = 8;
SELECT seq, dense_rank() OVER (ORDER BY written_by) AS transaction, op, c1, c2, c3 FROM tidemark_data.counts_changes ORDER BY seq;
SELECT topic, lag_rows FROM tidemark.sinks ORDER BY topic;
SELECT count(*) FROM tidemark.verify('counts');
-- who sees and stops them
SET ROLE sink_owner;
SELECT topic, role FROM tidemark.sinks ORDER BY topic;
SELECT tidemark.pause_sink('counts', 'results');
SELECT tidemark.resume_sink('counts', 'results');
RESET ROLE;
REVOKE SELECT ON counts FROM sink_sender;
SET ROLE sink_sender;
SELECT count(*) FROM tidemark.sinks;
SELECT tidemark.sink_lag('counts', 0, 0, 0);
SELECT tidemark.pause_sink('counts', 'other_results');
SELECT tidemark.pause_sink('counts', 'results');
SELECT tidemark.stop_sink('counts', 'results');
RESET ROLE;
SELECT tidemark.stop_sink('counts', 'results');
-- a view with a sink stays
SELECT tidemark.make_batch('counts');
DROP VIEW counts;
-- one that is replaced has other rows: the sink has to be started again
CREATE OR REPLACE VIEW counts AS SELECT t, k, count(*) OVER (PARTITION BY k ORDER BY t RANGE 20 PRECEDING) AS n FROM s;
SELECT topic, lag_rows FROM tidemark.sinks;
SELECT tidemark.start_sink('counts', 'results');
-- the topic goes, the sink with it
DROP FOREIGN TABLE results, other_results;
SELECT count(*) FROM tidemark.sinks;
SELECT count(*) FROM pg_class WHERE relname LIKE 'counts_changes%';
-- the view goes
CREATE FOREIGN TABLE results (k int, n bigint) SERVER nowhere OPTIONS (topic 'results');
SELECT tidemark.start_sink('counts', 'results');
DROP VIEW counts CASCADE;
SELECT count(*) FROM tidemark.sink;
-- the stream goes
CREATE VIEW counts AS SELECT t, k, count(*) OVER (PARTITION BY k ORDER BY t RANGE 10 PRECEDING) AS n FROM s;
SELECT tidemark.make_continuous('counts');
SELECT tidemark.start_sink('counts', 'results');
DROP TABLE s CASCADE;
SELECT count(*) FROM tidemark.sink;
DROP SERVER nowhere CASCADE;
DROP OWNED BY sink_owner, sink_sender;
DROP ROLE sink_owner, sink_sender;
