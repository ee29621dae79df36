# What the tests of ingestion share: a broker, a server, and the objects of the quick start.
package IngestTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More;
use TidemarkKafka;

our @EXPORT = qw(payment_columns create_topic_table create_payments wait_ingested wait_state status);

use constant payment_columns =>
  '"createTime" timestamp(3), "orderId" bigint, "payAmount" double precision, "payPlatform" int, "provinceId" int';

sub create_server
{
	my ($node, $kafka) = @_;
	$node->safe_psql('postgres',
			"CREATE SERVER IF NOT EXISTS kafka FOREIGN DATA WRAPPER tidemark_kafka"
		  . " OPTIONS (bootstrap_servers '${\ $kafka->address}')");
}

# A foreign table of this name for the topic of this name.
sub create_topic_table
{
	my ($node, $kafka, $name, $topic, $columns) = @_;
	create_server($node, $kafka);
	$node->safe_psql('postgres',
		"CREATE FOREIGN TABLE $name ($columns) SERVER kafka OPTIONS (topic '$topic', format 'json')");
}

# The quick start's stream, not yet ingested.
sub create_payments
{
	my ($node, $kafka, $topic) = @_;
	create_topic_table($node, $kafka, 'payment_topic', $topic, payment_columns);
	$node->safe_psql(
		'postgres', q{
		CREATE TABLE payment_msg (LIKE payment_topic);
		SELECT tidemark.create_stream('payment_msg', 'createTime', allowed_delay => '15 seconds');
	});
}

sub wait_ingested
{
	my ($node, $stream, $timeout) = @_;
	$timeout //= "$PostgreSQL::Test::Utils::timeout_default s";
	$node->safe_psql('postgres', "SELECT tidemark.wait_until_ingested('$stream', '$timeout')");
}

sub status
{
	my ($node, $stream, $columns) = @_;
	return $node->safe_psql('postgres',
		"SELECT $columns FROM tidemark.ingest_status WHERE stream = '$stream'::regclass");
}

# Until the ingestion is in this state; shows how it is instead if it doesn't come to that.
sub wait_state
{
	my ($node, $stream, $state) = @_;
	my $reached = $node->poll_query_until('postgres',
		"SELECT state = '$state' FROM tidemark.ingest_status WHERE stream = '$stream'::regclass");
	ok($reached, "state of $stream: $state") or diag status($node, $stream, 'state, last_error');
}

1;
