-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION tidemark" to load this file. \quit

-- ------------------------------------------------------------------------------------------------
-- Tables of the catalogue. Event times are kept as "ticks": microseconds since 2000-01-01 for
-- timestamp and timestamptz, days since then for date, the number itself for bigint.
-- ------------------------------------------------------------------------------------------------

-- The continuous views' materialised parts, one table a view.
CREATE SCHEMA tidemark_data;
COMMENT ON SCHEMA tidemark_data IS 'materialised parts of tidemark''s continuous views';
GRANT USAGE ON SCHEMA tidemark TO PUBLIC;

CREATE TABLE tidemark.stream (
    relid         regclass PRIMARY KEY,
    attnum        int2 NOT NULL,
    allowed_delay int8 NOT NULL CHECK (allowed_delay >= 0),  -- ticks
    late_rows     text NOT NULL CHECK (late_rows IN ('keep', 'drop', 'divert')),
    late_table    regclass CHECK ((late_rows = 'divert') = (late_table IS NOT NULL)),
    idle_timeout  interval,                                   -- null: an idle partition holds the watermark
    max_ahead     interval,                                   -- null: no bound on the future
    -- what the maintainer knows of the rows: never goes back
    watermark     int8,                                       -- ticks
    greatest      int8                                        -- ticks
);

CREATE TABLE tidemark.ingest (
    id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic         regclass NOT NULL,                          -- the foreign table
    stream        regclass NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
    role          regrole NOT NULL,                           -- whose rights the worker has
    paused        bool NOT NULL DEFAULT false,
    start_at      jsonb NOT NULL,
    last_error    text,
    last_error_at timestamptz,
    UNIQUE (topic, stream)
);

CREATE TABLE tidemark.ingest_partition (
    ingest        int REFERENCES tidemark.ingest ON DELETE CASCADE,
    partition     int,
    next_offset   int8 NOT NULL,
    greatest      int8,                                       -- ticks: the partition's greatest event time
    records       int8 NOT NULL DEFAULT 0,                    -- decoded and inserted, ever
    late_kept     int8 NOT NULL DEFAULT 0,
    late_dropped  int8 NOT NULL DEFAULT 0,
    late_diverted int8 NOT NULL DEFAULT 0,
    dead          int8 NOT NULL DEFAULT 0,
    PRIMARY KEY (ingest, partition)
);

CREATE TABLE tidemark.dead_letters (
    id          int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    arrived     timestamptz NOT NULL DEFAULT clock_timestamp(),
    stream      regclass,
    topic       text NOT NULL,
    partition   int NOT NULL,
    "offset"    int8 NOT NULL,
    "timestamp" timestamptz,
    key         bytea,
    payload     bytea,
    headers     jsonb,
    sqlstate    text NOT NULL,
    error       text NOT NULL
);

CREATE TABLE tidemark.view (
    relid       regclass PRIMARY KEY,
    stream      regclass NOT NULL REFERENCES tidemark.stream,
    mat         regclass NOT NULL UNIQUE,
    time_attnum int2 NOT NULL,                                -- of the event time in mat
    definition  text NOT NULL                                 -- fingerprint of the view's rule
);

-- One row a view, updated in the transaction that changes the materialised rows: whoever sees those
-- rows sees this row too, so a changed row means changed contents.
CREATE TABLE tidemark.frontier (
    relid       oid PRIMARY KEY,
    frontier    int8 NOT NULL,                                -- ticks; the least int8: nothing yet
    rows        int8 NOT NULL DEFAULT 0,
    corrections int8 NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- ------------------------------------------------------------------------------------------------
-- Exact sums of floats (src/aggregate/): independent of the order of the rows, rounded once.
-- ------------------------------------------------------------------------------------------------

CREATE FUNCTION tidemark.exact_sum_add(internal, float8) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_sum_add_float8' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_sum_add(internal, float8) IS 'implementation of exact sums: adds a value';

CREATE FUNCTION tidemark.exact_sum_add(internal, float4) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_sum_add_float4' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_sum_add(internal, float4) IS 'implementation of exact sums: adds a value';

CREATE FUNCTION tidemark.exact_sum_subtract(internal, float8) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_sum_subtract_float8' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_sum_subtract(internal, float8) IS 'implementation of exact sums: takes away a value that leaves the window';

CREATE FUNCTION tidemark.exact_sum_subtract(internal, float4) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_sum_subtract_float4' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_sum_subtract(internal, float4) IS 'implementation of exact sums: takes away a value that leaves the window';

CREATE FUNCTION tidemark.exact_sum_combine(internal, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_sum_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_sum_combine(internal, internal) IS 'implementation of exact sums: adds a partial sum';

CREATE FUNCTION tidemark.exact_sum_serialize(internal) RETURNS bytea
    AS 'MODULE_PATHNAME', 'exact_sum_serialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_sum_serialize(internal) IS 'implementation of exact sums: a partial sum for another process';

CREATE FUNCTION tidemark.exact_sum_deserialize(bytea, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_sum_deserialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_sum_deserialize(bytea, internal) IS 'implementation of exact sums: a partial sum from another process';

CREATE FUNCTION tidemark.exact_sum_result_float8(internal) RETURNS float8
    AS 'MODULE_PATHNAME', 'exact_sum_result_float8' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_sum_result_float8(internal) IS 'implementation of exact sums: the sum, rounded once';

CREATE FUNCTION tidemark.exact_sum_result_float4(internal) RETURNS float4
    AS 'MODULE_PATHNAME', 'exact_sum_result_float4' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_sum_result_float4(internal) IS 'implementation of exact sums: the sum, rounded once';

CREATE FUNCTION tidemark.exact_sum_result_average(internal) RETURNS float8
    AS 'MODULE_PATHNAME', 'exact_sum_result_average' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_sum_result_average(internal) IS 'implementation of exact sums: the sum divided by the count, rounded once';

CREATE AGGREGATE tidemark.exact_sum(float8) (
    SFUNC = tidemark.exact_sum_add, STYPE = internal, SSPACE = 160,
    FINALFUNC = tidemark.exact_sum_result_float8,
    COMBINEFUNC = tidemark.exact_sum_combine,
    SERIALFUNC = tidemark.exact_sum_serialize, DESERIALFUNC = tidemark.exact_sum_deserialize,
    MSFUNC = tidemark.exact_sum_add, MINVFUNC = tidemark.exact_sum_subtract,
    MSTYPE = internal, MSSPACE = 160, MFINALFUNC = tidemark.exact_sum_result_float8,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE tidemark.exact_sum(float8) IS 'exact sum of floating-point numbers, rounded once: the same in any order, also over moving windows';
GRANT EXECUTE ON FUNCTION tidemark.exact_sum(float8) TO PUBLIC;

CREATE AGGREGATE tidemark.exact_sum(float4) (
    SFUNC = tidemark.exact_sum_add, STYPE = internal, SSPACE = 160,
    FINALFUNC = tidemark.exact_sum_result_float4,
    COMBINEFUNC = tidemark.exact_sum_combine,
    SERIALFUNC = tidemark.exact_sum_serialize, DESERIALFUNC = tidemark.exact_sum_deserialize,
    MSFUNC = tidemark.exact_sum_add, MINVFUNC = tidemark.exact_sum_subtract,
    MSTYPE = internal, MSSPACE = 160, MFINALFUNC = tidemark.exact_sum_result_float4,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE tidemark.exact_sum(float4) IS 'exact sum of floating-point numbers, rounded once: the same in any order, also over moving windows';
GRANT EXECUTE ON FUNCTION tidemark.exact_sum(float4) TO PUBLIC;

CREATE AGGREGATE tidemark.exact_avg(float8) (
    SFUNC = tidemark.exact_sum_add, STYPE = internal, SSPACE = 160,
    FINALFUNC = tidemark.exact_sum_result_average,
    COMBINEFUNC = tidemark.exact_sum_combine,
    SERIALFUNC = tidemark.exact_sum_serialize, DESERIALFUNC = tidemark.exact_sum_deserialize,
    MSFUNC = tidemark.exact_sum_add, MINVFUNC = tidemark.exact_sum_subtract,
    MSTYPE = internal, MSSPACE = 160, MFINALFUNC = tidemark.exact_sum_result_average,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE tidemark.exact_avg(float8) IS 'average of floating-point numbers by their exact sum, rounded once: the same in any order, also over moving windows';
GRANT EXECUTE ON FUNCTION tidemark.exact_avg(float8) TO PUBLIC;

CREATE AGGREGATE tidemark.exact_avg(float4) (
    SFUNC = tidemark.exact_sum_add, STYPE = internal, SSPACE = 160,
    FINALFUNC = tidemark.exact_sum_result_average,
    COMBINEFUNC = tidemark.exact_sum_combine,
    SERIALFUNC = tidemark.exact_sum_serialize, DESERIALFUNC = tidemark.exact_sum_deserialize,
    MSFUNC = tidemark.exact_sum_add, MINVFUNC = tidemark.exact_sum_subtract,
    MSTYPE = internal, MSSPACE = 160, MFINALFUNC = tidemark.exact_sum_result_average,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE tidemark.exact_avg(float4) IS 'average of floating-point numbers by their exact sum, rounded once: the same in any order, also over moving windows';
GRANT EXECUTE ON FUNCTION tidemark.exact_avg(float4) TO PUBLIC;
