-- What must not go wrong when others have other things in mind.
-- The test makes and drops the extension itself.
CREATE EXTENSION tidemark;
-- The extension goes and comes again: streams and views can be declared anew.
CREATE TABLE again (at timestamp, x int);
SELECT tidemark.create_stream('again', 'at');
CREATE VIEW again_view AS SELECT at, x FROM again WHERE x > 1;
SELECT tidemark.make_continuous('again_view');
INSERT INTO again SELECT '2024-01-01', i FROM generate_series(1, 3) i;
SELECT tidemark.wait_until_maintained('again_view');
SET client_min_messages = warning;
DROP EXTENSION tidemark CASCADE;
SELECT count(*) FROM again_view;
-- without the extension, tables of the catalogue's names mean nothing
CREATE TABLE tidemark.view (relid regclass, stream regclass, mat regclass, time_attnum int2, definition text);
CREATE TABLE tidemark.stream (relid regclass, attnum int2, allowed_delay int8, late_rows text, late_table regclass, idle_timeout interval, max_ahead interval);
CREATE TABLE tidemark.frontier (relid oid PRIMARY KEY, frontier int8, rows int8, corrections int8);
CREATE TABLE again_secret (at timestamp, x int);
INSERT INTO again_secret VALUES ('2024-01-01', 42);
INSERT INTO tidemark.stream VALUES ('again', 1, 0, 'keep');
INSERT INTO tidemark.view SELECT 'again_view', 'again', 'again_secret', 1, lpad(to_hex(hashtextextended(ev_action::text, 0)), 16, '0')
  FROM pg_rewrite WHERE ev_class = 'again_view'::regclass;
\c
SELECT count(*), max(x) FROM again_view;
DROP SCHEMA tidemark CASCADE;
CREATE ROLE robust_other;
\set SHOW_CONTEXT never
CREATE SCHEMA tidemark AUTHORIZATION robust_other;
CREATE EXTENSION tidemark;
DROP SCHEMA tidemark;
DROP ROLE robust_other;
CREATE EXTENSION tidemark;
SELECT tidemark.create_stream('again', 'at');
SELECT tidemark.make_continuous('again_view');
SELECT tidemark.wait_until_maintained('again_view');
SELECT count(*) FROM again_view;
SELECT count(*) FROM tidemark.verify('again_view');
