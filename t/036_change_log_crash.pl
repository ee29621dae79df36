# The log of a view's changes (view/change_log.c) after a crash of a server with wal_level = minimal, where PostgreSQL forgets which numbers
# a sequence has given out if the transaction that made it used it: as one does that begins to follow a view which keeps rows by key.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkServer;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'tidemark'
wal_level = minimal
max_wal_senders = 0
});
$node->start;

sub insert
{
	my ($from, $to) = @_;

	$node->safe_psql('postgres', "INSERT INTO s SELECT i, i % 5, i FROM generate_series($from, $to) i");
	wait_maintained($node, 'totals');
	return;
}

$node->safe_psql('postgres', q{
	CREATE EXTENSION tidemark;
	CREATE TABLE s (t bigint, k int, v int);
	SELECT tidemark.create_stream('s', 't');
	CREATE VIEW totals AS SELECT k, count(*) AS n, sum(v) AS total FROM s GROUP BY k;
	SELECT tidemark.make_continuous('totals')});
insert(1, 100);
# its rows of now go into the log, which is made for it
$node->safe_psql('postgres', q{SELECT tidemark.create_subscription('totals', 'app')});
insert(101, 200);
my $before = $node->safe_psql('postgres', 'SELECT max(seq) FROM tidemark_data.totals_changes');
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT max(seq) FROM tidemark_data.totals_changes'), $before, 'the log outlives a crash');
insert(201, 300);
cmp_ok($node->safe_psql('postgres', 'SELECT max(seq) FROM tidemark_data.totals_changes'), '>', $before, 'and goes on');
unlike(slurp_file($node->logfile), qr/duplicate key/, 'without a number given out twice');
is($node->safe_psql('postgres', q{
	SELECT count(*) FILTER (WHERE op <> 'delete'), count(DISTINCT "row"->>'k') FROM tidemark.next_changes('app')}),
	'15|5', 'every change is read, from the first');
is($node->safe_psql('postgres', q{SELECT * FROM tidemark.verify('totals')}), '', 'the view is its query');
$node->stop;
done_testing();
