# The processes: one maintainer in each database that has the extension, out of the way of statements that need a
# database for themselves, and no restart loops.
use strict;
use warnings;

use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkKafka;

my $kafka = TidemarkKafka->start;
my $node = TidemarkKafka::new_node('main', "max_worker_processes = 8\nlog_min_messages = log\n");
my ($output, $error);

sub workers
{
	my ($database, $type) = @_;
	return "FROM pg_stat_activity WHERE backend_type = 'tidemark $type' AND datname = '$database'";
}

sub wait_workers
{
	my ($database, $type, $n) = @_;
	ok($node->poll_query_until('postgres', "SELECT count(*) = $n " . workers($database, $type)), "$type workers in $database: $n");
}

# A stream with ingestion in a database of that name.
sub make_database
{
	my ($name) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, qq{CREATE EXTENSION tidemark;
		CREATE SERVER kafka FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers '${\ $kafka->address}');
		CREATE FOREIGN TABLE topic (t timestamp, id int) SERVER kafka OPTIONS (topic 'events', format 'json');
		CREATE TABLE events (LIKE topic);
		SELECT tidemark.create_stream('events', 't'); SELECT tidemark.start_ingest('topic', 'events');
		SELECT tidemark.wait_until_ingested('events')});
}

$kafka->topic('events', 1);
$kafka->produce('events', [ map { qq({"t": "2024-01-01", "id": $_}) } 1 .. 10 ]);

wait_workers('postgres', 'maintainer', 1);
make_database('one');
wait_workers('one', 'maintainer', 1);
wait_workers('one', 'ingest', 1);
is($node->safe_psql('one', 'SELECT count(*) FROM events'), '10', 'each database has its own');
is($node->safe_psql('postgres', 'SELECT application_name ' . workers('one', 'ingest')), 'tidemark ingest topic', 'application_name names the topic');

# --- statements that need the database for themselves ---

$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE one');
wait_workers('copied', 'ingest', 1);
wait_workers('one', 'ingest', 1);
$kafka->produce('events', ['{"t": "2024-01-01", "id": 11}']);
for my $database ('one', 'copied')
{
	$node->safe_psql($database, q{SELECT tidemark.wait_until_ingested('events')});
	is($node->safe_psql($database, 'SELECT count(*), count(DISTINCT id) FROM events'), '11|11', "$database goes on where it was");
}
$node->safe_psql('postgres', 'ALTER DATABASE copied RENAME TO renamed');
wait_workers('renamed', 'ingest', 1);
$node->safe_psql('postgres', 'BEGIN; ALTER DATABASE renamed RENAME TO not_so; ROLLBACK');
wait_workers('renamed', 'ingest', 1);
$node->safe_psql('postgres', 'DROP DATABASE renamed');
pass('a database with workers is dropped');

# Somebody is connected: the statement fails, and the workers come back.
my $session = $node->background_psql('one');
$session->query_safe('SELECT 1');
(undef, undef, $error) = $node->psql('postgres', 'DROP DATABASE one');
like($error, qr/database "one" is being accessed by other users.*There is 1 other session/s, 'the drop fails by the user\'s own session alone');
$session->quit;
wait_workers('one', 'maintainer', 1);
wait_workers('one', 'ingest', 1);

# Only its owner can send a database's workers away.
$node->safe_psql('postgres', 'CREATE ROLE eve LOGIN CREATEDB');
my $pid = $node->safe_psql('postgres', 'SELECT pid ' . workers('one', 'ingest'));
(undef, undef, $error) = $node->psql('postgres', 'DROP DATABASE one', extra_params => [ '-U', 'eve' ]);
like($error, qr/must be owner of database one/, 'a drop by somebody else is refused');
is($node->safe_psql('postgres', 'SELECT pid ' . workers('one', 'ingest')), $pid, 'and disturbs nobody');

# --- the extension goes, and comes back ---

$node->safe_psql('one', 'DROP EXTENSION tidemark CASCADE');
wait_workers('one', 'maintainer', 0);
wait_workers('one', 'ingest', 0);
$node->safe_psql('one', 'CREATE EXTENSION tidemark');
wait_workers('one', 'maintainer', 1);
for (1 .. 3)
{
	$node->safe_psql('one', 'DROP EXTENSION tidemark');
	$node->safe_psql('one', 'CREATE EXTENSION tidemark');
}
wait_workers('one', 'maintainer', 1);

# Who drops it waits for our processes, and they for him, before either has locked a table: so there is no deadlock.
$session = $node->background_psql('one');
$session->query_safe('BEGIN');
$session->query_safe('DROP EXTENSION tidemark');
my $maintainer = $node->safe_psql('postgres', 'SELECT pid ' . workers('one', 'maintainer'));
my $locks = "FROM pg_locks WHERE pid = $maintainer";
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 $locks AND locktype = 'object' AND NOT granted"), 'a maintainer waits for a DROP EXTENSION');
is($node->safe_psql('postgres', "SELECT count(*) $locks AND locktype = 'relation'"), '0', 'with no table locked');
$session->query_safe('ROLLBACK');
$session->quit;
is($node->safe_psql('postgres', 'SELECT pid ' . workers('one', 'maintainer')), $maintainer, 'and goes on');

# --- processes that are ended come back ---

$node->safe_psql('postgres', "SELECT pg_terminate_backend($maintainer)");
ok($node->poll_query_until('postgres', 'SELECT count(*) = 1 ' . workers('one', 'maintainer') . " AND pid <> $maintainer"), 'another maintainer');
$node->restart;
wait_workers('one', 'maintainer', 1);
wait_workers('postgres', 'maintainer', 1);

# --- too few worker processes ---

make_database("crowd");
$node->safe_psql('crowd', join ';', map { +"CREATE TABLE e$_ (LIKE topic)", "SELECT tidemark.create_stream('e$_', 't')", "SELECT tidemark.start_ingest('topic', 'e$_')" } 1 .. 8);
ok($node->poll_query_until('crowd', q{SELECT count(*) > 0 FROM tidemark.ingest_status WHERE state = 'stopped' AND last_error ~ 'raise max_worker_processes \(now 8\)'}),
	'too few processes are told of');
$node->safe_psql('crowd', join ';', map { +"SELECT tidemark.stop_ingest('topic', 'e$_')" } 3 .. 8);
ok($node->poll_query_until('crowd', q{SELECT count(*) = 3 AND bool_and(state = 'running') FROM tidemark.ingest_status}), 'and started when there is room');
like(slurp_file($node->logfile), qr/tidemark has no free background worker to ingest from "topic"\n.*HINT:  Raise max_worker_processes \(now 8\)/, 'the log says so too');

# --- a worker that always fails does not do so all the time ---

$node->safe_psql('crowd', 'ALTER TABLE e1 DROP CONSTRAINT IF EXISTS x; CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM missing(); END $$;
	CREATE TRIGGER fails BEFORE INSERT ON e1 FOR EACH ROW EXECUTE FUNCTION fails()');
my $log_start = -s $node->logfile;
$kafka->produce('events', ['{"t": "2024-01-01", "id": 12}']);
ok($node->poll_query_until('crowd', q{SELECT state = 'error' AND last_error ~ 'function missing\(\) does not exist' FROM tidemark.ingest_status WHERE stream = 'e1'::regclass}), 'an error in the schema is no dead letter');
ok($node->poll_query_until('crowd', q{SELECT clock_timestamp() - last_error_at > '4 s' FROM tidemark.ingest_status WHERE stream = 'e1'::regclass}), 'it stays');
my $errors = () = slurp_file($node->logfile, $log_start) =~ /ERROR:  function missing\(\) does not exist/g;
cmp_ok($errors, '<', 5, 'tried again with growing pauses');
$node->safe_psql('crowd', 'DROP TRIGGER fails ON e1; SELECT tidemark.resume_ingest(\'topic\', \'e1\'); SELECT tidemark.wait_until_ingested(\'e1\')');
is($node->safe_psql('crowd', 'SELECT count(*) FROM e1 WHERE id = 12'), '1', 'and at once when told that it is mended');
is($node->safe_psql('crowd', 'SELECT count(*) FROM tidemark.dead_letters'), '0', 'nothing was given up');

# --- without preloading ---

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
(undef, undef, $error) = $node->psql('crowd', q{SELECT tidemark.start_ingest('topic', 'e3')});
like($error, qr/start_ingest needs the tidemark library to be loaded.*shared_preload_libraries = 'tidemark'/s, 'start_ingest says which line to add');
is($node->safe_psql('crowd', 'SELECT DISTINCT state FROM tidemark.ingest_status'), 'stopped', 'nothing runs');
$node->safe_psql('postgres', 'DROP DATABASE crowd');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
done_testing();
