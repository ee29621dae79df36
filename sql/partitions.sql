-- A partitioned stream: writes through the parent and past it, partitions that come and go.
CREATE TABLE log (at timestamp, key int, x float8) PARTITION BY RANGE (at);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE log_2 (key int, dropped int, x float8, at timestamp);
ALTER TABLE log_2 DROP COLUMN dropped;
ALTER TABLE log ATTACH PARTITION log_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
SELECT tidemark.create_stream('log', 'at', allowed_delay => '1 hour');
SELECT tidemark.create_stream('log_1', 'at');
INSERT INTO log SELECT timestamp '2024-01-30' + i * interval '1 minute', i % 4, i / 3.0 FROM generate_series(1, 5000) i;
CREATE VIEW sums AS SELECT at, key, sum(x) OVER (PARTITION BY key ORDER BY at RANGE '10 minutes' PRECEDING) AS s, count(*) OVER (ORDER BY at RANGE '1 day' PRECEDING) AS n FROM log;
SELECT tidemark.make_continuous('sums');
SELECT tidemark.wait_until_maintained('sums');
SELECT * FROM tidemark.verify('sums');
-- through the parent, and into the partitions themselves
INSERT INTO log VALUES ('2024-01-31 00:00:30', 1, 1e15), ('2024-02-01 00:00:30', 2, 1e15);
SELECT * FROM tidemark.verify('sums');
INSERT INTO log_2 (at, key, x) VALUES ('2024-02-01 00:10:30', 2, -1);
SELECT * FROM tidemark.verify('sums');
UPDATE log SET at = at + interval '1 day' WHERE at BETWEEN '2024-01-31 12:00' AND '2024-01-31 12:30';
SELECT * FROM tidemark.verify('sums');
DELETE FROM log_1 WHERE key = 3;
SELECT * FROM tidemark.verify('sums');
-- a new partition, and rows for it
CREATE TABLE log_3 PARTITION OF log FOR VALUES FROM ('2024-03-01') TO ('2024-04-01') PARTITION BY LIST (key);
CREATE TABLE log_3_odd PARTITION OF log_3 FOR VALUES IN (1, 3);
CREATE TABLE log_3_even PARTITION OF log_3 DEFAULT;
INSERT INTO log SELECT timestamp '2024-03-01' + i * interval '1 minute', i % 4, i FROM generate_series(1, 500) i;
SELECT tidemark.wait_until_maintained('sums');
INSERT INTO log_3_odd VALUES ('2024-03-01 00:05:30', 1, 100);
INSERT INTO log_3 VALUES ('2024-03-01 00:06:30', 2, 100);
SELECT * FROM tidemark.verify('sums');
-- MERGE moves rows from partition to partition: between those of months, and of keys; with other actions, and without
MERGE INTO log USING (VALUES (1)) moved (key) ON log.key = moved.key AND at BETWEEN '2024-02-01 11:00' AND '2024-02-01 11:10' WHEN MATCHED THEN UPDATE SET at = at - interval '1 day';
SELECT * FROM tidemark.verify('sums');
SELECT tidemark.wait_until_maintained('sums');
MERGE INTO log_3 USING (VALUES (1), (77)) moved (key) ON log_3.key = moved.key AND at < '2024-03-01 01:00' WHEN MATCHED THEN UPDATE SET key = 2 WHEN NOT MATCHED THEN INSERT VALUES ('2024-03-01 00:10:30', 0, 100);
SELECT * FROM tidemark.verify('sums');
SELECT tidemark.wait_until_maintained('sums');
-- what it doesn't move is corrected
MERGE INTO log USING (VALUES (1), (78)) changed (key) ON log.key = changed.key AND at BETWEEN '2024-02-01 12:00' AND '2024-02-01 12:30' WHEN MATCHED THEN UPDATE SET x = -1 WHEN NOT MATCHED THEN INSERT VALUES ('2024-02-01 12:10:30', 0, 100);
SELECT rows > 0 FROM tidemark.continuous_views WHERE view = 'sums'::regclass;
SELECT * FROM tidemark.verify('sums');
-- detach, attach with rows in it, truncate and drop one: the view starts anew, and is right at once
ALTER TABLE log DETACH PARTITION log_2;
SELECT * FROM tidemark.verify('sums');
INSERT INTO log_2 (at, key, x) VALUES ('2024-02-02', 2, -1);
SELECT tidemark.wait_until_maintained('sums');
SELECT * FROM tidemark.verify('sums');
ALTER TABLE log ATTACH PARTITION log_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
SELECT * FROM tidemark.verify('sums');
SELECT tidemark.wait_until_maintained('sums');
SELECT * FROM tidemark.verify('sums');
TRUNCATE log_3_even;
SELECT * FROM tidemark.verify('sums');
SELECT tidemark.wait_until_maintained('sums');
DROP TABLE log_1;
SELECT * FROM tidemark.verify('sums');
SELECT tidemark.wait_until_maintained('sums');
SELECT * FROM tidemark.verify('sums');
TRUNCATE log;
SELECT count(*) FROM sums;
SELECT * FROM tidemark.verify('sums');
DROP TABLE log CASCADE;
