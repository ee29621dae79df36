-- Windows that look back to the start of the stream, or ahead by a distance of event time.
CREATE TABLE sensor (id int PRIMARY KEY, at bigint, device int, load float8);
SELECT tidemark.create_stream('sensor', 'at', allowed_delay => '5');

-- cumulative; counted in rows and in groups of peers; functions that number rows or look back by rows
CREATE VIEW cumulative AS SELECT at, id, device,
    sum(load) OVER (PARTITION BY device ORDER BY at) AS so_far,
    avg(load) OVER (ORDER BY at RANGE BETWEEN UNBOUNDED PRECEDING AND 10 PRECEDING) AS before,
    max(load) OVER (PARTITION BY device ORDER BY at, id ROWS UNBOUNDED PRECEDING) AS by_row
  FROM sensor;
CREATE VIEW counted AS SELECT at, id,
    sum(load) OVER (PARTITION BY device ORDER BY at, id ROWS 3 PRECEDING) AS rows_back,
    sum(load) OVER (ORDER BY at, id ROWS BETWEEN 5 PRECEDING AND 2 PRECEDING EXCLUDE TIES) AS rows_before,
    count(*) OVER (ORDER BY at GROUPS 2 PRECEDING) AS groups_back,
    first_value(load) OVER (PARTITION BY device ORDER BY at, id) AS first,
    nth_value(load, 2) OVER (PARTITION BY device ORDER BY at, id ROWS UNBOUNDED PRECEDING) AS second
  FROM sensor;
CREATE VIEW numbered AS SELECT at, id, device, load,
    row_number() OVER (PARTITION BY device ORDER BY at, id) AS n,
    rank() OVER (ORDER BY at) AS place,
    dense_rank() OVER (PARTITION BY device ORDER BY at) AS dense_place,
    load - lag(load, 1, load) OVER (PARTITION BY device ORDER BY at, id) AS change,
    lag(at, 3) OVER (ORDER BY at, id ROWS CURRENT ROW) AS third_before
  FROM sensor;
-- ahead, alone and with what looks ahead again
CREATE VIEW ahead AS SELECT at, id, avg(load) OVER (ORDER BY at RANGE BETWEEN 10 PRECEDING AND 10 FOLLOWING) AS around FROM sensor;
CREATE VIEW further AS SELECT at, id, max(around) OVER (ORDER BY at RANGE BETWEEN 2 FOLLOWING AND 7 FOLLOWING) AS peak FROM ahead;
-- both, beside frames of other kinds
CREATE VIEW sides AS SELECT at, id, device, sum(load) OVER (PARTITION BY device ORDER BY at RANGE BETWEEN 20 PRECEDING AND 5 PRECEDING) AS earlier,
    max(load) FILTER (WHERE id % 2 = 0) OVER (ORDER BY at RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before,
    avg(load) OVER (PARTITION BY device ORDER BY at RANGE BETWEEN 20 PRECEDING AND 3 FOLLOWING) AS both_sides,
    count(*) OVER (ORDER BY at RANGE BETWEEN 2 FOLLOWING AND 4 FOLLOWING) AS soon, min(id) OVER (PARTITION BY device ORDER BY at RANGE BETWEEN 7 PRECEDING AND 7 PRECEDING) AS then,
    sum(load) OVER (ORDER BY at RANGE BETWEEN CURRENT ROW AND 3 FOLLOWING) AS next, sum(load) OVER (PARTITION BY device ORDER BY at RANGE 20 PRECEDING) AS so_far,
    lag(load) OVER (PARTITION BY device ORDER BY at, id) AS last, sum(load) OVER (ORDER BY at RANGE BETWEEN UNBOUNDED PRECEDING AND 3 FOLLOWING) AS all_and_next
  FROM sensor;
CREATE VIEW nothing AS SELECT at, id, sum(load) OVER (ORDER BY at RANGE BETWEEN 5 PRECEDING AND 20 PRECEDING) AS never FROM sensor;
-- nested: what is numbered is summed over a short window
CREATE VIEW first_three AS SELECT at, id, sum(load) OVER (ORDER BY at RANGE 20 PRECEDING) AS s FROM numbered WHERE n <= 3 OR change > 0;
SELECT tidemark.make_continuous(v) FROM unnest('{cumulative,counted,numbered,ahead,further,sides,nothing,first_three}'::regclass[]) v;

CREATE FUNCTION differences() RETURNS TABLE (view regclass, difference text, "row" jsonb) LANGUAGE sql AS
    'SELECT c.view, v.* FROM tidemark.continuous_views c, tidemark.verify(c.view) v';
CREATE FUNCTION maintained() RETURNS void LANGUAGE plpgsql AS
    'BEGIN PERFORM tidemark.wait_until_maintained(c.view) FROM tidemark.continuous_views c; END';

INSERT INTO sensor SELECT i, i * 2 / 3, i % 4, (i * 7919) % 101 / 8.0 FROM generate_series(1, 300) i;
SELECT maintained();
-- the frontier stays behind the watermark by what a view looks ahead
SELECT view, method, state, percent_materialised, frontier, watermark FROM tidemark.continuous_views ORDER BY view::text;
SELECT part, how, why FROM tidemark.explain('sides');
SELECT how, why FROM tidemark.explain('nothing') WHERE part = 'maintenance';
SELECT count(*) FROM differences();
SELECT count(*) FROM numbered WHERE third_before IS NULL;

-- late rows change all that comes after them, and what looked ahead to them
INSERT INTO sensor VALUES (1001, 3, 1, 0.25), (1002, 150, 2, 7), (1003, -5, 3, 100);
SELECT count(*) FROM differences();
UPDATE sensor SET load = load + 1 WHERE id % 50 = 7;
UPDATE sensor SET at = at - 60, device = 3 WHERE id = 299;
DELETE FROM sensor WHERE id IN (1, 2, 150, 151);
SELECT count(*) FROM differences();
-- one that is on time for a view that looks back, and late for none
INSERT INTO sensor VALUES (1004, 199, 1, 3), (1005, 196, 1, 4), (1006, 195, 2, 5), (1007, 187, 2, 6);
SELECT count(*) FROM differences();
INSERT INTO sensor SELECT 2000 + i, 200 + i, i % 5, i / 3.0 FROM generate_series(1, 50) i;
SELECT count(*) FROM differences();
SELECT maintained();
SELECT count(*) FROM differences();
SELECT view, frontier, corrections > 0 AS corrected FROM tidemark.continuous_views ORDER BY view::text;
TRUNCATE sensor;
INSERT INTO sensor VALUES (1, 100, 1, 1), (2, 400, 1, 1);
SELECT maintained();
SELECT count(*) FROM differences();

-- the definition changes, and with it how far the frontier goes
CREATE OR REPLACE VIEW ahead AS SELECT at, id, avg(load) OVER (ORDER BY at RANGE BETWEEN 10 PRECEDING AND 300 FOLLOWING) AS around FROM sensor;
SELECT maintained();
SELECT view, frontier FROM tidemark.continuous_views WHERE view IN ('ahead'::regclass, 'further'::regclass) ORDER BY view::text;
INSERT INTO sensor VALUES (3, 390, 1, 5), (4, 90, 2, 7);
SELECT count(*) FROM differences();
-- and goes with it
DROP VIEW further, ahead;
SELECT count(*) FROM differences();
DROP TABLE sensor CASCADE;
DROP FUNCTION differences, maintained;
