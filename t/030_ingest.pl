# A topic becomes a stream: the quick start in small, partitions, garbage, where to start, pause, resume, stop.
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
my ($output, $error);

# --- the quick start in small, with garbage ---

$kafka->topic('payment_msg', 4);
my ($good, $garbage) = $kafka->payments('payment_msg', records => 20000, garbage => 1);
create_payments($node, $kafka, 'payment_msg');
$node->safe_psql('postgres', q{SELECT tidemark.start_ingest('payment_topic', 'payment_msg', start_at => 'earliest')});
wait_ingested($node, 'payment_msg');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT "orderId") FROM payment_msg'),
	"$good|$good", 'every good record is a row, once');
is( $node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT (partition, "offset")) FROM tidemark.dead_letters'),
	"$garbage|$garbage", 'every other one a dead letter, once');
is(status($node, 'payment_msg', 'state, partitions, records, lag_records, dead_letters, pid IS NOT NULL'),
	"running|4|$good|0|$garbage|t", 'ingest_status says so');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.dead_letters WHERE sqlstate !~ '^(22|54)' OR error = ''
		OR payload IS NULL OR "timestamp" IS NULL OR topic <> 'payment_msg' OR stream <> 'payment_msg'::regclass}),
	'0', 'a dead letter has its payload and its error');
is( $node->safe_psql('postgres', q{SELECT DISTINCT error FROM tidemark.dead_letters
		WHERE payload = convert_to('{"createTime": null, "orderId": ' || substring(encode(payload, 'escape') FROM '(\d+)\}$') || '}', 'UTF8')}),
	'event time "createTime" is null', 'a null event time is named');
is( $node->safe_psql('postgres', q{SELECT count(*) > 0 FROM tidemark.dead_letters
		WHERE error ~ '^invalid input syntax for type \w+: ".*", column "\w+", field "\w+"'}),
	't', 'a wrong type is named with its column');
is($node->safe_psql('postgres', q{SELECT max(length(payload)) > 1000000 FROM tidemark.dead_letters}),
	't', 'a long payload is kept whole');
is($node->safe_psql('postgres', q{SELECT count(DISTINCT pid) FROM tidemark.ingest_status}),
	'1', 'garbage does not restart the worker');

# --- the continuous view over it, while more comes ---

$node->safe_psql('postgres', q{
	CREATE VIEW recent_spend AS SELECT "createTime", "provinceId", sum("payAmount") OVER (PARTITION BY "provinceId"
	ORDER BY "createTime" RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW) AS pay_amount FROM payment_msg;
	SELECT tidemark.make_continuous('recent_spend')});
my $background = $kafka->payments_in_background('payment_msg', records => 20000, first => 20001, start => 1695248362);
for (1 .. 5)
{
	is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('recent_spend')}), '0', 'view = batch');
}
ok($background->finish, 'produced');
wait_ingested($node, 'payment_msg');
wait_maintained($node, 'recent_spend');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('recent_spend')}), '0', 'view = batch at the end');
cmp_ok($node->safe_psql('postgres', q{SELECT rows FROM tidemark.continuous_views}), '>', 20000, 'and materialised');
is($node->safe_psql('postgres', 'SELECT count(DISTINCT "orderId") FROM payment_msg'), $good + 20000, 'all rows');

# --- partitions that are added later ---

$kafka->add_partitions('payment_msg', 6);
$kafka->produce('payment_msg', ['{"createTime": "2023-09-20 22:19:02.224", "orderId": 1000001}'], partition => 5);
$node->poll_query_until('postgres', 'SELECT true FROM payment_msg WHERE "orderId" = 1000001')
  or die 'the record of a new partition did not come';
is(status($node, 'payment_msg', 'partitions'), '6', 'new partitions are found, and read from their start');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('recent_spend')}), '0', 'view = batch');

# --- a pause keeps the positions, and holds from its commit on ---

$node->safe_psql('postgres', q{SELECT tidemark.pause_ingest('payment_topic', 'payment_msg')});
my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM payment_msg');
is(status($node, 'payment_msg', 'state'), 'paused', 'paused');
$kafka->payments('payment_msg', records => 600, first => 50001, start => 1695248382);
$node->poll_query_until('postgres', 'SELECT pid IS NULL FROM tidemark.ingest_status') or die 'its worker did not end';
is($node->safe_psql('postgres', 'SELECT count(*) FROM payment_msg'), $before, 'nothing comes while it is paused');
(undef, undef, $error) = $node->psql('postgres', q{SELECT tidemark.wait_until_ingested('payment_msg', '1 s')});
like($error, qr/is paused.*HINT:.*resume_ingest/s, 'waiting for a paused ingestion is an error');
$node->safe_psql('postgres', q{SELECT tidemark.resume_ingest('payment_topic', 'payment_msg')});
wait_ingested($node, 'payment_msg');
is($node->safe_psql('postgres', 'SELECT count(*) FROM payment_msg'), $before + 600, 'resumed where it was');

# --- stop, and start anew ---

$node->safe_psql('postgres', q{SELECT tidemark.stop_ingest('payment_topic', 'payment_msg')});
is($node->safe_psql('postgres', 'SELECT count(*) FROM tidemark.ingest_partition'), '0', 'stopped: the positions are gone');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'tidemark ingest'})
  or die 'the worker did not end';
(undef, undef, $error) = $node->psql('postgres', q{SELECT tidemark.wait_until_ingested('payment_msg')});
like($error, qr/nothing is ingested into "payment_msg"/, 'nothing to wait for');
(undef, undef, $error) = $node->psql('postgres', q{SELECT tidemark.stop_ingest('payment_topic', 'payment_msg')});
like($error, qr/"payment_topic" is not ingested into "payment_msg"/, 'stopping what does not run is an error');

# --- where to start ---

$kafka->topic('starts', 2);
$kafka->produce('starts', [ map { qq({"t": "2024-01-01 00:00:0$_", "id": $_}) } 0 .. 4 ], partition => 0);
$kafka->produce('starts', [ map { qq({"t": "2024-01-01 00:01:0$_", "id": 10$_}) } 0 .. 4 ], partition => 1);
create_topic_table($node, $kafka, 'starts_topic', 'starts', 't timestamp, id int');

sub ids_from
{
	my ($name, $start, $more) = @_;
	$node->safe_psql('postgres', "CREATE TABLE $name (LIKE starts_topic);
		SELECT tidemark.create_stream('$name', 't');
		SELECT tidemark.start_ingest('starts_topic', '$name', start_at => $start)");
	wait_state($node, $name, 'running');
	$kafka->produce('starts', ['{"t": "2024-01-01 00:02:00", "id": 777}'], partition => 1) if $more;
	wait_ingested($node, $name);
	return $node->safe_psql('postgres', "SELECT string_agg(id::text, ',' ORDER BY id) FROM $name");
}

is(ids_from('s_earliest', q{'earliest'}), '0,1,2,3,4,100,101,102,103,104', 'start_at earliest');
is(ids_from('s_offsets', q{'{"0": 3}'}), '3,4,100,101,102,103,104', 'start_at offsets, as text; partitions without one from their start');
is(ids_from('s_jsonb', q{'{"0": 5, "1": 4}'::jsonb}), '104', 'start_at offsets, as jsonb');
is(ids_from('s_past', q{'2020-01-01'}), '0,1,2,3,4,100,101,102,103,104', 'start_at a time before all');
is(ids_from('s_future', q{now() + interval '1 hour'}), '', 'start_at a time after all');
is(ids_from('s_latest', q{'latest'}, 1), '777', 'start_at latest');

for my $bad ([ q{'{"0": "x"}'}, qr/invalid start_at: partition "0", offset x/ ],
	[ q{'{"a": 1}'}, qr/invalid start_at: partition "a"/ ],
	[ q{'yesteryear'}, qr/invalid input syntax for type timestamp with time zone: "yesteryear"/ ],
	[ q{'infinity'}, qr/start_at can't be infinite/ ])
{
	(undef, undef, $error) = $node->psql('postgres',
		"CREATE TABLE bad (LIKE starts_topic); SELECT tidemark.create_stream('bad', 't');
		SELECT tidemark.start_ingest('starts_topic', 'bad', start_at => $bad->[0])", on_error_stop => 1, extra_params => ['-1']);
	like($error, $bad->[1], "start_at $bad->[0]");
}

# --- who may, and what is refused ---

$node->safe_psql('postgres', 'CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
	GRANT SELECT ON starts_topic TO alice; GRANT CREATE ON SCHEMA public TO alice');
$node->safe_psql('postgres', q{CREATE TABLE hers (t timestamp, id int CHECK (id <> 3));
	SELECT tidemark.create_stream('hers', 't'); SELECT tidemark.start_ingest('starts_topic', 'hers')},
	extra_params => [ '-U', 'alice' ]);
wait_ingested($node, 'hers');
is($node->safe_psql('postgres', q{SELECT count(*) FROM hers}), '10', 'an ordinary role ingests into its table');
is( $node->safe_psql('postgres', q{SELECT string_agg(stream::text, ',') FROM tidemark.ingest_status}, extra_params => [ '-U', 'alice' ]),
	'hers', 'it sees its own ingestion');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.ingest_status}, extra_params => [ '-U', 'bob' ]), '0', 'others none');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.ingest_status}, extra_params => [ '-U', 'watcher' ]),
	'>', 5, 'pg_monitor all');
is( $node->safe_psql('postgres', q{SELECT "offset", sqlstate, error ~ 'violates check constraint' FROM tidemark.dead_letters}, extra_params => [ '-U', 'alice' ]),
	'3|23514|t', 'it sees its own dead letters');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.dead_letters}, extra_params => [ '-U', 'watcher' ]), '0', 'others none');
for my $statement (
	[ q{SELECT tidemark.start_ingest('starts_topic', 's_latest')}, 'must be owner of table s_latest' ],
	[ q{SELECT tidemark.pause_ingest('starts_topic', 's_latest')}, 'must be owner of table s_latest' ],
	[ q{SELECT tidemark.stop_ingest('starts_topic', 's_latest')}, 'must be owner of table s_latest' ],
	[ q{SELECT tidemark.start_ingest('payment_topic', 'hers')}, 'permission denied for foreign table payment_topic' ],
	[ q{SELECT tidemark.start_ingest('hers', 'hers')}, '"hers" is not a foreign table' ],
	[ q{SELECT tidemark.start_ingest('starts_topic', 'hers')}, '"starts_topic" is already ingested into "hers"' ])
{
	(undef, undef, $error) = $node->psql('postgres', $statement->[0], extra_params => [ '-U', 'alice' ]);
	like($error, qr/\Q$statement->[1]\E/, $statement->[1]);
}

# Rights that are taken away stop it: an error that says so, and it goes on when they are back.
$node->safe_psql('postgres', 'REVOKE SELECT ON starts_topic FROM alice');
$kafka->produce('starts', ['{"t": "2024-01-01 00:03:00", "id": 888}'], partition => 0);
wait_state($node, 'hers', 'error');
like(status($node, 'hers', 'last_error'), qr/permission denied for foreign table starts_topic/, 'rights are checked as it runs');
$node->safe_psql('postgres', 'GRANT SELECT ON starts_topic TO alice');
$node->safe_psql('postgres', q{SELECT tidemark.resume_ingest('starts_topic', 'hers')});
wait_ingested($node, 'hers');
is($node->safe_psql('postgres', q{SELECT count(*) FROM hers WHERE id = 888}), '1', 'it goes on');

# --- a time-out says how far it got ---

$node->safe_psql('postgres', 'CREATE TABLE blocked (LIKE starts_topic); SELECT tidemark.create_stream(\'blocked\', \'t\')');
my $locker = $node->background_psql('postgres');
$locker->query_safe('BEGIN');
$locker->query_safe('LOCK TABLE blocked IN SHARE MODE');
$node->safe_psql('postgres', q{SELECT tidemark.start_ingest('starts_topic', 'blocked')});
(undef, undef, $error) = $node->psql('postgres', q{SELECT tidemark.wait_until_ingested('blocked', '1 s')});
like($error, qr/timed out.*DETAIL:  Partition 0 of "starts_topic" is at offset 0 of 6\..*HINT:.*ingest_status/s, 'a time-out says how far it got');
$locker->query_safe('COMMIT');
$locker->quit;
wait_ingested($node, 'blocked');

# --- tables that go away take their ingestions along ---

$node->safe_psql('postgres', 'DROP TABLE blocked');
is($node->safe_psql('postgres', 'SELECT count(*) FROM tidemark.ingest WHERE stream NOT IN (SELECT oid FROM pg_class)'), '0', 'a dropped table is not ingested into');
$node->safe_psql('postgres', 'DROP FOREIGN TABLE starts_topic');
is($node->safe_psql('postgres', 'SELECT count(*) FROM tidemark.ingest'), '0', 'nor from a dropped topic');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'tidemark ingest'})
  or die 'workers did not end';

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
done_testing();
