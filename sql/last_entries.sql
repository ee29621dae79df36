-- the index on the event time of materialised rows, or on their keys, to which entries are added many at a time: amcheck looks at its
-- structure, and for each row's entry
CREATE EXTENSION amcheck;
CREATE FUNCTION checked(OUT view text, OUT method name, OUT rows bigint, OUT by_index bigint, OUT differing bigint) RETURNS SETOF record LANGUAGE plpgsql
    SET enable_seqscan = off SET jit = off AS $$
DECLARE
    v record;
BEGIN
    FOR v IN SELECT c.relid, mat, indexrelid, indkey[0] AS attnum, amname FROM tidemark.view c JOIN pg_index ON indrelid = mat JOIN pg_class i ON i.oid = indexrelid
               JOIN pg_am a ON a.oid = relam ORDER BY c.relid::text, amname DESC LOOP
        PERFORM tidemark.wait_until_maintained(v.relid);
        view := v.relid;
        method := v.amname;
        EXECUTE format('SELECT count(*) FROM %s', v.mat) INTO rows;
        IF method = 'btree' THEN
            PERFORM bt_index_parent_check(v.indexrelid, true, true);
            EXECUTE format('SELECT count(*) FROM (SELECT c%1$s FROM %2$s ORDER BY c%1$s) i', v.attnum, v.mat) INTO by_index;
        ELSE
            -- small pieces: of a range of pages whose summary lacks a row, few would find it
            EXECUTE format('SELECT sum((SELECT count(*) FROM %2$s WHERE c%1$s BETWEEN piece AND piece + 99)) FROM generate_series(0, 7000, 100) piece', v.attnum, v.mat) INTO by_index;
            PERFORM brin_summarize_new_values(v.indexrelid);
        END IF;
        SELECT count(*) FROM tidemark.verify(v.relid) INTO differing;
        RETURN NEXT;
    END LOOP;
END $$;
CREATE TABLE s (t bigint, d date, v int);
SELECT tidemark.create_stream('s', 't');
CREATE VIEW all_rows AS SELECT t, v FROM s;
CREATE VIEW sums AS SELECT t, sum(v) OVER (PARTITION BY v ORDER BY t RANGE 100 PRECEDING) FROM s;
CREATE VIEW at_once AS SELECT t, count(*) OVER (ORDER BY t RANGE CURRENT ROW EXCLUDE CURRENT ROW) FROM s;
CREATE VIEW thinned AS SELECT v, sum(v) OVER (ORDER BY t RANGE 100 PRECEDING) FROM s WHERE v < 3;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{all_rows,sums,at_once,thinned}'::text[]) v;
-- one entry, some, many; event times that many rows have, and rows that lie elsewhere than their event times
INSERT INTO s SELECT i, '2024-01-01', i % 7 FROM generate_series(1, 1) i;
SELECT * FROM checked();
INSERT INTO s SELECT i, '2024-01-01', i % 7 FROM generate_series(2, 60) i;
SELECT * FROM checked();
INSERT INTO s SELECT i, '2024-01-01', i % 7 FROM generate_series(61, 10000) i ORDER BY hashint8(i);
SELECT * FROM checked();
INSERT INTO s SELECT 10000 + i / 3, '2024-01-01', i % 7 FROM generate_series(1, 6000) i ORDER BY hashint8(i);
SELECT * FROM checked();
INSERT INTO s SELECT 60000 + i / 500, '2024-01-01', i % 7 FROM generate_series(1, 3000) i;
SELECT * FROM checked();
-- rows come late, and go, and leave room for others
DELETE FROM s WHERE t BETWEEN 5000 AND 59000;
SELECT * FROM checked();
VACUUM tidemark_data.all_rows_rows, tidemark_data.sums_rows, tidemark_data.at_once_rows, tidemark_data.thinned_rows;
INSERT INTO s SELECT i, '2024-01-01', i % 7 FROM generate_series(6000, 6100) i;
SELECT * FROM checked();
INSERT INTO s SELECT 70000 + i, '2024-01-01', i % 7 FROM generate_series(1, 6000) i;
SELECT * FROM checked();
-- all gone: the last leaf is empty
DELETE FROM s;
VACUUM tidemark_data.all_rows_rows, tidemark_data.sums_rows, tidemark_data.at_once_rows, tidemark_data.thinned_rows;
INSERT INTO s SELECT 200000 + i, '2024-01-01', i % 7 FROM generate_series(1, 2000) i;
SELECT * FROM checked();
TRUNCATE s;
INSERT INTO s SELECT 300000 + i, '2024-01-01', i % 7 FROM generate_series(1, 2000) i;
SELECT * FROM checked();
-- rolled back, and an index of the user's own
BEGIN; DELETE FROM s WHERE t < 301000; INSERT INTO s SELECT 300000 + i, '2024-01-01', i % 7 FROM generate_series(1, 500) i; ROLLBACK;
CREATE INDEX ON tidemark_data.all_rows_rows (c2);
INSERT INTO s SELECT 310000 + i, '2024-01-01', i % 7 FROM generate_series(1, 2000) i;
SELECT * FROM checked();
DROP TABLE s CASCADE;

-- the other types of event time
CREATE TABLE days (t date, v int);
CREATE TABLE stamps (t timestamp(3), v int);
CREATE TABLE zoned (t timestamptz, v int);
SELECT tidemark.create_stream('days', 't', max_ahead => NULL), tidemark.create_stream('stamps', 't'), tidemark.create_stream('zoned', 't');
CREATE VIEW day_counts AS SELECT t, count(*) OVER (ORDER BY t RANGE '3 days' PRECEDING) FROM days;
CREATE VIEW stamp_counts AS SELECT t, count(*) OVER (ORDER BY t RANGE '3 s' PRECEDING) FROM stamps;
CREATE VIEW zoned_counts AS SELECT t, count(*) OVER (ORDER BY t RANGE '3 s' PRECEDING) FROM zoned;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{day_counts,stamp_counts,zoned_counts}'::text[]) v;
INSERT INTO days SELECT date '1900-01-01' + i / 3, i FROM generate_series(1, 5000) i;
INSERT INTO stamps SELECT timestamp '1999-12-31 23:59' + i * interval '10 ms', i FROM generate_series(1, 5000) i;
INSERT INTO zoned SELECT timestamptz '1999-12-31 23:59+00' + i * interval '10 ms', i FROM generate_series(1, 5000) i;
SELECT * FROM checked();
INSERT INTO days SELECT date '2000-01-01' + i / 3, i FROM generate_series(1, 3000) i;
INSERT INTO stamps SELECT timestamp '2000-01-01 01:00' + i * interval '10 ms', i FROM generate_series(1, 3000) i;
INSERT INTO zoned SELECT timestamptz '2000-01-01 01:00+00' + i * interval '10 ms', i FROM generate_series(1, 3000) i;
SELECT * FROM checked();
DROP TABLE days, stamps, zoned CASCADE;

-- keys: numbers that grow, and repeat; text; two; nulls; long ones
CREATE TABLE orders (t bigint, id bigint, name text, part int);
SELECT tidemark.create_stream('orders', 't');
CREATE VIEW first_of_id AS SELECT DISTINCT ON (id) * FROM orders ORDER BY id, t;
CREATE VIEW last_of_name AS SELECT DISTINCT ON (name) * FROM orders ORDER BY name, t DESC;
CREATE VIEW three_of_two AS SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY part, id ORDER BY t) AS n FROM orders) o WHERE n <= 3;
SELECT tidemark.make_continuous(v::regclass) FROM unnest('{first_of_id,last_of_name,three_of_two}'::text[]) v;
INSERT INTO orders SELECT i, i, 'order ' || i, i % 3 FROM generate_series(1, 1000) i;
SELECT * FROM checked();
INSERT INTO orders SELECT i, CASE WHEN i % 10 = 0 THEN 1 + hashint8(i) & 511 ELSE i END, 'order ' || 100000 + i, i / 1500 FROM generate_series(1001, 3000) i;
SELECT * FROM checked();
-- backwards, and in no order
INSERT INTO orders SELECT i, 50000 - i, to_char(50000 - i, 'FM00000'), 7 FROM generate_series(3001, 3600) i;
INSERT INTO orders SELECT i, hashint8(i), 'order ' || hashint8(i), hashint8(i) % 5 FROM generate_series(3601, 4200) i;
SELECT * FROM checked();
INSERT INTO orders SELECT i, CASE WHEN i % 5 > 0 THEN 100000000000 + i END, CASE WHEN i % 7 > 0 THEN 'z' || repeat(to_char(i, 'FM00000'), i % 400) END, CASE WHEN i % 11 > 0 THEN 8 END
  FROM generate_series(4201, 5000) i;
SELECT * FROM checked();
INSERT INTO orders SELECT i, 200000000000 + i, 'zz' || i, 9 FROM generate_series(5001, 5500) i;
INSERT INTO orders SELECT i, 200000000000 + i, 'zz' || i, 10 FROM generate_series(5501, 5600) i;
SELECT * FROM checked();
-- the greatest keys go, and come again; others leave room to new ones, in pages with and without summaries
DELETE FROM orders WHERE id > 200000000000 OR t BETWEEN 700 AND 2600;
SELECT tidemark.wait_until_maintained(v::regclass) FROM unnest('{first_of_id,last_of_name,three_of_two}'::text[]) v;
VACUUM tidemark_data.first_of_id_rows;
INSERT INTO orders SELECT i, 200000000000 + i, 'zz' || i, 10 FROM generate_series(5501, 6200) i;
SELECT * FROM checked();
DROP TABLE orders CASCADE;
DROP FUNCTION checked;
