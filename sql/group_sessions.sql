-- GROUP BY tidemark.session: of each session the states of its aggregates are kept, right at each commit
CREATE FUNCTION state(OUT view text, OUT method text, OUT rows bigint, OUT corrections bigint, OUT differing bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tidemark.wait_until_maintained(c.view) FROM tidemark.continuous_views c;
    RETURN QUERY SELECT c.view::text, c.method, c.rows, c.corrections, (SELECT count(*) FROM tidemark.verify(c.view))
        FROM tidemark.continuous_views c ORDER BY c.view::text;
END $$;
CREATE FUNCTION differing() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM tidemark.continuous_views c, tidemark.verify(c.view)
$$;
CREATE TABLE click (id int PRIMARY KEY, at timestamp NOT NULL, who text, site int NOT NULL, page int, x float8);
SELECT tidemark.create_stream('click', 'at', allowed_delay => '20 s');
CREATE VIEW visits AS SELECT who, began, count(*) AS clicks, sum(page), min(at), max(at) + interval '1 min' AS until, max(at) - began AS lasted, avg(x)
    FROM (SELECT *, tidemark.session(at, '1 min') OVER (PARTITION BY who ORDER BY at) AS began FROM click) s GROUP BY who, began;
-- the keys in another order, several of them, some rows only, HAVING, expressions, through levels
CREATE VIEW sites AS SELECT began, n * 2 AS twice, first FROM (SELECT s AS began, site, upper(who) AS u, count(*) AS n, min(page) FILTER (WHERE page % 3 = 0) AS first, site + 1 AS next
    FROM (SELECT site, who, page, s FROM (SELECT at AS t, who, site, page, tidemark.session(at, interval '30 s') OVER (PARTITION BY site, who ORDER BY at, id) AS s FROM click WHERE page < 90) q) r
    GROUP BY s, site, who HAVING count(*) > 2 AND site < 3) g WHERE n < 50;
CREATE VIEW whole AS WITH w AS (SELECT at, x, tidemark.session(at, '3 s') OVER (ORDER BY at) AS began FROM click) SELECT began, count(*), sum(x) FROM w GROUP BY began;
CREATE VIEW none AS SELECT began, lower(who) AS w FROM (SELECT lower(who) AS who, tidemark.session(at, '0') OVER (PARTITION BY lower(who) ORDER BY at) AS began FROM click) s GROUP BY 1, who;
-- gaps and islands are the same, however they are said
CREATE VIEW islands AS SELECT who, min(at) AS began, count(*), sum(x) FROM (SELECT *, sum(begins) OVER (PARTITION BY who ORDER BY at) AS number
    FROM (SELECT *, CASE WHEN at - lag(at) OVER (PARTITION BY who ORDER BY at) > interval '40 s' THEN 1 ELSE 0 END AS begins FROM click) gaps) numbers GROUP BY who, number;
CREATE VIEW islands_2 AS WITH gaps AS (SELECT at, site, who, lag(at) OVER (PARTITION BY site, who ORDER BY at) AS before FROM click WHERE page > 10),
    numbers AS (SELECT at, site, who AS w, count(*) FILTER (WHERE before IS NULL OR extract(epoch FROM at - before) >= 25.5) OVER (PARTITION BY site, who ORDER BY at ROWS UNBOUNDED PRECEDING) AS number FROM gaps)
    SELECT count(*), w, max(at) FROM numbers GROUP BY number, w, site;
CREATE VIEW islands_3 AS SELECT max(at) - min(at) AS lasted FROM (SELECT at, sum(COALESCE((at - interval '2 s' > before)::int, 1)) OVER (ORDER BY at) AS n FROM (SELECT at, lag(at, 1) OVER w AS before FROM click WINDOW w AS (ORDER BY at)) g) b
    GROUP BY n HAVING count(*) > 1;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{visits,sites,whole,none,islands,islands_2,islands_3}'::text[]) v;
SELECT * FROM tidemark.explain('visits');
SELECT count(*) FROM visits;

CREATE FUNCTION clicks(first int, last int) RETURNS SETOF click LANGUAGE sql AS $$
    SELECT i, timestamp '2026-01-01' + (i * 7 + i * i % 113 + i / 40 * 75) * interval '0.5 s', (ARRAY['ann', 'cy', NULL, NULL, 'bob'])[i * i % 11 % 5 + 1], i % 3 + i % 2, i % 97, i / 7.0 FROM generate_series(first::bigint, last) i
$$;
INSERT INTO click SELECT * FROM clicks(1, 1500);
SELECT differing();
SELECT * FROM state();
-- sessions that go on over the frontier, new ones, new keys
INSERT INTO click SELECT * FROM clicks(1501, 1700);
SELECT differing();
SELECT * FROM visits WHERE who = 'bob' ORDER BY began DESC LIMIT 2;
SELECT (SELECT count(*) FROM visits WHERE who IS NULL) = (SELECT count(DISTINCT began) FROM visits WHERE who IS NULL) AS nulls, (SELECT sum(clicks) FROM visits) = (SELECT count(*) FROM click) AS all_rows;
INSERT INTO click SELECT id, at, 'new ' || coalesce(who, ''), site, page, x FROM clicks(1701, 1800);
SELECT differing();
SELECT view, rows, differing FROM state();
-- a long session: a step reads its state, not its rows
INSERT INTO click SELECT 10000 + i, (SELECT max(at) FROM click) + i * interval '1 s', 'long', 7, i, i FROM generate_series(1, 2000) i;
SELECT view, rows, differing FROM state();
INSERT INTO click SELECT 20000 + i, (SELECT max(at) FROM click) + i * interval '1 s', 'long', 7, i, i FROM generate_series(1, 100) i;
SELECT view, rows, differing FROM state();
SELECT who, clicks, sum, lasted FROM visits WHERE who = 'long';

-- late rows: within a session, before one, after one, joining two, on its own; several of one statement; of several statements
SELECT began, clicks, until FROM visits WHERE who = 'cy' ORDER BY began LIMIT 6;
CREATE FUNCTION late(at timestamp, who text DEFAULT 'cy') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO click SELECT 1000000 + count(*), $1, $2, 1, 5, 1 FROM click;
    RETURN (SELECT count(*) || ' sessions, ' || differing() || ' differing' FROM visits v WHERE v.who = $2 AND v.began < '2026-01-01 00:20');
END $$;
SELECT late('2026-01-01 00:00:30'), late(began + interval '1 s'), late(began - interval '10 s'), late(until - interval '10 s') FROM (SELECT * FROM visits WHERE who = 'cy' ORDER BY began LIMIT 3) v;
SELECT late(until) FROM (SELECT * FROM visits WHERE who = 'cy' ORDER BY began LIMIT 4) v;
SELECT late('2025-12-31'), late('2025-12-31', 'eve'), late('2025-12-30', NULL);
SELECT differing();
BEGIN;
INSERT INTO click VALUES (2000001, '2026-01-01 00:02', 'fay', 1, 1, 1), (2000002, '2026-01-01 00:03', 'fay', 1, 1, 1), (2000003, '2026-01-01 00:05', 'fay', 1, 1, 1), (2000004, '2026-01-01 00:02', NULL, 1, 1, 1);
SELECT began, clicks FROM visits WHERE who = 'fay' ORDER BY began;
INSERT INTO click VALUES (2000005, '2026-01-01 00:04', 'fay', 1, 1, 1), (2000006, '2026-01-01 00:02', 'fay', 1, 1, 1);
SELECT began, clicks FROM visits WHERE who = 'fay' ORDER BY began;
SAVEPOINT a;
INSERT INTO click VALUES (2000007, '2026-01-01 00:04', 'fay', 1, 1, 1);
SELECT differing();
ROLLBACK TO a;
INSERT INTO click VALUES (2000008, '2026-01-01 00:04', 'fay', 1, 1, 1);
SELECT differing();
COMMIT;
SELECT began, clicks FROM visits WHERE who = 'fay' ORDER BY began;
-- rows that are gone end a session sooner, part it, or end it; changes
DELETE FROM click WHERE id IN (2000005, 2000008);
SELECT began, clicks FROM visits WHERE who = 'fay' ORDER BY began;
SELECT differing();
UPDATE click SET at = at + interval '1 min' WHERE id = 2000002;
UPDATE click SET who = 'fay' WHERE at BETWEEN '2026-01-01 00:04' AND '2026-01-01 00:08' AND who = 'cy';
SELECT differing();
DELETE FROM click WHERE id % 5 = 0;
SELECT differing();
DELETE FROM click WHERE who = 'fay';
SELECT began FROM visits WHERE who = 'fay';
SELECT * FROM state();
INSERT INTO click SELECT * FROM clicks(50000, 50300);
SELECT view, rows, differing FROM state();
TRUNCATE click;
SELECT differing(), (SELECT count(*) FROM visits) AS visits;
INSERT INTO click SELECT * FROM clicks(60000, 60100);
SELECT view, rows, differing FROM state();
DROP TABLE click CASCADE;

-- each type of event time; keys of which several may be null
CREATE TABLE number (n bigint NOT NULL, a int, b text, c int NOT NULL);
SELECT tidemark.create_stream('number', 'n', allowed_delay => '3');
CREATE VIEW runs AS SELECT b, a, c, run, count(*), max(n) FROM (SELECT *, tidemark.session(n, 5) OVER (PARTITION BY a, b, c ORDER BY n) AS run FROM number) s GROUP BY a, b, c, run;
CREATE TABLE day (d date NOT NULL, k int, v int);
SELECT tidemark.create_stream('day', 'd', allowed_delay => '1 day');
CREATE VIEW spells AS SELECT k, spell, count(*), max(d) AS until FROM (SELECT *, tidemark.session(d, '2 days') OVER (PARTITION BY k ORDER BY d) AS spell FROM day) s GROUP BY k, spell;
CREATE TABLE zoned (z timestamptz NOT NULL, k int NOT NULL);
SELECT tidemark.create_stream('zoned', 'z', allowed_delay => '1 hour');
CREATE VIEW stays AS SELECT k, stay, count(*) FROM (SELECT *, tidemark.session(z, '5 h') OVER (PARTITION BY k ORDER BY z) AS stay FROM zoned) s GROUP BY k, stay;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{runs,spells,stays}'::text[]) v;
CREATE FUNCTION feed(first int, last int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO number SELECT i * i % 13 + i, nullif(i % 3, 0), nullif((ARRAY['x', 'y', 'z'])[i * i % 5 % 3 + 1], 'y'), i % 2 FROM generate_series(first, last) i;
    INSERT INTO day SELECT date '2026-01-01' + i + i * i % 7, nullif(i * i % 11 % 4, 0), i FROM generate_series(first, last) i;
    INSERT INTO zoned SELECT '2026-01-01 00:00+00'::timestamptz + (i + i * i % 7) * interval '40 min', i * i % 11 % 4 FROM generate_series(first, last) i;
$$;
SELECT feed(1, 300);
SELECT * FROM state();
SELECT feed(301, 320);
SELECT differing();
SELECT feed(100, 105), feed(200, 210);
SELECT differing();
DELETE FROM number WHERE n % 10 < 3; DELETE FROM day WHERE v % 10 < 3; DELETE FROM zoned WHERE k = 1;
SELECT view, rows, differing FROM state();
DROP TABLE number, day, zoned CASCADE;
DROP FUNCTION differing, state, late, feed;

-- rows that are changed or deleted: of their keys only is anything computed anew
CREATE TABLE visit (t bigint, k int, v int);
SELECT tidemark.create_stream('visit', 't', allowed_delay => '0');
CREATE VIEW visits AS SELECT k, began, max(t) AS until, sum(v) AS total FROM (SELECT *, tidemark.session(t, 5) OVER (PARTITION BY k ORDER BY t) AS began FROM visit) x GROUP BY k, began;
SELECT tidemark.make_continuous('visits');
INSERT INTO visit SELECT i, i % 3, i FROM generate_series(1, 60) i WHERE i % 15 < 10;
SELECT tidemark.wait_until_maintained('visits');
CREATE FUNCTION written() RETURNS TABLE (key int, begin bigint) LANGUAGE sql AS 'SELECT c2, c3 FROM tidemark_data.visits_rows WHERE tidemark.written_here(xmin) ORDER BY 1, 2';
BEGIN;
DELETE FROM visit WHERE t = 20;
SELECT * FROM written();
COMMIT;
BEGIN;
UPDATE visit SET k = 1, t = 26 WHERE t = 21;
SELECT * FROM written();
COMMIT;
BEGIN;
DELETE FROM visit WHERE k = 1 AND t < 20;
SELECT * FROM written();
COMMIT;
TABLE visits ORDER BY k, began;
SELECT count(*) FROM tidemark.verify('visits');
DROP TABLE visit CASCADE;
DROP FUNCTION written;
