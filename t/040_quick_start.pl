# The quick start with 1,000,000 records in 4 partitions, while the server is killed ten times with kill -9 and the broker
# stopped and started twice: every record is a row, once, and the view is the batch query.
# TIDEMARK_RECORDS: another number of records.
use strict;
use warnings;

use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkKafka;
use TidemarkServer;

my $records = $ENV{TIDEMARK_RECORDS} // 1000000;
my $kafka = TidemarkKafka->start;
my $node = TidemarkKafka::new_node('main', "tidemark.maintain_interval = 20\nautovacuum_naptime = 1\n");

# How many records' offsets are committed, asked of a server that may be on its way down or up.
sub ingested
{
	my ($result, $out) = $node->psql('postgres', 'SELECT coalesce(sum(records), 0) FROM tidemark.ingest_partition');
	return $result == 0 && $out ne '' ? $out : undef;
}

sub wait_for_records
{
	my ($wanted) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	while (time < $deadline)
	{
		my $now = ingested();
		return 1 if defined $now && $now >= $wanted;
		select undef, undef, undef, 0.01;
	}
	return 0;
}

# --- the quick start, with the view there before the first record ---

$kafka->topic('payment_msg', 4);
create_payments($node, $kafka, 'payment_msg');
$node->safe_psql(
	'postgres', q{
	SELECT tidemark.start_ingest('payment_topic', 'payment_msg', start_at => 'earliest');
	CREATE VIEW recent_spend AS
	SELECT "createTime", "provinceId", SUM("payAmount") OVER (PARTITION BY "provinceId" ORDER BY "createTime"
	       RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW) AS pay_amount FROM payment_msg;
	SELECT tidemark.make_continuous('recent_spend')});

# --- what goes wrong on the way: at each twelfth of the records ---

my $producing = $kafka->payments_in_background('payment_msg', records => $records);
for my $step (1 .. 12)
{
	ok(wait_for_records($step * $records / 13), "step $step reached");
	if ($step == 4 || $step == 8)
	{
		$producing->finish if $producing;    # the producer needs its broker
		undef $producing;
		$kafka->stop;
		$kafka->restart;
	}
	else
	{
		$node->kill9;
		start_again($node);
	}
}
$producing->finish if $producing;

# --- nothing lost, nothing repeated ---

wait_ingested($node, 'payment_msg');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT "orderId") FROM payment_msg'),
	"$records|$records", 'every record is a row, once');
is(status($node, 'payment_msg', 'records, dead_letters'), "$records|0", 'and counted so');
wait_maintained($node, 'recent_spend');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('recent_spend')}), '0', 'view = batch');
is( $node->safe_psql(
		'postgres', q{SELECT v.rows = (SELECT count(*) FROM tidemark_data.recent_spend_rows), v.rows > 0
		FROM tidemark.continuous_views v}),
	't|t', 'its rows are counted');

$node->stop;
done_testing();
