# A stream's watermark is its slowest partition's, unless that one is idle; and it never goes back.
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

sub watermark
{
	my ($stream) = @_;
	return $node->safe_psql('postgres', "SELECT tidemark.event_time_text('$stream', tidemark.current_watermark('$stream'))");
}

# Makes the stream, of the topic of its name.
sub make_stream
{
	my ($name, $partitions, $options) = @_;
	$kafka->topic($name, $partitions);
	create_topic_table($node, $kafka, "${name}_topic", $name, 't timestamp, id int');
	$node->safe_psql('postgres', "CREATE TABLE $name (LIKE ${name}_topic);
		SELECT tidemark.create_stream('$name', 't', allowed_delay => '10 s', $options);
		CREATE VIEW ${name}_v AS SELECT t, sum(id) OVER (ORDER BY t RANGE BETWEEN '10 s' PRECEDING AND CURRENT ROW) AS s FROM $name;
		SELECT tidemark.make_continuous('${name}_v'); SELECT tidemark.start_ingest('${name}_topic', '$name')");
	wait_state($node, $name, 'running');
}

sub put
{
	my ($name, $partition, $time) = @_;
	$kafka->produce($name, [qq({"t": "2024-01-01 $time", "id": 1})], partition => $partition);
	wait_ingested($node, $name);
}

# --- nobody goes idle: the slowest counts, and one without records holds from the start ---

make_stream('slow', 3, q{idle_timeout => NULL});
put('slow', 0, '12:00:00');
put('slow', 1, '11:00:00');
is(watermark('slow'), '', 'a partition that has brought nothing holds the watermark from the start');
put('slow', 2, '13:00:00');
is(watermark('slow'), '2024-01-01 10:59:50', 'the slowest partition\'s, less the delay');
put('slow', 1, '10:00:00');
is(watermark('slow'), '2024-01-01 10:59:50', 'the greatest event time counts, not the last');
put('slow', 1, '14:00:00');
is(watermark('slow'), '2024-01-01 11:59:50', 'now another one is the slowest');
wait_maintained($node, 'slow_v');
is($node->safe_psql('postgres', q{SELECT frontier FROM tidemark.continuous_views WHERE view = 'slow_v'::regclass}), '2024-01-01 11:59:50', 'the frontier follows');

# A new partition starts with nothing; the published watermark does not go back for it.
$kafka->add_partitions('slow', 4);
ok($node->poll_query_until('postgres', q{SELECT partitions = 4 FROM tidemark.ingest_status WHERE stream = 'slow'::regclass}), 'a new partition');
is($node->safe_psql('postgres', q{SELECT watermark FROM tidemark.streams WHERE stream = 'slow'::regclass}), '2024-01-01 11:59:50', 'does not take the watermark back');

# --- an idle partition holds nobody, until it wakes up ---

make_stream('idle', 2, q{idle_timeout => '1 second'});
put('idle', 0, '12:00:00');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM tidemark.ingest_partition p JOIN tidemark.ingest i ON i.id = p.ingest
	WHERE i.stream = 'idle'::regclass AND idle AND partition = 1}), 'the empty partition is idle after a second');
is(watermark('idle'), '2024-01-01 11:59:50', 'and holds nobody back');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM tidemark.ingest_partition p JOIN tidemark.ingest i ON i.id = p.ingest
	WHERE i.stream = 'idle'::regclass AND idle}), 'then both are');
is(watermark('idle'), '2024-01-01 11:59:50', 'when all are idle the furthest counts');
wait_maintained($node, 'idle_v');
put('idle', 1, '11:00:00');
is(status($node, 'idle', 'late_kept'), '1', 'what it brings when it wakes up is late');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('idle_v')}), '0', 'view = batch');
is($node->safe_psql('postgres', q{SELECT watermark FROM tidemark.streams WHERE stream = 'idle'::regclass}), '2024-01-01 11:59:50', 'the watermark stays');

# --- an idle partition with something to read is not idle after a restart ---

$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM tidemark.ingest_partition p JOIN tidemark.ingest i ON i.id = p.ingest
	WHERE i.stream = 'idle'::regclass AND idle}) or die 'not idle again';
$node->stop;
$kafka->produce('idle', ['{"t": "2024-01-01 12:30:00", "id": 1}'], partition => 1);
$node->start;
wait_ingested($node, 'idle');
is($node->safe_psql('postgres', q{SELECT count(*) FROM idle}), '3', 'read after the restart');
ok($node->poll_query_until('postgres', q{SELECT watermark = '2024-01-01 12:29:50' FROM tidemark.streams WHERE stream = 'idle'::regclass}), 'and the watermark goes on');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
done_testing();
