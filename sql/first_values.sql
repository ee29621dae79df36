-- first and last values of groups: tidemark.first and last, (array_agg(...))[1]; as queries, and as continuous views, whose states are of one row
CREATE FUNCTION state(OUT view text, OUT method text, OUT rows bigint, OUT differing bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tidemark.wait_until_maintained(c.view) FROM tidemark.continuous_views c;
    RETURN QUERY SELECT c.view::text, c.method, c.rows, (SELECT count(*) FROM tidemark.verify(c.view)) FROM tidemark.continuous_views c ORDER BY c.view::text;
END $$;
CREATE FUNCTION differing() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM tidemark.continuous_views c, tidemark.verify(c.view)
$$;
-- of any rows
SELECT k, tidemark.first(v ORDER BY n), tidemark.last(v ORDER BY n), tidemark.first(v ORDER BY n DESC) FILTER (WHERE v <> 'c') AS f, tidemark.last(v ORDER BY v NULLS FIRST) AS l
FROM (VALUES (1, 1, 'a'), (1, 2, NULL), (1, 3, 'c'), (2, 9, NULL), (2, 10, 'x'), (3, 1, NULL)) r (k, n, v) GROUP BY k ORDER BY k;
SELECT tidemark.first(i) FROM generate_series(1, 0) i;
SELECT i, tidemark.first(ARRAY[i, i]) OVER (ORDER BY i ROWS 2 PRECEDING), tidemark.last(i::numeric) OVER (ORDER BY i ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) FROM generate_series(1, 4) i;

CREATE TABLE s (t timestamp NOT NULL, k int, c text, x float8, m numeric, j json, tags text[]);
SELECT tidemark.create_stream('s', 't', allowed_delay => '5 s');
CREATE VIEW firsts AS SELECT k, tidemark.first(x ORDER BY t) AS f, tidemark.last(x ORDER BY t) AS l, (array_agg(c ORDER BY t DESC) FILTER (WHERE c IS NOT NULL))[1] AS c, count(*) FROM s GROUP BY k;
-- no order: by event time; ties: the rows' images, the same row for all values in one order
CREATE VIEW unordered AS SELECT k, tidemark.first(c) AS c, tidemark.first(x) AS x, tidemark.last(m) AS m, (array_agg(j))[1]::text AS j, (array_agg(x))[1] AS x1 FROM s GROUP BY k;
CREATE VIEW ties AS SELECT c, (array_agg(x ORDER BY k DESC NULLS LAST, c))[1] AS x, (array_agg(m ORDER BY k DESC NULLS LAST, c))[1] AS m, tidemark.last(tags ORDER BY k DESC NULLS LAST, c) AS tags,
    tidemark.first(k ORDER BY m) AS least, tidemark.first(lower(c) ORDER BY x * 2 USING >) FILTER (WHERE x > 3) AS above FROM s GROUP BY c HAVING tidemark.last(t) > '2024-01-01' AND count(x) > 2;
CREATE VIEW overall AS SELECT tidemark.first(t), tidemark.last(t) AS last, 1 + (array_agg(k ORDER BY t DESC, x))[1] AS k FROM s;
CREATE VIEW by_window AS SELECT date_bin('1 min', t, '2000-01-01') AS w, tidemark.first(c) AS c, tidemark.last(m ORDER BY k) AS m, (array_agg(x ORDER BY m))[1] AS x FROM s GROUP BY 1;
CREATE VIEW by_session AS SELECT k, began, tidemark.first(c) AS c, tidemark.last(c) AS last FROM (SELECT *, tidemark.session(t, '1 s') OVER (PARTITION BY k ORDER BY t) AS began FROM s) q GROUP BY k, began;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{firsts,unordered,ties,overall,by_window,by_session}'::text[]) v;
SELECT * FROM tidemark.explain('ties');
SELECT * FROM overall;
CREATE FUNCTION rows(first int, last int) RETURNS SETOF s LANGUAGE sql AS $$
    SELECT timestamp '2024-01-01' + i / 3 * interval '0.7 s', nullif(i % 7, 3), nullif('c' || i % 5, 'c4'), CASE WHEN i % 9 = 0 THEN NULL ELSE i / 7.0 END,
        CASE i % 4 WHEN 0 THEN 1.0 WHEN 1 THEN 1.00 WHEN 2 THEN NULL ELSE i / 100.0 END, json_build_object('i', i % 11), ARRAY['t' || i % 6, NULL] FROM generate_series(first, last) i
$$;
INSERT INTO s SELECT * FROM rows(1, 1500);
SELECT differing();
SELECT * FROM state();
INSERT INTO s SELECT * FROM rows(1501, 1700);
SELECT differing();
SELECT * FROM firsts ORDER BY k;
SELECT * FROM ties ORDER BY c;
SELECT * FROM state();
-- batch queries have the same rule
SELECT count(*) FROM (SELECT k, tidemark.first(c) AS c, tidemark.first(x) AS x FROM s GROUP BY k EXCEPT SELECT k, c, x FROM unordered) d;
-- late rows, also with equal event times; changes
INSERT INTO s SELECT t - interval '0.1 s', k, 'late', x, m, j, tags FROM rows(1, 200);
SELECT differing();
INSERT INTO s SELECT t, k, 'a' || c, -x, m, j, tags FROM rows(1, 30);
SELECT differing();
BEGIN;
INSERT INTO s VALUES ('2023-12-31', 1, 'first', 1, 1, '1', '{}');
INSERT INTO s VALUES ('2023-12-31', 1, 'before', 1, 1, '1', '{}');
SELECT u.c, u.x, u.x1, f.f, f.c FROM unordered u JOIN firsts f USING (k) WHERE k = 1;
COMMIT;
SELECT differing();
DELETE FROM s WHERE c IN ('first', 'before', 'late') OR k = 2;
SELECT differing();
UPDATE s SET x = 1000, k = 5 WHERE k = 4;
SELECT * FROM state();
-- beside windows over the groups, too
CREATE TABLE f (t timestamp, id int, n int);
SELECT tidemark.create_stream('f', 't');
CREATE VIEW f_firsts AS SELECT date_bin('10 s', t, '2024-01-01') AS w, (array_agg(n))[1] AS first, tidemark.last(n) AS last,
       count(*) OVER (ORDER BY date_bin('10 s', t, '2024-01-01') RANGE '20 s' PRECEDING) AS beside
  FROM (SELECT DISTINCT ON (id) * FROM f ORDER BY id, t) once GROUP BY 1;
INSERT INTO f SELECT timestamp '2024-01-01' + i * interval '1 s', hashint4(i), i FROM generate_series(1, 49) i ORDER BY hashint4(i);
INSERT INTO f VALUES ('2024-01-01 00:02', 0, 0);
TABLE f_firsts ORDER BY w;
SELECT tidemark.make_continuous('f_firsts');
SELECT tidemark.wait_until_maintained('f_firsts');
TABLE f_firsts ORDER BY w;
SELECT * FROM tidemark.verify('f_firsts');
DROP TABLE f CASCADE;
DROP TABLE s CASCADE;
DROP FUNCTION differing, state;
