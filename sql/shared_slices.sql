-- many views on one stream, which share the reading of it; each against its batch query
CREATE FUNCTION maintained(VARIADIC names text[], OUT view text, OUT method text, OUT rows bigint, OUT differing bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tidemark.wait_until_maintained(n::regclass) FROM unnest(names) n;
    RETURN QUERY SELECT c.view::text, c.method, c.rows, (SELECT count(*) FROM tidemark.verify(c.view))
        FROM tidemark.continuous_views c WHERE c.view::text = ANY (names) ORDER BY c.view::text;
END $$;
CREATE PROCEDURE wait_for_error(name text, message text) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..600 LOOP
        EXIT WHEN EXISTS (SELECT FROM tidemark.continuous_views WHERE view::text = name AND last_error = message);
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;

-- a column that was dropped, a generated one, values out of line
CREATE TABLE s (gone int, t timestamp NOT NULL, k int, v int, x float8, twice int GENERATED ALWAYS AS (v * 2) STORED, big text);
ALTER TABLE s DROP COLUMN gone;
SELECT tidemark.create_stream('s', 't');
CREATE VIEW by_key AS SELECT t, k, sum(x) OVER (PARTITION BY k ORDER BY t RANGE '10 s' PRECEDING) FROM s;
CREATE VIEW filtered AS SELECT t, count(*) OVER (ORDER BY t RANGE '10 s' PRECEDING) FROM s WHERE v % 3 = 0;
CREATE VIEW longer AS SELECT t, twice, max(twice) OVER w, avg(x) OVER (PARTITION BY k % 2 ORDER BY t RANGE '1 min' PRECEDING)
    FROM s WINDOW w AS (ORDER BY t RANGE '5 s' PRECEDING);
CREATE VIEW all_columns AS SELECT *, length(max(big) OVER (PARTITION BY k ORDER BY t RANGE '10 s' PRECEDING)) FROM s;
CREATE VIEW whole_rows AS SELECT t, count(s) OVER (ORDER BY t RANGE '10 s' PRECEDING) FROM s;
CREATE VIEW levels AS SELECT t, total FROM (SELECT t, sum(v) OVER (PARTITION BY k ORDER BY t) AS total FROM (SELECT * FROM s WHERE v > 3) a) b WHERE total > 100;
CREATE VIEW several AS SELECT t, generate_series(1, v % 3) AS n, count(*) OVER (ORDER BY t RANGE '10 s' PRECEDING) FROM s;
CREATE VIEW no_columns AS SELECT count(*) OVER (ORDER BY t RANGE '1 min' PRECEDING) FROM s;
CREATE VIEW excluding AS SELECT t, sum(v) OVER (ORDER BY t RANGE '10 s' PRECEDING EXCLUDE CURRENT ROW) FROM s;
CREATE VIEW plain AS SELECT t, v FROM s WHERE v > 3;
CREATE VIEW newest AS SELECT t, sum(v) OVER (ORDER BY t RANGE '10 s' PRECEDING) FROM s;
CREATE VIEW inverse AS SELECT t, sum(12 / v) OVER (ORDER BY t RANGE '10 s' PRECEDING) FROM s;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{by_key,filtered,longer,all_columns,whole_rows,levels,several,no_columns,excluding,plain,inverse}'::text[]) v;
SELECT tidemark.make_continuous('newest', advance_on => 'arrival');
CREATE PROCEDURE add(first int, last int, v int DEFAULT NULL) LANGUAGE sql AS $$
    INSERT INTO s (t, k, v, x, big)
    SELECT timestamp '2024-01-01' + i / 2 * interval '1 s', i % 5, coalesce(v, i % 11 + 1), i / 7.0,
        CASE WHEN i % 50 = 0 THEN (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, 200) j) ELSE 'short' || i END
    FROM generate_series(first, last) i
$$;
CALL add(1, 400);
SELECT * FROM maintained('by_key', 'filtered', 'longer', 'all_columns', 'whole_rows', 'levels', 'several', 'no_columns', 'excluding', 'plain', 'newest', 'inverse');
CALL add(401, 500);
CALL add(501, 503);
SELECT * FROM maintained('by_key', 'filtered', 'longer', 'all_columns', 'whole_rows', 'levels', 'several', 'no_columns', 'excluding', 'plain', 'newest', 'inverse');
-- one fails, the others go on; late rows, and further ones, while it does
CALL add(504, 520, 0);
CALL wait_for_error('inverse', 'division by zero');
SELECT * FROM maintained('by_key', 'filtered', 'longer', 'all_columns', 'whole_rows', 'levels', 'several', 'no_columns', 'excluding', 'plain', 'newest');
CALL add(490, 491);
CALL add(521, 600);
UPDATE s SET k = 7 WHERE v = 4 AND t > '2024-01-01 00:04:00';
SELECT * FROM maintained('by_key', 'filtered', 'longer', 'all_columns', 'whole_rows', 'levels', 'several', 'no_columns', 'excluding', 'plain', 'newest');
SELECT view, last_error FROM tidemark.continuous_views WHERE last_error IS NOT NULL;
-- it catches up, and goes with them again
UPDATE s SET v = 5 WHERE v = 0;
SELECT * FROM maintained('inverse');
CALL add(601, 700);
SELECT * FROM maintained('by_key', 'filtered', 'longer', 'all_columns', 'whole_rows', 'levels', 'several', 'no_columns', 'excluding', 'plain', 'newest', 'inverse');
SELECT view, last_error FROM tidemark.continuous_views WHERE last_error IS NOT NULL;
-- columns and views come and go
ALTER TABLE s ADD COLUMN more int DEFAULT 3;
CREATE VIEW of_more AS SELECT t, sum(more) OVER (ORDER BY t RANGE '10 s' PRECEDING) FROM s;
SELECT tidemark.make_continuous('of_more');
DROP VIEW all_columns, whole_rows, levels, excluding;
ALTER TABLE s DROP COLUMN big;
INSERT INTO s (t, k, v, x, more) SELECT timestamp '2024-01-01 00:10' + i * interval '1 s', i % 5, i, i / 7.0, i FROM generate_series(1, 100) i;
SELECT * FROM maintained('by_key', 'filtered', 'longer', 'several', 'no_columns', 'plain', 'newest', 'inverse', 'of_more');

-- owners: who may not read any more holds up nobody else
CREATE ROLE tidemark_reader;
GRANT SELECT ON s TO tidemark_reader;
CREATE VIEW read AS SELECT t, sum(v) OVER (ORDER BY t RANGE '10 s' PRECEDING) FROM s;
ALTER VIEW read OWNER TO tidemark_reader;
SELECT tidemark.make_continuous('read');
SELECT * FROM maintained('read', 'by_key');
REVOKE SELECT ON s FROM tidemark_reader;
INSERT INTO s (t, k, v, x, more) SELECT timestamp '2024-01-01 00:20' + i * interval '1 s', i % 5, i, i / 7.0, i FROM generate_series(1, 100) i;
CALL wait_for_error('read', 'view "read" can''t be continuous: its owner may not read what it reads');
SELECT * FROM maintained('by_key', 'filtered', 'longer');
SELECT view, last_error FROM tidemark.continuous_views WHERE last_error IS NOT NULL;
DROP TABLE s CASCADE;
DROP ROLE tidemark_reader;
SELECT relname FROM pg_class WHERE relnamespace = 'tidemark_data'::regnamespace;

-- a slice that is larger than memory allows
CREATE TABLE wide (t bigint, k int, filler text);
SELECT tidemark.create_stream('wide', 't');
CREATE VIEW wide_sums AS SELECT t, k, sum(length(filler)) OVER (PARTITION BY k ORDER BY t RANGE 100 PRECEDING) FROM wide;
CREATE VIEW wide_counts AS SELECT t, count(*) OVER (ORDER BY t RANGE 100 PRECEDING) FROM wide WHERE filler > 'y';
CREATE VIEW wide_keys AS SELECT t, max(k) OVER (ORDER BY t RANGE 10 PRECEDING) FROM wide;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{wide_sums,wide_counts,wide_keys}'::text[]) v;
INSERT INTO wide SELECT i, i % 5, repeat(chr(118 + i % 5), 1000 + i % 100) FROM generate_series(1, 20000) i;
SELECT * FROM maintained('wide_sums', 'wide_counts', 'wide_keys');
INSERT INTO wide SELECT i, i % 5, repeat(chr(118 + i % 5), 1000 + i % 100) FROM generate_series(20001, 20010) i;
SELECT * FROM maintained('wide_sums', 'wide_counts', 'wide_keys');
DROP TABLE wide CASCADE;

-- a partitioned stream, whose partitions have their columns in another order
CREATE TABLE p (t bigint NOT NULL, k int, v int) PARTITION BY RANGE (t);
CREATE TABLE p_low PARTITION OF p FOR VALUES FROM (MINVALUE) TO (50);
CREATE TABLE p_high (v int, x text, t bigint NOT NULL, k int);
ALTER TABLE p_high DROP COLUMN x;
ALTER TABLE p ATTACH PARTITION p_high FOR VALUES FROM (50) TO (MAXVALUE);
SELECT tidemark.create_stream('p', 't');
CREATE VIEW p_sums AS SELECT t, k, sum(v) OVER (PARTITION BY k ORDER BY t RANGE 20 PRECEDING) FROM p;
CREATE VIEW p_counts AS SELECT t, count(*) OVER (PARTITION BY v % 3 ORDER BY t RANGE 20 PRECEDING) FROM p WHERE k <> 1;
CREATE VIEW p_part AS SELECT t, v, max(v) OVER (ORDER BY t RANGE 40 PRECEDING) FROM p;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{p_sums,p_counts,p_part}'::text[]) v;
INSERT INTO p SELECT i, i % 3, i * 7 % 13 FROM generate_series(1, 80) i;
SELECT * FROM maintained('p_sums', 'p_counts', 'p_part');
INSERT INTO p SELECT i, i % 3, i * 7 % 13 FROM generate_series(81, 120) i;
INSERT INTO p VALUES (45, 2, 100), (55, 2, 100), (121, 1, 1);
SELECT * FROM maintained('p_sums', 'p_counts', 'p_part');
ALTER TABLE p DETACH PARTITION p_low;
INSERT INTO p VALUES (122, 2, 1);
SELECT * FROM maintained('p_sums', 'p_counts', 'p_part');
DROP TABLE p, p_low CASCADE;
DROP FUNCTION maintained;
DROP PROCEDURE wait_for_error, add;
