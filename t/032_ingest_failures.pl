# Exactly once, whatever fails: the server is killed, the broker goes away, topics come late, offsets are lost.
use strict;
use warnings;

use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use TidemarkKafka;
use TidemarkServer;

my $kafka = TidemarkKafka->start;
my $node = TidemarkKafka::new_node('main', "restart_after_crash = on\nwal_writer_delay = 200ms\n");
my $error;

sub count_of
{
	my ($table) = @_;
	return $node->safe_psql('postgres', "SELECT count(*) FROM $table");
}

# Waits until there are more rows than that: the ingestion is under way.
sub wait_more
{
	my ($table, $than) = @_;
	$node->poll_query_until('postgres', "SELECT count(*) > $than FROM $table") or die "no more than $than rows in $table";
}

# Until the process is gone; the dead don't count.
sub wait_for_end
{
	my ($pid) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	while (-e "/proc/$pid/status" && slurp_file("/proc/$pid/status") !~ /^State:\s*[ZX]/m)
	{
		die "process $pid does not end" if time > $deadline;
		usleep(10_000);
	}
}

# --- kill -9 of the server, kill and restart of the broker, while records arrive ---

$kafka->topic('payment_msg', 4);
create_payments($node, $kafka, 'payment_msg');
$node->safe_psql('postgres', q{
	CREATE VIEW recent_spend AS SELECT "createTime", "provinceId", sum("payAmount") OVER (PARTITION BY "provinceId"
	ORDER BY "createTime" RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW) AS pay_amount FROM payment_msg;
	SELECT tidemark.make_continuous('recent_spend');
	SELECT tidemark.start_ingest('payment_topic', 'payment_msg')});

my ($total, $dead, $seen) = (0, 0, 0);
for my $round (1 .. 5)
{
	my $first = $total + 1;
	my ($good, $garbage) = $kafka->payments('payment_msg', records => 40000, first => $first, garbage => 1,
		start => 1695248342 + 40 * $round, seed => $round);
	$total += 40000;
	$dead  += $garbage;
	wait_more('payment_msg', $seen);
	my $postmaster = $node->{_pid};
	$node->kill9;
	wait_for_end($postmaster);
	if ($round == 2)
	{
		$kafka->kill9;
		$kafka->restart;
	}
	start_again($node);
	$seen = count_of('payment_msg');
}
wait_ingested($node, 'payment_msg');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT "orderId") FROM payment_msg'),
	($total - $dead) . '|' . ($total - $dead), 'after five crashes every record is there, once');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT (partition, "offset")) FROM tidemark.dead_letters'),
	"$dead|$dead", 'and so are the dead letters');
is($node->safe_psql('postgres', q{SELECT sum(records + dead), sum(next_offset) FROM tidemark.ingest_partition}), "$total|$total", 'positions and counts agree');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('recent_spend')}), '0', 'view = batch');

# A worker that is killed takes the server through crash recovery; one that is terminated only itself.
my $pid = status($node, 'payment_msg', 'pid');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
$node->poll_query_until('postgres', "SELECT pid <> $pid AND state = 'running' FROM tidemark.ingest_status") or die 'the worker did not come back';
pass('a terminated worker comes back');

# --- the broker goes away and comes back ---

$kafka->stop;
wait_state($node, 'payment_msg', 'waiting for broker');
like(status($node, 'payment_msg', 'last_error'), qr/\w/, 'it says why');
$kafka->restart;
wait_state($node, 'payment_msg', 'running');
$kafka->payments('payment_msg', records => 1000, first => $total + 1, start => 1695248742);
wait_ingested($node, 'payment_msg');
is(count_of('payment_msg'), $total - $dead + 1000, 'and goes on');

# The same for a broker that is away when the worker starts.
$kafka->stop;
$node->safe_psql('postgres', q{SELECT tidemark.pause_ingest('payment_topic', 'payment_msg')});
$node->poll_query_until('postgres', 'SELECT pid IS NULL FROM tidemark.ingest_status') or die 'the worker did not end';
$node->safe_psql('postgres', q{SELECT tidemark.resume_ingest('payment_topic', 'payment_msg')});
wait_state($node, 'payment_msg', 'waiting for broker');
(undef, undef, $error) = $node->psql('postgres', q{SELECT tidemark.wait_until_ingested('payment_msg', '1 s')});
like($error, qr/timed out: what the topic holds is not known/, 'waiting ends with the time');
$kafka->restart;
wait_state($node, 'payment_msg', 'running');

# --- a topic that does not exist yet: all that it will hold is new ---

create_topic_table($node, $kafka, 'later_topic', 'later', 't timestamp, id int');
$node->safe_psql('postgres', q{CREATE TABLE later (LIKE later_topic); SELECT tidemark.create_stream('later', 't');
	SELECT tidemark.start_ingest('later_topic', 'later', start_at => 'latest')});
wait_state($node, 'later', 'waiting for topic');
like(status($node, 'later', 'last_error'), qr/topic "later" does not exist/, 'it says so');
$kafka->topic('later', 2);
$kafka->produce('later', [ map { qq({"t": "2024-01-01", "id": $_}) } 1 .. 100 ]);
wait_state($node, 'later', 'running');
wait_ingested($node, 'later');
is(count_of('later'), 100, 'nothing is missed between its creation and our finding it');

# --- records that are deleted before they are read: an error with a choice ---

$node->safe_psql('postgres', q{SELECT tidemark.pause_ingest('later_topic', 'later')});
$kafka->produce('later', [ map { qq({"t": "2024-01-01", "id": $_}) } 101 .. 120 ], partition => 0);
$kafka->trim('later', 0, 60);
$node->safe_psql('postgres', q{SELECT tidemark.resume_ingest('later_topic', 'later')});
wait_state($node, 'later', 'error');
like(status($node, 'later', 'last_error'),
	qr/offset 50 of partition 0 of topic "later" is lost: the broker has 60 to 70 .*resume_ingest\('later_topic', 'later', skip_lost => true\)/s, 'a lost offset is an error that says what to do');
is(count_of('later'), 100, 'nothing is skipped by itself');
$node->safe_psql('postgres', q{SELECT tidemark.resume_ingest('later_topic', 'later', skip_lost => true)});
wait_state($node, 'later', 'running');
wait_ingested($node, 'later');
is(count_of('later'), 110, 'told to, it goes on with what there is');
is($node->safe_psql('postgres', 'SELECT skip_lost FROM tidemark.ingest WHERE stream = \'later\'::regclass'), 'f', 'once');

# --- a topic that is deleted and created anew ---

$kafka->delete_topic('later');
wait_state($node, 'later', 'waiting for topic');
# A moment without it may be a broker that has just started; after some seconds it is gone.
$node->poll_query_until('postgres', q{SELECT clock_timestamp() - last_error_at > '5 s' FROM tidemark.ingest_status WHERE stream = 'later'::regclass});
$kafka->topic('later', 1);
$kafka->produce('later', [ map { qq({"t": "2024-01-02", "id": $_}) } 1 .. 5 ]);
wait_state($node, 'later', 'error');
like(status($node, 'later', 'last_error'), qr/1 partitions, fewer than the 2 .*skip_lost => true/s, 'a new topic of the same name is not taken for the old one');
$node->safe_psql('postgres', q{SELECT tidemark.resume_ingest('later_topic', 'later', skip_lost => true)});
wait_state($node, 'later', 'running');
wait_ingested($node, 'later');
is(count_of('later'), 115, 'told to, it reads it from the start');
is(status($node, 'later', 'partitions'), '1', 'with the partitions that there are');

# --- options that change ---

$node->safe_psql('postgres', q{ALTER SERVER kafka OPTIONS (SET bootstrap_servers '127.0.0.1:1')});
wait_state($node, 'later', 'waiting for broker');
$node->safe_psql('postgres', "ALTER SERVER kafka OPTIONS (SET bootstrap_servers '${\ $kafka->address}')");
wait_state($node, 'later', 'running');
$kafka->produce('later', ['{"t": "2024-01-03", "id": 6}']);
wait_ingested($node, 'later');
is(count_of('later'), 116, 'a new address is taken at once');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP/, 'no crash but ours');
done_testing();
