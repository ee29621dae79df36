-- Continuous views: the quick start in small, on time and late, and what verify says when something is wrong.
CREATE FUNCTION tables_read(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN QUERY SELECT DISTINCT m[1] FROM regexp_matches(plan::text, '"Relation Name": "([^"]+)"', 'g') m ORDER BY 1;
END $$;
CREATE TABLE payment_msg ("createTime" timestamp(3), "orderId" bigint, "payAmount" double precision, "payPlatform" int, "provinceId" int);
SELECT tidemark.create_stream('payment_msg', 'createTime', allowed_delay => '15 seconds');
INSERT INTO payment_msg SELECT timestamp '2023-09-20 22:00:00' + i * interval '100 ms', i, (i * 7919) % 100003 / 7.0, i % 3, i % 5 FROM generate_series(1, 3000) i;
CREATE VIEW recent_spend AS
SELECT "createTime", "provinceId", SUM("payAmount") OVER (PARTITION BY "provinceId" ORDER BY "createTime"
       RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW) AS pay_amount FROM payment_msg;
SELECT pg_get_viewdef('recent_spend') AS definition \gset
SELECT tidemark.make_continuous('recent_spend');
SELECT pg_get_viewdef('recent_spend') = :'definition' AS same_definition;
SELECT relkind FROM pg_class WHERE oid = 'recent_spend'::regclass;
SELECT tidemark.wait_until_maintained('recent_spend');
SELECT state, percent_materialised, frontier, watermark, rows FROM tidemark.continuous_views WHERE view = 'recent_spend'::regclass;
SELECT * FROM recent_spend ORDER BY 1 DESC LIMIT 3;
SELECT * FROM tidemark.verify('recent_spend');
-- a plan shows both parts
ANALYZE payment_msg, tidemark_data.recent_spend_rows;
EXPLAIN (COSTS OFF) SELECT "createTime" FROM recent_spend;
SELECT * FROM tables_read('SELECT * FROM recent_spend');
SET tidemark.use_continuous = off;
SELECT * FROM tables_read('SELECT * FROM recent_spend');
RESET tidemark.use_continuous;

-- late rows, updates, deletes, a rollback, a savepoint, in one transaction and seen in it
BEGIN;
INSERT INTO payment_msg VALUES ('2023-09-20 22:01:00', 1, 1e17, 0, 3), ('2023-09-20 21:00:00', 2, 1, 0, 4);
SELECT * FROM tidemark.verify('recent_spend');
SAVEPOINT a;
UPDATE payment_msg SET "payAmount" = -1, "createTime" = "createTime" - interval '30 s' WHERE "orderId" % 100 = 0;
SELECT * FROM tidemark.verify('recent_spend');
ROLLBACK TO a;
SELECT * FROM tidemark.verify('recent_spend');
DELETE FROM payment_msg WHERE "provinceId" = 2;
SELECT * FROM tidemark.verify('recent_spend');
COMMIT;
SELECT * FROM tidemark.verify('recent_spend');
SELECT corrections > 0 AS corrected FROM tidemark.continuous_views WHERE view = 'recent_spend'::regclass;
COPY payment_msg FROM stdin (FORMAT csv);
2023-09-20 22:03:00,10,0.1,0,3
2023-09-20 22:03:00,11,0.2,0,3
2023-09-20 22:03:00,12,0.3,0,3
2023-09-20 23:00:00,13,0.3,0,3
\.
SELECT * FROM tidemark.verify('recent_spend');
SELECT tidemark.wait_until_maintained('recent_spend');
SELECT * FROM tidemark.verify('recent_spend');
SELECT frontier FROM tidemark.continuous_views WHERE view = 'recent_spend'::regclass;
INSERT INTO payment_msg VALUES ('2023-09-20 22:59:30', 14, 5, 0, 3) ON CONFLICT DO NOTHING;
MERGE INTO payment_msg p USING (VALUES (14::bigint)) m (id) ON p."orderId" = m.id
    WHEN MATCHED THEN UPDATE SET "payAmount" = 6;
SELECT * FROM tidemark.verify('recent_spend');

-- prepared plans follow the frontier, and a view that is switched
PREPARE latest AS SELECT count(*), max("createTime") FROM recent_spend WHERE "provinceId" = $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE latest(3);
INSERT INTO payment_msg VALUES ('2023-09-21 00:00:00', 15, 7, 0, 3);
EXECUTE latest(3);
SET tidemark.use_continuous = off;
SELECT * FROM tables_read('EXECUTE latest(3)');
RESET tidemark.use_continuous;
SELECT * FROM tables_read('EXECUTE latest(3)');
SELECT tidemark.wait_until_maintained('recent_spend');
EXECUTE latest(3);
SELECT tidemark.make_batch('recent_spend');
SELECT * FROM tables_read('EXECUTE latest(3)');
EXECUTE latest(3);
SELECT * FROM tidemark.verify('recent_spend');
SELECT tidemark.make_batch('recent_spend');
SELECT tidemark.make_continuous('recent_spend');
SELECT tidemark.make_continuous('recent_spend');
EXECUTE latest(3);
RESET plan_cache_mode;

-- many views on one stream; a view on a continuous view
CREATE VIEW several AS
SELECT "orderId", count(*) OVER w AS n, avg("payAmount") OVER w AS a, max("payAmount") OVER (PARTITION BY "payPlatform" ORDER BY "createTime" RANGE '1 minute' PRECEDING) AS m,
       sum("payAmount") FILTER (WHERE "payPlatform" = 1) OVER w AS s1, count(*) OVER (ORDER BY "createTime" RANGE BETWEEN '3 s' PRECEDING AND '1 s' PRECEDING) AS past
  FROM payment_msg WHERE "provinceId" <> 1
WINDOW w AS (PARTITION BY "provinceId" ORDER BY "createTime" RANGE BETWEEN '20 s' PRECEDING AND CURRENT ROW);
SELECT tidemark.make_continuous('several');
CREATE VIEW of_recent AS
WITH recent AS (SELECT * FROM recent_spend WHERE pay_amount > 1000)
SELECT "provinceId" AS province, max(pay_amount) OVER (PARTITION BY "provinceId" ORDER BY "createTime" RANGE '5 s' PRECEDING) AS peak FROM recent;
SELECT tidemark.make_continuous('of_recent');
SELECT tidemark.wait_until_maintained('several'), tidemark.wait_until_maintained('of_recent');
SELECT * FROM tidemark.verify('several');
SELECT * FROM tidemark.verify('of_recent');
DELETE FROM payment_msg WHERE "orderId" % 10 = 3;
INSERT INTO payment_msg VALUES ('2023-09-20 22:02:02', 16, 1e300, 1, 3), ('2023-09-20 22:02:02', 17, 'NaN', 1, 4), ('2023-09-20 22:02:12.001', 18, 'Infinity', 1, 4);
SELECT * FROM tidemark.verify('several');
SELECT * FROM tidemark.verify('of_recent');
SELECT * FROM tidemark.verify('recent_spend');

-- months look back over the end of February
CREATE VIEW monthly AS SELECT "orderId", count(*) OVER (ORDER BY "createTime" RANGE '1 month' PRECEDING) AS n FROM payment_msg;
SELECT tidemark.make_continuous('monthly');
INSERT INTO payment_msg SELECT d, 0, 1, 0, 0 FROM generate_series(timestamp '2024-02-25', '2024-04-30', '12 hours') d;
SELECT tidemark.wait_until_maintained('monthly');
SELECT * FROM tidemark.verify('monthly');
INSERT INTO payment_msg VALUES ('2024-02-29 00:00:00', 0, 1, 0, 0);
SELECT * FROM tidemark.verify('monthly');

-- verify finds what is wrong: this table is the extension owner's, and nobody else's to change
UPDATE tidemark_data.recent_spend_rows SET c3 = c3 + 1 WHERE c1 = '2023-09-20 22:03:00';
SELECT difference, "row" -> 'createTime' AS at FROM tidemark.verify('recent_spend') ORDER BY 1, 2;
DELETE FROM tidemark_data.recent_spend_rows WHERE c1 = '2023-09-20 22:03:00';
SELECT difference, count(*) FROM tidemark.verify('recent_spend') GROUP BY 1 ORDER BY 1;
-- and any correction there computes the rows anew: of the keys of late rows, and of those that are changed, before and after
INSERT INTO payment_msg VALUES ('2023-09-20 22:03:00', 19, 1, 0, 3);
UPDATE payment_msg SET "provinceId" = 0 WHERE "createTime" = '2023-09-20 22:03:00' AND "orderId" = 19;
SELECT * FROM tidemark.verify('recent_spend');

-- TRUNCATE
TRUNCATE payment_msg;
SELECT * FROM recent_spend;
SELECT * FROM tidemark.verify('recent_spend');
SELECT view, rows FROM tidemark.continuous_views WHERE stream = 'payment_msg'::regclass ORDER BY view::text;
INSERT INTO payment_msg VALUES ('2025-01-01', 1, 2, 0, 3), ('2025-01-02', 1, 2, 0, 3);
SELECT tidemark.wait_until_maintained('recent_spend');
SELECT * FROM recent_spend;
SELECT * FROM tidemark.verify('recent_spend');
DROP TABLE payment_msg CASCADE;
SELECT count(*) FROM pg_class WHERE relnamespace = 'tidemark_data'::regnamespace;
DROP FUNCTION tables_read;
