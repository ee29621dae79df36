# pg_dump and restore: streams, views, ingestions with their positions, and dead letters come along; materialised parts are
# made anew, and ingestion goes on where the dump's rows end.
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

$kafka->topic('payment_msg', 2);
my ($good, $garbage) = $kafka->payments('payment_msg', records => 20000, density => 100, garbage => 1);
create_payments($node, $kafka, 'payment_msg');
$node->safe_psql(
	'postgres', q{
	SELECT tidemark.start_ingest('payment_topic', 'payment_msg');
	CREATE VIEW recent_spend AS
	SELECT "createTime", "provinceId", sum("payAmount") OVER (PARTITION BY "provinceId" ORDER BY "createTime"
	       RANGE BETWEEN '1 second' PRECEDING AND CURRENT ROW) AS pay_amount FROM payment_msg;
	SELECT tidemark.make_continuous('recent_spend')});
wait_ingested($node, 'payment_msg');
wait_maintained($node, 'recent_spend');

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'dump');
$kafka->payments('payment_msg', records => 1000, first => 20001, density => 100, start => 1695248542);
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-e', '-d', 'restored', $dump ], 'restore');

ok( $node->poll_query_until('restored', q{SELECT count(*) = 1 FROM tidemark.continuous_views WHERE state = 'current' AND rows > 0}),
	'the view is materialised anew');
$node->safe_psql('restored', q{SELECT tidemark.wait_until_ingested('payment_msg')});
is( $node->safe_psql('restored', 'SELECT count(*), count(DISTINCT "orderId") FROM payment_msg'),
	join('|', ($good + 1000) x 2), 'ingestion goes on behind the rows of the dump');
is($node->safe_psql('restored', 'SELECT count(*) FROM tidemark.dead_letters'), $garbage, 'dead letters, once');
wait_maintained($node, 'recent_spend', 'restored');
is($node->safe_psql('restored', q{SELECT count(*) FROM tidemark.verify('recent_spend')}), '0', 'view = batch');
is( $node->safe_psql('restored', q{SELECT count(*) FROM pg_class WHERE relnamespace = 'tidemark_data'::regnamespace AND relkind = 'r'}),
	'2', 'one materialised table, and one of states');

$node->stop;
done_testing();
