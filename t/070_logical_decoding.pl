# A materialised table read by logical decoding: a native subscriber has the view's final rows, late corrections included.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkKafka;
use TidemarkServer;

my $node = TidemarkKafka::new_node('publisher', "wal_level = logical\nmax_wal_senders = 5\nmax_replication_slots = 5\ntidemark.maintain_interval = 20\n");
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->start;

# A publication of all tables, as Debezium makes one: nobody may be kept from correcting a view.
$node->safe_psql(
	'postgres', q{
	CREATE PUBLICATION everything FOR ALL TABLES;
	CREATE TABLE s (t bigint PRIMARY KEY, k int, v double precision);
	SELECT tidemark.create_stream('s', 't', allowed_delay => '10');
	CREATE VIEW sums AS SELECT k, sum(v) OVER (PARTITION BY k ORDER BY t RANGE 5 PRECEDING) AS total FROM s;
	CREATE VIEW latest AS SELECT DISTINCT ON (k) k, t, v FROM s ORDER BY k, t DESC;
	CREATE VIEW counts AS SELECT k, count(*) FROM s GROUP BY k;
	SELECT tidemark.make_continuous('sums'), tidemark.make_continuous('latest'), tidemark.make_continuous('counts');
	INSERT INTO s SELECT i, i % 7, i / 3.0 FROM generate_series(1, 1000) i});
wait_maintained($node);

my $table = $node->safe_psql('postgres', q{SELECT materialised_in FROM tidemark.continuous_views WHERE view = 'sums'::regclass});
is($table, 'tidemark_data.sums_rows', 'its table');
is($node->safe_psql('postgres', "SELECT relreplident FROM pg_class WHERE oid = '$table'::regclass"), 'f', 'its replica identity');

# k, total, and the event time, which the view doesn't have
$subscriber->safe_psql('postgres', "CREATE SCHEMA tidemark_data; CREATE TABLE $table (c1 int, c2 double precision, c3 bigint)");
$node->safe_psql('postgres', "CREATE PUBLICATION results FOR TABLE $table");
$subscriber->safe_psql('postgres', sprintf(q{CREATE SUBSCRIPTION results CONNECTION '%s' PUBLICATION results}, $node->connstr . ' dbname=postgres'));
$subscriber->wait_for_subscription_sync($node, 'results');

sub is_replicated
{
	my ($name) = @_;
	wait_maintained($node);
	$node->wait_for_catchup('results');
	my $final = $node->safe_psql('postgres', "SELECT c1, c2 FROM $table ORDER BY 1, 2");
	is($subscriber->safe_psql('postgres', "SELECT c1, c2 FROM $table ORDER BY 1, 2"), $final, $name);
	is( $node->safe_psql('postgres', 'SELECT count(*) FROM tidemark.continuous_views, tidemark.verify(view)'), '0', 'views = batch');
	return;
}

is_replicated('what was there');
is($subscriber->safe_psql('postgres', "SELECT count(*), max(c3) FROM $table"), '990|990', 'up to the frontier');
$node->safe_psql('postgres', 'INSERT INTO s SELECT i, i % 7, i / 3.0 FROM generate_series(1001, 2000) i');
is_replicated('what comes');
$node->safe_psql('postgres', 'UPDATE s SET v = 0 WHERE t % 100 = 3');
is_replicated('corrected');
$node->safe_psql('postgres', 'DELETE FROM s WHERE t BETWEEN 500 AND 520; INSERT INTO s VALUES (-5, 3, 1), (510, 3, 1)');
is_replicated('rows that went, and came late');
is( $node->safe_psql('postgres', q{SELECT bool_and(corrections > 0) FROM tidemark.continuous_views}), 't', 'there were corrections of each');
$node->safe_psql('postgres', 'TRUNCATE s');
is_replicated('emptied');

$subscriber->stop;
$node->stop;
done_testing();
