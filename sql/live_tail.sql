-- The live tail: what a view shows above its frontier, from the saved states of its windows or from a slice, and in each
-- case no more of the stream than that needs.
CREATE EXTENSION tidemark;

-- the nodes of a query's plan, as they have run, each before those below it
CREATE FUNCTION plan_nodes(query text) RETURNS SETOF json LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, VERBOSE, TIMING OFF, FORMAT json) ' || query INTO plan;
    RETURN QUERY WITH RECURSIVE nodes AS (
        SELECT plan->0->'Plan' AS node UNION ALL SELECT json_array_elements(node->'Plans') FROM nodes)
    SELECT node FROM nodes WHERE (node->>'Actual Loops')::int > 0;
END
$$;

-- what a query's plan did: "tail: ..." by what it came from, and how many rows of the stream it read
CREATE FUNCTION plan_of(query text, OUT tail text, OUT rows_read bigint) LANGUAGE sql AS $$
SELECT coalesce(max(CASE WHEN node->>'Output' ~ 'tidemark.replay' THEN 'replayed' ELSE 'slice' END) FILTER (WHERE node->>'Node Type' = 'WindowAgg'), 'none'),
       coalesce(sum((node->>'Actual Rows')::numeric::bigint * (node->>'Actual Loops')::int) FILTER (WHERE node->>'Relation Name' = 'measured'), 0)
  FROM plan_nodes(query) node
$$;

-- the maintainer saves states soon after it has become quiet
CREATE FUNCTION wait_until_saved(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + '60 s';
BEGIN
    PERFORM tidemark.wait_until_maintained(relation);
    WHILE NOT EXISTS (SELECT FROM tidemark.frontier f WHERE f.relid = relation AND f.saved = f.frontier) LOOP
        IF clock_timestamp() > deadline THEN
            RAISE EXCEPTION 'no saved states of %', relation;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;

-- 2,000 s, a row a second, four keys and null; the last 40 s are above the frontier
CREATE TABLE measured (at timestamp, key text, n int, x float8);
INSERT INTO measured
SELECT '2026-01-01'::timestamp + i * interval '1 s', (ARRAY['a', 'b', 'c', 'd', NULL])[i % 5 + 1], nullif(i % 7, 0), i / 3.0 FROM generate_series(1, 2000) i;
SELECT tidemark.create_stream('measured', 'at', allowed_delay => '40 s');
CREATE VIEW load AS
SELECT at, key, n, sum(x) OVER hour AS total, count(*) OVER hour AS rows, max(n) OVER minute AS peak
FROM measured
WINDOW hour AS (PARTITION BY key ORDER BY at RANGE BETWEEN INTERVAL '20 min' PRECEDING AND CURRENT ROW),
       minute AS (PARTITION BY key ORDER BY at RANGE BETWEEN INTERVAL '1 min' PRECEDING AND CURRENT ROW);
SELECT tidemark.make_continuous('load');
SELECT wait_until_saved('load');
ANALYZE measured;

-- the windows are long: the 40 rows that enter, the newest (it bounds what leaves), and the 40 of each window that leave
SELECT * FROM plan_of('SELECT * FROM load');
-- of one key
SELECT * FROM plan_of('SELECT * FROM load WHERE key = ''b''');
SELECT * FROM plan_of('SELECT * FROM load WHERE key IS NULL');
-- only windows that are asked for
SELECT * FROM plan_of('SELECT at, peak FROM load');
SELECT * FROM plan_of('SELECT at, total FROM (SELECT * FROM load) q');
-- without any: the rows above the frontier
SELECT * FROM plan_of('SELECT count(*) FROM load');
SELECT * FROM plan_of('SELECT count(*), max(n) FROM (SELECT * FROM load) q GROUP BY key');
SELECT * FROM plan_of('WITH q AS MATERIALIZED (SELECT * FROM load) SELECT count(*) FROM q');
SELECT * FROM plan_of('SELECT l.at FROM load l JOIN load r USING (at, key)');
-- whole rows, set operations and sorting use all
SELECT * FROM plan_of('SELECT l FROM load l');
SELECT * FROM plan_of('SELECT at FROM (SELECT * FROM load ORDER BY total) q');
SELECT * FROM plan_of('SELECT count(*) FROM (SELECT at, total FROM load EXCEPT SELECT at, 0.0 FROM load) q');
-- no tail below the frontier, and not more of it than the reader wants
SELECT * FROM plan_of('SELECT * FROM load WHERE at < ''2026-01-01 00:10''');
SELECT * FROM plan_of('SELECT * FROM load WHERE at BETWEEN ''2026-01-01 00:10'' AND ''2026-01-01 00:20''');
SELECT * FROM plan_of('SELECT * FROM load WHERE timestamp ''2026-01-01 00:32:50'' >= at');
SELECT * FROM plan_of('SELECT * FROM load WHERE at = ''2026-01-01 00:33:00''');
SELECT * FROM plan_of('SELECT * FROM load WHERE at > ''2026-01-01 00:33:10''');
-- compared with another row's column it is no bound
SELECT count(*) FROM load l, measured m WHERE l.at <= m.at AND m.at = '2026-01-01 00:33:20' AND l.total > 0;

-- a window that is shorter than the tail is read as it is: 30 rows and the 40
CREATE VIEW brief AS SELECT at, sum(x) OVER (PARTITION BY key ORDER BY at RANGE BETWEEN INTERVAL '30 s' PRECEDING AND CURRENT ROW) FROM measured;
SELECT tidemark.make_continuous('brief');
SELECT wait_until_saved('brief');
SELECT * FROM plan_of('SELECT * FROM brief');
SELECT * FROM tidemark.verify('brief');
DROP VIEW brief;

-- the same answers as the batch query's
SELECT * FROM tidemark.verify('load');
SELECT at, key, total, rows, peak FROM load WHERE key = 'c' ORDER BY at DESC LIMIT 2;
SET tidemark.use_continuous = off;
SELECT at, key, total, rows, peak FROM load WHERE key = 'c' ORDER BY at DESC LIMIT 2;
RESET tidemark.use_continuous;

-- rows written above the frontier in the same transaction, changed and deleted
BEGIN;
INSERT INTO measured VALUES ('2026-01-01 00:33:20', 'b', 100, 1e300), ('2026-01-01 00:33:19', 'e', 5, 7), ('2026-01-01 00:33:30', NULL, NULL, NULL);
UPDATE measured SET n = 50 WHERE at = '2026-01-01 00:33:15';
DELETE FROM measured WHERE at = '2026-01-01 00:33:16';
SELECT tail FROM plan_of('SELECT * FROM load');
SELECT * FROM tidemark.verify('load');
SAVEPOINT later;
INSERT INTO measured VALUES ('2026-01-01 00:54:00', 'b', 1, 1);
SELECT * FROM tidemark.verify('load');
ROLLBACK TO later;
SELECT * FROM tidemark.verify('load');
ROLLBACK;

-- conditions from outside, and inside of other queries
SELECT k.key, l.at, l.total FROM (VALUES ('a'), ('d')) k (key), LATERAL (SELECT * FROM load WHERE load.key = k.key ORDER BY at DESC LIMIT 1) l ORDER BY 1;
SELECT key, (SELECT rows FROM load l WHERE l.key = m.key AND l.at = m.at) AS rows FROM measured m WHERE at >= '2026-01-01 00:33:19' ORDER BY 1;

-- cursors, parallel query
BEGIN;
DECLARE c CURSOR FOR SELECT key, total FROM load WHERE at > '2026-01-01 00:33:17' ORDER BY at, key;
FETCH 2 FROM c;
INSERT INTO measured VALUES ('2026-01-01 00:33:20', 'a', 1, 1);
FETCH 2 FROM c;
ROLLBACK;
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SELECT tail FROM plan_of('SELECT count(*), sum(total) FROM load');
SELECT * FROM tidemark.verify('load');
COMMIT;

-- a kept plan goes the way that its snapshot can go
SET plan_cache_mode = force_generic_plan;
PREPARE of_key(text, timestamp) AS SELECT count(*), sum(total), max(peak) FROM load WHERE key = $1 AND at <= $2;
PREPARE by_batch(text, timestamp) AS SELECT count(*), sum(total), max(peak) FROM load WHERE key = $1 AND at <= $2;
EXECUTE of_key('a', '2026-01-01 00:40');
BEGIN;
UPDATE tidemark.frontier SET saved = NULL WHERE relid = 'load'::regclass;
SELECT tail FROM plan_of('EXECUTE of_key(''a'', ''2026-01-01 00:40'')');
EXECUTE of_key('a', '2026-01-01 00:40');
SELECT * FROM tidemark.verify('load');
ROLLBACK;
SELECT tail FROM plan_of('EXECUTE of_key(''a'', ''2026-01-01 00:40'')');
EXECUTE of_key('a', '2026-01-01 00:10');

-- a late row: the states are no more, until they have been saved anew
INSERT INTO measured VALUES ('2026-01-01 00:20:00.5', 'a', 6, 1000);
EXECUTE of_key('a', '2026-01-01 00:40');
SET tidemark.use_continuous = off;
EXECUTE by_batch('a', '2026-01-01 00:40');
RESET tidemark.use_continuous;
SELECT * FROM tidemark.verify('load');
INSERT INTO measured SELECT '2026-01-01'::timestamp + i * interval '1 s', 'a', 1, i FROM generate_series(2001, 2010) i;
SELECT wait_until_saved('load');
EXECUTE of_key('a', '2026-01-01 00:40');
SELECT tail FROM plan_of('EXECUTE of_key(''a'', ''2026-01-01 00:40'')');
SELECT * FROM tidemark.verify('load');

-- the view is made anew, and is an ordinary one
SELECT tidemark.make_batch('load');
EXECUTE of_key('a', '2026-01-01 00:40');
SELECT tidemark.make_continuous('load');
EXECUTE of_key('a', '2026-01-01 00:40');
SELECT wait_until_saved('load');
EXECUTE of_key('a', '2026-01-01 00:40');
SELECT tail FROM plan_of('EXECUTE of_key(''a'', ''2026-01-01 00:40'')');
RESET plan_cache_mode;
DEALLOCATE ALL;

-- windows by different keys and without, levels above and below, FILTER, constants and expressions, event time not in the output
CREATE VIEW mixed AS
SELECT key, 100 / rows AS share, total, least_n, everything, label, parity
FROM (SELECT key, n % 2 AS parity, x, count(*) OVER (PARTITION BY key ORDER BY at RANGE INTERVAL '3 min' PRECEDING) AS rows,
             sum(60 / n) FILTER (WHERE n <> 0) OVER (PARTITION BY n % 2, key ORDER BY at RANGE INTERVAL '90 s' PRECEDING) AS total,
             min(n + 1) OVER (ORDER BY at RANGE INTERVAL '30 s' PRECEDING) AS least_n,
             count(2) OVER (ORDER BY at) AS everything,
             key || '/' || (count(n) OVER (PARTITION BY key ORDER BY at RANGE INTERVAL '3 min' PRECEDING))::text AS label
      FROM (SELECT at, key, coalesce(n, 0) AS n, x FROM measured WHERE x > 3) AS enough) q
WHERE rows > 2;
CREATE VIEW over_mixed WITH (security_barrier) AS SELECT key, share, label, parity FROM mixed WHERE parity = 1;
SELECT tidemark.make_continuous('mixed'), tidemark.make_continuous('over_mixed');
SELECT wait_until_saved('mixed'), wait_until_saved('over_mixed');
SELECT tail FROM plan_of('SELECT * FROM mixed');
SELECT tail FROM plan_of('SELECT * FROM over_mixed');
SELECT * FROM tidemark.verify('mixed');
SELECT * FROM tidemark.verify('over_mixed');
INSERT INTO measured SELECT '2026-01-01'::timestamp + i * interval '1 s', (ARRAY['a', 'c', 'e'])[i % 3 + 1], i % 4, i FROM generate_series(2011, 2030) i;
SELECT * FROM tidemark.verify('mixed');
SELECT * FROM tidemark.verify('over_mixed');
-- a function that is cheap and tells what it sees gets to see what the view shows
CREATE FUNCTION tell(int) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$BEGIN IF $1 IS DISTINCT FROM 1 THEN RAISE NOTICE 'saw %', $1; END IF; RETURN true; END$$;
SELECT count(*) > 0 FROM over_mixed WHERE tell(parity) AND key = 'b';

-- frames that are counted, and functions that number rows or look back by rows: nothing leaves them, so the rows that enter are all that is read
SET client_min_messages = warning;
CREATE VIEW counted AS
SELECT at, key, sum(x) OVER (w ROWS 100 PRECEDING) AS total, lag(n, 3) OVER w AS lag, row_number() OVER w AS number, rank() OVER (ORDER BY at) AS rank,
       count(*) FILTER (WHERE n > 2) OVER (w GROUPS BETWEEN 5 PRECEDING AND 2 PRECEDING) AS before, max(x) OVER (w RANGE '20 min' PRECEDING) AS peak
FROM measured WINDOW w AS (PARTITION BY key ORDER BY at);
SELECT tidemark.make_continuous('counted');
RESET client_min_messages;
SELECT wait_until_saved('counted');
SELECT count(*) FROM measured WHERE at > (SELECT max(at) - interval '40 s' FROM measured);
SELECT * FROM plan_of('SELECT at, total, lag, number, rank, before FROM counted');
SELECT * FROM plan_of('SELECT total, lag FROM counted WHERE key = ''a'' ');
SELECT * FROM plan_of('SELECT * FROM counted');
SELECT * FROM tidemark.verify('counted');
INSERT INTO measured SELECT '2026-01-01'::timestamp + i * interval '1 s', (ARRAY['a', 'c', NULL])[i % 3 + 1], i % 4, i FROM generate_series(2031, 2040) i;
SELECT * FROM tidemark.verify('counted');

-- event times of each type
CREATE PROCEDURE make_typed(type text, one text, back text, delay text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE typed (at %s, key int, x numeric)', type);
    EXECUTE format('INSERT INTO typed SELECT %s, i %% 3, round(i / 7.0, i %% 4) FROM generate_series(1, 200) i', one);
    PERFORM tidemark.create_stream('typed', 'at', allowed_delay => delay, max_ahead => NULL);
    EXECUTE format('CREATE VIEW of_type AS SELECT key, at, sum(x) OVER w, max(at) OVER w FROM typed WINDOW w AS (PARTITION BY key ORDER BY at RANGE %s PRECEDING)', back);
    PERFORM tidemark.make_continuous('of_type');
END
$$;
\set check 'SELECT wait_until_saved(''of_type''); SELECT tail FROM plan_of(''SELECT * FROM of_type''); SELECT * FROM tidemark.verify(''of_type''); DROP TABLE typed CASCADE;'
SET client_min_messages = warning;
CALL make_typed('timestamptz', '''2026-01-01''::timestamptz + i * interval ''1 min''', 'INTERVAL ''50 min''', '20 min');
:check
CALL make_typed('date', '''2026-01-01''::date + i / 2', 'INTERVAL ''1000 hours''', '20 days');
:check
CALL make_typed('bigint', 'i * 10', '500', '200');
:check
CALL make_typed('timestamp', '''2026-01-01''::timestamp + i * interval ''1 day''', 'INTERVAL ''50 days''', '20 days');
:check
RESET client_min_messages;

-- the functions in such plans, called by hand
SELECT tidemark.replay(0, 1, true, NULL, NULL::bigint, 'sum(int)'::regprocedure, NULL, i) OVER (ORDER BY i) FROM generate_series(1, 3) i;
SELECT tidemark.replay(0, 1, true, NULL, NULL::bigint, NULL, NULL, i) OVER (ORDER BY i) FROM generate_series(1, 3) i;
SELECT tidemark.replay(0, 1, true, NULL, NULL::text, 'sum(int)'::regprocedure, NULL, i) OVER (ORDER BY i) FROM generate_series(1, 3) i;
SELECT tidemark.replay(-1, 1, true, 'abc', NULL::bigint, 'sum(int)'::regprocedure, NULL, i) OVER (ORDER BY i) FROM generate_series(1, 3) i;
SELECT tidemark.replay(0, 1, true, NULL, NULL::bigint, 'sum(int)'::regprocedure, '{1,0,0}', i) OVER (ORDER BY i) FROM generate_series(1, 4) i;
SELECT tidemark.replay(0, 1, i <> 3, NULL, NULL::bigint, 'sum(int)'::regprocedure, '{1,1,1}', i / 2, i) OVER (ORDER BY i) FROM generate_series(1, 6) i;
SELECT tidemark.replay(0, 1, true, NULL, NULL::bigint, 'rank()'::regprocedure, NULL, i / 2) OVER (ORDER BY i) FROM generate_series(1, 4) i;
SELECT tidemark.replay(0, 1, true, NULL, NULL::int, 'lag(anyelement, int)'::regprocedure, NULL, i, -1) OVER (ORDER BY i) FROM generate_series(1, 4) i;
SELECT tidemark.replay(0, 1, true, NULL, NULL::bigint, 'sum(int)'::regprocedure, '{-2,0,0}', i) OVER (ORDER BY i) FROM generate_series(1, 4) i;
SELECT tidemark.replay(0, 1, true, NULL, NULL::bigint, 'sum(int)'::regprocedure, '{1,0}', i) OVER (ORDER BY i) FROM generate_series(1, 4) i;
SELECT tidemark.replay(0, 1, true, NULL, NULL::bigint, 'sum(int)'::regprocedure, '{1,0,7}', i) OVER (ORDER BY i) FROM generate_series(1, 4) i;
SELECT tidemark.replay(-1, 1, true, '\x63000000000000000401', NULL::bigint, 'sum(int)'::regprocedure, '{1,0,0}', i) OVER (ORDER BY i) FROM generate_series(1, 4) i;
SELECT tidemark.tail_replay_start(NULL, NULL, NULL::timestamp, NULL, NULL);
SELECT tidemark.tail_start(x.relid, x.mat, NULL::timestamp, l) FROM tidemark.view x, (VALUES (interval '1 s'), (NULL)) l (l) WHERE x.relid = 'load'::regclass;
SELECT tidemark.tail_is_replayed('load', 'measured', NULL);
CREATE AGGREGATE secret(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
REVOKE EXECUTE ON FUNCTION secret(int) FROM PUBLIC;
CREATE ROLE regress_tail_reader;
SET ROLE regress_tail_reader;
SELECT tidemark.replay(0, 1, true, NULL, NULL::int, 'secret(int)'::regprocedure, NULL, i) OVER (ORDER BY i) FROM generate_series(1, 3) i;
RESET ROLE;
DROP ROLE regress_tail_reader;

-- a stream that fills: without ANALYZE, too, the tail is found by the index on the event time, in partitions as well; once there are
-- statistics, they count
CREATE FUNCTION scans_of(query text, relation text, OUT node text, OUT rows_planned numeric) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN QUERY
    WITH RECURSIVE nodes AS (
        SELECT plan->0->'Plan' AS n UNION ALL SELECT json_array_elements(n->'Plans') FROM nodes)
    SELECT n->>'Node Type', round(max((n->>'Plan Rows')::numeric), -5) FROM nodes WHERE n->>'Relation Name' LIKE relation GROUP BY 1 ORDER BY 1;
END
$$;
CREATE PROCEDURE fill(kind text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'CREATE TABLE filling (at timestamp NOT NULL, key int, x float8) ' || kind;
    IF kind <> '' THEN
        CREATE TABLE filling_1 (key int, x float8, at timestamp NOT NULL) WITH (autovacuum_enabled = off);
        CREATE TABLE filling_2 (x float8, at timestamp NOT NULL, key int) WITH (autovacuum_enabled = off);
        ALTER TABLE filling ATTACH PARTITION filling_1 FOR VALUES FROM ('2026-01-01') TO ('2026-01-01 01:00');
        ALTER TABLE filling ATTACH PARTITION filling_2 FOR VALUES FROM ('2026-01-01 01:00') TO ('2026-01-02');
    ELSE
        ALTER TABLE filling SET (autovacuum_enabled = off);
    END IF;
    PERFORM tidemark.create_stream('filling', 'at', allowed_delay => '10 s');
    CREATE VIEW filled AS SELECT at, key, sum(x) OVER (PARTITION BY key ORDER BY at RANGE INTERVAL '1 min' PRECEDING) FROM filling;
    PERFORM tidemark.make_continuous('filled');
    INSERT INTO filling (at, key, x) SELECT '2026-01-01'::timestamp + i * interval '50 ms', i % 100, i FROM generate_series(0, 143999) i;
END
$$;
SET client_min_messages = warning;
CALL fill('');
SELECT wait_until_saved('filled');
SELECT * FROM scans_of('SELECT * FROM filled', 'filling%');
SELECT * FROM scans_of('SELECT * FROM filled WHERE key = 7 ORDER BY at DESC LIMIT 1', 'filling%');
SELECT * FROM scans_of('SELECT * FROM filling WHERE at > ''2026-01-01 01:50''', 'filling%');
SELECT rows_planned FROM scans_of('SELECT * FROM filling WHERE at < ''2026-01-01 01:00''', 'filling%');
SELECT * FROM tidemark.verify('filled');
-- what is known is of no account any more
ANALYZE filling;
UPDATE tidemark.frontier SET first = frontier - 1 WHERE relid = 'filled'::regclass;
SELECT rows_planned FROM scans_of('SELECT * FROM filling WHERE at < ''2026-01-01 01:00''', 'filling%');
DROP TABLE filling CASCADE;
CALL fill('PARTITION BY RANGE (at)');
SELECT wait_until_saved('filled');
SELECT * FROM scans_of('SELECT * FROM filled WHERE key = 7 ORDER BY at DESC LIMIT 1', 'filling_2');
SELECT * FROM scans_of('SELECT * FROM filling WHERE at > ''2026-01-01 01:50''', 'filling%');
SELECT * FROM tidemark.verify('filled');
RESET client_min_messages;

-- what PARTITION BY and ORDER BY name needn't be among the columns; the reader's conditions reach each part all the same
CREATE TABLE hiding (at timestamp NOT NULL, key int, id int);
SELECT tidemark.create_stream('hiding', 'at', allowed_delay => '5 s');
CREATE VIEW numbered AS SELECT id, row_number() OVER (PARTITION BY key ORDER BY at, id) AS n FROM hiding;
-- a window that isn't asked for, and below it the first of each key
CREATE VIEW firsts AS SELECT key, count(*) OVER (ORDER BY at RANGE '10 s' PRECEDING) AS n
    FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY at, id) AS place FROM hiding) placed WHERE place = 1;
CREATE VIEW first_counts AS SELECT key, id, n FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY at, id) AS place,
    count(*) OVER (PARTITION BY key ORDER BY at, id) AS n FROM hiding) placed WHERE place = 1;
SET client_min_messages = warning;
SELECT tidemark.make_continuous('numbered'), tidemark.make_continuous('firsts'), tidemark.make_continuous('first_counts');
RESET client_min_messages;
INSERT INTO hiding SELECT timestamp '2026-01-01' + i * interval '1 s', i % 3, i FROM generate_series(1, 60) i;
SELECT wait_until_saved('numbered');
INSERT INTO hiding SELECT timestamp '2026-01-01' + i * interval '1 s', i % 3, i FROM generate_series(61, 63) i;
SELECT id FROM numbered WHERE n > 20 ORDER BY 1;
SELECT key FROM firsts ORDER BY 1;
SELECT key, id FROM first_counts ORDER BY 1;
SELECT * FROM tidemark.verify('numbered') UNION ALL SELECT * FROM tidemark.verify('firsts') UNION ALL SELECT * FROM tidemark.verify('first_counts');
SET client_min_messages = warning;
DROP TABLE hiding CASCADE;
RESET client_min_messages;

-- very many keys: saved states are taken of those that have rows in the tail, and of keys with nulls
CREATE FUNCTION states_taken(query text) RETURNS bigint LANGUAGE sql AS $$
SELECT coalesce(sum((node->>'Actual Rows')::numeric::bigint), 0) FROM plan_nodes(query) node WHERE node->>'Alias' ~ '^states'
$$;
CREATE TABLE crowd (at timestamp NOT NULL, key int, part text, x float8);
SELECT tidemark.create_stream('crowd', 'at', allowed_delay => '1 s');
CREATE VIEW crowded AS SELECT at, key, part, sum(x) OVER (PARTITION BY key, part ORDER BY at RANGE INTERVAL '1 hour' PRECEDING) FROM crowd;
SELECT tidemark.make_continuous('crowded');
INSERT INTO crowd SELECT timestamp '2026-01-01' + i * interval '10 ms', nullif(i, 10), nullif(i % 1000, 20)::text, i / 3.0 FROM generate_series(1, 70000) i;
SELECT wait_until_saved('crowded');
INSERT INTO crowd SELECT timestamp '2026-01-01' + i * interval '10 ms', nullif(i % 1000, 10), nullif(i % 1000, 20)::text, i / 3.0 FROM generate_series(70001, 70050) i;
SELECT pg_relation_size('tidemark_data.crowded_state') / 8192 > 1024 AS large;
SELECT states_taken('SELECT * FROM crowded');
SELECT * FROM crowded WHERE at >= timestamp '2026-01-01 00:11:39.99' AND (key IS NULL OR part IS NULL OR key < 3 OR key > 69999) ORDER BY at;
SELECT * FROM tidemark.verify('crowded');
-- ... also over the first row of each key
CREATE VIEW crowded_once AS SELECT at, key, part, sum(x) OVER (PARTITION BY key, part ORDER BY at RANGE INTERVAL '1 hour' PRECEDING) FROM (SELECT DISTINCT ON (key, x) * FROM crowd ORDER BY key, x, at) c;
SELECT tidemark.make_continuous('crowded_once');
SELECT wait_until_saved('crowded_once');
INSERT INTO crowd SELECT timestamp '2026-01-01' + i * interval '10 ms', nullif(i % 1000, 10), nullif(i % 1000, 20)::text, i % 70 / 3.0 FROM generate_series(70051, 70140) i;
SELECT states_taken('SELECT * FROM crowded_once') BETWEEN 100 AND 300 AS few_states;
SELECT * FROM tidemark.verify('crowded_once');
SET client_min_messages = warning;
DROP TABLE crowd CASCADE;
RESET client_min_messages;
