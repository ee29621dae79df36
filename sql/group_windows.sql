-- windows by GROUP BY: every way to say which window, maintained on the watermark, right at each commit
CREATE FUNCTION state(OUT view text, OUT method text, OUT frontier text, OUT rows bigint, OUT corrections bigint, OUT differing bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tidemark.wait_until_maintained(c.view) FROM tidemark.continuous_views c;
    RETURN QUERY SELECT c.view::text, c.method, c.frontier, c.rows, c.corrections, (SELECT count(*) FROM tidemark.verify(c.view))
        FROM tidemark.continuous_views c ORDER BY c.view::text;
END $$;
CREATE FUNCTION differing() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM tidemark.continuous_views c, tidemark.verify(c.view)
$$;
CREATE TABLE s (t timestamp(3) NOT NULL, k int, x float8, note text);
SELECT tidemark.create_stream('s', 't', allowed_delay => '5 s');
CREATE VIEW minutes AS SELECT date_bin('1 min', t, '2000-01-01') AS w, k, count(*), sum(x) FROM s GROUP BY 1, 2;
-- no key but the window; the window not among the columns; nor anything else
CREATE VIEW no_key AS SELECT date_trunc('minute', t) AS w, avg(x), min(note), count(DISTINCT k) AS keys, percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM s GROUP BY date_trunc('minute', t);
CREATE VIEW hidden AS SELECT k, stddev(x), array_agg(note ORDER BY note) FROM s GROUP BY date_bin('30 s', t, '2000-01-01 00:00:10'), k;
CREATE VIEW only_count AS SELECT count(*) FROM s GROUP BY date_bin('1 min', t, '2000-01-01');
-- HAVING, FILTER, DISTINCT aggregates, WHERE, expressions of keys; start and end, and what is made of them above
CREATE VIEW with_having AS SELECT date_bin('20 s', t, '2000-01-01') AS w, k % 2 AS odd, sum(x) FILTER (WHERE k > 1) AS s, bool_or(x > 3) FROM s WHERE k IS DISTINCT FROM 3 GROUP BY 1, 2 HAVING count(DISTINCT note) > 1;
CREATE VIEW start_and_end AS SELECT k, date_bin('1 min', t, '2000-01-01') AS window_start, date_bin('1 min', t, '2000-01-01') + interval '1 min' AS window_end, max(x) FROM s GROUP BY 1, 2, 3;
CREATE VIEW only_end AS SELECT date_bin('1 min', t, '2000-01-01') + '1 min' AS window_end, count(*) FROM s GROUP BY 1;
CREATE VIEW above AS SELECT upper('k' || k::text) AS key, w + interval '1 min' AS until, n FROM (SELECT date_bin('1 min', t, '2000-01-01') AS w, k, count(*) AS n FROM (SELECT * FROM s WHERE x > 0) positive GROUP BY 1, 2) g WHERE n > 2;
CREATE VIEW from_view AS SELECT w, sum(count) AS total FROM minutes GROUP BY w;
-- as Ibis writes it
CREATE VIEW ibis AS SELECT "t1"."w", "t1"."k", COUNT(*) AS "n", SUM("t1"."x") AS "s" FROM (SELECT "t0"."k", "t0"."x", DATE_BIN(INTERVAL '1 MINUTE', "t0"."t", MAKE_TIMESTAMP(1970, 1, 1, 0, 0, CAST(0 AS double precision))) AS "w" FROM "s" AS "t0") AS "t1" GROUP BY 1, 2;
CREATE VIEW ibis_trunc AS SELECT DATE_TRUNC('MINUTE', "t0"."t") AS "w", COUNT(DISTINCT "t0"."k") FILTER (WHERE "t0"."x" > CAST(1 AS SMALLINT)) AS "n" FROM "s" AS "t0" GROUP BY 1;
-- hopping and cumulating windows
CREATE VIEW hopping AS SELECT window_start, window_end, k, count(*), sum(x) FROM s, tidemark.hop(t, '10 s', '1 min') GROUP BY window_start, window_end, k;
CREATE VIEW uneven AS SELECT w.window_start, count(*) FROM s CROSS JOIN LATERAL tidemark.hop(s.t, slide => '20 s', size => '50 s', origin => '2000-01-01 00:00:05') AS w GROUP BY 1;
CREATE VIEW with_gaps AS SELECT (tidemark.hop(t, '1 min', '10 s')).window_end AS e, count(*) FROM s GROUP BY 1;
CREATE VIEW cumulating AS SELECT window_start, window_end, count(*) FROM s JOIN LATERAL tidemark.cumulate(t, '20 s', '1 min') w ON true GROUP BY 1, 2;
CREATE VIEW cumulating_start AS SELECT window_start, count(*) FROM s, tidemark.cumulate(t, '20 s', '1 min') GROUP BY 1;
-- rows with their windows, not grouped
CREATE VIEW rows_in_windows AS SELECT t, k, window_start FROM s, tidemark.hop(t, '30 s', '1 min');
-- grouping sets that all have the window
CREATE VIEW sets AS SELECT date_bin('1 min', t, '2000-01-01') AS w, k, note IS NULL AS noted, grouping(k) AS all_keys, count(*), sum(x) FROM s GROUP BY 1, ROLLUP (2, 3);
-- two windows as keys: the smaller one counts; a window over windows
CREATE VIEW two_windows AS SELECT date_trunc('hour', t) AS h, date_trunc('minute', t) AS m, count(*) FROM s GROUP BY 1, 2;
CREATE VIEW of_windows AS SELECT date_bin('1 min', w, '2000-01-01') AS w, k, max(n) AS most FROM (SELECT date_bin('10 s', t, '2000-01-01') AS w, k, count(*) AS n FROM s GROUP BY 1, 2) g GROUP BY 1, 2;
-- by the event time itself, and rounded
CREATE VIEW by_time AS SELECT t, count(*) FROM s GROUP BY t;
CREATE VIEW by_second AS SELECT t::timestamp(0) AS second, count(*) FROM s GROUP BY 1;
CREATE VIEW by_day AS SELECT t::date AS day, k, count(*) FROM s GROUP BY 1, 2;
CREATE VIEW months AS SELECT date_trunc('month', t) AS month, count(*), sum(x) FROM s GROUP BY 1;
CREATE VIEW quarters AS SELECT date_trunc('quarter', t) + interval '3 months' AS until, k, count(*) FROM s GROUP BY 1, 2;
CREATE VIEW weeks AS SELECT date_trunc('week', t) AS week, count(*) FROM s GROUP BY 1;
-- over windows, beside and above
CREATE VIEW change AS SELECT w, k, s, s - lag(s) OVER (PARTITION BY k ORDER BY w) AS change FROM (SELECT date_bin('1 min', t, '2000-01-01') AS w, k, sum(x) AS s FROM s GROUP BY 1, 2) g;
CREATE VIEW beside AS SELECT date_bin('1 min', t, '2000-01-01') AS w, count(*) AS n, avg(count(*)) OVER (ORDER BY date_bin('1 min', t, '2000-01-01') RANGE '3 min' PRECEDING) AS usual FROM s GROUP BY 1;
CREATE VIEW of_averages AS SELECT date_bin('1 min', t, '2000-01-01') AS w, k, max(a) FROM (SELECT t, k, avg(x) OVER (PARTITION BY k ORDER BY t RANGE '10 s' PRECEDING) AS a FROM s) o GROUP BY 1, 2;
SELECT tidemark.make_continuous(relid) FROM (SELECT oid::regclass AS relid FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace ORDER BY relname) v;
SELECT * FROM tidemark.explain('minutes');
SELECT * FROM tidemark.explain('change');

CREATE FUNCTION rows(first int, last int) RETURNS SETOF s LANGUAGE sql AS $$
    SELECT timestamp '2024-01-01' + i * interval '0.7 s', nullif(i % 5, 4), CASE WHEN i % 97 = 0 THEN 1e17 ELSE i / 7.0 END, nullif('n' || i % 3, 'n0') FROM generate_series(first, last) i
$$;
INSERT INTO s SELECT * FROM rows(1, 600);
SELECT differing();
SELECT * FROM state();
SELECT * FROM minutes WHERE k = 1 ORDER BY w;
SELECT * FROM hopping WHERE k IS NULL AND window_start < '2024-01-01 00:00:10' ORDER BY window_start;
SELECT * FROM cumulating ORDER BY 1, 2 LIMIT 4;
-- right at each commit: before the watermark, after it, late by one window and by many
INSERT INTO s SELECT * FROM rows(601, 700);
SELECT differing();
SELECT view, rows FROM state() WHERE view IN ('minutes', 'hopping');
INSERT INTO s VALUES ('2024-01-01 00:07:01', 1, 5, 'late');
INSERT INTO s VALUES ('2024-01-01 00:02:10', 7, -1e17, 'a key of its own'), ('2024-01-01 00:04:00', 1, NULL, NULL);
SELECT differing();
UPDATE s SET k = k + 1, x = -x WHERE t BETWEEN '2024-01-01 00:01:30' AND '2024-01-01 00:02:30' AND k = 1;
UPDATE s SET t = t + interval '3 min' WHERE t < '2024-01-01 00:00:20';
SELECT differing();
DELETE FROM s WHERE k = 2 AND t < '2024-01-01 00:05:00';
DELETE FROM s WHERE t >= '2024-01-01 00:06:00' AND t < '2024-01-01 00:07:00';
SELECT differing();
BEGIN;
INSERT INTO s SELECT * FROM rows(100, 110);
SELECT differing();
ROLLBACK;
SELECT differing();
-- rows ahead, across the ends of months, and a long gap
INSERT INTO s SELECT timestamp '2024-01-30' + i * interval '3 hours', i % 3, i, 'x' FROM generate_series(1, 300) i;
SELECT differing();
SELECT * FROM state();
SELECT * FROM months ORDER BY 1;
INSERT INTO s VALUES ('2024-02-29 23:59:59.999', 1, 1, 'leap'), ('2024-03-01', 1, 1, 'March');
DELETE FROM s WHERE t >= '2024-02-10' AND t < '2024-02-11';
SELECT differing();
TRUNCATE s;
SELECT differing(), count(*) FROM minutes;
INSERT INTO s SELECT * FROM rows(1, 50);
SELECT * FROM state() WHERE differing > 0;
DROP TABLE s CASCADE;
DROP FUNCTION differing, state;
