-- Window functions beyond sums: each as a continuous view, before and after late rows, deletions and steps.
CREATE TABLE measured (id int PRIMARY KEY, at timestamp, key int, x int);
SELECT tidemark.create_stream('measured', 'at', allowed_delay => '5 seconds');
INSERT INTO measured SELECT i, '2024-01-01'::timestamp + i / 2 * interval '1 second', i * i % 5, i * 7 % 13 FROM generate_series(1, 300) i;

CREATE TABLE tried (name text PRIMARY KEY, query text);
INSERT INTO tried VALUES
    -- of a frame
    ('nth_value', 'SELECT id, nth_value(x, 2) OVER (PARTITION BY key ORDER BY at, id ROWS 5 PRECEDING) AS a, nth_value(x, 1) OVER (PARTITION BY id ORDER BY at RANGE ''10 s'' PRECEDING) AS b FROM measured'),
    ('nth_value_of_row', 'SELECT id, nth_value(x, key + 1) OVER (PARTITION BY key ORDER BY at, id) AS a FROM measured'),
    ('first_and_last', 'SELECT id, first_value(x) OVER w AS a, last_value(id) OVER w AS b, first_value(id) OVER w2 AS c FROM measured WINDOW w AS (PARTITION BY key ORDER BY at, id ROWS BETWEEN 8 PRECEDING AND 2 PRECEDING), w2 AS (ORDER BY at, id)'),
    ('exclude_row', 'SELECT id, sum(x) OVER (PARTITION BY key ORDER BY at RANGE ''10 s'' PRECEDING EXCLUDE CURRENT ROW) AS a FROM measured'),
    ('exclude_group', 'SELECT id, count(*) OVER (ORDER BY at RANGE BETWEEN ''3 s'' PRECEDING AND ''3 s'' FOLLOWING EXCLUDE GROUP) AS a, max(x) OVER (ORDER BY at GROUPS 2 PRECEDING EXCLUDE TIES) AS b FROM measured'),
    -- ahead, within a bound
    ('next_value', 'SELECT id, first_value(x) OVER (PARTITION BY key ORDER BY at RANGE BETWEEN ''1 microsecond'' FOLLOWING AND ''5 s'' FOLLOWING) AS a FROM (SELECT DISTINCT ON (key, at) * FROM measured ORDER BY key, at) m'),
    ('around', 'SELECT id, avg(x) OVER (PARTITION BY key ORDER BY at RANGE BETWEEN ''4 s'' PRECEDING AND ''4 s'' FOLLOWING) AS a, min(x) OVER (ORDER BY at RANGE BETWEEN ''2 s'' FOLLOWING AND ''4 s'' FOLLOWING) AS b FROM measured'),
    -- of a partition that ends
    ('ntile', 'SELECT id, ntile(3) OVER (PARTITION BY date_bin(''10 s'', at, ''2000-01-01'') ORDER BY x, id) AS a, ntile(4) OVER (PARTITION BY key, date_trunc(''minute'', at) ORDER BY id DESC) AS b FROM measured'),
    ('percent_rank', 'SELECT id, percent_rank() OVER w AS a, cume_dist() OVER w AS b FROM measured WINDOW w AS (PARTITION BY date_trunc(''minute'', at), key ORDER BY x)'),
    ('lead', 'SELECT id, lead(x) OVER w AS a, lead(x, 2, -1) OVER w AS b, lag(id) OVER w AS c FROM measured WINDOW w AS (PARTITION BY date_trunc(''minute'', at) ORDER BY at, id)'),
    ('whole', 'SELECT id, sum(x) OVER (PARTITION BY date_trunc(''minute'', at)) AS a, nth_value(x, 3) OVER (PARTITION BY date_trunc(''minute'', at) ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS b FROM measured'),
    -- windows that build on each other, and different ones in one query
    ('named', 'SELECT id, sum(x) OVER w1 AS a, sum(x) OVER (w1 RANGE ''5 s'' PRECEDING) AS b, count(*) OVER w2 AS c FROM measured WINDOW w0 AS (PARTITION BY key), w1 AS (w0 ORDER BY at), w2 AS (ORDER BY at RANGE ''1 s'' PRECEDING)'),
    ('different', 'SELECT id, sum(x) OVER (PARTITION BY key ORDER BY at RANGE ''5 s'' PRECEDING) AS a, max(x) OVER (ORDER BY at RANGE BETWEEN ''9 s'' PRECEDING AND ''2 s'' PRECEDING) AS b, row_number() OVER (PARTITION BY key ORDER BY at, id) AS c, dense_rank() OVER (ORDER BY at) AS d, lag(x, 3) OVER (PARTITION BY x ORDER BY at, id) AS e, count(*) FILTER (WHERE x > 5) OVER (ORDER BY at ROWS CURRENT ROW) AS f FROM measured'),
    ('mixed', 'SELECT id, rank() OVER (PARTITION BY date_bin(''10 s'', at, ''2000-01-01'') ORDER BY x) AS a, sum(x) OVER (PARTITION BY key ORDER BY at RANGE ''5 s'' PRECEDING) AS b FROM measured');
DO $$ DECLARE t tried;
BEGIN
    FOR t IN SELECT * FROM tried LOOP
        EXECUTE format('CREATE VIEW %I AS %s', t.name, t.query);
        PERFORM tidemark.make_continuous(t.name::regclass);
    END LOOP;
END $$;
CREATE FUNCTION differences() RETURNS TABLE (view text, difference text, "row" jsonb) LANGUAGE sql AS
$$ SELECT name, d.* FROM tried, tidemark.verify(name::regclass) d $$;
CREATE FUNCTION maintained() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN PERFORM tidemark.wait_until_maintained(name::regclass) FROM tried; RETURN 'maintained'; END $$;

SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();
SELECT view, method, rows FROM tidemark.continuous_views ORDER BY view::text COLLATE "C";
INSERT INTO measured SELECT i, '2024-01-01'::timestamp + i / 2 * interval '1 second', i * i % 5, i * 7 % 13 FROM generate_series(301, 400) i;
SELECT * FROM differences();
SELECT maintained();
INSERT INTO measured VALUES (401, '2024-01-01 00:01:00', 3, 99), (402, '2024-01-01 00:01:00', 2, -9), (403, '2024-01-01 00:03:19', 3, 50);
SELECT * FROM differences();
DELETE FROM measured WHERE id % 17 = 0;
SELECT * FROM differences();
UPDATE measured SET x = x + 1, at = at + interval '20 seconds' WHERE id % 23 = 0;
SELECT * FROM differences();
SELECT maintained();
SELECT * FROM differences();
\set VERBOSITY terse
DROP TABLE measured CASCADE;
DROP TABLE tried;
DROP FUNCTION differences, maintained;
