-- What Ibis writes, as it stands: CREATE VIEW with nothing around it, made continuous by a setting.
CREATE TABLE payment_msg ("createTime" timestamp(3), "orderId" bigint, "payAmount" double precision, "payPlatform" int, "provinceId" int);
SELECT tidemark.create_stream('payment_msg', 'createTime', allowed_delay => '15 seconds');
SET tidemark.continuous_views = on;
BEGIN;
CREATE OR REPLACE VIEW "seed" AS SELECT
  "t0"."provinceId" AS "province_id",
  SUM("t0"."payAmount") OVER (
    ORDER BY "t0"."createTime" ASC
    RANGE BETWEEN INTERVAL '10 SECOND' preceding AND MAKE_INTERVAL(secs => CAST(0 AS DOUBLE PRECISION)) following
  ) AS "pay_amount"
FROM "payment_msg" AS "t0";
COMMIT;
CREATE VIEW "by_province" AS SELECT
  "t0"."createTime",
  "t0"."orderId",
  "t0"."provinceId" AS "province_id",
  SUM("t0"."payAmount") OVER (
    PARTITION BY "t0"."provinceId"
    ORDER BY "t0"."createTime" ASC
    RANGE BETWEEN INTERVAL '10 SECOND' preceding AND MAKE_INTERVAL(secs => CAST(0 AS DOUBLE PRECISION)) following
  ) AS "pay_amount"
FROM "payment_msg" AS "t0";
CREATE VIEW "trailing" AS SELECT
  "t0"."createTime",
  "t0"."orderId",
  "t0"."payAmount",
  "t0"."payPlatform",
  "t0"."provinceId",
  SUM("t0"."payAmount") OVER (
    PARTITION BY "t0"."provinceId"
    ORDER BY "t0"."createTime" ASC
    RANGE BETWEEN INTERVAL '30 SECOND' preceding AND MAKE_INTERVAL(secs => CAST(0 AS DOUBLE PRECISION)) following
  ) AS "s"
FROM "payment_msg" AS "t0";
CREATE VIEW "multi" AS SELECT
  "t0"."createTime",
  "t0"."orderId",
  "t0"."payAmount",
  "t0"."payPlatform",
  "t0"."provinceId",
  SUM("t0"."payAmount") OVER (
    PARTITION BY "t0"."provinceId"
    ORDER BY "t0"."createTime" ASC
    RANGE BETWEEN INTERVAL '1 MINUTE' preceding AND MAKE_INTERVAL(mins => CAST(0 AS INT)) following
  ) AS "s",
  COUNT(*) OVER (
    PARTITION BY "t0"."provinceId"
    ORDER BY "t0"."createTime" ASC
    RANGE BETWEEN INTERVAL '1 MINUTE' preceding AND MAKE_INTERVAL(mins => CAST(0 AS INT)) following
  ) AS "n",
  AVG("t0"."payAmount") OVER (
    PARTITION BY "t0"."provinceId"
    ORDER BY "t0"."createTime" ASC
    RANGE BETWEEN INTERVAL '1 MINUTE' preceding AND MAKE_INTERVAL(mins => CAST(0 AS INT)) following
  ) AS "a",
  MAX("t0"."payAmount") OVER (
    PARTITION BY "t0"."provinceId"
    ORDER BY "t0"."createTime" ASC
    RANGE BETWEEN INTERVAL '1 MINUTE' preceding AND MAKE_INTERVAL(mins => CAST(0 AS INT)) following
  ) AS "mx",
  MIN("t0"."payAmount") OVER (
    PARTITION BY "t0"."provinceId"
    ORDER BY "t0"."createTime" ASC
    RANGE BETWEEN INTERVAL '1 MINUTE' preceding AND MAKE_INTERVAL(mins => CAST(0 AS INT)) following
  ) AS "mn"
FROM "payment_msg" AS "t0";
-- Ibis nests SELECT * for whatever is chained
CREATE VIEW "nested" AS SELECT * FROM (SELECT * FROM (SELECT "t0"."createTime", "t0"."provinceId", COUNT(*) OVER (
    ORDER BY "t0"."createTime" ASC RANGE BETWEEN INTERVAL '5 SECOND' preceding AND MAKE_INTERVAL(secs => CAST(0 AS DOUBLE PRECISION)) following) AS "n"
  FROM "payment_msg" AS "t0") AS "t1" WHERE "t1"."n" > 1) AS "t2";
-- cumulative, the first of each order, and a window over that
CREATE VIEW "cumulative" AS SELECT
  "t0"."createTime",
  "t0"."orderId",
  "t0"."payAmount",
  "t0"."payPlatform",
  "t0"."provinceId",
  SUM("t0"."payAmount") OVER (
    PARTITION BY "t0"."provinceId"
    ORDER BY "t0"."createTime" ASC, "t0"."orderId" ASC
    ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
  ) AS "c"
FROM "payment_msg" AS "t0";
CREATE VIEW "first_of_order" AS SELECT
  "createTime",
  "orderId",
  "payAmount",
  "payPlatform",
  "provinceId"
FROM (
  SELECT
    "t0"."createTime",
    "t0"."orderId",
    "t0"."payAmount",
    "t0"."payPlatform",
    "t0"."provinceId",
    ROW_NUMBER() OVER (
      PARTITION BY "t0"."orderId"
      ORDER BY "t0"."createTime" ASC
      ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
    ) AS _w
  FROM "payment_msg" AS "t0"
) AS _t
WHERE
  (
    _w - 1
  ) = 0;
CREATE VIEW "first_then_over" AS SELECT
  "t1"."createTime",
  "t1"."orderId",
  "t1"."payAmount",
  "t1"."payPlatform",
  "t1"."provinceId",
  SUM("t1"."payAmount") OVER (
    PARTITION BY "t1"."provinceId"
    ORDER BY "t1"."createTime" ASC
    RANGE BETWEEN INTERVAL '1 MINUTE' preceding AND MAKE_INTERVAL(mins => CAST(0 AS INT)) following
  ) AS "s"
FROM "first_of_order" AS "t1";
-- not over a stream: nothing is said; over one, but not to be maintained yet: a notice; temporary: never
CREATE VIEW "no_stream" AS SELECT 1 AS one;
CREATE VIEW "distinct_cols" AS SELECT DISTINCT "t0"."provinceId", "t0"."payPlatform" FROM "payment_msg" AS "t0";
CREATE VIEW "lag_lead" AS SELECT
  "t0"."createTime",
  LAG("t0"."payAmount") OVER (
    PARTITION BY "t0"."provinceId"
    ORDER BY "t0"."createTime" ASC, "t0"."orderId" ASC
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
  ) AS "p",
  LEAD("t0"."payAmount", 2) OVER (
    PARTITION BY "t0"."provinceId"
    ORDER BY "t0"."createTime" ASC, "t0"."orderId" ASC
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
  ) AS "nx"
FROM "payment_msg" AS "t0";
CREATE TEMPORARY VIEW "ibis_temp" AS SELECT * FROM "payment_msg" AS "t0";
SELECT view, materialised_in FROM tidemark.continuous_views ORDER BY view::text;
INSERT INTO payment_msg SELECT timestamp '2023-09-20 22:00:00' + i * interval '700 ms', i, (i * 7919) % 100003 / 7.0, i % 3, i % 5 FROM generate_series(1, 500) i;
INSERT INTO payment_msg SELECT "createTime", 0, 0.1, 0, 1 FROM payment_msg WHERE "orderId" % 7 = 0;
SELECT tidemark.wait_until_maintained(view) FROM tidemark.continuous_views;
INSERT INTO payment_msg VALUES ('2023-09-20 22:01:00', 1000, 0.7, 0, 1), ('2023-09-20 22:05:50', 1000, 0.7, 0, 1);
SELECT view, v.* FROM tidemark.continuous_views, tidemark.verify(view) v;
SELECT * FROM "seed" ORDER BY pay_amount DESC LIMIT 3;
-- what Ibis lists are tables and views
SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1;
DROP VIEW IF EXISTS "seed";
DROP VIEW "by_province";
SELECT view FROM tidemark.continuous_views ORDER BY view::text;
RESET tidemark.continuous_views;
DROP TABLE payment_msg CASCADE;
