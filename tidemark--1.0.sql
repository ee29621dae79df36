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
-- Topics: a Kafka cluster is a foreign server, a topic a foreign table.
-- ------------------------------------------------------------------------------------------------

CREATE FUNCTION tidemark.tidemark_kafka_handler() RETURNS fdw_handler
    LANGUAGE C STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tidemark.tidemark_kafka_handler() IS 'handler of the foreign-data wrapper tidemark_kafka';

CREATE FUNCTION tidemark.tidemark_kafka_validator(text[], oid) RETURNS void
    LANGUAGE C STRICT AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION tidemark.tidemark_kafka_validator(text[], oid) IS 'checks the options of tidemark_kafka''s servers, user mappings, foreign tables and columns';

CREATE FOREIGN DATA WRAPPER tidemark_kafka
    HANDLER tidemark.tidemark_kafka_handler
    VALIDATOR tidemark.tidemark_kafka_validator;
COMMENT ON FOREIGN DATA WRAPPER tidemark_kafka IS 'Kafka topics as foreign tables';
