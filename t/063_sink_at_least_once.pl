# Sinks to brokers without transactions: whatever dies, no record is missing; some may come again, and the last one of a key is right.
# TIDEMARK_SEED: another run. TIDEMARK_RECORDS, TIDEMARK_CRASHES: another number of either.
use strict;
use warnings;

use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SinkTest;
use Test::More;
use Time::HiRes qw(sleep);
use TidemarkKafka;

my $records = $ENV{TIDEMARK_RECORDS} // 60000;
my $crashes = $ENV{TIDEMARK_CRASHES} // 6;
seed_run();

my $kafka = TidemarkKafka->start;
my $node = TidemarkKafka::new_node('main', "tidemark.maintain_interval = 20\n# the machine survives\nfsync = off\n");
create_sink_topics($node, $kafka, 2, '"createTime" timestamp(3), "orderId" bigint, pay_amount double precision', qw(sink latest));
$node->safe_psql(
	'postgres', q{
	CREATE TABLE payment_msg ("createTime" timestamp(3), "orderId" bigint, "payAmount" double precision, "provinceId" int);
	SELECT tidemark.create_stream('payment_msg', 'createTime', allowed_delay => '5 seconds');
	CREATE VIEW recent_spend AS
	SELECT "createTime", "orderId", SUM("payAmount") OVER (PARTITION BY "provinceId" ORDER BY "createTime"
	       RANGE BETWEEN INTERVAL '1' SECOND PRECEDING AND CURRENT ROW) AS pay_amount FROM payment_msg;
	SELECT tidemark.make_continuous('recent_spend');
	SELECT tidemark.start_sink('recent_spend', 'sink_topic', delivery => 'at_least_once'),
	       tidemark.start_sink('recent_spend', 'latest_topic', mode => 'upsert', key => '{orderId}', delivery => 'at_least_once')});

my $next = 1;

# Payments, a thousand a second.
sub pay
{
	my ($n) = @_;
	my $last = $next + $n - 1;
	$node->safe_psql('postgres',
		"INSERT INTO payment_msg SELECT timestamp '2024-01-01' + i * interval '1 ms', i, i % 1000 / 7.0, i % 34 FROM generate_series($next, $last) i");
	$next = $last + 1;
}

# What a compacted topic keeps is the view up to its frontier.
sub is_the_view
{
	my ($name) = @_;
	wait_sent($node, 'recent_spend');
	is_kept_in($node, 'recent_spend', 'latest_topic', '"createTime", "orderId", pay_amount', $name);
}

# --- nothing is missing ---

for my $crash (1 .. $crashes)
{
	my $kind = ('server', 'broker', 'both')[ rand 3 ];

	pay(int($records / $crashes));
	sleep rand 0.5;
	kill_and_restart($node, $kafka, $kind);
}
pay(10000);
wait_sent($node, 'recent_spend');
becomes($node, q{
	WITH final AS MATERIALIZED (SELECT "createTime", "orderId", pay_amount FROM recent_spend
	                            WHERE "createTime" <= (SELECT frontier::timestamp FROM tidemark.continuous_views)),
	     sent AS MATERIALIZED (SELECT "createTime", "orderId", pay_amount FROM sink_topic)
	(SELECT 'lost', * FROM (TABLE final EXCEPT TABLE sent) l LIMIT 5)
	UNION ALL (SELECT 'unexpected', * FROM (TABLE sent EXCEPT TABLE final) r LIMIT 5)}, '', 'each final row is in the topic');
note 'records that came again: ' . $node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT "orderId") FROM sink_topic');
is_the_view('so it is by upserts');
is($node->safe_psql('postgres', 'SELECT DISTINCT delivery, state FROM tidemark.sinks'), 'at_least_once|running', 'shown');

# --- corrections, while both die ---

for my $crash (1 .. 3)
{
	pay(3000);
	$node->safe_psql('postgres', qq{UPDATE payment_msg SET "payAmount" = "payAmount" + $crash WHERE "orderId" % 500 = $crash;
		DELETE FROM payment_msg WHERE "orderId" % 700 = $crash});
	sleep rand 0.3;
	kill_and_restart($node, $kafka, $crash > 1 ? 'both' : 'server');
}
is_the_view('what a compacted topic keeps is the view');

# --- records were sent, but their position was not written down; then they are corrected ---

sub pause_all { $node->safe_psql('postgres', 'SELECT tidemark.pause_sink(view, topic) FROM tidemark.sinks'); wait_sink_state($node, 'recent_spend', 'paused') }
sub resume_all { $node->safe_psql('postgres', 'SELECT tidemark.resume_sink(view, topic) FROM tidemark.sinks') }

pause_all();
my $before = $node->safe_psql('postgres', 'SELECT frontier FROM tidemark.sink ORDER BY id LIMIT 1');
resume_all();
pay(4000);
wait_sent($node, 'recent_spend');
pause_all();
$node->safe_psql('postgres', "UPDATE tidemark.sink SET frontier = $before");
$node->safe_psql('postgres', q{DELETE FROM payment_msg WHERE "orderId" = (SELECT max("orderId") - 10 FROM latest_topic)});
resume_all();
is_the_view('what was sent before its position, and then went, leaves a tombstone');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('recent_spend')}), '0', 'view = batch');

$node->stop;
done_testing();
