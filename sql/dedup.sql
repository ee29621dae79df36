-- One row per key: DISTINCT, DISTINCT ON, row_number, rank, dense_rank: maintained by key, right after late rows, updates and deletes.
CREATE TABLE click (at timestamp, visitor int, page text, ms int, price numeric, raw json);
SELECT tidemark.create_stream('click', 'at', allowed_delay => '10 seconds');
INSERT INTO click
SELECT timestamp '2024-05-01' + i * interval '1 second', CASE WHEN i % 17 > 0 THEN i * i % 23 END, 'p' || i % 5, i * 7919 % 101,
       ((i % 3)::text || '.' || repeat('0', i % 2 + 1))::numeric, json_build_object('n', i % 7)
  FROM generate_series(1, 400) i;

CREATE VIEW first_of AS SELECT DISTINCT ON (visitor) visitor, at, page, ms FROM click ORDER BY visitor, at;
CREATE VIEW last_of AS SELECT DISTINCT ON (visitor) visitor, at, page, ms FROM click ORDER BY visitor, at DESC;
CREATE VIEW slowest AS SELECT DISTINCT ON (page, visitor) page, ms, visitor AS who FROM click WHERE ms > 5 ORDER BY visitor DESC NULLS LAST, page, ms DESC NULLS LAST;
CREATE VIEW any_of AS SELECT DISTINCT ON (visitor) * FROM (SELECT visitor, raw FROM click) c;
CREATE VIEW pages AS SELECT DISTINCT page, visitor FROM click;
CREATE VIEW prices AS SELECT DISTINCT price FROM click;
CREATE VIEW by_expression AS SELECT DISTINCT ON (visitor % 4, lower(page)) visitor % 4 AS quarter, upper(page) AS page, raw FROM click ORDER BY visitor % 4, lower(page), ms;
CREATE VIEW first_numbered AS SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY visitor ORDER BY at) AS n FROM click) c WHERE n = 1;
CREATE VIEW top_3 AS SELECT visitor, page, ms, n FROM (SELECT *, row_number() OVER (PARTITION BY visitor ORDER BY ms DESC) AS n FROM click) c WHERE n <= 3;
CREATE VIEW second AS WITH numbered AS (SELECT *, row_number() OVER (PARTITION BY page ORDER BY ms) AS n FROM click) SELECT page, ms FROM numbered WHERE n = 2;
CREATE VIEW from_ibis AS
SELECT "t2"."visitor", "t2"."ms" FROM (SELECT * FROM (SELECT "t0".*, ROW_NUMBER() OVER (PARTITION BY "t0"."visitor" ORDER BY "t0"."at" DESC
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) - 1 AS rn FROM "click" AS "t0") AS "t1") AS "t2" WHERE "t2"."rn" = CAST(0 AS SMALLINT);
CREATE VIEW ranked AS SELECT * FROM (SELECT visitor, ms % 10 AS tens, page, rank() OVER (PARTITION BY visitor ORDER BY ms % 10 DESC) AS r FROM click) c WHERE r BETWEEN 1 AND 3;
CREATE VIEW dense AS SELECT * FROM (SELECT visitor, ms % 10 AS tens, page, dense_rank() OVER (PARTITION BY visitor ORDER BY ms % 10 NULLS FIRST) AS r FROM click) c WHERE r IN (1, 2) AND page <> 'p3';
CREATE VIEW top_of_all AS SELECT * FROM (SELECT at, ms, row_number() OVER (ORDER BY ms DESC, page) AS n FROM click WHERE visitor > 3) c WHERE n < 8;

CREATE TABLE kept (view regclass);
INSERT INTO kept VALUES ('first_of'), ('last_of'), ('slowest'), ('any_of'), ('pages'), ('prices'), ('by_expression'), ('first_numbered'), ('top_3'), ('second'),
    ('from_ibis'), ('ranked'), ('dense'), ('top_of_all');
DO $$ BEGIN PERFORM tidemark.make_continuous(view) FROM kept; END $$;
CREATE FUNCTION differences() RETURNS TABLE (view regclass, difference text, "row" jsonb) LANGUAGE sql AS
$$ SELECT view, d.* FROM kept, tidemark.verify(view) d $$;
CREATE FUNCTION maintained() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM tidemark.wait_until_maintained(view) FROM kept; RETURN 'maintained'; END $$;

-- at first all is tail, then all but 10 seconds is materialised
SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();
SELECT view, method, rows, last_error FROM tidemark.continuous_views JOIN kept USING (view) ORDER BY view::text;
PREPARE first_page (int) AS SELECT page, at FROM first_of WHERE visitor = $1;
INSERT INTO click VALUES ('2024-05-01 00:06:39', 77, 'new', 1, 1), ('2024-05-01 00:06:38', 77, 'newer', 1, 1), ('2024-05-01 00:06:39', 4, 'again', 1, 1);
EXECUTE first_page(4);
EXECUTE first_page(77);
EXECUTE first_page(78);
EXECUTE first_page(NULL);
SELECT v, page FROM generate_series(76, 78) v LEFT JOIN first_of ON visitor = v AND visitor = 77 ORDER BY 1;
SELECT v, page FROM generate_series(3, 5) v LEFT JOIN first_of ON visitor = v WHERE visitor = 4;
SELECT maintained();
SELECT * FROM differences();
EXECUTE first_page(77);
DELETE FROM click WHERE visitor = 77 OR page = 'again';
SELECT * FROM differences();
EXECUTE first_page(77);
DEALLOCATE first_page;
SELECT * FROM first_of WHERE visitor IS NULL OR visitor IN (3, 4) ORDER BY 1;
SELECT * FROM last_of WHERE visitor = 4;
SELECT * FROM top_3 WHERE visitor = 4 ORDER BY n;
SELECT count(*) FROM pages;
SELECT part, how, why FROM tidemark.explain('first_of');
SELECT part, how, why FROM tidemark.explain('ranked');

-- a key is read by two look-ups; who reads all sorts what the tail touches
CREATE FUNCTION plan_has(query text, pattern text, options text DEFAULT 'COSTS OFF') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE line text; n bigint := 0;
BEGIN
    FOR line IN EXECUTE format('EXPLAIN (%s) %s', options, query) LOOP n := n + (line ~ pattern)::int; END LOOP;
    RETURN n;
END $$;
SET enable_seqscan = off;
SELECT plan_has('SELECT * FROM first_of WHERE visitor = 4', 'Index Cond: .c2 = 4') AS looked_up, plan_has('SELECT * FROM first_of WHERE visitor = 4', 'Join') AS joins;
SELECT plan_has('SELECT * FROM last_of WHERE visitor = ANY (''{4, 5}'')', 'Index Cond: .c2 = ANY') AS looked_up, plan_has('SELECT * FROM last_of WHERE visitor IN (4, 5)', 'Join') AS joins;
SELECT plan_has('SELECT * FROM top_3 WHERE visitor = 4', 'Index Cond: .c2 = 4') AS looked_up;
SELECT plan_has('SELECT * FROM last_of', 'Anti Join') > 0 AS untouched_apart, plan_has('SELECT * FROM first_of', 'NOT .*SubPlan') > 0 AS old_keys_left_out;
-- of the first row by event time, the tail is read only if the key is not there
SELECT visitor, plan_has('SELECT * FROM first_of WHERE visitor = ' || visitor, 'on click.*never executed', 'ANALYZE') > 0 AS tail_left_out FROM unnest('{4, 999}'::int[]) visitor;
SELECT query, plan_has(query, 'One-Time Filter: .NOT') AS filters FROM (VALUES ('SELECT * FROM first_numbered WHERE 4 = visitor'), ('SELECT * FROM first_of WHERE visitor = bigint ''4'''),
    ('SELECT * FROM pages WHERE visitor = 4 AND page = ''p1'''), ('SELECT * FROM pages WHERE visitor = 4'), ('SELECT * FROM pages WHERE visitor = 4 AND page = ''p1'' COLLATE "C"'),
    ('SELECT * FROM first_of WHERE visitor IN (4, 5)'), ('SELECT * FROM first_of WHERE visitor = 4 OR page = ''p1'''), ('SELECT * FROM first_of WHERE visitor > 4'),
    ('SELECT * FROM last_of WHERE visitor = 4'), ('SELECT * FROM prices WHERE price = 1')) q (query);
-- also if it is of type varchar, which is compared as text
CREATE TABLE visit (at timestamp NOT NULL, name varchar(10));
SELECT tidemark.create_stream('visit', 'at');
CREATE VIEW first_visits AS SELECT DISTINCT ON (name) name, at FROM visit ORDER BY name, at;
SELECT tidemark.make_continuous('first_visits');
INSERT INTO visit SELECT '2024-05-01'::timestamp + i * interval '1 s', 'v' || i % 5 FROM generate_series(1, 20) i;
SELECT tidemark.wait_until_maintained('first_visits');
SELECT query, plan_has(query, 'One-Time Filter: .NOT') AS filters, plan_has(query, 'Index Cond: .*c2.* = ''v1') > 0 AS looked_up FROM (VALUES ($$SELECT * FROM first_visits WHERE name = 'v1'$$),
    ($$SELECT * FROM first_visits WHERE name = 'v1'::varchar$$), ($$SELECT * FROM first_visits WHERE name::text = 'v1'$$), ($$SELECT * FROM first_visits WHERE upper(name) = 'V1'$$)) q (query);
SELECT * FROM first_visits WHERE name = 'v1';
SELECT count(*) FROM tidemark.verify('first_visits');
DROP TABLE visit CASCADE;
RESET enable_seqscan;
-- no workers are started for one key
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT plan_has('SELECT * FROM first_of WHERE visitor = 4', 'Gather') AS for_first, plan_has('SELECT * FROM last_of WHERE visitor = 4', 'Gather') AS for_last;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- rows that come again, and new ones, on time
INSERT INTO click SELECT at + interval '300 seconds', visitor, page, ms, price, raw FROM click WHERE at < '2024-05-01 00:02';
SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();

-- late rows that precede the kept ones, follow them, come twice; in the transaction that writes them, too
BEGIN;
INSERT INTO click VALUES ('2024-05-01 00:00:00', 4, 'p1', 900, 7, '{"n": 0}'), ('2024-05-01 00:00:00', NULL, 'p1', 901, NULL, NULL);
SELECT * FROM differences();
SELECT visitor, at FROM first_of WHERE visitor = 4;
INSERT INTO click SELECT * FROM click WHERE at BETWEEN '2024-05-01 00:01' AND '2024-05-01 00:01:30';
SELECT * FROM differences();
COMMIT;

-- ties: the earlier row, and at one time that with the lesser image, whatever the plan and wherever it lies
INSERT INTO click SELECT '2024-05-01 00:00:02', 100, 'p' || i, 50, 1, json_build_object('n', i) FROM generate_series(9, 1, -1) i;
SELECT * FROM differences();
SELECT visitor, page FROM first_of WHERE visitor = 100;
SELECT raw FROM any_of WHERE visitor = 100;
DELETE FROM click WHERE visitor = 100 AND page = 'p1';
UPDATE click SET ms = 50 WHERE visitor = 100 AND page = 'p3';
SELECT visitor, page FROM first_of WHERE visitor = 100;
SET tidemark.use_continuous = off;
SELECT visitor, page FROM first_of WHERE visitor = 100;
SELECT DISTINCT ON (visitor) visitor, at, page, ms FROM click WHERE visitor = 100 ORDER BY visitor, at;
RESET tidemark.use_continuous;
SELECT * FROM differences();

-- a kept row goes: the next one comes up; a key goes with its last row
SELECT visitor, at, page FROM last_of WHERE visitor = 4;
DELETE FROM click WHERE visitor = 4 AND at = (SELECT at FROM last_of WHERE visitor = 4);
SELECT visitor, at, page FROM last_of WHERE visitor = 4;
SELECT * FROM differences();
DELETE FROM click WHERE visitor = 4;
SELECT visitor, at, page FROM last_of WHERE visitor = 4;
SELECT * FROM differences();
DELETE FROM click WHERE ms > 90;
SELECT * FROM differences();

-- keys and order change; rows move over the frontier both ways
UPDATE click SET visitor = visitor + 1 WHERE visitor % 3 = 0;
UPDATE click SET visitor = NULL WHERE visitor = 7;
UPDATE click SET ms = -ms WHERE visitor = 8;
SELECT * FROM differences();
UPDATE click SET at = at + interval '1 hour' WHERE visitor = 9;
SELECT * FROM differences();
SELECT maintained();
UPDATE click SET at = at - interval '30 minutes' WHERE visitor = 9;
SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();

-- all of it, at once
UPDATE click SET page = 'q' || ms % 3;
SELECT * FROM differences();
TRUNCATE click;
SELECT * FROM differences();
SELECT count(*) FROM pages;
INSERT INTO click VALUES ('2025-05-01', 1, 'p', 1, 1, NULL), ('2025-05-02', 1, 'p', 1, 1.0, NULL), ('2025-05-03', 2, 'p', 1, 1, NULL);
SELECT maintained();
SELECT * FROM differences();
SELECT * FROM first_of ORDER BY 1;
SELECT * FROM prices;

-- keys of a type that event times have, and null
CREATE TABLE numbered (at timestamp NOT NULL, n bigint);
SELECT tidemark.create_stream('numbered', 'at');
CREATE VIEW latest_number AS SELECT DISTINCT ON (n) n, at FROM numbered ORDER BY n, at DESC;
SELECT tidemark.make_continuous('latest_number');
INSERT INTO numbered SELECT timestamp '2025-01-01' + i * interval '1 s', nullif(i % 150, 149) FROM generate_series(1, 700) i;
SELECT maintained();
INSERT INTO numbered SELECT timestamp '2025-01-02' + i * interval '1 s', nullif(i % 250, 249) FROM generate_series(1, 700) i;
SELECT maintained();
SELECT * FROM differences();
SELECT count(*) FROM latest_number;
DROP TABLE numbered CASCADE;
\set VERBOSITY terse
DROP TABLE click, kept CASCADE;
DROP FUNCTION differences, maintained, plan_has;
