# Nexmark's queries on its stream of bids, each a continuous view, while bids come in batches: on time, out of order, late; while the
# maintainer works. At several moments each view must be its query's result. t/nexmark has the queries, and says how bids are made.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkServer;

use constant { BIDS => 100_000, BATCH => 10_000 };

# How each is maintained.
my %method = (
	q0 => 'rows',
	q1 => 'rows',
	q2 => 'rows',
	q5 => 'slices',
	q7 => 'keyed',
	q11 => 'keyed',
	q12 => 'groups',
	q14 => 'rows',
	q15 => 'groups',
	q16 => 'groups',
	q17 => 'groups',
	q18 => 'keyed',
	q19 => 'keyed',
	q21 => 'rows',
	q22 => 'rows');
my @queries = sort { ($a =~ /(\d+)/)[0] <=> ($b =~ /(\d+)/)[0] || $a cmp $b } keys %method;

is_deeply([ sort map { m{(q\w+)\.sql$} } glob "$FindBin::RealBin/nexmark/q*.sql" ], [ sort @queries ], 'all queries that there are');

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'tidemark'\nmax_worker_processes = 16\ntidemark.maintain_interval = 10ms\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION tidemark;' . slurp_file("$FindBin::RealBin/nexmark/bids.sql")
	  . q{SELECT tidemark.create_stream('bid', 'dateTime', allowed_delay => '4 seconds')});
$node->safe_psql('postgres', "CREATE VIEW $_ AS " . slurp_file("$FindBin::RealBin/nexmark/$_.sql") . "; SELECT tidemark.make_continuous('$_')")
  for @queries;

# Bids from one number to another, 100 for each second of event time: they go past midnight. One in 200 is kept back.
sub bids
{
	my ($first, $last, $late) = @_;
	my $kept_back = $late ? '=' : '<>';
	return "SELECT * FROM nexmark_bids($first, $last, timestamp '2024-02-28 23:52', 100, interval '6 seconds') WHERE hashtext(extra) % 200 $kept_back 7";
}

# Every second batch comes by COPY.
sub feed
{
	my ($from, $to) = @_;

	for (my $first = $from; $first <= $to; $first += BATCH)
	{
		my $bids = bids($first, $first + BATCH - 1);
		if ($first / BATCH % 2)
		{
			my $file = PostgreSQL::Test::Utils::tempdir() . "/$first.csv";
			$node->safe_psql('postgres', "COPY ($bids) TO '$file' (FORMAT csv); COPY bid FROM '$file' (FORMAT csv)");
		}
		else
		{
			$node->safe_psql('postgres', "INSERT INTO bid $bids");
		}
	}
	return;
}

sub right
{
	my ($moment) = @_;

	for my $query (@queries)
	{
		my $differing = $node->safe_psql('postgres', "SELECT difference, row FROM tidemark.verify('$query') LIMIT 5");
		is($differing, '', "$moment: $query is its batch query");
	}
	is($node->safe_psql('postgres', join ' UNION ALL ', map { "SELECT '$_' WHERE NOT EXISTS (SELECT FROM $_)" } @queries), '', "$moment: all have rows");
	is($node->safe_psql('postgres', 'SELECT view, last_error FROM tidemark.continuous_views WHERE last_error IS NOT NULL'), '', "$moment: no errors");
	return;
}

feed(1, 0.4 * BIDS);
wait_maintained($node);
feed(0.4 * BIDS + 1, 0.5 * BIDS);
right('an open tail');
is($node->safe_psql('postgres', 'SELECT view, method FROM tidemark.continuous_views ORDER BY view::text'),
	join("\n", map { "$_|$method{$_}" } sort @queries), 'how they are maintained');
is($node->safe_psql('postgres', 'SELECT view FROM tidemark.continuous_views WHERE rows = 0'), '', 'all have materialised rows');

feed(0.5 * BIDS + 1, BIDS);
wait_maintained($node);
right('all but those kept back');

$node->safe_psql('postgres', 'INSERT INTO bid ' . bids(1, BIDS, 1));
is($node->safe_psql('postgres', 'SELECT count(*) FROM bid'), BIDS, 'all bids are there');
is($node->safe_psql('postgres', 'SELECT view FROM tidemark.continuous_views WHERE corrections = 0'), '', 'late ones correct every view');
right('late bids');

$node->safe_psql('postgres', 'UPDATE bid SET price = price * 2 WHERE auction % 50 = 3 AND bidder % 10 = 3; DELETE FROM bid WHERE hashtext(extra) % 100 = 1');
right('changed and deleted bids');

$node->safe_psql('postgres', 'INSERT INTO bid ' . bids(BIDS + 1, BIDS + BATCH));
wait_maintained($node);
right('the end');
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/, 'no crash');
done_testing();
