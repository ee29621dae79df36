-- tidemark.session: when a row's session began; as a query, and as a continuous view with late rows
CREATE TABLE visit (id int PRIMARY KEY, at timestamp NOT NULL, who text, page int);
INSERT INTO visit VALUES (1, '2026-01-01 09:00', 'ann', 1), (2, '2026-01-01 09:10', 'ann', 2), (3, '2026-01-01 09:25', 'ann', 3), (4, '2026-01-01 09:25', 'ann', 4),
    (5, '2026-01-01 10:00', 'ann', 1), (6, '2026-01-01 10:15', 'ann', 2), (7, '2026-01-01 09:15', 'bob', 1), (8, '2026-01-01 12:00', NULL, 1), (9, '2026-01-01 12:15:00.000001', NULL, 2);
SELECT who, at, page, tidemark.session(at, '15 min') OVER w AS session, tidemark.session(at, '0') OVER w AS each, tidemark.session(at, '1 day') OVER w AS day,
    tidemark.session(at, CASE WHEN page > 2 THEN interval '30 min' END) OVER w AS some, tidemark.session(NULL::timestamp, '1 s') OVER w AS none
FROM visit WINDOW w AS (PARTITION BY who ORDER BY at) ORDER BY id;
-- each type of event time
SELECT i, tidemark.session(i::bigint * i, 7) OVER w AS number, tidemark.session(date '2026-01-01' + i * i, '7 days 12 hours') OVER w AS date,
    tidemark.session(timestamptz '2026-03-29 00:00+00' + i * i * interval '1 h', '7 h') OVER w AT TIME ZONE 'UTC' AS zoned FROM generate_series(1, 6) i WINDOW w AS (ORDER BY i);
SELECT tidemark.session(at, '-1 s') OVER (ORDER BY at) FROM visit;
SELECT tidemark.session(at, '1 month') OVER (ORDER BY at) FROM visit;
SELECT tidemark.session(at, '1 h') FROM visit;
SELECT tidemark.session(9223372036854775806, i) OVER (ORDER BY i) FROM generate_series(1, 2) i;

-- maintained; a part is above the frontier
SELECT tidemark.create_stream('visit', 'at', allowed_delay => '20 min');
CREATE VIEW visits AS SELECT id, at, who, page, tidemark.session(at, '5 min') OVER w AS session, at - tidemark.session(at, '5 min') OVER w AS since, row_number() OVER (PARTITION BY who ORDER BY at, id) AS n
FROM visit WINDOW w AS (PARTITION BY who ORDER BY at);
SELECT tidemark.make_continuous('visits');
CREATE FUNCTION islands() RETURNS bigint LANGUAGE sql AS $$ -- rows that another way to find sessions gives otherwise
    SELECT count(*) FROM visits v FULL JOIN (SELECT id, min(at) OVER (PARTITION BY who, number) AS session FROM (SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY who ORDER BY at) AS number
        FROM (SELECT *, at > lag(at) OVER (PARTITION BY who ORDER BY at) + interval '5 min' AS begins FROM visit) b) n) i USING (id) WHERE v.session IS DISTINCT FROM i.session $$;
INSERT INTO visit SELECT 100 + i, timestamp '2026-01-02' + (i * i % 97 + i * 20) * interval '7 s', (ARRAY['ann', 'bob', NULL, 'cy'])[i % 4 + 1], i FROM generate_series(1, 1000) i;
SELECT tidemark.wait_until_maintained('visits');
SELECT method, part, how FROM tidemark.continuous_views c, tidemark.explain(c.view) WHERE part ~ 'window|tail';
SELECT count(DISTINCT (who, session)) > 100 AS many, islands() FROM visits;
SELECT * FROM tidemark.verify('visits');
INSERT INTO visit SELECT 2000 + i, timestamp '2026-01-02' + (20000 + i * i % 97 + i * 20) * interval '7 s', (ARRAY['ann', 'bob', NULL, 'cy'])[i % 4 + 1], i FROM generate_series(1, 300) i;
SELECT islands();
SELECT * FROM tidemark.verify('visits');
SELECT tidemark.wait_until_maintained('visits');
-- a late row that makes one session of two, and one that is gone
INSERT INTO visit SELECT 5000 + i, at + interval '4 min', who, i FROM visit JOIN generate_series(1, 3) i ON id = 300 * i;
SELECT islands();
SELECT * FROM tidemark.verify('visits');
DELETE FROM visit WHERE id % 7 = 0;
SELECT islands();
INSERT INTO visit SELECT 6000 + i, timestamp '2026-01-03' + i * i % 97 * interval '7 s', 'ann', i FROM generate_series(1, 50) i;
SELECT tidemark.wait_until_maintained('visits');
SELECT islands();
SELECT * FROM tidemark.verify('visits');
DROP TABLE visit CASCADE;
