-- What can't be maintained is refused by name, with a hint; what can be is listed here too.
CREATE TABLE refused (at timestamp, tz timestamptz, key int, x float8, n numeric, note text);
CREATE TABLE plain (at timestamp, key int);
SELECT tidemark.create_stream('refused', 'at');
CREATE TABLE refused_tz (tz timestamptz, x float8);
SELECT tidemark.create_stream('refused_tz', 'tz');

-- what is read may be a view on it, and the aggregate anybody's
CREATE MATERIALIZED VIEW refused_stock AS SELECT at, key FROM refused;
CREATE VIEW refused_view AS SELECT at, key, x FROM refused WHERE key > 0;
CREATE AGGREGATE refused_last(float8) (SFUNC = float8larger, STYPE = float8);

CREATE FUNCTION try_view(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; hint text;
BEGIN
    EXECUTE 'CREATE VIEW tried AS ' || query;
    PERFORM tidemark.make_continuous('tried');
    DROP VIEW tried;
    RETURN 'maintained';
EXCEPTION WHEN feature_not_supported THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN replace(message, 'view "tried" can''t be continuous: ', '') || coalesce(E'\n  -> ' || nullif(hint, ''), '');
END $$;
\pset format unaligned
\pset tuples_only on
SELECT query || E'\n  ' || try_view(query) FROM (VALUES
    ('SELECT * FROM refused'),
    ('SELECT key FROM refused WHERE x > 0'),
    ('SELECT key, sum(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) FROM refused'),
    ('SELECT key, sum(x) OVER (ORDER BY at RANGE BETWEEN make_interval(secs => 10) PRECEDING AND make_interval(secs => CAST(0 AS double precision)) FOLLOWING) FROM refused'),
    ('SELECT key, sum(x) OVER (ORDER BY at RANGE CURRENT ROW) FROM refused'),
    ('SELECT key, sum(x) OVER (ORDER BY at RANGE BETWEEN ''1 s'' PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) FROM refused'),
    ('SELECT key, first_value(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) FROM refused'),
    ('WITH a AS (SELECT * FROM refused), b AS (SELECT * FROM a WHERE key = 1) SELECT count(*) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) FROM b'),
    ('SELECT unnest(ARRAY[key, 1]) FROM refused'),
    ('SELECT last_value(x) OVER w, nth_value(x, 2) OVER w FROM refused WINDOW w AS (ORDER BY at RANGE ''1 s'' PRECEDING)'),
    ('SELECT sum(x) FILTER (WHERE key = 1) OVER (PARTITION BY key ORDER BY at RANGE ''1 s'' PRECEDING), max(n) OVER (PARTITION BY note ORDER BY at RANGE ''1 min'' PRECEDING) FROM refused'),
    ('SELECT count(*) OVER (ORDER BY at RANGE BETWEEN ''3 s'' PRECEDING AND ''1 s'' PRECEDING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at RANGE ''1 month 2 days'' PRECEDING) FROM refused'),
    ('SELECT refused_last(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) FROM refused_view'),
    ('SELECT max(s) OVER (ORDER BY at RANGE ''1 min'' PRECEDING) FROM (SELECT at, sum(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) AS s FROM refused) w'),
    ('SELECT CASE WHEN x > 0 THEN key::bigint END FROM refused'),
    ('SELECT sum(x) OVER (PARTITION BY key ORDER BY at) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at RANGE UNBOUNDED PRECEDING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at RANGE BETWEEN UNBOUNDED PRECEDING AND ''1 s'' PRECEDING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at, key) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at GROUPS 3 PRECEDING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at GROUPS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING EXCLUDE TIES) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at ROWS CURRENT ROW) FROM refused'),
    ('SELECT rank() OVER (PARTITION BY key ORDER BY at), dense_rank() OVER (ORDER BY at, key) FROM refused'),
    ('SELECT lag(x, 2) OVER (PARTITION BY key ORDER BY at), lead(x, -1) OVER (ORDER BY at) FROM refused'),
    ('SELECT tidemark.session(at, ''30 min'') OVER (PARTITION BY key ORDER BY at) FROM refused'),
    ('SELECT key, began, count(*), max(at) - began AS lasted FROM (SELECT *, tidemark.session(at, ''30 min'') OVER (PARTITION BY key ORDER BY at) AS began FROM refused) s GROUP BY key, began HAVING count(*) > 1'),
    ('SELECT began, sum(x) FILTER (WHERE key > 0) FROM (SELECT *, tidemark.session(at, ''30 min'') OVER (ORDER BY at) AS began FROM refused WHERE n > 0) s GROUP BY began'),
    ('SELECT key, min(at), count(*) FROM (SELECT *, sum(begins) OVER (PARTITION BY key ORDER BY at) AS number FROM (SELECT *, CASE WHEN at - lag(at) OVER (PARTITION BY key ORDER BY at) > ''30 s'' THEN 1 ELSE 0 END AS begins FROM refused) g) s GROUP BY key, number'),
    ('SELECT key, count(*) FROM (SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY key ORDER BY at) AS number FROM (SELECT *, extract(epoch FROM at - lag(at) OVER (PARTITION BY key ORDER BY at)) >= 30 AS begins FROM refused) g) s GROUP BY key, number'),
    ('SELECT key, tidemark.first(x), tidemark.last(note ORDER BY n DESC) FROM refused GROUP BY key'),
    ('SELECT key, (array_agg(x ORDER BY at DESC) FILTER (WHERE x > 0))[1], (array_agg(note ORDER BY n))[1] AS note FROM refused GROUP BY key'),
    ('SELECT date_trunc(''hour'', at), tidemark.first(x) FROM refused GROUP BY 1'),
    ('SELECT sum(x) OVER (ORDER BY at RANGE BETWEEN ''1 s'' PRECEDING AND ''1 s'' FOLLOWING) FROM refused'),
    ('SELECT count(*) OVER (ORDER BY at RANGE BETWEEN ''1 s'' FOLLOWING AND ''1 min'' FOLLOWING) FROM refused'),
    ('SELECT date_bin(''1 min'', at, ''2000-01-01'') AS minute, count(*) FROM refused GROUP BY 1'),
    ('SELECT key FROM refused GROUP BY date_trunc(''month'', at), key HAVING count(*) > 1'),
    ('SELECT at::date, sum(x) FILTER (WHERE key > 1), count(DISTINCT note), percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM refused GROUP BY 1'),
    ('SELECT window_start, window_end, count(*) FROM refused, tidemark.hop(at, ''10 s'', ''1 min'') GROUP BY 1, 2'),
    ('SELECT window_end, count(*) FROM refused CROSS JOIN LATERAL tidemark.cumulate(at, ''10 s'', ''1 min'') GROUP BY 1'),
    ('SELECT date_trunc(''day'', at), key, count(*) FROM refused GROUP BY 1, ROLLUP (2)'),
    ('SELECT w, n, lag(n) OVER (ORDER BY w) FROM (SELECT date_trunc(''hour'', at) AS w, count(*) AS n FROM refused GROUP BY 1) h'),
    ('SELECT at, key, word FROM refused LEFT JOIN LATERAL regexp_split_to_table(note, '' '') AS word ON true'),
    ('SELECT date_bin(''1 hour'', tz, ''2000-01-01 00:00+00''), date_bin(''1 hour'', tz, ''2000-01-01 00:00+00'') + ''1 hour'' AS until, count(*) FROM refused_tz GROUP BY 1, 2'),
    ('SELECT date_trunc(''day'', tz AT TIME ZONE ''Europe/Berlin''), count(*) FROM refused_tz GROUP BY 1'),
    ('SELECT key, count(*), sum(x) FILTER (WHERE x > 0), stddev(n) FROM refused GROUP BY key'),
    ('SELECT key FROM refused GROUP BY key HAVING count(*) > 1'),
    ('SELECT max(x) FROM refused'),
    ('SELECT extract(hour FROM at), count(*) FROM refused GROUP BY 1'),
    ('SELECT k, n FROM (SELECT key AS k, count(*) AS n FROM refused_view GROUP BY key) q WHERE n > 1'),
    ('SELECT rank() OVER (PARTITION BY date_bin(''1 min'', at, ''2000-01-01'') ORDER BY x DESC), ntile(4) OVER (PARTITION BY key, at::date ORDER BY n) FROM refused'),
    ('SELECT lead(x) OVER (PARTITION BY date_trunc(''hour'', at) ORDER BY at), sum(x) OVER (PARTITION BY date_trunc(''hour'', at)) FROM refused'),
    ('SELECT window_start, key, count(*), max(count(*)) OVER (PARTITION BY window_start) FROM refused, tidemark.hop(at, ''10 s'', ''1 min'') GROUP BY 1, 2'),
    ('SELECT minute, key, n FROM (SELECT date_trunc(''minute'', at) AS minute, key, count(*) AS n, row_number() OVER (PARTITION BY date_trunc(''minute'', at) ORDER BY count(*) DESC, key) AS place FROM refused GROUP BY 1, 2) q WHERE place <= 3'),
    ('SELECT date_trunc(''hour'', at) AS hour, count(*), lag(count(*)) OVER (ORDER BY date_trunc(''hour'', at)), avg(sum(x)) OVER (ORDER BY date_trunc(''hour'', at) RANGE ''3 hours'' PRECEDING) FROM refused GROUP BY 1'),
    ('SELECT first_value(x) OVER (PARTITION BY key ORDER BY at RANGE BETWEEN ''1 microsecond'' FOLLOWING AND ''10 s'' FOLLOWING) FROM refused'),
    ('SELECT at FROM plain'),
    ('SELECT key FROM refused_stock'),
    ('SELECT 1 AS one'),
    ('VALUES (1)'),
    ('SELECT * FROM generate_series(1, 3)'),
    ('SELECT r.key FROM refused r JOIN plain p USING (key)'),
    ('SELECT r.key FROM refused r, plain p'),
    ('SELECT key FROM refused UNION ALL SELECT key FROM refused'),
    ('SELECT key FROM refused INTERSECT SELECT key FROM refused'),
    ('SELECT key FROM refused EXCEPT SELECT key FROM refused'),
    ('SELECT DISTINCT key FROM refused'),
    ('SELECT DISTINCT ON (key) key, x FROM refused ORDER BY key, at'),
    ('SELECT DISTINCT ON (key) key, x FROM refused'),
    ('SELECT DISTINCT ON (key + 1, note) note, key FROM refused ORDER BY note DESC, key + 1, n DESC NULLS LAST, x'),
    ('SELECT DISTINCT key FROM refused ORDER BY key'),
    ('SELECT DISTINCT ON (key) key, x FROM refused ORDER BY key, at LIMIT 3'),
    ('SELECT DISTINCT sum(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) FROM refused'),
    ('SELECT DISTINCT generate_series(1, key) FROM refused'),
    ('SELECT DISTINCT s FROM (SELECT sum(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) AS s FROM refused) w'),
    ('SELECT sum(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) AS s FROM (SELECT DISTINCT ON (key) * FROM refused ORDER BY key, at) f'),
    ('SELECT sum(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) AS s FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY at) AS n1 FROM refused) f WHERE n1 = 1'),
    ('SELECT sum(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) AS s FROM (SELECT DISTINCT ON (key) * FROM refused ORDER BY key, at DESC) f'),
    ('SELECT sum(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) AS s FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY at) AS n1 FROM refused) f WHERE n1 <= 2'),
    ('SELECT date_trunc(''hour'', at), count(*) FROM (SELECT DISTINCT ON (key) * FROM refused ORDER BY key, at) f GROUP BY 1'),
    ('SELECT DISTINCT n FROM (SELECT date_trunc(''hour'', at), count(*) AS n FROM refused GROUP BY 1) h'),
    ('SELECT DISTINCT x FROM (SELECT DISTINCT key, x FROM refused) h'),
    ('SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY x DESC) AS i FROM refused) r WHERE i <= 3'),
    ('SELECT * FROM (SELECT *, row_number() OVER (ORDER BY x DESC ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS i FROM refused) r WHERE i - 1 = 0'),
    ('SELECT * FROM (SELECT *, row_number() OVER () AS i FROM refused) r WHERE 10 >= i'),
    ('SELECT * FROM (SELECT *, rank() OVER (PARTITION BY key, note ORDER BY n DESC NULLS LAST) AS i FROM refused) r WHERE i IN (1, 2) OR i = 5'),
    ('WITH r AS (SELECT *, dense_rank() OVER (PARTITION BY key ORDER BY at DESC) - 1 AS i FROM refused) SELECT key FROM (SELECT * FROM r) r WHERE i BETWEEN 0 AND 4 AND x > 0'),
    ('SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY x) AS i FROM refused) r WHERE i <= key'),
    ('SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY x) AS i FROM refused) r WHERE i > 3'),
    ('SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY key ORDER BY x) AS i, rank() OVER (ORDER BY x) AS j FROM refused) r WHERE i = 1'),
    ('SELECT date_trunc(''day'', at), key, count(*) FROM refused GROUP BY ROLLUP (1, 2)'),
    ('SELECT key, array_agg(x ORDER BY at) FROM refused GROUP BY key'),
    ('SELECT key, array_agg(x) FROM refused GROUP BY key'),
    ('SELECT key, (array_agg(x ORDER BY at))[2] FROM refused GROUP BY key'),
    ('SELECT key, tidemark.first(DISTINCT x) FROM refused GROUP BY key'),
    ('SELECT key, began, count(*) FROM (SELECT *, tidemark.session(at, ''30 min'') OVER (PARTITION BY key ORDER BY at) AS began FROM refused) s WHERE x > 0 GROUP BY key, began'),
    ('SELECT began, count(*) FROM (SELECT *, tidemark.session(at, ''30 min'') OVER (PARTITION BY key ORDER BY at) AS began FROM refused) s GROUP BY began'),
    ('SELECT key, note, began, count(*) FROM (SELECT *, tidemark.session(at, ''30 min'') OVER (PARTITION BY key ORDER BY at) AS began FROM refused) s GROUP BY key, note, began'),
    ('SELECT key, began::date, count(*) FROM (SELECT *, tidemark.session(at, ''30 min'') OVER (PARTITION BY key ORDER BY at) AS began FROM refused) s GROUP BY key, 2'),
    ('SELECT key, count(DISTINCT began) FROM (SELECT *, tidemark.session(at, ''30 min'') OVER (PARTITION BY key ORDER BY at) AS began FROM refused) s GROUP BY key'),
    ('SELECT key, began, max(at - began) FROM (SELECT *, tidemark.session(at, ''30 min'') OVER (PARTITION BY key ORDER BY at) AS began FROM refused) s GROUP BY key, began'),
    ('SELECT key, began, count(*) FROM (SELECT *, tidemark.session(at, ''30 min'') OVER w AS began, lag(x) OVER w AS l FROM refused WINDOW w AS (PARTITION BY key ORDER BY at)) s GROUP BY key, began'),
    ('SELECT key, began, count(*) FROM (SELECT *, tidemark.session(at, key * interval ''1 s'') OVER (PARTITION BY key ORDER BY at) AS began FROM refused) s GROUP BY key, began'),
    ('SELECT key, number, count(*) FROM (SELECT *, sum(begins) OVER (PARTITION BY key ORDER BY at) AS number FROM (SELECT *, CASE WHEN at - lag(at) OVER (PARTITION BY key ORDER BY at) > ''30 s'' THEN 1 ELSE 0 END AS begins FROM refused) g) s GROUP BY key, number'),
    ('SELECT key, count(*) FROM (SELECT *, sum(begins) OVER (PARTITION BY key ORDER BY at) AS number FROM (SELECT *, CASE WHEN x > lag(x) OVER (PARTITION BY key ORDER BY at) THEN 1 ELSE 0 END AS begins FROM refused) g) s GROUP BY key, number'),
    ('SELECT key, count(DISTINCT x) FROM refused GROUP BY key'),
    ('SELECT key, percentile_disc(0.5) WITHIN GROUP (ORDER BY x) FROM refused GROUP BY key'),
    ('SELECT key, rank() OVER (ORDER BY count(*)) FROM refused GROUP BY key'),
    ('SELECT key, s, sum(s) OVER (ORDER BY key) FROM (SELECT key, sum(x) AS s FROM refused GROUP BY key) q'),
    ('SELECT max(s) FROM (SELECT key, sum(x) AS s FROM refused GROUP BY key) q'),
    ('SELECT DISTINCT n FROM (SELECT key, count(*) AS n FROM refused GROUP BY key) q'),
    ('SELECT key, sum(s) FROM (SELECT key, sum(x) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) AS s FROM refused) q GROUP BY key'),
    ('SELECT key, count(*), generate_series(1, key) FROM refused GROUP BY key'),
    ('SELECT note::json ->> ''a'', count(*) FROM refused GROUP BY note::json ->> ''a'''),
    ('SELECT date_trunc(''hour'', tz), count(*) FROM refused_tz GROUP BY 1'),
    ('SELECT date_bin(''1 hour'', tz, ''2000-01-01 00:00+00''), count(*) FROM refused GROUP BY 1'),
    ('SELECT window_start, count(*) FROM refused, tidemark.hop(at::date, ''5 s'', ''1 min'') GROUP BY 1'),
    ('SELECT window_start, count(*) FROM refused, tidemark.hop(at, ''1 month'', ''1 year'') GROUP BY 1'),
    ('SELECT window_end, count(*) FROM refused, tidemark.cumulate(at, ''7 s'', ''1 min'') GROUP BY 1'),
    ('SELECT window_end, count(*) FROM refused, tidemark.cumulate(at, step => ''0'', size => ''1 min'') GROUP BY 1'),
    ('SELECT date_bin(''1 month'', at, ''2000-01-01''), count(*) FROM refused GROUP BY 1'),
    ('SELECT date_bin(''-1 min'', at, ''2000-01-01''), count(*) FROM refused GROUP BY 1'),
    ('SELECT date_trunc(''fortnight'', at), count(*) FROM refused GROUP BY 1'),
    ('SELECT tidemark.session(at, ''-1 min'') OVER (ORDER BY at) FROM refused'),
    ('SELECT tidemark.session(at, ''1 month'') OVER (ORDER BY at) FROM refused'),
    ('SELECT nth_value(x, 0) OVER (ORDER BY at RANGE ''1 s'' PRECEDING) FROM refused'),
    ('SELECT r.key FROM refused r, generate_series(1, 3), plain p'),
    ('SELECT key FROM refused LIMIT 3'),
    ('SELECT key FROM refused OFFSET 3'),
    ('SELECT key FROM refused ORDER BY at'),
    ('SELECT key FROM refused FOR UPDATE'),
    ('SELECT key FROM refused FOR SHARE'),
    ('SELECT key FROM refused TABLESAMPLE SYSTEM (10)'),
    ('SELECT key FROM refused WHERE key IN (SELECT key FROM plain)'),
    ('SELECT key, (SELECT max(at) FROM plain) AS m FROM refused'),
    ('SELECT key FROM refused r WHERE EXISTS (SELECT FROM plain p WHERE p.key = r.key)'),
    ('WITH RECURSIVE r AS (SELECT key FROM refused UNION ALL SELECT key + 1 FROM r WHERE key < 3) SELECT * FROM r'),
    ('SELECT key FROM refused WHERE at > now()'),
    ('SELECT key FROM refused WHERE at > localtimestamp'),
    ('SELECT random() FROM refused'),
    ('SELECT tz::text FROM refused'),
    ('SELECT date_trunc(''day'', tz) FROM refused'),
    ('SELECT current_user, key FROM refused'),
    ('SELECT ctid FROM refused'),
    ('SELECT xmin FROM refused'),
    ('SELECT sum(x) OVER () FROM refused'),
    ('SELECT sum(x) OVER (PARTITION BY key) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY key RANGE 3 PRECEDING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY tz RANGE ''1 s'' PRECEDING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at DESC RANGE ''1 s'' PRECEDING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at + interval ''1 s'' RANGE ''1 s'' PRECEDING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at RANGE ''-1 s'' PRECEDING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at GROUPS BETWEEN CURRENT ROW AND 1 FOLLOWING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at ROWS BETWEEN -1 PRECEDING AND CURRENT ROW) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at GROUPS NULL PRECEDING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY key, at ROWS 3 PRECEDING) FROM refused'),
    ('SELECT row_number() OVER () FROM refused'),
    ('SELECT row_number() OVER (PARTITION BY key ORDER BY at DESC) FROM refused'),
    ('SELECT lag(x, key) OVER (ORDER BY at) FROM refused'),
    ('SELECT lag(x, -1) OVER (ORDER BY at) FROM refused'),
    ('SELECT lead(x) OVER (ORDER BY at) FROM refused'),
    ('SELECT lead(x, 2, 0) OVER (ORDER BY at ROWS UNBOUNDED PRECEDING) FROM refused'),
    ('SELECT percent_rank() OVER (ORDER BY at) FROM refused'),
    ('SELECT cume_dist() OVER (ORDER BY at) FROM refused'),
    ('SELECT ntile(4) OVER (ORDER BY at) FROM refused'),
    ('SELECT sum(x) OVER (ORDER BY tz RANGE ''24 hours'' PRECEDING) FROM refused_tz'),
    ('SELECT sum(x) OVER (ORDER BY tz RANGE ''1 day'' PRECEDING) FROM refused_tz'),
    ('SELECT sum(x) OVER (ORDER BY tz RANGE ''1 month'' PRECEDING) FROM refused_tz')
) q (query);
\pset format aligned
\pset tuples_only off

-- an order of peers that SQL leaves open is said
CREATE VIEW open_order AS SELECT array_agg(x) OVER (ORDER BY at RANGE '1 s' PRECEDING) AS xs FROM refused;
SELECT tidemark.make_continuous('open_order');
CREATE VIEW open_order_too AS SELECT stddev(x) OVER (ORDER BY at RANGE '1 s' PRECEDING) AS s, stddev(n) OVER (ORDER BY at RANGE '1 s' PRECEDING) AS e FROM refused;
SELECT tidemark.make_continuous('open_order_too');  -- exact, of floats too

-- which rows come before which is left open too, where event times repeat
CREATE VIEW open_rows AS SELECT sum(x) OVER (ORDER BY at ROWS 3 PRECEDING) AS s FROM refused;
SELECT tidemark.make_continuous('open_rows');
CREATE VIEW open_number AS SELECT at, row_number() OVER (PARTITION BY key ORDER BY at RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS n FROM refused;
SELECT tidemark.make_continuous('open_number');
CREATE VIEW open_lag AS SELECT at, lag(x, 2, 0) OVER w AS l, lag(x, NULL) OVER w AS none, lead(x, -1) OVER w AS same FROM refused WINDOW w AS (ORDER BY at, n);
SELECT tidemark.make_continuous('open_lag');
-- ... but for rows that a unique index tells apart
CREATE TABLE told_apart (at timestamp, id int PRIMARY KEY, key int NOT NULL, n int, UNIQUE (key, n));
SELECT tidemark.create_stream('told_apart', 'at');
CREATE VIEW apart AS SELECT at, lag(n) OVER (ORDER BY at, id) AS l, array_agg(n) OVER (PARTITION BY id ORDER BY at) AS ns,
    sum(c) OVER (ORDER BY at, id ROWS UNBOUNDED PRECEDING) AS s FROM (SELECT *, rank() OVER (ORDER BY at) AS c FROM told_apart) r;
SELECT tidemark.make_continuous('apart');
CREATE VIEW not_apart AS SELECT at, lag(n) OVER (PARTITION BY key ORDER BY at, n) AS l FROM told_apart;
SELECT tidemark.make_continuous('not_apart');
CREATE VIEW not_apart_either AS SELECT at, lag(id) OVER (ORDER BY at, id) AS l FROM (SELECT at, id, generate_series(1, n) FROM told_apart) s;
SELECT tidemark.make_continuous('not_apart_either');

-- ... and the order of a group's rows
CREATE VIEW open_group AS SELECT date_trunc('day', at) AS day, array_agg(x) AS xs FROM refused GROUP BY 1;
SELECT tidemark.make_continuous('open_group');
CREATE VIEW open_group_order AS SELECT date_trunc('day', at) AS day, string_agg(note, ',' ORDER BY key) AS notes FROM refused GROUP BY 1;
SELECT tidemark.make_continuous('open_group_order');
CREATE VIEW ordered_group AS SELECT date_trunc('day', at) AS day, key, array_agg(x ORDER BY x) AS xs, array_agg(DISTINCT note) AS notes FROM refused GROUP BY 1, 2;
SELECT tidemark.make_continuous('ordered_group');
CREATE VIEW apart_group AS SELECT date_trunc('day', at) AS day, array_agg(n ORDER BY id) AS ns FROM told_apart GROUP BY 1;
SELECT tidemark.make_continuous('apart_group');
CREATE VIEW apart_groups AS SELECT day, lag(n) OVER (PARTITION BY key ORDER BY day) FROM (SELECT date_trunc('day', at) AS day, key, count(*) AS n FROM refused GROUP BY 1, 2) g;
SELECT tidemark.make_continuous('apart_groups');
CREATE VIEW not_apart_groups AS SELECT day, lag(n) OVER (ORDER BY day) FROM (SELECT date_trunc('day', at) AS day, key, count(*) AS n FROM refused GROUP BY 1, 2) g;
SELECT tidemark.make_continuous('not_apart_groups');

-- things that are no views
SELECT tidemark.make_continuous('refused');
CREATE MATERIALIZED VIEW ordinary AS SELECT * FROM refused;
SELECT tidemark.make_continuous('ordinary');
CREATE TEMP VIEW temporary AS SELECT * FROM refused;
SELECT tidemark.make_continuous('temporary');
SELECT tidemark.wait_until_maintained('temporary');
CREATE VIEW invoker WITH (security_invoker) AS SELECT * FROM refused;
SELECT tidemark.make_continuous('invoker');
DROP TABLE refused, refused_tz, plain, told_apart CASCADE;
DROP FUNCTION try_view;
DROP AGGREGATE refused_last(float8);
