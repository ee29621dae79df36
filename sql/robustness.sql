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

-- What a user's table and view make others run, runs with their owner's rights, by whoever makes it run.
CREATE ROLE robust_owner;
CREATE ROLE robust_writer;
CREATE SCHEMA robust AUTHORIZATION robust_owner;
SET ROLE robust_owner;
CREATE FUNCTION robust.witness() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN IF current_user <> 'robust_owner' THEN RAISE 'runs as %', current_user; END IF; RETURN true; END $$;
CREATE FUNCTION robust.ten_seconds() RETURNS interval LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN IF current_user <> 'robust_owner' THEN RAISE 'runs as %', current_user; END IF; RETURN '10 s'; END $$;
CREATE FUNCTION robust.no_superuser() RETURNS bool LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN RAISE 'runs as %', current_user; END IF; RETURN true; END $$;
-- its answer depends on the search_path of whoever runs it
CREATE FUNCTION robust.path() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN current_setting('search_path'); END $$;
CREATE TABLE robust.events (at timestamp, x int);
CREATE INDEX ON robust.events (x) WHERE robust.no_superuser();
SELECT tidemark.create_stream('robust.events', 'at');
CREATE VIEW robust.sums AS SELECT at, x, sum(x) OVER (ORDER BY at RANGE robust.ten_seconds() PRECEDING), robust.path() AS path FROM robust.events WHERE robust.witness();
SELECT tidemark.make_continuous('robust.sums');
INSERT INTO robust.events SELECT timestamp '2024-01-01' + i * interval '1 s', i FROM generate_series(1, 100) i;
SELECT tidemark.wait_until_maintained('robust.sums');
GRANT USAGE ON SCHEMA robust TO robust_writer;
GRANT INSERT ON robust.events TO robust_writer;
SET ROLE robust_writer;
INSERT INTO robust.events VALUES ('2024-01-01 00:00:50', 1000);
SET ROLE robust_owner;
SELECT count(*), max(sum), path FROM robust.sums GROUP BY path;
RESET ROLE;
SELECT state, corrections, last_error FROM tidemark.continuous_views WHERE view = 'robust.sums'::regclass;
-- a view's owner gets no rows through the maintainer that he may not read
CREATE SCHEMA robust_spy AUTHORIZATION robust_writer;
SET ROLE robust_writer;
CREATE TABLE robust_spy.loot (x int);
CREATE FUNCTION robust_spy.put(x int) RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO robust_spy.loot VALUES (x) RETURNING x';
CREATE FUNCTION robust_spy.pass(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN robust_spy.put(x); END $$;
CREATE VIEW robust_spy.spy AS SELECT at, robust_spy.pass(x) AS x FROM robust.events;
SELECT tidemark.make_continuous('robust_spy.spy');
RESET ROLE;
GRANT SELECT ON robust.events TO robust_writer;
SET ROLE robust_writer;
SELECT tidemark.make_continuous('robust_spy.spy');
SELECT tidemark.wait_until_maintained('robust_spy.spy');
RESET ROLE;
SELECT count(*) > 0 AS looted FROM robust_spy.loot;
-- he loses the right: late rows are not computed, the view is ready to be made anew
TRUNCATE robust_spy.loot;
REVOKE SELECT ON robust.events FROM robust_writer;
SET ROLE robust_owner;
INSERT INTO robust.events VALUES ('2024-01-01 00:00:51', 2000);
INSERT INTO robust.events VALUES ('2024-01-01 01:00:00', 3000);
SELECT tidemark.wait_until_maintained('robust.sums');
RESET ROLE;
SELECT count(*) > 0 AS looted FROM robust_spy.loot;
SELECT rows, corrections FROM tidemark.continuous_views WHERE view = 'robust_spy.spy'::regclass;
SET ROLE robust_writer;
SELECT count(*) FROM robust_spy.spy;
RESET ROLE;
GRANT SELECT ON robust.events TO robust_writer;
SELECT tidemark.wait_until_maintained('robust_spy.spy');
SET ROLE robust_writer;
SELECT count(*) FROM robust_spy.spy;
SELECT count(*) FROM tidemark.verify('robust_spy.spy');
RESET ROLE;
DROP SCHEMA robust, robust_spy CASCADE;
DROP ROLE robust_owner, robust_writer;

-- What makes a stream a stream stays.
CREATE TABLE kept (at timestamp, x int) PARTITION BY LIST (x);
CREATE TABLE kept_1 PARTITION OF kept FOR VALUES IN (1);
SELECT tidemark.create_stream('kept', 'at');
CREATE VIEW kept_view AS SELECT at, x, count(*) OVER (ORDER BY at RANGE '1 h' PRECEDING) FROM kept;
SELECT tidemark.make_continuous('kept_view');
INSERT INTO kept SELECT timestamp '2024-01-01' + i * interval '1 min', 1 FROM generate_series(1, 100) i;
SELECT tidemark.wait_until_maintained('kept_view');
ALTER TABLE kept DISABLE TRIGGER ALL;
ALTER TABLE kept_1 DISABLE TRIGGER USER;
INSERT INTO kept VALUES ('2024-01-01 00:30', 1);
INSERT INTO kept_1 VALUES ('2024-01-01 00:31', 1);
ALTER TABLE kept ENABLE TRIGGER ALL;
SET session_replication_role = replica;
INSERT INTO kept VALUES ('2024-01-01 00:32', 1);
RESET session_replication_role;
SELECT count(*) FROM tidemark.verify('kept_view');
DROP TRIGGER tidemark_insert ON kept;
DROP TRIGGER tidemark_update ON kept_1;
ALTER TABLE kept ALTER at DROP NOT NULL;
ALTER TABLE kept DROP CONSTRAINT tidemark_event_time_is_finite;
CREATE UNLOGGED TABLE kept_2 PARTITION OF kept FOR VALUES IN (2);
ALTER TABLE kept_1 SET UNLOGGED;
ALTER TABLE kept DETACH PARTITION kept_1 CONCURRENTLY;
ALTER TABLE kept DETACH PARTITION kept_1;
DROP TRIGGER tidemark_update ON kept_1;
SELECT count(*) FROM kept_view;
DROP TABLE kept, kept_1 CASCADE;
CREATE UNLOGGED TABLE crashing (at timestamp);
SELECT tidemark.create_stream('crashing', 'at');
DROP TABLE crashing;
SELECT tidemark.tail_start(NULL, NULL, NULL::timestamp, NULL);
SELECT tidemark.tail_start(1, 1, NULL::text, '0');

-- Many late rows that lie apart: as many queries as stretches, but never thousands.
CREATE TABLE apart (at timestamp, x int);
SELECT tidemark.create_stream('apart', 'at');
CREATE VIEW apart_view AS SELECT at, x FROM apart WHERE x <> 7;
SELECT tidemark.make_continuous('apart_view');
INSERT INTO apart SELECT timestamp '2024-01-01' + i * interval '1 s', i FROM generate_series(1, 30000) i;
SELECT tidemark.wait_until_maintained('apart_view');
SET statement_timeout = '10s';
UPDATE apart SET x = x + 1;
RESET statement_timeout;
SELECT count(*) FROM tidemark.verify('apart_view');
DROP TABLE apart CASCADE;

-- A view that a continuous view is built on is replaced, by somebody who does not own the other.
CREATE TABLE base (at timestamp, x int);
SELECT tidemark.create_stream('base', 'at');
CREATE VIEW base_inner AS SELECT at, x FROM base WHERE x > 10;
CREATE VIEW base_middle AS SELECT * FROM base_inner;
CREATE VIEW base_outer AS SELECT at, x, count(*) OVER (ORDER BY at RANGE '1 h' PRECEDING) FROM base_middle;
SELECT tidemark.make_continuous('base_outer');
INSERT INTO base SELECT timestamp '2024-01-01' + i * interval '1 min', i FROM generate_series(1, 100) i;
SELECT tidemark.wait_until_maintained('base_outer');
CREATE OR REPLACE VIEW base_inner AS SELECT at, x FROM base WHERE x > 50;
SELECT count(*) FROM base_outer;
SELECT tidemark.wait_until_maintained('base_outer');
SELECT count(*) FROM tidemark.verify('base_outer');
SELECT rows FROM tidemark.continuous_views WHERE view = 'base_outer'::regclass;
-- a rule of the view that reads the stream is not the view
CREATE TABLE base_log (at timestamp, x int, n bigint);
CREATE RULE base_rule AS ON INSERT TO base_outer DO INSTEAD INSERT INTO base_log SELECT at, -x, 0 FROM base WHERE x > 90;
INSERT INTO base_outer VALUES ('2024-01-01', 0, 0);
SELECT count(*), max(x) FROM base_log;
-- a temporary table of the name is not the view
CREATE TEMP TABLE base_view (x int);
CREATE MATERIALIZED VIEW public.base_view WITH (tidemark.continuous) AS SELECT at FROM base;
SET tidemark.continuous_views = on;
CREATE TEMP TABLE base_view_2 (x int);
CREATE VIEW public.base_view_2 AS SELECT at FROM base;
CREATE VIEW base_view_3 AS SELECT at FROM base;
RESET tidemark.continuous_views;
SELECT view FROM tidemark.continuous_views WHERE stream = 'base'::regclass ORDER BY view::text;
DROP TABLE base CASCADE;

-- A view whose query fails on a row holds up no writer: it fails like its batch query, until the row is mended.
CREATE TABLE divided (at timestamp, x int);
SELECT tidemark.create_stream('divided', 'at');
CREATE VIEW quotient AS SELECT at, sum(100 / x) OVER (ORDER BY at RANGE '2 s' PRECEDING) AS s FROM divided;
SELECT tidemark.make_continuous('quotient');
INSERT INTO divided SELECT timestamp '2024-01-01' + i * interval '1 s', i FROM generate_series(1, 100) i;
SELECT tidemark.wait_until_maintained('quotient');
INSERT INTO divided VALUES ('2024-01-01 00:00:50.5', 0);
SELECT count(*) FROM quotient;
SET tidemark.use_continuous = off;
SELECT count(*) FROM quotient WHERE s > 0;
RESET tidemark.use_continuous;
SELECT frontier, rows FROM tidemark.continuous_views WHERE view = 'quotient'::regclass;
INSERT INTO divided VALUES ('2024-01-01 00:00:10.5', 7);
UPDATE divided SET x = 5 WHERE x = 0;
SELECT tidemark.wait_until_maintained('quotient');
SELECT * FROM tidemark.verify('quotient');
SELECT frontier, rows, last_error FROM tidemark.continuous_views WHERE view = 'quotient'::regclass;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM quotient;
INSERT INTO divided VALUES ('2024-01-01 00:00:20.5', 0);
SELECT count(*) FROM quotient WHERE s > 0;
ROLLBACK;
SELECT * FROM tidemark.verify('quotient');
DROP TABLE divided CASCADE;
