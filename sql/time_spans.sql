-- BRIN indexes on event time (stream/time_spans.c): whatever is asked, by index and without it the same rows come
SELECT opcname, opcintype::regtype, amvalidate(oid) FROM pg_opclass WHERE opcnamespace = 'tidemark'::regnamespace ORDER BY opcname;
SET timezone = 'Europe/Berlin';
SET jit = off;
CREATE TABLE times (id int, t timestamp, z timestamptz, d date, n bigint);
-- in order, out of order, stragglers, many at the same time, none, and the first and last there are
CREATE FUNCTION some_times(first int, last int) RETURNS SETOF times LANGUAGE sql AS $$
    SELECT i, timestamp '2024-03-30 12:00' + at * interval '1 minute', timestamptz '2024-03-30 12:00' + at * interval '1 minute', date '2024-03-30' + at / 100, at
      FROM (SELECT i, CASE WHEN i % 997 = 0 THEN NULL WHEN i % 501 = 0 THEN -i * 7 WHEN i % 499 = 0 THEN i + 50000 WHEN i % 1200 < 300 THEN i / 1200
                      WHEN i % 3000 < 800 THEN hashint4(i) % 5000 ELSE i + hashint4(i) % 50 END AS at FROM generate_series(first, last) i) x $$;
INSERT INTO times SELECT * FROM some_times(1, 8000);
INSERT INTO times VALUES (0, 'infinity', '-infinity', 'infinity', 9223372036854775807), (0, '-infinity', 'infinity', '-infinity', -9223372036854775808);
CREATE INDEX ON times USING brin (t tidemark.timestamp_spans, z tidemark.timestamptz_spans, d tidemark.date_spans, n tidemark.bigint_spans) WITH (pages_per_range = 2);
-- each operator with each type, on arguments that rows have, nearly have, and none has; and two at once
CREATE FUNCTION check_index(OUT conditions bigint, OUT by_index bigint, OUT differing bigint, OUT any_found bool) LANGUAGE plpgsql AS $$
DECLARE
    condition text;
    plan text;
    line text;
    answers bigint[];
    total bigint := 0;
BEGIN
    SELECT 0, 0, 0 INTO conditions, by_index, differing;
    FOR condition IN
        WITH arguments(c, type, value) AS (
            SELECT c, type, v FROM unnest('{t,z,d}'::text[]) c, unnest('{timestamp,timestamptz,date}'::text[]) type,
                   unnest('{2024-03-31 02:30,2024-04-02 11:11,infinity,-infinity}'::text[]) v
            UNION ALL
            SELECT 'n', type, v FROM unnest('{bigint,int,smallint}'::text[]) type, unnest('{0,777,-3507,5555}'::text[]) v
            UNION ALL
            SELECT 'n', 'bigint', v FROM unnest('{9223372036854775807,-9223372036854775808,5000000000}'::text[]) v)
        SELECT format('%s %s %L::%s', c, op, value, type) FROM arguments, unnest('{<,<=,=,>=,>}'::text[]) op
        UNION ALL SELECT format('%1$s > %2$L AND %1$s <= %3$L', c, a, b) FROM unnest('{t,z,d}'::text[]) c, unnest('{2024-03-31 01:00,2024-04-01}'::text[]) a,
                         unnest('{2024-03-31 05:00,2024-04-03,2024-03-01}'::text[]) b
        UNION ALL SELECT format('n BETWEEN %s AND %s::smallint', a, a + 10) FROM generate_series(-100, 7900, 1000) a
        UNION ALL SELECT c || ' IS ' || what FROM unnest('{t,z,d,n}'::text[]) c, unnest('{"NULL",NOT NULL}'::text[]) what
    LOOP
        FOR line IN EXECUTE 'EXPLAIN SELECT 1 FROM times WHERE ' || condition LOOP
            by_index := by_index + (line ~ 'Bitmap Index Scan')::int;
        END LOOP;
        answers := '{}';
        FOREACH plan IN ARRAY '{off,on}'::text[] LOOP
            PERFORM set_config('enable_seqscan', plan, true), set_config('enable_bitmapscan', CASE plan WHEN 'on' THEN 'off' ELSE 'on' END, true);
            EXECUTE 'SELECT array_append($1, coalesce(sum(hashint4(id)::bigint + 5000000000), 0)::bigint) FROM times WHERE ' || condition INTO answers USING answers;
        END LOOP;
        PERFORM set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'on', true);
        conditions := conditions + 1;
        differing := differing + (answers[1] <> answers[2])::int;
        total := total + answers[1];
    END LOOP;
    any_found := total > 0;
END $$;
SET enable_seqscan = off;
SELECT * FROM check_index();
-- few rows of a range are read where a straggler is asked for
CREATE FUNCTION rows_read(condition text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT json) SELECT 1 FROM times WHERE ' || condition INTO plan;
    RETURN (plan #>> '{0,Plan,Actual Rows}')::numeric + (plan #>> '{0,Plan,Rows Removed by Index Recheck}')::numeric;
END $$;
SELECT rows_read('n BETWEEN -49099 AND -49097') < 2000 AS one_range, rows_read('n BETWEEN 56000 AND 56100') < 2000 AS few, rows_read('n BETWEEN 900000 AND 900010') AS none;
-- rows that come into ranges that have their spans, and ranges that get theirs later
INSERT INTO times SELECT * FROM some_times(8001, 10000);
SELECT * FROM check_index();
DELETE FROM times WHERE id % 3 = 0;
VACUUM times;
INSERT INTO times SELECT * FROM some_times(10001, 12000);
SELECT * FROM check_index();
SELECT brin_summarize_new_values('times_t_z_d_n_idx') > 0 AS summarized;
SELECT * FROM check_index();
-- made by several processes, where PostgreSQL does so
SET min_parallel_table_scan_size = 0;
SET max_parallel_maintenance_workers = 2;
ALTER TABLE times SET (parallel_workers = 2);
REINDEX TABLE times;
SELECT * FROM check_index();
RESET enable_seqscan;
DROP TABLE times CASCADE;
-- it is the one that a stream gets
CREATE TABLE s (t timestamp, v int);
SELECT tidemark.create_stream('s', 't');
\d s
DROP TABLE s;
DROP FUNCTION check_index, rows_read;
