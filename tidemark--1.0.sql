-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION tidemark" to load this file. \quit

-- The owner of a schema may drop and rename what is in it: it must not be anybody else's.
DO $$
BEGIN
    IF (SELECT nspowner <> current_user::regrole FROM pg_catalog.pg_namespace WHERE nspname = 'tidemark') THEN
        RAISE EXCEPTION 'schema "tidemark" belongs to another role' USING ERRCODE = 'insufficient_privilege',
            HINT = 'Drop or rename that schema; CREATE EXTENSION makes its own.';
    END IF;
END
$$;

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
    greatest      int8                                        -- ticks: the newest event time; of all partitions that are ingested the least of theirs
);

CREATE TABLE tidemark.ingest (
    id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic         regclass NOT NULL,                          -- the foreign table
    stream        regclass NOT NULL REFERENCES tidemark.stream ON DELETE CASCADE,
    role          regrole NOT NULL,                           -- whose rights the worker has
    paused        bool NOT NULL DEFAULT false,
    start_at      jsonb NOT NULL,                             -- "earliest", "latest", {"timestamp": ms} or {"offsets": {"0": 1, …}}
    skip_lost     bool NOT NULL DEFAULT false,                -- go on behind what the broker no longer has, once
    last_error    text,
    last_error_at timestamptz,
    UNIQUE (topic, stream)
);

CREATE TABLE tidemark.ingest_partition (
    ingest        int REFERENCES tidemark.ingest ON DELETE CASCADE,
    partition     int,
    next_offset   int8 NOT NULL,
    greatest      int8,                                       -- ticks: the partition's greatest event time
    idle          bool NOT NULL DEFAULT false,                -- at its end, and nothing new for the stream's idle_timeout
    records       int8 NOT NULL DEFAULT 0,                    -- decoded and inserted, ever
    late_kept     int8 NOT NULL DEFAULT 0,
    late_dropped  int8 NOT NULL DEFAULT 0,
    late_diverted int8 NOT NULL DEFAULT 0,
    dead          int8 NOT NULL DEFAULT 0,
    PRIMARY KEY (ingest, partition)
) WITH (fillfactor = 10);

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
    definition  text NOT NULL,                                -- fingerprint of the view's rule; empty: to be made anew
    lookahead   int8 NOT NULL,                                -- ticks: the frontier stays that far behind
    advance_on  text NOT NULL CHECK (advance_on IN ('watermark', 'arrival')),
    states      regclass[] NOT NULL DEFAULT '{}',             -- tables of saved states of its windows, one a frame; or that of the kept rows that its windows are over
    last_error  text,                                         -- of its maintenance; null: none now
    last_error_at timestamptz,
    method      text NOT NULL CHECK (method IN ('incremental', 'rows', 'groups', 'slices', 'keyed')),  -- how it is maintained now
    reason      text,                                         -- why not incrementally
    changes     regclass,                                     -- the log of its corrections; null: nobody follows the view
    dedup_for   int8 CHECK (dedup_for > 0)                    -- ticks: how long rows by key are kept; null: always
);

-- One row a view, updated in the transaction that changes the materialised rows: whoever sees those
-- rows sees this row too, so a changed row means changed contents.
CREATE TABLE tidemark.frontier (
    relid       oid PRIMARY KEY,
    mat         oid NOT NULL,                                 -- whose rows it is about: a view made anew has another
    frontier    int8 NOT NULL,                                -- ticks; the least int8: nothing yet
    rows        int8 NOT NULL DEFAULT 0,
    corrections int8 NOT NULL DEFAULT 0,
    first       int8,                                         -- ticks: where materialising began
    saved       int8,                                         -- ticks: up to where the saved states go; null: there are none
    late        int8[] DEFAULT '{}',                          -- ticks: rows that corrections since the last move inserted; null: others, or many
    logged_to   int8                                          -- ticks: where the frontier was before it went back; up to there what comes is a correction
) WITH (fillfactor = 10);

-- What continuous views are sent to. Positions are the targets' own; here they are for display and for trimming the log.
CREATE TABLE tidemark.sink (
    id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    view          regclass NOT NULL,
    mat           oid NOT NULL,                               -- the materialised part that it began with
    topic         regclass NOT NULL,                          -- the foreign table
    role          regrole NOT NULL,                           -- whose rights the worker has
    mode          text NOT NULL CHECK (mode IN ('append', 'upsert')),
    corrections   text NOT NULL CHECK (corrections IN ('ignore', 'mark', 'error')),
    delivery      text NOT NULL CHECK (delivery IN ('exactly_once', 'at_least_once')),
    envelope      text NOT NULL CHECK (envelope IN ('none', 'debezium')),
    key           name[],                                     -- columns of the view; null: the topic's table says
    paused        bool NOT NULL DEFAULT false,
    position_lost bool NOT NULL DEFAULT false,                -- go on from the position here, once, where the target has none
    frontier      int8 NOT NULL,                              -- ticks: rows up to there are sent
    seq           int8 NOT NULL DEFAULT 0,                    -- and so are the logged changes of those
    present_to    int8 NOT NULL,                              -- seq: the rows of a keyed view that were there at the beginning are logged up to there
    announced     int8 NOT NULL,                              -- ticks: rows up to there may have been sent, of those that are sent at least once
    commits       int8 NOT NULL DEFAULT 0,                    -- transactions of the target
    records       int8 NOT NULL DEFAULT 0,                    -- sent
    ignored       int8 NOT NULL DEFAULT 0,                    -- changes of rows that had been sent, and were not sent
    caught_up_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_error    text,
    last_error_at timestamptz,
    UNIQUE (view, topic)
) WITH (fillfactor = 10);

-- Who asks for a view's changes. What is read is written nowhere: only what is acknowledged is.
CREATE TABLE tidemark.subscription (
    id             int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- another one after a reset: positions have it
    name           name NOT NULL UNIQUE,
    view           regclass NOT NULL,
    mat            oid NOT NULL,                              -- the materialised part that it began with
    role           regrole NOT NULL,                          -- its owner
    key            name[],                                    -- columns of the view: corrections come as updates; null: none
    frontier       int8 NOT NULL,                             -- ticks: rows up to there are acknowledged
    seq            int8 NOT NULL,                             -- and so are the logged changes
    present_to     int8 NOT NULL,                             -- seq: the rows of a keyed view that were there at the beginning are logged up to there
    changes        int8 NOT NULL DEFAULT 0,                   -- acknowledged
    retention      interval,                                  -- how long corrections are kept while nothing is acknowledged; null: always
    retention_rows int8,                                      -- how many are kept; null: all
    waiting_since  timestamptz,                               -- changes wait, and nothing was acknowledged since
    lost           text,                                      -- why it can't go on; null: it can
    lost_at        timestamptz,
    rate           float8 NOT NULL DEFAULT 0,                 -- changes acknowledged a second ...
    rated_at       timestamptz NOT NULL DEFAULT clock_timestamp(),  -- ... up to then
    rated_changes  int8 NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- pg_dump takes along what is declared, and positions. Sinks are not: two servers would send the same; nor subscriptions, whose positions
-- are in the materialised parts, which are made anew after a restore.
SELECT pg_catalog.pg_extension_config_dump('tidemark.stream', '');
SELECT pg_catalog.pg_extension_config_dump('tidemark.ingest', '');
SELECT pg_catalog.pg_extension_config_dump('tidemark.ingest_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tidemark.ingest_partition', '');
SELECT pg_catalog.pg_extension_config_dump('tidemark.dead_letters', '');
SELECT pg_catalog.pg_extension_config_dump('tidemark.dead_letters_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('tidemark.view', '');

-- ------------------------------------------------------------------------------------------------
-- Streams
-- ------------------------------------------------------------------------------------------------

CREATE FUNCTION tidemark.on_write() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'tidemark_on_write';
COMMENT ON FUNCTION tidemark.on_write() IS 'statement triggers of streams: keeps continuous views right';

CREATE FUNCTION tidemark.on_replicated_row() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'tidemark_on_replicated_row';
COMMENT ON FUNCTION tidemark.on_replicated_row() IS 'row trigger of streams for what logical replication applies';

CREATE FUNCTION tidemark.create_stream(
        relation regclass, event_time name, allowed_delay text DEFAULT '0',
        late_rows text DEFAULT 'keep', late_table regclass DEFAULT NULL,
        idle_timeout interval DEFAULT '1 minute', max_ahead interval DEFAULT '1 day',
        time_index text DEFAULT 'brin')
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'tidemark_create_stream';
COMMENT ON FUNCTION tidemark.create_stream(regclass, name, text, text, regclass, interval, interval, text)
    IS 'make a table a stream: its event-time column, and how late rows may be';

CREATE FUNCTION tidemark.alter_stream(
        relation regclass, allowed_delay text DEFAULT NULL, late_rows text DEFAULT NULL,
        late_table regclass DEFAULT NULL, idle_timeout interval DEFAULT NULL,
        max_ahead interval DEFAULT NULL)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'tidemark_alter_stream';
COMMENT ON FUNCTION tidemark.alter_stream(regclass, text, text, regclass, interval, interval)
    IS 'change a stream''s options; null leaves one as it is';

CREATE FUNCTION tidemark.drop_stream(relation regclass) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_drop_stream';
COMMENT ON FUNCTION tidemark.drop_stream(regclass) IS 'make a stream an ordinary table again; its rows stay';

CREATE FUNCTION tidemark.forget(oid) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_forget';
COMMENT ON FUNCTION tidemark.forget(oid) IS 'for tidemark.on_drop: sessions and shared memory forget what they know of a stream or view';
REVOKE ALL ON FUNCTION tidemark.forget(oid) FROM PUBLIC;

CREATE FUNCTION tidemark.forget_changes(view regclass) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_forget_changes';
COMMENT ON FUNCTION tidemark.forget_changes(regclass) IS 'for tidemark.on_drop: drop the log of a view''s corrections if nobody follows the view';
REVOKE ALL ON FUNCTION tidemark.forget_changes(regclass) FROM PUBLIC;

CREATE FUNCTION tidemark.restart_views(stream regclass) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_restart_views';
COMMENT ON FUNCTION tidemark.restart_views(regclass) IS 'materialise a stream''s continuous views anew, from the start';
REVOKE ALL ON FUNCTION tidemark.restart_views(regclass) FROM PUBLIC;

CREATE FUNCTION tidemark.event_time_text(stream regclass, ticks bigint) RETURNS text
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'tidemark_event_time_text';
COMMENT ON FUNCTION tidemark.event_time_text(regclass, bigint)
    IS 'an event time of the catalogue as text of the stream''s event-time type';

CREATE VIEW tidemark.streams AS
SELECT s.relid AS stream,
       a.attname AS event_time,
       a.atttypid::regtype AS event_time_type,
       CASE a.atttypid WHEN 'bigint'::regtype THEN s.allowed_delay::text
                       WHEN 'date'::regtype THEN make_interval(days => s.allowed_delay::int)::text
                       ELSE make_interval(secs => s.allowed_delay / 1000000.0)::text END AS allowed_delay,
       tidemark.event_time_text(s.relid, s.watermark) AS watermark,
       tidemark.event_time_text(s.relid, greatest(s.greatest, p.greatest)) AS greatest_event_time,
       s.late_rows,
       s.late_table,
       coalesce(p.late_kept, 0) AS late_kept,
       coalesce(p.late_dropped, 0) AS late_dropped,
       coalesce(p.late_diverted, 0) AS late_diverted,
       s.idle_timeout,
       s.max_ahead
  FROM tidemark.stream s
  JOIN pg_catalog.pg_attribute a ON a.attrelid = s.relid AND a.attnum = s.attnum
  LEFT JOIN (SELECT i.stream, max(greatest) AS greatest, sum(late_kept)::int8 AS late_kept, sum(late_dropped)::int8 AS late_dropped,
                    sum(late_diverted)::int8 AS late_diverted
               FROM tidemark.ingest i JOIN tidemark.ingest_partition ON ingest = i.id
              GROUP BY i.stream) p ON p.stream = s.relid
 WHERE pg_catalog.has_table_privilege(s.relid, 'SELECT') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW tidemark.streams IS 'the streams that one may read, how far their event time has come, and their late rows';
GRANT SELECT ON tidemark.streams TO PUBLIC;

-- ------------------------------------------------------------------------------------------------
-- Continuous views
-- ------------------------------------------------------------------------------------------------

CREATE FUNCTION tidemark.make_continuous(view regclass, advance_on text DEFAULT NULL, dedup_for text DEFAULT NULL) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'tidemark_make_continuous';
COMMENT ON FUNCTION tidemark.make_continuous(regclass, text, text)
    IS 'maintain a view incrementally from now on, up to the watermark or to what has arrived; it stays the same view, unless its rows by key are kept for a while only';

CREATE FUNCTION tidemark.make_batch(view regclass) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_make_batch';
COMMENT ON FUNCTION tidemark.make_batch(regclass) IS 'make a continuous view an ordinary view again';

CREATE FUNCTION tidemark.verify(view regclass, OUT difference text, OUT "row" jsonb) RETURNS SETOF record
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_verify';
COMMENT ON FUNCTION tidemark.verify(regclass)
    IS 'compare a continuous view with its batch query in one snapshot: the rows that are missing from it, or unexpected';

CREATE FUNCTION tidemark.explain(view regclass, OUT part text, OUT how text, OUT why text) RETURNS SETOF record
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_explain';
COMMENT ON FUNCTION tidemark.explain(regclass)
    IS 'how a continuous view is maintained and its live tail computed: window by window, and why not otherwise';

-- BRIN indexes on event times
CREATE FUNCTION tidemark.time_spans_info(internal) RETURNS internal LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_time_spans_info';
CREATE FUNCTION tidemark.time_spans_add(internal, internal, internal, internal) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_time_spans_add';
CREATE FUNCTION tidemark.time_spans_match(internal, internal, internal, integer) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_time_spans_match';
CREATE FUNCTION tidemark.time_spans_union(internal, internal, internal) RETURNS boolean
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_time_spans_union';
COMMENT ON FUNCTION tidemark.time_spans_info(internal) IS 'implementation of indexes on event time';
COMMENT ON FUNCTION tidemark.time_spans_add(internal, internal, internal, internal) IS 'implementation of indexes on event time';
COMMENT ON FUNCTION tidemark.time_spans_match(internal, internal, internal, integer) IS 'implementation of indexes on event time';
COMMENT ON FUNCTION tidemark.time_spans_union(internal, internal, internal) IS 'implementation of indexes on event time';
CREATE OPERATOR CLASS tidemark.timestamp_spans FOR TYPE timestamp USING brin AS
    OPERATOR 1 < (timestamp, timestamp), OPERATOR 2 <= (timestamp, timestamp), OPERATOR 3 = (timestamp, timestamp), OPERATOR 4 >= (timestamp, timestamp), OPERATOR 5 > (timestamp, timestamp),
    OPERATOR 1 < (timestamp, timestamptz), OPERATOR 2 <= (timestamp, timestamptz), OPERATOR 3 = (timestamp, timestamptz), OPERATOR 4 >= (timestamp, timestamptz), OPERATOR 5 > (timestamp, timestamptz),
    OPERATOR 1 < (timestamp, date), OPERATOR 2 <= (timestamp, date), OPERATOR 3 = (timestamp, date), OPERATOR 4 >= (timestamp, date), OPERATOR 5 > (timestamp, date),
    FUNCTION 1 tidemark.time_spans_info(internal), FUNCTION 2 tidemark.time_spans_add(internal, internal, internal, internal),
    FUNCTION 3 tidemark.time_spans_match(internal, internal, internal, integer), FUNCTION 4 tidemark.time_spans_union(internal, internal, internal);
COMMENT ON OPERATOR CLASS tidemark.timestamp_spans USING brin IS 'event times of ranges of pages: rows in order, and stragglers';
CREATE OPERATOR CLASS tidemark.timestamptz_spans FOR TYPE timestamptz USING brin AS
    OPERATOR 1 < (timestamptz, timestamptz), OPERATOR 2 <= (timestamptz, timestamptz), OPERATOR 3 = (timestamptz, timestamptz), OPERATOR 4 >= (timestamptz, timestamptz), OPERATOR 5 > (timestamptz, timestamptz),
    OPERATOR 1 < (timestamptz, timestamp), OPERATOR 2 <= (timestamptz, timestamp), OPERATOR 3 = (timestamptz, timestamp), OPERATOR 4 >= (timestamptz, timestamp), OPERATOR 5 > (timestamptz, timestamp),
    OPERATOR 1 < (timestamptz, date), OPERATOR 2 <= (timestamptz, date), OPERATOR 3 = (timestamptz, date), OPERATOR 4 >= (timestamptz, date), OPERATOR 5 > (timestamptz, date),
    FUNCTION 1 tidemark.time_spans_info(internal), FUNCTION 2 tidemark.time_spans_add(internal, internal, internal, internal),
    FUNCTION 3 tidemark.time_spans_match(internal, internal, internal, integer), FUNCTION 4 tidemark.time_spans_union(internal, internal, internal);
COMMENT ON OPERATOR CLASS tidemark.timestamptz_spans USING brin IS 'event times of ranges of pages: rows in order, and stragglers';
CREATE OPERATOR CLASS tidemark.date_spans FOR TYPE date USING brin AS
    OPERATOR 1 < (date, date), OPERATOR 2 <= (date, date), OPERATOR 3 = (date, date), OPERATOR 4 >= (date, date), OPERATOR 5 > (date, date),
    OPERATOR 1 < (date, timestamp), OPERATOR 2 <= (date, timestamp), OPERATOR 3 = (date, timestamp), OPERATOR 4 >= (date, timestamp), OPERATOR 5 > (date, timestamp),
    OPERATOR 1 < (date, timestamptz), OPERATOR 2 <= (date, timestamptz), OPERATOR 3 = (date, timestamptz), OPERATOR 4 >= (date, timestamptz), OPERATOR 5 > (date, timestamptz),
    FUNCTION 1 tidemark.time_spans_info(internal), FUNCTION 2 tidemark.time_spans_add(internal, internal, internal, internal),
    FUNCTION 3 tidemark.time_spans_match(internal, internal, internal, integer), FUNCTION 4 tidemark.time_spans_union(internal, internal, internal);
COMMENT ON OPERATOR CLASS tidemark.date_spans USING brin IS 'event times of ranges of pages: rows in order, and stragglers';
CREATE OPERATOR CLASS tidemark.bigint_spans FOR TYPE bigint USING brin AS
    OPERATOR 1 < (bigint, bigint), OPERATOR 2 <= (bigint, bigint), OPERATOR 3 = (bigint, bigint), OPERATOR 4 >= (bigint, bigint), OPERATOR 5 > (bigint, bigint),
    OPERATOR 1 < (bigint, integer), OPERATOR 2 <= (bigint, integer), OPERATOR 3 = (bigint, integer), OPERATOR 4 >= (bigint, integer), OPERATOR 5 > (bigint, integer),
    OPERATOR 1 < (bigint, smallint), OPERATOR 2 <= (bigint, smallint), OPERATOR 3 = (bigint, smallint), OPERATOR 4 >= (bigint, smallint), OPERATOR 5 > (bigint, smallint),
    FUNCTION 1 tidemark.time_spans_info(internal), FUNCTION 2 tidemark.time_spans_add(internal, internal, internal, internal),
    FUNCTION 3 tidemark.time_spans_match(internal, internal, internal, integer), FUNCTION 4 tidemark.time_spans_union(internal, internal, internal);
COMMENT ON OPERATOR CLASS tidemark.bigint_spans USING brin IS 'event times of ranges of pages: rows in order, and stragglers';

-- The windows that an event time is in, as rows: for GROUP BY.
CREATE FUNCTION tidemark.hop(event_time timestamp, slide interval, size interval, origin timestamp DEFAULT '1970-01-01',
    OUT window_start timestamp, OUT window_end timestamp) RETURNS SETOF record
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'tidemark_hop';
COMMENT ON FUNCTION tidemark.hop(timestamp, interval, interval, timestamp) IS 'windows of a size that begin each slide: those that an event time is in';
CREATE FUNCTION tidemark.cumulate(event_time timestamp, step interval, size interval, origin timestamp DEFAULT '1970-01-01',
    OUT window_start timestamp, OUT window_end timestamp) RETURNS SETOF record
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'tidemark_cumulate';
COMMENT ON FUNCTION tidemark.cumulate(timestamp, interval, interval, timestamp) IS 'windows that begin each size, of each length of whole steps up to it: those that an event time is in';
CREATE FUNCTION tidemark.hop(event_time timestamptz, slide interval, size interval, origin timestamptz DEFAULT '1970-01-01 00:00:00+00',
    OUT window_start timestamptz, OUT window_end timestamptz) RETURNS SETOF record
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'tidemark_hop';
COMMENT ON FUNCTION tidemark.hop(timestamptz, interval, interval, timestamptz) IS 'windows of a size that begin each slide: those that an event time is in';
CREATE FUNCTION tidemark.cumulate(event_time timestamptz, step interval, size interval, origin timestamptz DEFAULT '1970-01-01 00:00:00+00',
    OUT window_start timestamptz, OUT window_end timestamptz) RETURNS SETOF record
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'tidemark_cumulate';
COMMENT ON FUNCTION tidemark.cumulate(timestamptz, interval, interval, timestamptz) IS 'windows that begin each size, of each length of whole steps up to it: those that an event time is in';
CREATE FUNCTION tidemark.hop(event_time date, slide interval, size interval, origin date DEFAULT '1970-01-01',
    OUT window_start date, OUT window_end date) RETURNS SETOF record
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'tidemark_hop';
COMMENT ON FUNCTION tidemark.hop(date, interval, interval, date) IS 'windows of a size that begin each slide: those that an event time is in';
CREATE FUNCTION tidemark.cumulate(event_time date, step interval, size interval, origin date DEFAULT '1970-01-01',
    OUT window_start date, OUT window_end date) RETURNS SETOF record
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'tidemark_cumulate';
COMMENT ON FUNCTION tidemark.cumulate(date, interval, interval, date) IS 'windows that begin each size, of each length of whole steps up to it: those that an event time is in';
CREATE FUNCTION tidemark.hop(event_time bigint, slide bigint, size bigint, origin bigint DEFAULT 0,
    OUT window_start bigint, OUT window_end bigint) RETURNS SETOF record
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'tidemark_hop';
COMMENT ON FUNCTION tidemark.hop(bigint, bigint, bigint, bigint) IS 'windows of a size that begin each slide: those that an event time is in';
CREATE FUNCTION tidemark.cumulate(event_time bigint, step bigint, size bigint, origin bigint DEFAULT 0,
    OUT window_start bigint, OUT window_end bigint) RETURNS SETOF record
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 5 AS 'MODULE_PATHNAME', 'tidemark_cumulate';
COMMENT ON FUNCTION tidemark.cumulate(bigint, bigint, bigint, bigint) IS 'windows that begin each size, of each length of whole steps up to it: those that an event time is in';

CREATE FUNCTION tidemark.tail_start(view regclass, materialised regclass, like_type anyelement, lookback interval) RETURNS anyelement
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_tail_start';
COMMENT ON FUNCTION tidemark.tail_start(regclass, regclass, anyelement, interval)
    IS 'in plans of continuous views: the first event time of the live tail, less a lookback';

CREATE FUNCTION tidemark.written_here(xmin xid) RETURNS boolean
    LANGUAGE c STRICT STABLE AS 'MODULE_PATHNAME', 'tidemark_written_here';
COMMENT ON FUNCTION tidemark.written_here(xid)
    IS 'in corrections of continuous views: has this transaction written the row that has this xmin?';

CREATE FUNCTION tidemark.tail_slice_start(view regclass, materialised regclass, like_type anyelement, lookback interval, reach bigint)
    RETURNS anyelement LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_tail_slice_start';
COMMENT ON FUNCTION tidemark.tail_slice_start(regclass, regclass, anyelement, interval, bigint)
    IS 'in plans of continuous views: tail_start, or infinity where the tail comes from saved states';

CREATE FUNCTION tidemark.tail_replay_start(view regclass, materialised regclass, like_type anyelement, length bigint, reach bigint)
    RETURNS anyelement LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_tail_replay_start';
COMMENT ON FUNCTION tidemark.tail_replay_start(regclass, regclass, anyelement, bigint, bigint)
    IS 'in plans of continuous views: the first event time after the saved states, less a length; infinity where the tail doesn''t come from them';

CREATE FUNCTION tidemark.tail_known_end(view regclass, materialised regclass, like_type anyelement, reach bigint)
    RETURNS anyelement LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_tail_known_end';
COMMENT ON FUNCTION tidemark.tail_known_end(regclass, regclass, anyelement, bigint)
    IS 'in plans of continuous views: an event time that few rows are later than; infinity where the tail doesn''t come from saved states';

CREATE FUNCTION tidemark.tail_is_replayed(view regclass, materialised regclass, reach bigint) RETURNS boolean
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_tail_is_replayed';
COMMENT ON FUNCTION tidemark.tail_is_replayed(regclass, regclass, bigint)
    IS 'in plans of continuous views: are there saved states to begin the tail with, less than so many ticks before the newest row?';

CREATE FUNCTION tidemark.tail_before(event_time anyelement, length bigint) RETURNS anyelement
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_tail_before';
COMMENT ON FUNCTION tidemark.tail_before(anyelement, bigint) IS 'in plans of continuous views: an event time less a length';

CREATE FUNCTION tidemark.tail_ticks(event_time anyelement, length bigint) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_tail_ticks';
COMMENT ON FUNCTION tidemark.tail_ticks(anyelement, bigint) IS 'in plans of continuous views: an event time and a length as a number';

CREATE FUNCTION tidemark.replay_step(internal, op integer, frame integer, counts boolean, saved bytea, result anyelement,
                                     function regprocedure, bounds bigint[], VARIADIC arguments "any") RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_replay_step';
COMMENT ON FUNCTION tidemark.replay_step(internal, integer, integer, boolean, bytea, anyelement, regprocedure, bigint[], "any")
    IS 'implementation of tidemark.replay: a row enters or leaves a window';

CREATE FUNCTION tidemark.replay_result(internal, op integer, frame integer, counts boolean, saved bytea, result anyelement,
                                       function regprocedure, bounds bigint[], VARIADIC arguments "any") RETURNS anyelement
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_replay_result';
COMMENT ON FUNCTION tidemark.replay_result(internal, integer, integer, boolean, bytea, anyelement, regprocedure, bigint[], "any")
    IS 'implementation of tidemark.replay: the function''s result';

CREATE AGGREGATE tidemark.replay(op integer, frame integer, counts boolean, saved bytea, result anyelement,
                                 function regprocedure, bounds bigint[], VARIADIC arguments "any") (
    SFUNC = tidemark.replay_step, STYPE = internal,
    FINALFUNC = tidemark.replay_result, FINALFUNC_EXTRA
);
COMMENT ON AGGREGATE tidemark.replay(integer, integer, boolean, bytea, anyelement, regprocedure, bigint[], "any")
    IS 'in plans of continuous views: a window function''s result, from its saved state and the rows that entered and left since';

-- Aggregates whose states are kept: of GROUP BY without a window.
CREATE FUNCTION tidemark.accumulate_step(internal, saved bytea, is_state boolean, counts boolean, result anyelement, function regprocedure, VARIADIC arguments "any") RETURNS internal
    LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'tidemark_accumulate_step';
COMMENT ON FUNCTION tidemark.accumulate_step(internal, bytea, boolean, boolean, anyelement, regprocedure, "any")
    IS 'implementation of tidemark.accumulate: takes a saved state, or adds a row';

CREATE FUNCTION tidemark.accumulate_state(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'tidemark_accumulate_state';
COMMENT ON FUNCTION tidemark.accumulate_state(internal) IS 'implementation of tidemark.accumulate: the state';

CREATE FUNCTION tidemark.accumulate_result(internal, saved bytea, is_state boolean, counts boolean, result anyelement, function regprocedure, VARIADIC arguments "any") RETURNS anyelement
    LANGUAGE c IMMUTABLE AS 'MODULE_PATHNAME', 'tidemark_accumulate_result';
COMMENT ON FUNCTION tidemark.accumulate_result(internal, bytea, boolean, boolean, anyelement, regprocedure, "any")
    IS 'implementation of tidemark.accumulated: the function''s result';

CREATE AGGREGATE tidemark.accumulate(saved bytea, is_state boolean, counts boolean, result anyelement, function regprocedure, VARIADIC arguments "any") (
    SFUNC = tidemark.accumulate_step, STYPE = internal, FINALFUNC = tidemark.accumulate_state
);
COMMENT ON AGGREGATE tidemark.accumulate(bytea, boolean, boolean, anyelement, regprocedure, "any")
    IS 'an aggregate''s state after rows, from a saved one on; what continuous views with GROUP BY keep';

CREATE AGGREGATE tidemark.accumulated(saved bytea, is_state boolean, counts boolean, result anyelement, function regprocedure, VARIADIC arguments "any") (
    SFUNC = tidemark.accumulate_step, STYPE = internal,
    FINALFUNC = tidemark.accumulate_result, FINALFUNC_EXTRA
);
COMMENT ON AGGREGATE tidemark.accumulated(bytea, boolean, boolean, anyelement, regprocedure, "any")
    IS 'an aggregate''s result after rows, from a saved state on; for plans of continuous views with GROUP BY';

CREATE FUNCTION tidemark.saved_result(saved bytea, result anyelement, function regprocedure, VARIADIC arguments "any") RETURNS anyelement
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_saved_result';
COMMENT ON FUNCTION tidemark.saved_result(bytea, anyelement, regprocedure, "any")
    IS 'an aggregate''s result from a saved state; for plans of continuous views with GROUP BY';

CREATE FUNCTION tidemark.wait_until_maintained(view regclass, timeout interval DEFAULT '60 seconds') RETURNS void
    LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    deadline timestamptz := clock_timestamp() + timeout;
    target numeric;
    reached int8;
    mat regclass;
    follows record;
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'wait_until_maintained can''t see changes in a % transaction', current_setting('transaction_isolation')
            USING ERRCODE = 'active_sql_transaction';
    END IF;
    IF NOT EXISTS (SELECT FROM tidemark.view v WHERE v.relid = wait_until_maintained.view) THEN
        RAISE EXCEPTION '"%" is not a continuous view', view USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    LOOP
        -- a view that is made anew meanwhile may look ahead by another distance
        SELECT v.mat, v.stream, v.advance_on, v.lookahead INTO follows FROM tidemark.view v WHERE v.relid = wait_until_maintained.view;
        IF follows.mat IS DISTINCT FROM mat THEN
            target := tidemark.current_watermark(follows.stream, follows.advance_on = 'arrival')::numeric - follows.lookahead;
            mat := follows.mat;
        END IF;
        SELECT f.frontier INTO reached FROM tidemark.frontier f JOIN tidemark.view v ON v.mat = f.mat
         WHERE f.relid = wait_until_maintained.view AND v.definition <> '';
        EXIT WHEN target IS NULL OR reached >= target;
        IF clock_timestamp() > deadline THEN
            RAISE EXCEPTION 'view "%" is not maintained up to where its stream is after %', view, timeout
                USING ERRCODE = 'query_canceled',
                      HINT = 'See tidemark.continuous_views; long transactions that have written to the stream hold the frontier back.';
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
END
$$;
COMMENT ON FUNCTION tidemark.wait_until_maintained(regclass, interval)
    IS 'wait until a view''s frontier has reached what it follows: its stream''s watermark, or greatest event time, at the call';

CREATE FUNCTION tidemark.current_watermark(stream regclass, arrival boolean DEFAULT false) RETURNS int8
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_current_watermark';
COMMENT ON FUNCTION tidemark.current_watermark(regclass, boolean)
    IS 'the watermark, or the greatest event time, as it follows from the committed rows now, in ticks; null: none yet';
REVOKE ALL ON FUNCTION tidemark.current_watermark(regclass, boolean) FROM PUBLIC;

CREATE VIEW tidemark.continuous_views AS
SELECT v.relid AS view,
       v.stream,
       CASE WHEN v.last_error IS NOT NULL THEN 'error'
            WHEN f.frontier = -9223372036854775808 OR v.definition = '' THEN 'materialising'
            WHEN t.target IS NULL OR f.frontier >= t.target THEN 'current'
            ELSE 'advancing' END AS state,
       CASE WHEN f.frontier = -9223372036854775808 THEN 0
            WHEN t.target > f.first
            THEN round(100.0 * (least(f.frontier, t.target)::numeric - f.first) / (t.target - f.first), 1)
            ELSE 100 END AS percent_materialised,
       v.advance_on,
       CASE a.atttypid WHEN 'bigint'::regtype THEN v.dedup_for::text
                       WHEN 'date'::regtype THEN make_interval(days => v.dedup_for::int)::text
                       ELSE make_interval(secs => v.dedup_for / 1000000.0)::text END AS dedup_for,
       v.method,
       tidemark.event_time_text(v.stream, f.frontier) AS frontier,
       tidemark.event_time_text(v.stream, s.watermark) AS watermark,
       f.rows,
       f.corrections,
       v.mat AS materialised_in,
       v.last_error,
       v.last_error_at
  FROM tidemark.view v
  JOIN tidemark.frontier f ON f.relid = v.relid
  JOIN tidemark.stream s ON s.relid = v.stream
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = s.relid AND a.attnum = s.attnum
 CROSS JOIN LATERAL (
       SELECT (CASE v.advance_on WHEN 'arrival' THEN s.greatest ELSE s.watermark END)::numeric - v.lookahead AS target) t
 WHERE pg_catalog.has_table_privilege(v.relid, 'SELECT') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW tidemark.continuous_views IS 'the continuous views that one may read and how far they are materialised';
GRANT SELECT ON tidemark.continuous_views TO PUBLIC;

-- ------------------------------------------------------------------------------------------------
-- What is dropped
-- ------------------------------------------------------------------------------------------------

-- Objects go by PostgreSQL's own dependencies; this removes what the catalogue says of them. A stream that goes takes the
-- materialised parts of its views with it: views that don't need the dropped column go on as batch queries.
CREATE FUNCTION tidemark.on_drop() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone_streams oid[];
    gone_view record;
    gone_table regclass;
BEGIN
    SELECT array_agg(s.relid) INTO gone_streams
      FROM tidemark.stream s
      JOIN pg_event_trigger_dropped_objects() d
        ON d.classid = 'pg_class'::regclass AND d.objid = s.relid AND d.objsubid IN (0, s.attnum);
    FOR gone_view IN
        SELECT v.relid, array_remove(v.mat || v.states || v.changes, NULL) AS tables
          FROM tidemark.view v
         WHERE v.stream = ANY (gone_streams)
            OR EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = ANY (ARRAY[v.relid, v.mat, v.changes] || v.states) AND d.objsubid = 0)
    LOOP
        DELETE FROM tidemark.view WHERE relid = gone_view.relid;
        DELETE FROM tidemark.frontier WHERE relid = gone_view.relid;
        DELETE FROM tidemark.sink s WHERE s.view = gone_view.relid;
        DELETE FROM tidemark.subscription s WHERE s.view = gone_view.relid;
        PERFORM tidemark.forget(gone_view.relid);
        FOREACH gone_table IN ARRAY gone_view.tables LOOP
            IF EXISTS (SELECT FROM pg_class WHERE oid = gone_table) THEN
                EXECUTE format('DROP TABLE %s', gone_table);
            END IF;
        END LOOP;
    END LOOP;
    IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d
                 JOIN pg_namespace n ON n.nspname = d.address_names[1]
                 JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = d.address_names[2]
                 JOIN tidemark.stream s ON s.relid = c.oid OR s.relid IN (SELECT pg_partition_ancestors(c.oid))
                WHERE d.object_type = 'trigger' AND d.address_names[3] LIKE 'tidemark\_%'
                  AND s.relid <> ALL (coalesce(gone_streams, '{}'))) THEN
        RAISE EXCEPTION 'can''t drop the triggers of a stream'
            USING ERRCODE = 'dependent_objects_still_exist', HINT = 'tidemark.drop_stream makes it an ordinary table again.';
    END IF;
    DELETE FROM tidemark.ingest WHERE topic IN
        (SELECT d.objid FROM pg_event_trigger_dropped_objects() d WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0);
    FOR gone_view IN
        DELETE FROM tidemark.sink s WHERE s.topic IN
            (SELECT d.objid FROM pg_event_trigger_dropped_objects() d WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0)
        RETURNING s.view
    LOOP
        PERFORM tidemark.forget_changes(gone_view.view);
    END LOOP;
    -- a partition that goes takes rows with it; whose it was can't be told any more
    IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d
                WHERE d.object_type = 'trigger' AND d.address_names[array_length(d.address_names, 1)] = 'tidemark_truncate') THEN
        PERFORM tidemark.restart_views(s.relid)
           FROM tidemark.stream s JOIN pg_class c ON c.oid = s.relid AND c.relkind = 'p'
          WHERE s.relid <> ALL (coalesce(gone_streams, '{}'));
    END IF;
    PERFORM tidemark.forget(relid) FROM tidemark.stream WHERE relid = ANY (gone_streams);
    DELETE FROM tidemark.stream WHERE relid = ANY (gone_streams);
END
$$;
COMMENT ON FUNCTION tidemark.on_drop() IS 'event trigger: removes what the catalogue says of dropped streams, views and topics';
REVOKE ALL ON FUNCTION tidemark.on_drop() FROM PUBLIC;
CREATE EVENT TRIGGER tidemark_on_drop ON sql_drop EXECUTE FUNCTION tidemark.on_drop();
ALTER EVENT TRIGGER tidemark_on_drop ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tidemark_on_drop IS 'keeps tidemark''s catalogue free of dropped objects';

-- ALTER TABLE that writes a table anew makes its rows invisible to snapshots that are older. A transaction that has one
-- must not correct a view with it; it sees that the view changed, and ends with a serialization failure.
CREATE FUNCTION tidemark.on_rewrite() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    rewritten oid := pg_event_trigger_table_rewrite_oid();
BEGIN
    UPDATE tidemark.frontier f SET corrections = corrections + 1
      FROM tidemark.view v
     WHERE v.relid = f.relid AND (v.stream = rewritten OR v.stream IN (SELECT pg_partition_ancestors(rewritten)));
END
$$;
COMMENT ON FUNCTION tidemark.on_rewrite() IS 'event trigger: old snapshots can no longer correct the views of a table that is written anew';
REVOKE ALL ON FUNCTION tidemark.on_rewrite() FROM PUBLIC;
CREATE EVENT TRIGGER tidemark_on_rewrite ON table_rewrite EXECUTE FUNCTION tidemark.on_rewrite();
ALTER EVENT TRIGGER tidemark_on_rewrite ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER tidemark_on_rewrite IS 'keeps old snapshots from correcting views of tables that are written anew';

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
    SFUNC = tidemark.exact_sum_add, STYPE = internal, SSPACE = 64,
    FINALFUNC = tidemark.exact_sum_result_float8,
    COMBINEFUNC = tidemark.exact_sum_combine,
    SERIALFUNC = tidemark.exact_sum_serialize, DESERIALFUNC = tidemark.exact_sum_deserialize,
    MSFUNC = tidemark.exact_sum_add, MINVFUNC = tidemark.exact_sum_subtract,
    MSTYPE = internal, MSSPACE = 64, MFINALFUNC = tidemark.exact_sum_result_float8,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE tidemark.exact_sum(float8) IS 'exact sum of floating-point numbers, rounded once: the same in any order, also over moving windows';
GRANT EXECUTE ON FUNCTION tidemark.exact_sum(float8) TO PUBLIC;

CREATE AGGREGATE tidemark.exact_sum(float4) (
    SFUNC = tidemark.exact_sum_add, STYPE = internal, SSPACE = 64,
    FINALFUNC = tidemark.exact_sum_result_float4,
    COMBINEFUNC = tidemark.exact_sum_combine,
    SERIALFUNC = tidemark.exact_sum_serialize, DESERIALFUNC = tidemark.exact_sum_deserialize,
    MSFUNC = tidemark.exact_sum_add, MINVFUNC = tidemark.exact_sum_subtract,
    MSTYPE = internal, MSSPACE = 64, MFINALFUNC = tidemark.exact_sum_result_float4,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE tidemark.exact_sum(float4) IS 'exact sum of floating-point numbers, rounded once: the same in any order, also over moving windows';
GRANT EXECUTE ON FUNCTION tidemark.exact_sum(float4) TO PUBLIC;

CREATE AGGREGATE tidemark.exact_avg(float8) (
    SFUNC = tidemark.exact_sum_add, STYPE = internal, SSPACE = 64,
    FINALFUNC = tidemark.exact_sum_result_average,
    COMBINEFUNC = tidemark.exact_sum_combine,
    SERIALFUNC = tidemark.exact_sum_serialize, DESERIALFUNC = tidemark.exact_sum_deserialize,
    MSFUNC = tidemark.exact_sum_add, MINVFUNC = tidemark.exact_sum_subtract,
    MSTYPE = internal, MSSPACE = 64, MFINALFUNC = tidemark.exact_sum_result_average,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE tidemark.exact_avg(float8) IS 'average of floating-point numbers by their exact sum, rounded once: the same in any order, also over moving windows';
GRANT EXECUTE ON FUNCTION tidemark.exact_avg(float8) TO PUBLIC;

CREATE AGGREGATE tidemark.exact_avg(float4) (
    SFUNC = tidemark.exact_sum_add, STYPE = internal, SSPACE = 64,
    FINALFUNC = tidemark.exact_sum_result_average,
    COMBINEFUNC = tidemark.exact_sum_combine,
    SERIALFUNC = tidemark.exact_sum_serialize, DESERIALFUNC = tidemark.exact_sum_deserialize,
    MSFUNC = tidemark.exact_sum_add, MINVFUNC = tidemark.exact_sum_subtract,
    MSTYPE = internal, MSSPACE = 64, MFINALFUNC = tidemark.exact_sum_result_average,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE tidemark.exact_avg(float4) IS 'average of floating-point numbers by their exact sum, rounded once: the same in any order, also over moving windows';
GRANT EXECUTE ON FUNCTION tidemark.exact_avg(float4) TO PUBLIC;

-- ------------------------------------------------------------------------------------------------
-- Exact variances, covariances, correlation and regression of floats: likewise.
-- ------------------------------------------------------------------------------------------------

CREATE FUNCTION tidemark.exact_statistics_add(internal, float8) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_statistics_add_float8' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_statistics_add(internal, float8) IS 'implementation of exact statistics: adds a value';

CREATE FUNCTION tidemark.exact_statistics_add(internal, float4) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_statistics_add_float4' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_statistics_add(internal, float4) IS 'implementation of exact statistics: adds a value';

CREATE FUNCTION tidemark.exact_statistics_add(internal, y float8, x float8) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_statistics_add_pair' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_statistics_add(internal, float8, float8) IS 'implementation of exact statistics: adds a pair';

CREATE FUNCTION tidemark.exact_statistics_subtract(internal, float8) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_statistics_subtract_float8' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_statistics_subtract(internal, float8) IS 'implementation of exact statistics: takes away a value that leaves the window';

CREATE FUNCTION tidemark.exact_statistics_subtract(internal, float4) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_statistics_subtract_float4' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_statistics_subtract(internal, float4) IS 'implementation of exact statistics: takes away a value that leaves the window';

CREATE FUNCTION tidemark.exact_statistics_subtract(internal, y float8, x float8) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_statistics_subtract_pair' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_statistics_subtract(internal, float8, float8) IS 'implementation of exact statistics: takes away a pair that leaves the window';

CREATE FUNCTION tidemark.exact_statistics_combine(internal, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_statistics_combine' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_statistics_combine(internal, internal) IS 'implementation of exact statistics: adds partial sums';

CREATE FUNCTION tidemark.exact_statistics_serialize(internal) RETURNS bytea
    AS 'MODULE_PATHNAME', 'exact_statistics_serialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_statistics_serialize(internal) IS 'implementation of exact statistics: partial sums for another process';

CREATE FUNCTION tidemark.exact_statistics_deserialize(bytea, internal) RETURNS internal
    AS 'MODULE_PATHNAME', 'exact_statistics_deserialize' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.exact_statistics_deserialize(bytea, internal) IS 'implementation of exact statistics: partial sums from another process';

-- The aggregates: one state for those of one variable, one for those of pairs, and a function for each result.
DO $$
DECLARE
    name text;
    arguments text;
    is_of text;
    space int;
BEGIN
    FOR name, arguments, is_of, space IN
        SELECT n, a, i, CASE WHEN a = 'float8, float8' THEN 200 ELSE 104 END
        FROM (VALUES ('var_pop', 'float8', 'variance of the population'),
                     ('var_samp', 'float8', 'variance of the sample'),
                     ('stddev_pop', 'float8', 'standard deviation of the population'),
                     ('stddev_samp', 'float8', 'standard deviation of the sample'),
                     ('covar_pop', 'float8, float8', 'covariance of the population'),
                     ('covar_samp', 'float8, float8', 'covariance of the sample'),
                     ('corr', 'float8, float8', 'correlation'),
                     ('regr_avgx', 'float8, float8', 'average of the independent variable, the second'),
                     ('regr_avgy', 'float8, float8', 'average of the dependent variable, the first'),
                     ('regr_sxx', 'float8, float8', 'sum of squared differences of the independent variable'),
                     ('regr_syy', 'float8, float8', 'sum of squared differences of the dependent variable'),
                     ('regr_sxy', 'float8, float8', 'sum of products of both variables'' differences'),
                     ('regr_r2', 'float8, float8', 'square of the correlation'),
                     ('regr_slope', 'float8, float8', 'slope of the line that fits the pairs best'),
                     ('regr_intercept', 'float8, float8', 'intercept of the line that fits the pairs best')) v (n, f, i),
             LATERAL (SELECT f UNION ALL SELECT 'float4' WHERE f = 'float8') w (a)
    LOOP
        EXECUTE pg_catalog.format($sql$
            CREATE OR REPLACE FUNCTION tidemark.exact_result_%1$s(internal) RETURNS float8
                AS 'MODULE_PATHNAME', 'exact_result_%1$s' LANGUAGE C IMMUTABLE PARALLEL SAFE;
            COMMENT ON FUNCTION tidemark.exact_result_%1$s(internal) IS 'implementation of exact statistics: a result, rounded once';
            CREATE AGGREGATE tidemark.exact_%1$s(%2$s) (
                SFUNC = tidemark.exact_statistics_add, STYPE = internal, SSPACE = %4$s,
                FINALFUNC = tidemark.exact_result_%1$s,
                COMBINEFUNC = tidemark.exact_statistics_combine,
                SERIALFUNC = tidemark.exact_statistics_serialize, DESERIALFUNC = tidemark.exact_statistics_deserialize,
                MSFUNC = tidemark.exact_statistics_add, MINVFUNC = tidemark.exact_statistics_subtract,
                MSTYPE = internal, MSSPACE = %4$s, MFINALFUNC = tidemark.exact_result_%1$s,
                PARALLEL = SAFE);
            COMMENT ON AGGREGATE tidemark.exact_%1$s(%2$s) IS '%3$s; exact, rounded once: the same in any order, also over moving windows';
            GRANT EXECUTE ON FUNCTION tidemark.exact_%1$s(%2$s) TO PUBLIC
            $sql$, name, arguments, pg_catalog.replace(is_of, '''', ''''''), space);
    END LOOP;
END
$$;

-- ------------------------------------------------------------------------------------------------
-- Sliding aggregates (src/aggregate/): a row costs the same whatever the window's length
-- ------------------------------------------------------------------------------------------------

CREATE FUNCTION tidemark.sliding_window_add(internal, anyelement, regprocedure, VARIADIC "any") RETURNS internal
    AS 'MODULE_PATHNAME', 'tidemark_sliding_window_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.sliding_window_add(internal, anyelement, regprocedure, "any")
    IS 'implementation of sliding aggregates: adds a row';

CREATE FUNCTION tidemark.sliding_window_evict(internal, anyelement, regprocedure, VARIADIC "any") RETURNS internal
    AS 'MODULE_PATHNAME', 'tidemark_sliding_window_evict' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.sliding_window_evict(internal, anyelement, regprocedure, "any")
    IS 'implementation of sliding aggregates: takes away the row that leaves the window';

CREATE FUNCTION tidemark.sliding_window_result(internal, anyelement, regprocedure, VARIADIC "any") RETURNS anyelement
    AS 'MODULE_PATHNAME', 'tidemark_sliding_window_result' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.sliding_window_result(internal, anyelement, regprocedure, "any")
    IS 'implementation of sliding aggregates: the result over the window''s rows';

CREATE AGGREGATE tidemark.sliding_window(anyelement, regprocedure, VARIADIC "any") (
    SFUNC = tidemark.sliding_window_add, STYPE = internal, SSPACE = 192,
    FINALFUNC = tidemark.sliding_window_result, FINALFUNC_EXTRA,
    MSFUNC = tidemark.sliding_window_add, MINVFUNC = tidemark.sliding_window_evict,
    MSTYPE = internal, MSSPACE = 192, MFINALFUNC = tidemark.sliding_window_result, MFINALFUNC_EXTRA,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE tidemark.sliding_window(anyelement, regprocedure, "any")
    IS 'the aggregate of that name over a moving window, by the sliding method for it; what queries over streams are given';
GRANT EXECUTE ON FUNCTION tidemark.sliding_window(anyelement, regprocedure, "any") TO PUBLIC;

CREATE FUNCTION tidemark.session(event_time timestamp, gap interval) RETURNS timestamp
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_session';
COMMENT ON FUNCTION tidemark.session(timestamp, interval) IS 'window function: when the row''s session began; a row that comes more than the gap after the one before it begins another';
GRANT EXECUTE ON FUNCTION tidemark.session(timestamp, interval) TO PUBLIC;
CREATE FUNCTION tidemark.session(event_time timestamptz, gap interval) RETURNS timestamptz
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_session';
COMMENT ON FUNCTION tidemark.session(timestamptz, interval) IS 'window function: when the row''s session began; a row that comes more than the gap after the one before it begins another';
GRANT EXECUTE ON FUNCTION tidemark.session(timestamptz, interval) TO PUBLIC;
CREATE FUNCTION tidemark.session(event_time date, gap interval) RETURNS date
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_session';
COMMENT ON FUNCTION tidemark.session(date, interval) IS 'window function: when the row''s session began; a row that comes more than the gap after the one before it begins another';
GRANT EXECUTE ON FUNCTION tidemark.session(date, interval) TO PUBLIC;
CREATE FUNCTION tidemark.session(event_time bigint, gap bigint) RETURNS bigint
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_session';
COMMENT ON FUNCTION tidemark.session(bigint, bigint) IS 'window function: when the row''s session began; a row that comes more than the gap after the one before it begins another';
GRANT EXECUTE ON FUNCTION tidemark.session(bigint, bigint) TO PUBLIC;

CREATE FUNCTION tidemark.joined_session(begins anyelement, gap bigint, ends anyelement) RETURNS anyelement
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_joined_session';
COMMENT ON FUNCTION tidemark.joined_session(anyelement, bigint, anyelement) IS 'implementation of views with GROUP BY tidemark.session: to which session something belongs that lasts for a time, such as a session that there was';

CREATE FUNCTION tidemark.begins_entry(event_time anyelement, length bigint) RETURNS boolean
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_begins_entry';
COMMENT ON FUNCTION tidemark.begins_entry(anyelement, bigint) IS 'implementation of views with dedup_for: is the row kept, because it comes more than that length after the one that was kept last?';

CREATE FUNCTION tidemark.first_step(internal, anyelement) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_first_step';
COMMENT ON FUNCTION tidemark.first_step(internal, anyelement) IS 'implementation of tidemark.first: keeps the first value';
CREATE FUNCTION tidemark.last_step(internal, anyelement) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_last_step';
COMMENT ON FUNCTION tidemark.last_step(internal, anyelement) IS 'implementation of tidemark.last: keeps the last value';
CREATE FUNCTION tidemark.first_result(internal, anyelement) RETURNS anyelement
    LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'tidemark_first_result';
COMMENT ON FUNCTION tidemark.first_result(internal, anyelement) IS 'implementation of tidemark.first and last: the value';

CREATE AGGREGATE tidemark.first(anyelement) (
    SFUNC = tidemark.first_step, STYPE = internal, FINALFUNC = tidemark.first_result, FINALFUNC_EXTRA
);
COMMENT ON AGGREGATE tidemark.first(anyelement) IS 'the value of the first row, also if it is null, in the order that ORDER BY says in the call; over a stream, else by event time';
GRANT EXECUTE ON FUNCTION tidemark.first(anyelement) TO PUBLIC;
CREATE AGGREGATE tidemark.last(anyelement) (
    SFUNC = tidemark.last_step, STYPE = internal, FINALFUNC = tidemark.first_result, FINALFUNC_EXTRA
);
COMMENT ON AGGREGATE tidemark.last(anyelement) IS 'the value of the last row, also if it is null, in the order that ORDER BY says in the call; over a stream, else by event time';
GRANT EXECUTE ON FUNCTION tidemark.last(anyelement) TO PUBLIC;

CREATE FUNCTION tidemark.count_distinct_add(internal, anyelement) RETURNS internal
    AS 'MODULE_PATHNAME', 'tidemark_count_distinct_add' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.count_distinct_add(internal, anyelement) IS 'implementation of count_distinct: adds a row';

CREATE FUNCTION tidemark.count_distinct_evict(internal, anyelement) RETURNS internal
    AS 'MODULE_PATHNAME', 'tidemark_count_distinct_evict' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.count_distinct_evict(internal, anyelement)
    IS 'implementation of count_distinct: takes away the row that leaves the window';

CREATE FUNCTION tidemark.count_distinct_result(internal) RETURNS bigint
    AS 'MODULE_PATHNAME', 'tidemark_count_distinct_result' LANGUAGE C IMMUTABLE PARALLEL SAFE;
COMMENT ON FUNCTION tidemark.count_distinct_result(internal) IS 'implementation of count_distinct: how many different values there are';

CREATE AGGREGATE tidemark.count_distinct(anyelement) (
    SFUNC = tidemark.count_distinct_add, STYPE = internal, SSPACE = 1024,
    FINALFUNC = tidemark.count_distinct_result,
    MSFUNC = tidemark.count_distinct_add, MINVFUNC = tidemark.count_distinct_evict,
    MSTYPE = internal, MSSPACE = 1024, MFINALFUNC = tidemark.count_distinct_result,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE tidemark.count_distinct(anyelement) IS 'how many different values there are, also over moving windows; nulls don''t count';
GRANT EXECUTE ON FUNCTION tidemark.count_distinct(anyelement) TO PUBLIC;

-- ------------------------------------------------------------------------------------------------
-- Ingestion
-- ------------------------------------------------------------------------------------------------

CREATE FUNCTION tidemark.start_ingest(topic regclass, stream regclass, start_at text DEFAULT 'earliest') RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_start_ingest';
COMMENT ON FUNCTION tidemark.start_ingest(regclass, regclass, text)
    IS 'read a topic into a stream from now on: from the earliest or latest record, or from a time';

CREATE FUNCTION tidemark.start_ingest(topic regclass, stream regclass, start_at jsonb) RETURNS void
    LANGUAGE sql STRICT AS 'SELECT tidemark.start_ingest($1, $2, $3::pg_catalog.text)';
COMMENT ON FUNCTION tidemark.start_ingest(regclass, regclass, jsonb)
    IS 'read a topic into a stream from now on: from these offsets, {"partition": offset, …}';

CREATE FUNCTION tidemark.start_ingest(topic regclass, stream regclass, start_at timestamptz) RETURNS void
    LANGUAGE sql STRICT AS 'SELECT tidemark.start_ingest($1, $2, $3::pg_catalog.text)';
COMMENT ON FUNCTION tidemark.start_ingest(regclass, regclass, timestamptz)
    IS 'read a topic into a stream from now on: from the first records at or after a time';

CREATE FUNCTION tidemark.stop_ingest(topic regclass, stream regclass) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_stop_ingest';
COMMENT ON FUNCTION tidemark.stop_ingest(regclass, regclass) IS 'end an ingestion and forget its positions; the rows stay';

CREATE FUNCTION tidemark.pause_ingest(topic regclass, stream regclass) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_pause_ingest';
COMMENT ON FUNCTION tidemark.pause_ingest(regclass, regclass) IS 'hold an ingestion where it is, until resume_ingest';

CREATE FUNCTION tidemark.resume_ingest(topic regclass, stream regclass, skip_lost boolean DEFAULT false) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_resume_ingest';
COMMENT ON FUNCTION tidemark.resume_ingest(regclass, regclass, boolean)
    IS 'go on with an ingestion that was paused or has failed; if told so, behind records that the broker no longer has';

CREATE FUNCTION tidemark.wait_until_ingested(stream regclass, timeout interval DEFAULT '60 seconds') RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_wait_until_ingested';
COMMENT ON FUNCTION tidemark.wait_until_ingested(regclass, interval)
    IS 'wait until all that the stream''s topics hold at the call is committed';

CREATE FUNCTION tidemark.workers(
        OUT kind text, OUT job int, OUT pid int, OUT state text, OUT lag_records int8, OUT lag_seconds float8,
        OUT records_per_second float8, OUT error text, OUT error_at timestamptz)
    RETURNS SETOF record LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_workers';
COMMENT ON FUNCTION tidemark.workers() IS 'the processes under tidemark.ingest_status and tidemark.sinks';

CREATE FUNCTION tidemark.wake_workers() RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_wake_workers';
COMMENT ON FUNCTION tidemark.wake_workers() IS 'at commit: have the processes look at the catalogue again';
REVOKE ALL ON FUNCTION tidemark.wake_workers() FROM PUBLIC;

CREATE VIEW tidemark.ingest_status AS
SELECT i.topic,
       i.stream,
       CASE WHEN i.paused THEN 'paused' ELSE coalesce(w.state, 'stopped') END AS state,
       w.pid,
       p.partitions,
       p.records,
       w.lag_records,
       w.lag_seconds,
       w.records_per_second,
       p.dead_letters,
       p.late_kept,
       p.late_dropped,
       p.late_diverted,
       coalesce(w.error, i.last_error) AS last_error,
       coalesce(w.error_at, i.last_error_at) AS last_error_at,
       i.role
  FROM tidemark.ingest i
  JOIN pg_catalog.pg_class c ON c.oid = i.stream
  LEFT JOIN tidemark.workers() w ON w.kind = 'ingest' AND w.job = i.id
 CROSS JOIN LATERAL (
       SELECT count(*)::int AS partitions,
              coalesce(sum(records), 0)::int8 AS records,
              coalesce(sum(dead), 0)::int8 AS dead_letters,
              coalesce(sum(late_kept), 0)::int8 AS late_kept,
              coalesce(sum(late_dropped), 0)::int8 AS late_dropped,
              coalesce(sum(late_diverted), 0)::int8 AS late_diverted
         FROM tidemark.ingest_partition WHERE ingest = i.id) p
 WHERE pg_has_role(c.relowner, 'USAGE') OR pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW tidemark.ingest_status
    IS 'the ingestions of this database and how they are; for the streams'' owners and members of pg_monitor';
GRANT SELECT ON tidemark.ingest_status TO PUBLIC;

CREATE VIEW tidemark.ingest_partitions AS
SELECT i.topic,
       i.stream,
       p.partition,
       p.next_offset,
       tidemark.event_time_text(i.stream, p.greatest) AS greatest_event_time,
       p.idle,
       p.records,
       p.dead AS dead_letters
  FROM tidemark.ingest i
  JOIN tidemark.ingest_partition p ON p.ingest = i.id
  JOIN pg_catalog.pg_class c ON c.oid = i.stream
 WHERE pg_has_role(c.relowner, 'USAGE') OR pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW tidemark.ingest_partitions
    IS 'how far each partition of the ingested topics is: what holds a watermark back; for the streams'' owners and pg_monitor';
GRANT SELECT ON tidemark.ingest_partitions TO PUBLIC;

-- A stream's owner sees and deletes its dead letters, nobody else: they hold what the topic held.
COMMENT ON TABLE tidemark.dead_letters IS 'records that could not become rows of a stream, whole and with their error';
ALTER TABLE tidemark.dead_letters ENABLE ROW LEVEL SECURITY;
CREATE POLICY stream_owner ON tidemark.dead_letters
    USING (pg_has_role((SELECT relowner FROM pg_catalog.pg_class WHERE oid = stream), 'USAGE'));
GRANT SELECT, DELETE ON tidemark.dead_letters TO PUBLIC;

SELECT tidemark.wake_workers();

-- ------------------------------------------------------------------------------------------------
-- Sinks
-- ------------------------------------------------------------------------------------------------

CREATE FUNCTION tidemark.start_sink(
        view regclass, topic regclass, mode text DEFAULT 'append', key name[] DEFAULT NULL,
        corrections text DEFAULT 'ignore', start_at text DEFAULT 'beginning', delivery text DEFAULT 'exactly_once',
        envelope text DEFAULT 'none')
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'tidemark_start_sink';
COMMENT ON FUNCTION tidemark.start_sink(regclass, regclass, text, name[], text, text, text, text)
    IS 'send a continuous view''s rows to a topic from now on, exactly once if the broker has transactions: all of them, or those that are to become final';

CREATE FUNCTION tidemark.stop_sink(view regclass, topic regclass) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_stop_sink';
COMMENT ON FUNCTION tidemark.stop_sink(regclass, regclass) IS 'end a sink and forget its position; the records stay';

CREATE FUNCTION tidemark.pause_sink(view regclass, topic regclass) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_pause_sink';
COMMENT ON FUNCTION tidemark.pause_sink(regclass, regclass) IS 'hold a sink where it is, until resume_sink';

CREATE FUNCTION tidemark.resume_sink(view regclass, topic regclass, position_lost boolean DEFAULT false) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_resume_sink';
COMMENT ON FUNCTION tidemark.resume_sink(regclass, regclass, boolean)
    IS 'go on with a sink that was paused or has failed; if told so, from the catalogue''s position where the broker has none';

CREATE FUNCTION tidemark.sink_lag(view regclass, frontier int8, seq int8, present_to int8) RETURNS int8
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_sink_lag';
COMMENT ON FUNCTION tidemark.sink_lag(regclass, int8, int8, int8) IS 'how many rows a sink at this position has not sent yet; under tidemark.sinks';

CREATE VIEW tidemark.sinks AS
SELECT s.view,
       s.topic,
       s.mode,
       s.key,
       s.corrections,
       s.delivery,
       s.envelope,
       CASE WHEN s.paused THEN CASE WHEN w.pid IS NULL THEN 'paused' ELSE 'pausing' END
            ELSE coalesce(w.state, 'stopped') END AS state,
       w.pid,
       tidemark.event_time_text(v.stream, s.frontier) AS sent_up_to,
       s.records,
       s.ignored AS corrections_ignored,
       l.rows AS lag_rows,
       CASE WHEN l.rows = 0 THEN 0 ELSE extract(epoch FROM clock_timestamp() - s.caught_up_at)::float8 END AS lag_seconds,
       w.records_per_second,
       coalesce(w.error, s.last_error) AS last_error,
       coalesce(w.error_at, s.last_error_at) AS last_error_at,
       s.role
  FROM tidemark.sink s
  JOIN tidemark.view v ON v.relid = s.view
  LEFT JOIN tidemark.workers() w ON w.kind = 'sink' AND w.job = s.id
 CROSS JOIN LATERAL (SELECT tidemark.sink_lag(s.view, s.frontier, s.seq, s.present_to) AS rows) l
 WHERE pg_catalog.has_table_privilege(s.view, 'SELECT') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW tidemark.sinks IS 'the sinks of the continuous views that one may read, and how they are; counts what waits';
GRANT SELECT ON tidemark.sinks TO PUBLIC;

-- ------------------------------------------------------------------------------------------------
-- Subscriptions
-- ------------------------------------------------------------------------------------------------

CREATE FUNCTION tidemark.create_subscription(
        view regclass, name name, key name[] DEFAULT NULL, start_at text DEFAULT 'beginning',
        retention interval DEFAULT '7 days', retention_rows bigint DEFAULT 1000000)
    RETURNS void LANGUAGE c AS 'MODULE_PATHNAME', 'tidemark_create_subscription';
COMMENT ON FUNCTION tidemark.create_subscription(regclass, name, name[], text, interval, bigint)
    IS 'let one ask for a continuous view''s rows and their changes: for all of them, or for those that are to become final';

CREATE FUNCTION tidemark.drop_subscription(subscription name) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_drop_subscription';
COMMENT ON FUNCTION tidemark.drop_subscription(name) IS 'end a subscription and forget its position';

CREATE FUNCTION tidemark.reset_subscription(subscription name, start_at text DEFAULT 'beginning') RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_reset_subscription';
COMMENT ON FUNCTION tidemark.reset_subscription(name, text) IS 'begin a subscription anew: with all rows of the view, or with those that are to become final';

CREATE FUNCTION tidemark.next_changes(
        subscription name, max_rows int DEFAULT 1000, timeout interval DEFAULT '0',
        OUT "position" text, OUT op text, OUT watermark text, OUT "row" jsonb, OUT old_row jsonb)
    RETURNS SETOF record LANGUAGE c STRICT ROWS 1000 AS 'MODULE_PATHNAME', 'tidemark_next_changes';
COMMENT ON FUNCTION tidemark.next_changes(name, int, interval)
    IS 'the changes that follow what is acknowledged of a subscription, the same ones until they are; if there are none, waits for some';

CREATE FUNCTION tidemark.acknowledge(subscription name, up_to text) RETURNS void
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_acknowledge';
COMMENT ON FUNCTION tidemark.acknowledge(name, text) IS 'say that the changes up to a position are taken in: they don''t come again';

CREATE FUNCTION tidemark.subscription_lag(view regclass, frontier int8, seq int8, present_to int8) RETURNS int8
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_subscription_lag';
COMMENT ON FUNCTION tidemark.subscription_lag(regclass, int8, int8, int8)
    IS 'how many changes there are behind a subscription''s position; under tidemark.subscriptions';

CREATE FUNCTION tidemark.kept_changes(view regclass, seq int8) RETURNS int8
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_kept_changes';
COMMENT ON FUNCTION tidemark.kept_changes(regclass, int8)
    IS 'how many logged corrections of a view there are behind a subscription''s position; under tidemark.subscriptions';

CREATE FUNCTION tidemark.subscription_readers(OUT subscription int, OUT pid int, OUT reads boolean, OUT frontier int8, OUT seq int8)
    RETURNS SETOF record
    LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'tidemark_subscription_readers';
COMMENT ON FUNCTION tidemark.subscription_readers() IS 'the sessions under tidemark.subscriptions';

CREATE VIEW tidemark.subscriptions AS
SELECT s.view,
       s.name AS subscription,
       s.key,
       CASE WHEN s.lost IS NOT NULL THEN 'lost'
            WHEN v.mat <> s.mat OR v.changes IS NULL THEN 'replaced'
            WHEN r.pid IS NOT NULL THEN 'reading'
            WHEN l.rows > 0 THEN 'behind'
            ELSE 'current' END AS state,
       r.pid,
       tidemark.event_time_text(v.stream, s.frontier) AS acknowledged_up_to,
       s.changes,
       l.rows AS lag_rows,
       CASE WHEN l.rows = 0 THEN 0 ELSE extract(epoch FROM clock_timestamp() - coalesce(s.waiting_since, clock_timestamp()))::float8 END AS lag_seconds,
       CASE WHEN s.rated_at > clock_timestamp() - interval '10 seconds' THEN s.rate ELSE 0 END AS changes_per_second,
       CASE WHEN s.lost IS NULL THEN tidemark.kept_changes(s.view, greatest(s.seq, s.present_to)) END AS kept_corrections,
       s.retention,
       s.retention_rows,
       s.lost AS last_error,
       s.lost_at AS last_error_at,
       s.role
  FROM tidemark.subscription s
  JOIN tidemark.view v ON v.relid = s.view
  LEFT JOIN tidemark.subscription_readers() r ON r.subscription = s.id AND (r.reads OR r.frontier > s.frontier OR r.seq > s.seq)
 CROSS JOIN LATERAL (
       SELECT CASE WHEN s.lost IS NULL AND v.mat = s.mat THEN tidemark.subscription_lag(s.view, s.frontier, s.seq, s.present_to) END AS rows) l
 WHERE pg_catalog.has_table_privilege(s.view, 'SELECT') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW tidemark.subscriptions IS 'the subscriptions of the continuous views that one may read, and how they are; counts what waits';
GRANT SELECT ON tidemark.subscriptions TO PUBLIC;

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
