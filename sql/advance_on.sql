-- What a view's frontier follows: the watermark, or the newest event time that has arrived.
CREATE TABLE trade (at timestamp, symbol text, price float8);
SELECT tidemark.create_stream('trade', 'at', allowed_delay => '1 hour');
CREATE VIEW on_watermark AS SELECT at, symbol, avg(price) OVER (PARTITION BY symbol ORDER BY at RANGE '1 min' PRECEDING) AS price FROM trade;
CREATE VIEW on_arrival AS SELECT at, symbol, avg(price) OVER (PARTITION BY symbol ORDER BY at RANGE '1 min' PRECEDING) AS price FROM trade;
SELECT tidemark.make_continuous('on_watermark');
SELECT tidemark.make_continuous('on_arrival', advance_on => 'arrival');
CREATE MATERIALIZED VIEW declared WITH (tidemark.continuous, tidemark.advance_on = 'arrival') AS
    SELECT at, max(price) OVER (ORDER BY at RANGE BETWEEN '1 min' PRECEDING AND '1 min' FOLLOWING) AS price FROM trade;
INSERT INTO trade SELECT timestamp '2024-05-01' + i * interval '10 s', chr(97 + i % 3), i % 17 FROM generate_series(1, 1000) i;
SELECT tidemark.wait_until_maintained(view) FROM tidemark.continuous_views;
SELECT view, advance_on, state, percent_materialised, frontier, watermark, rows FROM tidemark.continuous_views ORDER BY view::text;
SELECT view, v.* FROM tidemark.continuous_views, tidemark.verify(view) v;
-- a row that is out of order, though not late: it corrects what follows arrivals
INSERT INTO trade VALUES ('2024-05-01 02:30', 'a', 100);
SELECT view, corrections FROM tidemark.continuous_views ORDER BY view::text;
SELECT view, v.* FROM tidemark.continuous_views, tidemark.verify(view) v;
-- a clock that is far ahead is not followed
INSERT INTO trade VALUES ('2034-05-01', 'a', 100);
SELECT tidemark.wait_until_maintained(view) FROM tidemark.continuous_views;
SELECT view, frontier FROM tidemark.continuous_views ORDER BY view::text;
DELETE FROM trade WHERE at > '2030-01-01';

-- said again, it changes; what has been materialised stays
SELECT tidemark.make_continuous('on_watermark', 'arrival');
SELECT tidemark.make_continuous('on_arrival', 'watermark');
SELECT tidemark.wait_until_maintained(view) FROM tidemark.continuous_views;
SELECT view, advance_on, frontier FROM tidemark.continuous_views ORDER BY view::text;
INSERT INTO trade SELECT timestamp '2024-05-01 03:00' + i * interval '10 s', chr(97 + i % 3), i % 17 FROM generate_series(1, 600) i;
SELECT tidemark.wait_until_maintained(view) FROM tidemark.continuous_views;
SELECT view, advance_on, state, frontier FROM tidemark.continuous_views ORDER BY view::text;
SELECT view, v.* FROM tidemark.continuous_views, tidemark.verify(view) v;
-- a view that is replaced keeps it
CREATE OR REPLACE VIEW on_watermark AS SELECT at, symbol, avg(price) OVER (PARTITION BY symbol ORDER BY at RANGE '2 min' PRECEDING) AS price FROM trade;
SELECT tidemark.wait_until_maintained('on_watermark');
SELECT view, advance_on, frontier FROM tidemark.continuous_views WHERE view = 'on_watermark'::regclass;

-- what it can't be
SELECT tidemark.make_continuous('on_arrival');
SELECT tidemark.make_continuous('on_arrival', 'departure');
SELECT tidemark.make_continuous(NULL, 'arrival');
CREATE MATERIALIZED VIEW wrong WITH (tidemark.advance_on = 'arrival') AS SELECT * FROM trade;
CREATE MATERIALIZED VIEW wrong WITH (tidemark.continuous, tidemark.advance_on = 'departure') AS SELECT * FROM trade;
CREATE MATERIALIZED VIEW wrong WITH (tidemark.continuous, tidemark.advance = 'arrival') AS SELECT * FROM trade;
CREATE ROLE advance_on_other;
SET ROLE advance_on_other;
SELECT tidemark.make_continuous('on_arrival', 'arrival');
RESET ROLE;
DROP ROLE advance_on_other;
DROP TABLE trade CASCADE;
