-- window functions over the rows, or the groups, of one window of event time: any order, any frame
CREATE FUNCTION differing() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM tidemark.continuous_views c, tidemark.verify(c.view)
$$;
CREATE TABLE s (t timestamp(3) NOT NULL, k int, x float8, id int);
SELECT tidemark.create_stream('s', 't', allowed_delay => '5 s');
-- the highest of each window, of each key in it, what is a row's part, what comes after it
CREATE VIEW highest AS SELECT t, k, x, id FROM (SELECT *, max(x) OVER (PARTITION BY date_bin('10 s', t, '2000-01-01')) AS most FROM s) m WHERE x = most;
CREATE VIEW place_in_key AS SELECT *, row_number() OVER (PARTITION BY k, date_trunc('minute', t) ORDER BY x DESC NULLS LAST, id) AS place FROM s;
CREATE VIEW part AS SELECT id, x, sum(abs(x)) OVER w AS of, lead(id) OVER (w ORDER BY t, id) AS next, ntile(4) OVER (w ORDER BY x, id) AS quarter,
    last_value(id) OVER (w ORDER BY t, id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last FROM s WINDOW w AS (PARTITION BY date_bin('10 s', t, '2000-01-01'));
-- that and another window; one over the other; ordered by event time as well: nothing new
CREATE VIEW mixed AS SELECT t, id, count(*) OVER (PARTITION BY t::date) AS of_day, sum(x) OVER (PARTITION BY k ORDER BY t RANGE '10 s' PRECEDING) AS recent FROM s;
CREATE VIEW over_that AS SELECT id, percent_rank() OVER (PARTITION BY date_trunc('hour', t) ORDER BY most) FROM (SELECT t, id, max(x) OVER (PARTITION BY date_trunc('minute', t), k) AS most FROM s) m;
CREATE VIEW in_order AS SELECT id, row_number() OVER (PARTITION BY date_trunc('minute', t) ORDER BY t, id), lead(id, -1) OVER (PARTITION BY date_trunc('minute', t) ORDER BY t, id) FROM s;
CREATE VIEW in_hops AS SELECT id, window_end, dense_rank() OVER (PARTITION BY window_end ORDER BY x) FROM s, tidemark.hop(t, '10 s', '20 s');
-- over groups: the hottest keys, a key's share, by the window's end, by a longer window
CREATE VIEW hottest AS SELECT window_start, k, n FROM (SELECT window_start, k, count(*) AS n, max(count(*)) OVER (PARTITION BY window_start) AS most
    FROM s, tidemark.hop(t, '10 s', '20 s') GROUP BY window_start, window_end, k) c WHERE n = most;
CREATE VIEW hottest_end AS SELECT * FROM (SELECT window_end, k, rank() OVER (PARTITION BY window_start, window_end ORDER BY count(*) DESC) AS place
    FROM s, tidemark.hop(t, '10 s', '20 s') GROUP BY window_start, window_end, k) c WHERE place <= 2;
CREATE VIEW share AS SELECT m, k, sum / nullif(sum(sum) OVER (PARTITION BY m), 0) AS share FROM (SELECT date_trunc('minute', t) AS m, k, sum(x) FROM s GROUP BY 1, 2) g;
CREATE VIEW of_hour AS SELECT m, n, rank() OVER (PARTITION BY date_trunc('hour', m) ORDER BY n DESC) FROM (SELECT date_trunc('minute', t) AS m, count(*) AS n FROM s GROUP BY 1) g;
CREATE VIEW of_start AS SELECT *, dense_rank() OVER (PARTITION BY window_start ORDER BY n) FROM (SELECT window_start, window_end, k, count(*) AS n FROM s, tidemark.cumulate(t, '10 s', '30 s') GROUP BY 1, 2, 3) g;
-- a column of the groups is a window of event time in another type, too
CREATE VIEW of_month AS SELECT date_trunc('month', day::timestamp) AS month, sum(n), max(n) FROM (SELECT t::date AS day, count(*) AS n FROM s GROUP BY 1) d GROUP BY 1;
SELECT tidemark.make_continuous(relid) FROM (SELECT oid::regclass AS relid FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace ORDER BY relname) v;
SELECT view, method FROM tidemark.continuous_views ORDER BY view::text;
SELECT part, how, why FROM tidemark.explain('highest');
SELECT part, how, why FROM tidemark.explain('hottest');

CREATE FUNCTION rows(first int, last int) RETURNS SETOF s LANGUAGE sql AS $$
    SELECT timestamp '2024-01-01' + i * interval '0.7 s', nullif(i % 5, 4), nullif(i * 7919 % 101, 100) / 8.0, i FROM generate_series(first, last) i
$$;
INSERT INTO s SELECT * FROM rows(1, 600);
SELECT tidemark.wait_until_maintained(view) FROM tidemark.continuous_views;
SELECT view, frontier, rows FROM tidemark.continuous_views ORDER BY view::text;
SELECT differing();
SELECT * FROM highest WHERE t < '2024-01-01 00:00:30' ORDER BY t;
-- above the frontier, late, changed, gone
INSERT INTO s SELECT * FROM rows(601, 650);
SELECT differing();
INSERT INTO s VALUES ('2024-01-01 00:00:01', 1, 1000, 1001), ('2024-01-01 00:03:00', NULL, NULL, 1002), ('2024-01-01 00:06:59', 2, -1, 1003);
SELECT differing();
SELECT * FROM highest WHERE t < '2024-01-01 00:00:10';
UPDATE s SET x = -x WHERE id % 10 = 3;
UPDATE s SET t = t + interval '1 min' WHERE id = 1001;
SELECT differing();
DELETE FROM s WHERE (t, x) IN (SELECT t, x FROM highest);
SELECT differing();
INSERT INTO s SELECT timestamp '2024-01-30' + i * interval '5 hours', i % 3, i, 2000 + i FROM generate_series(1, 100) i;
SELECT tidemark.wait_until_maintained(view) FROM tidemark.continuous_views;
SELECT differing();
SELECT * FROM of_month ORDER BY 1;
-- without such a partition
CREATE VIEW whole AS SELECT id, rank() OVER (PARTITION BY k, extract(hour FROM t) ORDER BY x) FROM s;
SELECT tidemark.make_continuous('whole');
DROP TABLE s CASCADE;
DROP FUNCTION differing;
