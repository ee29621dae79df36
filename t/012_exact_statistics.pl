# Exact variances, covariances, correlation and regression of floats against Python's integers, bit for bit: what is
# nearly constant, of all magnitudes, out of range on the way, collinear; after deletions, through windows, in parallel.
use strict;
use warnings;

use FindBin;
use IPC::Run qw(run);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# A run's seed is printed, and can be given: TIDEMARK_TEST_SEED=0.123.
my $seed = $ENV{TIDEMARK_TEST_SEED} // sprintf('%.6f', rand());
note("seed $seed");

my $node = PostgreSQL::Test::Cluster->new('exact_statistics');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION tidemark');

my @of_one = qw(var_pop var_samp stddev_pop stddev_samp);
my @of_pairs = qw(covar_pop covar_samp corr regr_avgx regr_avgy regr_sxx regr_syy regr_sxy regr_r2 regr_slope regr_intercept);

# The bits of all results; $over is a window or nothing.
sub results_of
{
	my ($over) = @_;
	return join(', ',
		(map { "encode(float8send(tidemark.exact_$_(x) $over), 'hex') AS $_" } @of_one),
		(map { "encode(float8send(tidemark.exact_$_(y, x) $over), 'hex') AS $_" } @of_pairs));
}

sub reference
{
	my ($query) = @_;
	my $rows = $node->safe_psql('postgres', "COPY ($query) TO STDOUT");
	my ($out, $err) = ('', '');
	run([ 'python3', "$FindBin::RealBin/exact_statistics_reference.py" ],
		'<', \"$rows\n", '>', \$out, '2>', \$err)
	  or BAIL_OUT("the reference failed: $err");
	return join("\n", sort split(/\n/, $out));
}

sub rows_of
{
	my ($query, $settings) = @_;
	return join("\n",
		sort split(/\n/, $node->safe_psql('postgres', ($settings // '') . "COPY ($query) TO STDOUT")));
}

sub same
{
	my ($got, $expected, $what) = @_;
	my @got = split(/\n/, $got);
	my @expected = split(/\n/, $expected);
	my ($different) = grep { ($got[$_] // '') ne $expected[$_] } 0 .. $#expected;
	ok($got eq $expected, "$what (groups: " . scalar(@expected) . ')')
	  or diag("got      " . ($got[ $different // 0 ] // '') . "\nexpected " . $expected[ $different // 0 ]);
	return;
}

# Compares all results by group with the reference.
sub compare
{
	my ($table, $what) = @_;
	same(rows_of("SELECT g, " . results_of('') . " FROM $table GROUP BY g"),
		reference("SELECT g, y, x FROM $table"), $what);
	return;
}

# Amounts and what depends on them; beside them numbers of many magnitudes, some so large or small that their squares are
# out of range but none of the results (an overflow is another test).
$node->safe_psql(
	'postgres', qq{
	SELECT setseed($seed);
	CREATE TABLE amounts AS SELECT i, round((random() * 1000)::numeric, 2)::float8 AS x, 0::float8 AS y FROM generate_series(1, 6000) i;
	UPDATE amounts SET y = 3.5 * x + random();
	CREATE TABLE wide AS SELECT i, CASE WHEN i % 100 = 0 THEN 0 WHEN i % 99 = 0 THEN '5e-324'::float8 * (random() * 1e9)::int
			ELSE (random() - 0.5) * power(2::float8, floor(random() * 950 - 450)) END AS x,
			(random() - 0.5) * power(2::float8, floor(random() * 900 - 450)) AS y
		FROM generate_series(1, 6000) i;
});
compare('(SELECT 0 AS g, y, x FROM amounts) s', 'amounts');
compare("(SELECT i / $_ AS g, y, x FROM amounts) s", "... in groups of $_") foreach (1, 2, 3, 100);
compare('(SELECT i / 10 AS g, y + 1e15 AS y, x + 1e12 AS x FROM amounts) s',
	'... far from zero, where the differences are small');
compare('(SELECT i / 10 AS g, 1e9 AS y, (i / 20) * 0.1::float8 AS x FROM amounts) s', 'constants');
compare('(SELECT i / 10 AS g, 3 * x AS y, x FROM (SELECT i, floor(x) AS x FROM amounts) a) s',
	'on a line');
compare('(SELECT i / 10 AS g, -x AS y, x FROM amounts) s', 'on a line downwards');
compare('(SELECT 0 AS g, y, x FROM wide WHERE abs(x) < 1e153) s', 'many magnitudes');
compare('(SELECT i / 7 AS g, y, x FROM wide WHERE abs(x) < 1e153) s', '... in groups');
compare(q{(SELECT i / 5 AS g, y, CASE WHEN i % 5 < 3 THEN x ELSE '5e-324'::float8 * (i % 1000) END AS x FROM wide
		WHERE abs(x) < 1e153) s}, '... next to subnormals');
compare('(SELECT i / 10 AS g, y * 1e-164 AS y, x * 1e-161 AS x FROM amounts) s',
	'results that are subnormal, or too small for that');

# What is out of range on the way, and isn't in the end; and what is.
my @huge = split /\t/, reference('VALUES (0, 1e200::float8, 2e200::float8), (0, -1e200, 1e200), (0, 3e200, -1e200)');
is($huge[1], 'overflow', 'a variance out of range');
foreach my $result (qw(stddev_pop(x) stddev_samp(x)), 'corr(y, x)', 'regr_r2(y, x)', 'regr_slope(y, x)', 'regr_intercept(y, x)')
{
	my ($name) = $result =~ /^(?:regr_)?(\w+)/;
	my %place = (stddev_pop => 3, stddev_samp => 4, corr => 7, r2 => 13, slope => 14, intercept => 15);
	is( rows_of("SELECT encode(float8send(tidemark.exact_$result), 'hex') FROM (VALUES (1e200::float8, 2e200::float8), (-1e200, 1e200), (3e200, -1e200)) v (y, x)"),
		$huge[ $place{$name} ], "$result of numbers whose squares are out of range");
}
foreach my $result ('var_pop(x)', 'var_samp(x)', 'covar_pop(y, x)', 'covar_samp(y, x)', 'regr_sxx(y, x)', 'regr_syy(y, x)', 'regr_sxy(y, x)')
{
	my ($ret, $out, $err) = $node->psql('postgres',
		"SELECT tidemark.exact_$result FROM (VALUES (1e200::float8, 2e200::float8), (-1e200, 1e200), (2e200, 1e200)) v (y, x)");
	like($err, qr/value out of range: overflow/, "$result is out of range");
}

# What is left of a window is what the rest gives, whatever passed through.
same(rows_of('SELECT * FROM (SELECT i, ' . results_of('OVER w') . ' FROM wide WHERE abs(x) < 1e153
		WINDOW w AS (ORDER BY i RANGE 499 PRECEDING)) v WHERE i % 500 = 1'),
	reference('SELECT e, y, x FROM generate_series(1, 6000, 500) e, wide
		WHERE i BETWEEN e - 499 AND e AND abs(x) < 1e153 AND EXISTS (SELECT FROM wide v WHERE v.i = e AND abs(v.x) < 1e153)'),
	'frames');
same(rows_of('SELECT * FROM (SELECT i, ' . results_of('OVER w') . ' FROM amounts
		WINDOW w AS (ORDER BY i RANGE 1999 PRECEDING)) v WHERE i % 1500 = 0'),
	reference('SELECT e, y, x FROM generate_series(1500, 6000, 1500) e, amounts WHERE i BETWEEN e - 1999 AND e'),
	'frames of amounts');

$node->safe_psql('postgres', 'DELETE FROM amounts WHERE i % 2 = 0');
compare('(SELECT 0 AS g, y, x FROM amounts) s', 'after half of the rows are deleted');

# By parallel workers: partial sums, written, read, combined.
my $parallel = q{
	ALTER TABLE wide SET (parallel_workers = 3);
	SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
	SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 3;};
my $everything = 'SELECT 0, ' . results_of('') . ' FROM wide WHERE abs(x) < 1e153';
like($node->safe_psql('postgres', "$parallel EXPLAIN $everything"), qr/Partial Aggregate/, 'a parallel plan');
is(rows_of($everything, $parallel), reference('SELECT 0, y, x FROM wide WHERE abs(x) < 1e153'),
	'... gives the same');

$node->stop;
done_testing();
