# All that a table can have works with ingestion, and a record that it refuses is a dead letter while its batch stays.
use strict;
use warnings;

use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkKafka;
use TidemarkServer;

my $kafka = TidemarkKafka->start;
my $node = TidemarkKafka::new_node('main');

# Ids 1 to 200, one a second, of which every tenth comes a second time.
$kafka->topic('events', 1);
$kafka->produce('events', [ map { my $record = sprintf '{"t": "2024-01-01 00:%02d:%02d", "id": %d, "kind": "k%d"}', $_ / 60, $_ % 60, $_, $_ % 3;
	$_ % 10 ? $record : ($record, $record) } 1 .. 200 ]);
create_topic_table($node, $kafka, 'events_topic', 'events', 't timestamp, id int, kind text');

# Makes a stream of the table, ingests, waits, and returns what the query gives.
sub ingested
{
	my ($table, $create, $query, $options) = @_;
	$node->safe_psql('postgres', "$create; SELECT tidemark.create_stream('$table', 't'" . ($options // '') . ");
		SELECT tidemark.start_ingest('events_topic', '$table')");
	wait_ingested($node, $table);
	return $node->safe_psql('postgres', $query);
}

sub letters
{
	my ($table, $columns) = @_;
	return $node->safe_psql('postgres', "SELECT $columns FROM tidemark.dead_letters WHERE stream = '$table'::regclass");
}

# --- an ordinary table: constraints, unique indexes, defaults, generated and identity columns ---

is( ingested('plain', q{CREATE TABLE plain (t timestamp, id int PRIMARY KEY, kind text NOT NULL CHECK (kind <> 'k2' OR id > 100),
		n int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (id * 2) STORED, source text DEFAULT 'kafka')},
		q{SELECT count(*), count(DISTINCT id), count(DISTINCT n), bool_and(twice = id * 2), bool_and(source = 'kafka') FROM plain}),
	'167|167|167|t|t', 'rows with defaults, identity and generated columns');
is(letters('plain', q{string_agg(DISTINCT sqlstate || ':' || substring(error FROM 'constraint "([^"]*)"'), ',')}),
	'23505:plain_pkey,23514:plain_check', 'what violates a constraint is a dead letter');
is(letters('plain', q{count(*) FILTER (WHERE sqlstate = '23505'), count(*) FILTER (WHERE sqlstate = '23514'), count(DISTINCT "offset")}),
	'17|36|53', 'all of them, once');
is(letters('plain', q{bool_and(convert_from(payload, 'UTF8') ~ '^\{"t": .*\}$')}), 't', 'with their payload');
is(status($node, 'plain', 'records, dead_letters, state'), '167|53|running', 'counted');

# --- a partitioned table, with a partition missing ---

is( ingested('parts', q{CREATE TABLE parts (kind text, id int, t timestamp) PARTITION BY LIST (kind);
		CREATE TABLE parts_0 PARTITION OF parts FOR VALUES IN ('k0'); CREATE TABLE parts_1 (id int, t timestamp, kind text);
		ALTER TABLE parts ATTACH PARTITION parts_1 FOR VALUES IN ('k1')},
		q{SELECT (SELECT count(*) FROM parts_0), (SELECT count(*) FROM parts_1)}),
	'72|74', 'rows find their partitions');
is(letters('parts', q{count(*), min(sqlstate), bool_and(error ~ 'no partition of relation "parts" found for row')}), '74|23514|t', 'or are dead letters');

# --- the user's triggers ---

is( ingested('triggered', q{
		CREATE TABLE triggered (LIKE events_topic); CREATE TABLE audit (id int, who name, n int);
		CREATE FUNCTION on_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.id = 7 THEN RAISE EXCEPTION 'not seven'; END IF;
			IF NEW.id = 8 THEN RETURN NULL; END IF;
			IF NEW.id = 9 THEN NEW.t := '2020-01-01'; END IF;
			NEW.kind := upper(NEW.kind); RETURN NEW; END $$;
		CREATE FUNCTION on_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO audit SELECT NULL, current_user, count(*) FROM added; RETURN NULL; END $$;
		CREATE TRIGGER a BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION on_row();
		CREATE TRIGGER b AFTER INSERT ON triggered REFERENCING NEW TABLE AS added EXECUTE FUNCTION on_statement();
		CREATE VIEW sums AS SELECT t, sum(id) OVER (ORDER BY t RANGE BETWEEN '10 s' PRECEDING AND CURRENT ROW) AS s FROM triggered;},
		q{SELECT count(*), bool_and(kind ~ '^K'), (SELECT sum(n) FROM audit), min(t) FROM triggered}),
	'218|t|218|2020-01-01 00:00:00', 'row and statement triggers fire');
is(letters('triggered', q{count(*), min(sqlstate), min(error)}), '1|P0001|not seven', 'a trigger can refuse a record');
$node->safe_psql('postgres', q{SELECT tidemark.make_continuous('sums')});
wait_maintained($node, 'sums');
$kafka->produce('events', ['{"t": "2024-01-02", "id": 9, "kind": "x"}', '{"t": "2024-01-02", "id": 1000, "kind": "x"}']);
wait_ingested($node, 'triggered');
is($node->safe_psql('postgres', q{SELECT count(*) FROM triggered WHERE t = '2020-01-01'}), '2', 'a trigger moved a row below the frontier');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('sums')}), '0', 'and the view is right');

# --- foreign keys, deferrable constraints, row security, volatile defaults: all by the executor ---

is( ingested('keyed', q{CREATE TABLE kinds (kind text PRIMARY KEY); INSERT INTO kinds VALUES ('k0'), ('k1');
		CREATE TABLE keyed (t timestamp, id int UNIQUE DEFERRABLE INITIALLY DEFERRED,
			kind text REFERENCES kinds DEFERRABLE INITIALLY DEFERRED)},
		q{SELECT count(*), count(DISTINCT id) FROM keyed}),
	'133|133', 'deferred constraints are checked too');
is(letters('keyed', q{count(*) FILTER (WHERE sqlstate = '23503'), count(*) FILTER (WHERE sqlstate = '23505')}), '76|13', 'and give dead letters');

is( ingested('volatile_default', q{CREATE TABLE volatile_default (t timestamp, id int, at timestamptz DEFAULT clock_timestamp(), r float8 DEFAULT random())},
		q{SELECT count(*), count(DISTINCT r) FROM volatile_default}),
	'222|222', 'volatile defaults');

# --- late rows ---

# In one batch nobody knows what is late; so the first row comes alone, then the others.
sub late
{
	my ($table, $options) = @_;
	my $topic = "${table}_events";
	$kafka->topic($topic, 1);
	create_topic_table($node, $kafka, "${table}_topic", $topic, 't timestamp, id int');
	$node->safe_psql('postgres', "CREATE TABLE $table (LIKE ${table}_topic); CREATE TABLE ${table}_late (id int, t timestamp, arrived timestamptz DEFAULT now());
		SELECT tidemark.create_stream('$table', 't', allowed_delay => '10 s', $options);
		CREATE VIEW ${table}_v AS SELECT t, count(*) OVER (ORDER BY t RANGE BETWEEN '10 s' PRECEDING AND CURRENT ROW) AS n FROM $table;
		SELECT tidemark.make_continuous('${table}_v'); SELECT tidemark.start_ingest('${table}_topic', '$table')");
	$kafka->produce($topic, ['{"t": "2024-01-01 00:01:00", "id": 1}']);
	wait_ingested($node, $table);
	wait_maintained($node, "${table}_v");
	$kafka->produce($topic, [ '{"t": "2024-01-01 00:00:50", "id": 2}', '{"t": "2024-01-01 00:00:50.001", "id": 3}',
		'{"t": "2024-01-01 00:00:01", "id": 4}', '{"t": "2024-01-01 00:01:20", "id": 5}' ]);
	wait_ingested($node, $table);
	is($node->safe_psql('postgres', "SELECT count(*) FROM tidemark.verify('${table}_v')"), '0', 'view = batch');
	return $node->safe_psql('postgres', "SELECT (SELECT string_agg(id::text, ',' ORDER BY id) FROM $table),
		(SELECT string_agg(id::text, ',' ORDER BY id) FROM ${table}_late), late_kept, late_dropped, late_diverted
		FROM tidemark.ingest_status WHERE stream = '$table'::regclass");
}
is(late('late_keep', q{late_rows => 'keep'}), '1,2,3,4,5||2|0|0', 'late rows are kept, and counted');
is(late('late_drop', q{late_rows => 'drop'}), '1,3,5||0|2|0', 'late rows are dropped, and counted');
is(late('late_divert', q{late_rows => 'divert', late_table => 'late_divert_late'}), '1,3,5|2,4|0|0|2', 'late rows are diverted, and counted');

# --- event times that can't be ---

$kafka->topic('times', 1);
$kafka->produce('times', [ '{"t": "infinity", "id": 1}', '{"id": 2}', sprintf('{"t": "%d-01-01", "id": 3}', 1902 + (localtime)[5]),
	'{"t": "2024-01-01", "id": 4}', undef ]);
create_topic_table($node, $kafka, 'times_topic', 'times', 't timestamptz, id int');
$node->safe_psql('postgres', q{CREATE TABLE times (LIKE times_topic); SELECT tidemark.create_stream('times', 't', max_ahead => '1 hour');
	SELECT tidemark.start_ingest('times_topic', 'times')});
wait_ingested($node, 'times');
is($node->safe_psql('postgres', 'SELECT id FROM times'), '4', 'only the one with a time is a row');
is(letters('times', q{string_agg(sqlstate || ' ' || regexp_replace(error, 'is \d.*, ', 'is …, '), E'\n' ORDER BY "offset")}),
	"22008 event time \"t\" is infinite\n22004 event time \"t\" is null\n"
	  . "22008 event time \"t\" is …, further ahead of the clock than the stream's max_ahead\n22004 event time \"t\" is null",
	'the others say why not');

# --- the table changes under the worker ---

$node->safe_psql('postgres', q{ALTER TABLE times ADD COLUMN extra text DEFAULT 'new'; ALTER TABLE times DROP COLUMN id});
$kafka->produce('times', ['{"t": "2024-01-02", "id": 5}']);
wait_ingested($node, 'times');
is($node->safe_psql('postgres', q{SELECT extra FROM times WHERE t = '2024-01-02'}), 'new', 'a column is added, another dropped');
$node->safe_psql('postgres', q{ALTER FOREIGN TABLE times_topic ADD COLUMN extra text; ALTER TABLE times ADD COLUMN id text});
$kafka->produce('times', ['{"t": "2024-01-03", "id": 6, "extra": "given"}']);
wait_ingested($node, 'times');
is($node->safe_psql('postgres', q{SELECT extra, id FROM times WHERE t = '2024-01-03'}), 'given|6', 'the topic gets a column, another its type');
$node->safe_psql('postgres', q{ALTER FOREIGN TABLE times_topic DROP COLUMN t});
$kafka->produce('times', ['{"t": "2024-01-04", "id": 7}']);
wait_state($node, 'times', 'error');
like(status($node, 'times', 'last_error'), qr/topic table "times_topic" has no column "t", the event time of stream "times"/, 'a missing event time is an error, not a dead letter');
$node->safe_psql('postgres', q{ALTER FOREIGN TABLE times_topic ADD COLUMN t timestamptz; SELECT tidemark.resume_ingest('times_topic', 'times')});
wait_ingested($node, 'times');
is($node->safe_psql('postgres', q{SELECT id FROM times WHERE t = '2024-01-04'}), '7', 'and goes on when it is back');

# --- the user's code has the user's rights ---

$node->safe_psql('postgres', 'CREATE ROLE mallory LOGIN; GRANT SELECT ON events_topic TO mallory; GRANT CREATE ON SCHEMA public TO mallory;
	CREATE TABLE secret (x int); CREATE TABLE witness (who name, session name, super text); GRANT INSERT ON witness TO PUBLIC');
$node->safe_psql('postgres', q{
	CREATE TABLE evil (LIKE events_topic);
	CREATE FUNCTION evil_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM set_config('search_path', 'public', false);
		IF NEW.id = 1 THEN DELETE FROM secret; END IF;
		IF NEW.id = 2 THEN EXECUTE 'RESET ROLE'; END IF;
		IF NEW.id = 3 THEN EXECUTE 'SET SESSION AUTHORIZATION postgres'; END IF;
		IF NEW.id = 4 THEN EXECUTE 'ALTER ROLE mallory SUPERUSER'; END IF;
		IF NEW.id = 5 THEN INSERT INTO witness VALUES (current_user, session_user, current_setting('is_superuser')); END IF;
		RETURN NEW; EXCEPTION WHEN insufficient_privilege OR invalid_parameter_value OR invalid_transaction_state THEN
			RAISE EXCEPTION 'refused: %', SQLERRM; END $$;
	CREATE TRIGGER evil BEFORE INSERT ON evil FOR EACH ROW EXECUTE FUNCTION evil_row();
	CREATE FUNCTION evil_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO witness VALUES (current_user, 'deferred', ''); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER evil_late AFTER INSERT ON evil DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.id = 6)
		EXECUTE FUNCTION evil_late();
	SELECT tidemark.create_stream('evil', 't'); SELECT tidemark.start_ingest('events_topic', 'evil')},
	extra_params => [ '-U', 'mallory' ]);
wait_ingested($node, 'evil');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT who, ',') FROM witness}), 'mallory', 'triggers run as the role, deferred ones too');
is($node->safe_psql('postgres', q{SELECT count(*) FROM witness WHERE session = 'deferred'}), '1', 'and they do run');
is(letters('evil', q{string_agg("offset"::text, ',' ORDER BY "offset")}), '0,1,2,3', 'what it may not do is refused');
is($node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'mallory'}), 'f', 'and has not happened');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
done_testing();
