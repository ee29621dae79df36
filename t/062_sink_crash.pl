# Payments from a topic, their sums to two others, while the server and the broker are killed with kill -9 at random moments: who reads
# committed records has each row of the batch query once; who keeps the last record of each key has the view.
# TIDEMARK_SEED: another run. TIDEMARK_RECORDS, TIDEMARK_CRASHES: another number of either.
use strict;
use warnings;

use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SinkTest;
use Test::More;
use Time::HiRes qw(sleep time);
use TidemarkKafka;

my $records = $ENV{TIDEMARK_RECORDS} // 200000;
my $crashes = $ENV{TIDEMARK_CRASHES} // 20;
seed_run;

my $kafka = TidemarkKafka->start;
my $node = TidemarkKafka::new_node('main', "tidemark.maintain_interval = 20\n# the machine survives\nfsync = off\n");

$kafka->topic('payment_msg', 2);
create_payments($node, $kafka, 'payment_msg');
create_sink_topics($node, $kafka, 2,
	'"createTime" timestamp(3), "orderId" bigint, province_id int, pay_amount double precision', qw(sink latest));
$node->safe_psql(
	'postgres', q{
	SELECT tidemark.start_ingest('payment_topic', 'payment_msg');
	CREATE VIEW recent_spend AS
	SELECT "createTime", "orderId", "provinceId" AS province_id, SUM("payAmount") OVER (PARTITION BY "provinceId" ORDER BY "createTime"
	       RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW) AS pay_amount FROM payment_msg;
	SELECT tidemark.make_continuous('recent_spend');
	SELECT tidemark.start_sink('recent_spend', 'sink_topic'),
	       tidemark.start_sink('recent_spend', 'latest_topic', mode => 'upsert', key => '{orderId}')});

# What a sink has sent, asked of a server that may be on its way down or up.
sub sent
{
	my ($result, $out) = $node->psql('postgres', 'SELECT coalesce(min(records), 0) FROM tidemark.sink');
	return defined $result && $result == 0 && $out ne '' ? $out : undef;
}

# A random moment after some more has been sent.
sub wait_for_moment
{
	my ($wanted) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	until ((sent() // -1) >= $wanted)
	{
		return 0 if time > $deadline;
		sleep 0.05;
	}
	sleep rand 0.5;
	return 1;
}

# A part of the payments before each crash, so that results flow through all of them.
my $part = int($records / $crashes);
my @kinds;
for my $crash (1 .. $crashes)
{
	$kafka->payments('payment_msg', records => $part, first => 1 + ($crash - 1) * $part,
		start => 1695248342 + int(($crash - 1) * $part / 1000));
	my $kind = ('server', 'broker', 'both')[ rand 3 ];
	my $wanted = ($crash - 1) * $part - 20000;
	die "crash $crash ($kind): nothing is sent: " . $node->safe_psql('postgres', 'SELECT * FROM tidemark.sinks') unless wait_for_moment($wanted);
	push @kinds, $kind;
	kill_and_restart($node, $kafka, $kind);
}
note "killed: @kinds";

# The last ones become final.
$kafka->payments('payment_msg', records => 2, first => $records + 1, start => 1695248342 + int($records / 1000) + 60);
wait_ingested($node, 'payment_msg');
wait_sent($node, 'recent_spend');
is($node->safe_psql('postgres', q{SELECT count(*), count(DISTINCT "orderId") FROM payment_msg}), ($part * $crashes + 2) . '|' . ($part * $crashes + 2),
	'the payments are there');
is_sent_to($node, 'recent_spend', 'sink_topic', '"createTime", "orderId", province_id, pay_amount', 'each final row of the batch query is in the topic, once');
is_sent_to($node, 'recent_spend', 'latest_topic', '"createTime", "orderId", province_id, pay_amount', 'likewise by upserts: nothing was late');
is( $node->safe_psql('postgres', 'SELECT count(*) = (SELECT records FROM tidemark.sinks WHERE topic = ' . q{'sink_topic'::regclass) FROM sink_topic}),
	't', 'and they are counted');

# Corrections flow while both are killed: a part of the payments changes.
for my $crash (1 .. 3)
{
	$node->safe_psql('postgres', qq{UPDATE payment_msg SET "payAmount" = "payAmount" + $crash WHERE "orderId" % 5000 = $crash;
		DELETE FROM payment_msg WHERE "orderId" % 7000 = $crash});
	sleep rand 0.3;
	kill_and_restart($node, $kafka, $crash > 1 ? 'both' : 'server');
}
wait_sent($node, 'recent_spend');
is_kept_in($node, 'recent_spend', 'latest_topic', '"createTime", "orderId", province_id, pay_amount', 'what a compacted topic keeps is the view');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('recent_spend')}), '0', 'view = batch');

$node->stop;
done_testing();
