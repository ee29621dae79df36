-- GROUP BY without a window: of each key the states of its aggregates are kept, right at each commit
CREATE FUNCTION state(OUT view text, OUT method text, OUT rows bigint, OUT corrections bigint, OUT differing bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tidemark.wait_until_maintained(c.view) FROM tidemark.continuous_views c;
    RETURN QUERY SELECT c.view::text, c.method, c.rows, c.corrections, (SELECT count(*) FROM tidemark.verify(c.view))
        FROM tidemark.continuous_views c ORDER BY c.view::text;
END $$;
CREATE FUNCTION differing() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM tidemark.continuous_views c, tidemark.verify(c.view)
$$;
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE s (t timestamp NOT NULL, k int, c text, x float8, n int, m numeric, r text COLLATE nocase NOT NULL, PRIMARY KEY (t, r));
SELECT tidemark.create_stream('s', 't', allowed_delay => '5 s');
CREATE VIEW totals AS SELECT k, count(*), sum(x) AS s, avg(n), max(x) FILTER (WHERE n > 3), stddev(x), bool_or(n = 7), min(c), max(t) AS latest, sum(1 / n) FILTER (WHERE n <> 0) FROM s GROUP BY k;
CREATE VIEW overall AS SELECT count(*), sum(n) AS n, avg(m), max(t) AS latest FROM s;
CREATE VIEW some_rows AS SELECT sum(n) FROM s WHERE c > 'c2' HAVING count(*) > 1000;
CREATE VIEW several_keys AS SELECT upper(c) AS u, k % 2 AS odd, sum(n) + k AS s, 'same' AS same FROM s WHERE x > 0 GROUP BY c, k % 2, k HAVING count(*) > 3 AND k IS NOT NULL;
CREATE VIEW no_aggregate AS SELECT k, m FROM s GROUP BY k, m;
CREATE VIEW above AS SELECT k, s / c AS mean FROM (SELECT k, sum(n) AS s, count(n) AS c FROM (SELECT * FROM s WHERE n <> 5) most GROUP BY k) q WHERE c > 10;
CREATE VIEW hidden_key AS SELECT count(*) FROM s GROUP BY extract(hour FROM t);
CREATE VIEW text_key AS SELECT lower(r) AS r, count(*), corr(x, n) FROM s GROUP BY r;
CREATE VIEW keyed_arrival AS SELECT k, sum(m) FROM s GROUP BY k;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{totals,overall,some_rows,several_keys,no_aggregate,above,hidden_key,text_key}'::text[]) v;
SELECT tidemark.make_continuous('keyed_arrival', advance_on => 'arrival');
SELECT * FROM tidemark.explain('totals');
-- nothing yet: an aggregate of all rows has a row, one by key has none
SELECT * FROM overall;
SELECT * FROM some_rows;
SELECT count(*) FROM totals;

CREATE FUNCTION rows(first int, last int) RETURNS SETOF s LANGUAGE sql AS $$
    SELECT timestamp '2024-01-01' + i * interval '0.7 s', nullif(i % 7, 3), nullif('c' || i % 5, 'c4'), CASE WHEN i % 97 = 0 THEN 1e17 ELSE i / 7.0 END, i % 11,
        CASE i % 4 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 WHEN 2 THEN NULL ELSE i / 100.0 END, CASE i % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'A' ELSE 'b' || i % 20 END FROM generate_series(first, last) i
$$;
INSERT INTO s SELECT * FROM rows(1, 1500);
SELECT differing();
SELECT * FROM state();
-- keys that come again, new ones, and what is kept
INSERT INTO s SELECT * FROM rows(1501, 1700);
SELECT differing();
INSERT INTO s SELECT t, 100 + k, c, x, n, m, r FROM rows(1701, 1800);
SELECT differing();
SELECT view, rows, differing FROM state();
SELECT * FROM overall;
SELECT k, count, latest FROM totals WHERE k = 1;
SELECT view, (SELECT count(*) FROM pg_index WHERE indrelid = materialised_in) AS indexes FROM tidemark.continuous_views WHERE view IN ('totals'::regclass, 'overall'::regclass) ORDER BY 1;
-- late rows: of one statement, of several at the same time, with a savepoint
INSERT INTO s VALUES ('2024-01-01 00:03:10', 3, 'late', 1e17, 3, 1, 'l'), ('2024-01-01 00:03:10', NULL, 'late', -1e17, 3, 2, 'm');
SELECT differing();
BEGIN;
INSERT INTO s VALUES ('2024-01-01 00:03:11', 3, 'late', 1, 1, 1, 'l');
INSERT INTO s VALUES ('2024-01-01 00:03:11', 3, 'late', 2, 2, 1, 'm'), ('2024-01-01 00:03:12', 200, 'late', 2, 2, 1, 'm');
SELECT differing();
SAVEPOINT a;
INSERT INTO s VALUES ('2024-01-01 00:03:13', 3, 'late', 2, 2, 1, 'n');
SELECT differing();
ROLLBACK TO a;
SELECT differing();
INSERT INTO s VALUES ('2024-01-01 00:03:13', 5, 'late', 3, 3, 1, 'o');
UPDATE s SET k = 5, x = -1 WHERE t = '2024-01-01 00:03:13';
INSERT INTO s VALUES ('2024-01-01 00:03:13', 6, 'late', 3, 3, 1, 'p'), ('2024-01-01 00:03:14', 6, 'late', 3, 3, 1, 'p');
SELECT differing();
COMMIT;
SELECT differing();
COPY s FROM stdin (FORMAT csv);
2024-01-01 00:03:15,6,,0.1,0,3,q
2024-01-01 00:03:15,,,0.1,0,3,r
\.
SELECT differing();
-- changes: a key that goes, all that come by another
DELETE FROM s WHERE k = 2;
UPDATE s SET k = 1 WHERE k = 4;
SELECT differing();
INSERT INTO s VALUES ('2024-01-01 00:03:16', 1, 'again', 1, 1, 1, 'l') ON CONFLICT DO NOTHING;
INSERT INTO s VALUES ('2024-01-01 00:03:16', 1, 'again', 1, 1, 1, 'l') ON CONFLICT (t, r) DO UPDATE SET n = 9;
SELECT differing();
SELECT * FROM state();
INSERT INTO s SELECT * FROM rows(1801, 2000);
SELECT view, rows, differing FROM state();
TRUNCATE s;
SELECT differing(), (SELECT count(*) FROM totals) AS totals, count FROM overall;
INSERT INTO s SELECT * FROM rows(2001, 2100);
SELECT view, rows, differing FROM state();
DROP TABLE s CASCADE;
DROP FUNCTION differing, state;
