# Indexes of views' tables, to whose ends entries are added many at a time (view/last_entries.c), after crashes, and on a
# standby: amcheck looks at its structure, and for each row's entry.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkServer;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'tidemark'
max_worker_processes = 16
tidemark.maintain_interval = 1ms
wal_keep_size = 1GB
});
$node->start;
$node->backup('backup');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;

$node->safe_psql('postgres', q{
	CREATE EXTENSION tidemark;
	CREATE EXTENSION amcheck;
	CREATE TABLE s (t bigint, k int, v int);
	SELECT tidemark.create_stream('s', 't');
	CREATE VIEW sums AS SELECT t, sum(v) OVER (PARTITION BY k ORDER BY t RANGE 1000 PRECEDING) FROM s;
	CREATE VIEW all_rows AS SELECT t, v FROM s;
	SELECT tidemark.make_continuous('sums'), tidemark.make_continuous('all_rows')});

my $indexes = 'FROM tidemark.view JOIN pg_index ON indrelid = mat';
my $rows = 0;
my $rounds = 3;

for my $round (1 .. $rounds)
{
	# enough for some hundred pages, in statements that the maintainer follows
	for (1 .. 5)
	{
		$node->safe_psql('postgres', "INSERT INTO s SELECT $rows + i, i % 5, i FROM generate_series(1, 20000) i");
		$rows += 20000;
	}
	$node->safe_psql('postgres', 'CHECKPOINT') if $round == 2;
	if ($round < $rounds)
	{
		kill_server($node);
		start_again($node);
	}
	$node->safe_psql('postgres', "SELECT bt_index_parent_check(indexrelid, true, true) $indexes");
	wait_maintained($node);
	$node->safe_psql('postgres', "SELECT bt_index_parent_check(indexrelid, true, true) $indexes");
	is( $node->safe_psql('postgres', 'SELECT sum(rows) FROM tidemark.continuous_views'), 2 * $rows, "round $round: all rows");
	is( $node->safe_psql('postgres', 'SELECT sum((SELECT count(*) FROM tidemark.verify(relid))) FROM tidemark.view'),
		'0', "round $round: view = batch");
}

$node->wait_for_catchup($standby);
$standby->safe_psql('postgres', "SELECT bt_index_check(indexrelid, true) $indexes");
is( $standby->safe_psql('postgres', q{SET enable_seqscan = off; SELECT count(*) FROM all_rows WHERE t BETWEEN 100001 AND 200000}),
	100000, 'a standby finds the rows by the index');

$standby->stop;
$node->stop;
done_testing();
