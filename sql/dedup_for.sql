-- dedup_for: the first row of each key is kept for a while only
CREATE TABLE msg (t timestamp NOT NULL, k int, c text, n numeric);
SELECT tidemark.create_stream('msg', 't', allowed_delay => '1 min');
CREATE VIEW once AS SELECT DISTINCT ON (k) k, t, c, n FROM msg ORDER BY k, t;
CREATE VIEW numbered AS SELECT * FROM (SELECT upper(c) AS u, k % 3 AS m, t, row_number() OVER (PARTITION BY upper(c), k % 3 ORDER BY t, n DESC) AS nth FROM msg WHERE k > 0) r WHERE nth = 1;
CREATE VIEW pairs AS SELECT DISTINCT k, n FROM msg;
SELECT tidemark.make_continuous('once', dedup_for => '10 min'), tidemark.make_continuous('numbered', 'arrival', dedup_for => '90 s'), tidemark.make_continuous('pairs', dedup_for => '1 hour');
SELECT view, advance_on, dedup_for, method FROM tidemark.continuous_views ORDER BY view::text;
SELECT part, how, why FROM tidemark.explain('once');
-- what it has to be, by a loop; the horizon is counted from the frontier
CREATE FUNCTION entries() RETURNS SETOF msg STABLE LANGUAGE plpgsql AS $$
DECLARE r msg; key int; kept timestamp; frontier timestamp := (SELECT c.frontier FROM tidemark.continuous_views c WHERE view = 'once'::regclass);
BEGIN
    FOR r IN SELECT * FROM msg ORDER BY k, t, row(c, n) USING *< LOOP
        IF r.k IS DISTINCT FROM key OR kept IS NULL OR r.t > kept + interval '10 min' THEN
            kept := r.t;
            IF frontier IS NULL OR r.t > frontier - interval '10 min' THEN RETURN NEXT r; END IF;
        END IF;
        key := r.k;
    END LOOP;
END $$;
CREATE FUNCTION differing() RETURNS text LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM tidemark.continuous_views c, tidemark.verify(c.view)) || ', ' ||
        (SELECT count(*) FROM (SELECT k, t, c, n FROM entries() EXCEPT ALL SELECT * FROM once) m) || ', ' || (SELECT count(*) FROM (SELECT * FROM once EXCEPT ALL SELECT k, t, c, n FROM entries()) u)
$$;
CREATE FUNCTION state(OUT view text, OUT few boolean, OUT differing bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tidemark.wait_until_maintained(c.view) FROM tidemark.continuous_views c;
    RETURN QUERY SELECT c.view::text, c.rows < 1000, (SELECT count(*) FROM tidemark.verify(c.view)) FROM tidemark.continuous_views c ORDER BY c.view::text;
END $$;
-- duplicates, of which some come after their entry has expired
INSERT INTO msg VALUES ('2024-01-01 09:00', 1, 'a', 1), ('2024-01-01 09:04', 1, 'a', 1.0), ('2024-01-01 09:10', 1, 'b', 1), ('2024-01-01 09:10:00.000001', 1, 'c', 2), ('2024-01-01 09:00', NULL, 'a', 1), ('2024-01-01 09:05', NULL, 'b', 1);
SELECT differing();
SELECT * FROM state();
TABLE once ORDER BY k, t;
INSERT INTO msg VALUES ('2024-01-01 09:15', 1, 'd', 1), ('2024-01-01 09:15', 2, 'z', 1), ('2024-01-01 09:15', 2, 'y', 1), ('2024-01-01 09:15', NULL, 'c', 1);
SELECT differing();
SELECT * FROM state();
TABLE once ORDER BY k, t;
SELECT differing();
-- a long stream of few keys and one of many: what is kept is of the last while
CREATE FUNCTION rows(first int, last int) RETURNS SETOF msg LANGUAGE sql AS $$
    SELECT timestamp '2024-01-01 10:00' + i * interval '7 s', CASE i % 3 WHEN 0 THEN i % 11 WHEN 1 THEN i WHEN 2 THEN nullif(i * i % 13, 4) END, 'c' || i * i % 7, round(i % 5 / 4.0, i % 2) FROM generate_series(first, last) i
$$;
INSERT INTO msg SELECT * FROM rows(1, 1000);
SELECT differing();
SELECT * FROM state();
INSERT INTO msg SELECT * FROM rows(1001, 3000);
SELECT * FROM state();
INSERT INTO msg SELECT * FROM rows(3001, 3050);
SELECT differing();
SELECT * FROM state();
SELECT count(*) < 200 AS few, min(t) > '2024-01-01 15:30' AS new FROM once;
SELECT count(*) FROM once WHERE k = 3049;
-- late rows: duplicates, earlier than an entry, of no entry, with equal event times, later than the while
INSERT INTO msg SELECT t + interval '1 s', k, 'late', n FROM rows(2900, 2999);
SELECT differing();
INSERT INTO msg SELECT t - interval '3 min', k, 'sooner', n FROM rows(2970, 2999);
SELECT differing();
INSERT INTO msg SELECT t, 100000 + k, 'new', n FROM rows(2950, 2990);
SELECT differing();
INSERT INTO msg SELECT t, k, 'A', n FROM rows(2980, 2999);
SELECT differing();
INSERT INTO msg SELECT t, k, 'long ago', n FROM rows(2850, 2870);
SELECT differing();
INSERT INTO msg SELECT t, k, 'very long ago', n FROM rows(1, 20);
SELECT differing();
BEGIN;
INSERT INTO msg SELECT t - interval '1 s', k, 'one', n FROM rows(2960, 2980);
INSERT INTO msg SELECT t - interval '1 s', k, 'other', n FROM rows(2960, 2980);
SELECT differing();
ROLLBACK;
SELECT differing();
-- changes and deletions: of entries, of duplicates, of what has expired
DELETE FROM msg WHERE c = 'sooner' AND k % 2 = 0;
SELECT differing();
UPDATE msg SET k = k + 1 WHERE t BETWEEN '2024-01-01 15:45' AND '2024-01-01 15:46';
SELECT differing();
UPDATE msg SET t = t + interval '2 min' WHERE t BETWEEN '2024-01-01 15:20' AND '2024-01-01 15:21';
SELECT differing();
DELETE FROM msg WHERE t BETWEEN '2024-01-01 12:00' AND '2024-01-01 12:30';
SELECT differing();
INSERT INTO msg SELECT * FROM rows(3051, 3200);
SELECT * FROM state();
SELECT differing();
-- made anew, it is for the same while
CREATE OR REPLACE VIEW once AS SELECT DISTINCT ON (k) k, t, c, n FROM msg ORDER BY k, t, n;
SELECT * FROM state();
SELECT view, dedup_for FROM tidemark.continuous_views ORDER BY view::text;
TRUNCATE msg;
SELECT count(*) FROM once;
INSERT INTO msg SELECT * FROM rows(3201, 3250);
SELECT view, differing FROM state();
-- said in a statement; other types of event time
CREATE MATERIALIZED VIEW stated WITH (tidemark.continuous, tidemark.dedup_for = '5 min') AS SELECT DISTINCT ON (c) c, t FROM msg ORDER BY c, t;
CREATE TABLE days (d date NOT NULL, k int NOT NULL); CREATE TABLE numbers (i bigint NOT NULL, k int NOT NULL);
SELECT tidemark.create_stream('days', 'd'), tidemark.create_stream('numbers', 'i');
CREATE VIEW day_once AS SELECT DISTINCT ON (k) k, d FROM days ORDER BY k, d;
CREATE VIEW number_once AS SELECT DISTINCT ON (k) k, i FROM numbers ORDER BY k, i;
SELECT tidemark.make_continuous('day_once', dedup_for => '3 days'), tidemark.make_continuous('number_once', dedup_for => '20');
INSERT INTO days SELECT date '2024-01-01' + i, i * i % 5 FROM generate_series(1, 100) i;
INSERT INTO numbers SELECT i * 3, i * i % 5 FROM generate_series(1, 100) i;
SELECT view, dedup_for FROM tidemark.continuous_views ORDER BY view::text;
SELECT view, differing FROM state();
TABLE day_once ORDER BY k; TABLE number_once ORDER BY k, i;
-- refused
CREATE VIEW latest AS SELECT DISTINCT ON (k) k, t FROM msg ORDER BY k, t DESC;
SELECT tidemark.make_continuous('latest', dedup_for => '1 day');
CREATE VIEW top AS SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY t) AS nth FROM msg) r WHERE nth <= 2;
SELECT tidemark.make_continuous('top', dedup_for => '1 day');
CREATE VIEW over_once AS SELECT k, sum(n) OVER (ORDER BY t RANGE '1 min' PRECEDING) FROM (SELECT DISTINCT ON (k) * FROM msg ORDER BY k, t) o;
SELECT tidemark.make_continuous('over_once', dedup_for => '1 day');
CREATE VIEW total AS SELECT k, count(*) FROM msg GROUP BY k;
SELECT tidemark.make_continuous('total', dedup_for => '1 day');
SELECT tidemark.make_continuous('once', dedup_for => '1 day');
SELECT tidemark.make_batch('once');
SELECT tidemark.make_continuous('once', dedup_for => '0 s');
SELECT tidemark.make_continuous('once', dedup_for => 'a while');
CREATE MATERIALIZED VIEW plain WITH (tidemark.dedup_for = '1 day') AS SELECT 1;
DROP TABLE msg, days, numbers CASCADE;
DROP FUNCTION differing, state;
