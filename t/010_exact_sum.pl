# Exact sums of floats against Python's math.fsum and integers, bit for bit: many random doubles of all
# magnitudes, cancellation, halfway cases, ends of the range, in any order, after deletions, through windows, in parallel,
# in a continuous view. scripts/bench exactness does it with 1,000,000.
use strict;
use warnings;

use FindBin;
use IPC::Run qw(run);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkServer;

# A run's seed is printed, and can be given: TIDEMARK_TEST_SEED=0.123.
my $seed = $ENV{TIDEMARK_TEST_SEED} // sprintf('%.6f', rand());
note("seed $seed");

my $node = PostgreSQL::Test::Cluster->new('exact_sum');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'tidemark'\nmax_worker_processes = 16\n");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION tidemark');

# The reference's sums of a query's rows (group, number), as sorted lines.
sub reference
{
	my ($query, @arguments) = @_;
	my $rows = $node->safe_psql('postgres', "COPY ($query) TO STDOUT");
	my ($out, $err) = ('', '');
	run([ 'python3', "$FindBin::RealBin/exact_sum_reference.py", @arguments ],
		'<', \"$rows\n", '>', \$out, '2>', \$err)
	  or BAIL_OUT("the reference failed: $err");
	return join("\n", sort split(/\n/, $out));
}

sub results
{
	my ($query) = @_;
	return join("\n",
		sort split(/\n/, $node->safe_psql('postgres', "COPY ($query) TO STDOUT")));
}

# Compares sums and averages by group with the reference.
sub compare
{
	my ($table, $what) = @_;
	my $got = results(
		qq{SELECT g, encode(float8send(tidemark.exact_sum(x)), 'hex'),
				  encode(float8send(tidemark.exact_avg(x)), 'hex') FROM $table GROUP BY g});
	my $expected = reference("SELECT g, x FROM $table");
	my $lines = () = $expected =~ /\n/g;
	ok($got eq $expected, "$what (groups: " . ($lines + 1) . ")")
	  or diag(first_difference($got, $expected));
	return;
}

sub first_difference
{
	my ($got, $expected) = map { [ split(/\n/, $_) ] } @_;
	for my $i (0 .. $#$expected)
	{
		return "got $got->[$i], expected $expected->[$i]"
		  if ($got->[$i] // '') ne $expected->[$i];
	}
	return 'rows too many';
}

# 100,000 doubles of all magnitudes, as one group and as many; zeros and subnormals among them.
$node->safe_psql(
	'postgres', qq{
	CREATE TABLE wide (i int, g int, x float8);
	SELECT setseed($seed);
	INSERT INTO wide SELECT i, 0, CASE
			WHEN i % 100 = 0 THEN 0
			WHEN i % 99 = 0 THEN '5e-324'::float8 * (random() * 1e9)::int
			ELSE (random() - 0.5) * power(2::float8, floor(random() * 2020 - 1020)) END
		FROM generate_series(1, 100000) i;
});
compare('wide', '100,000 doubles of all magnitudes');
compare('(SELECT i / 37 AS g, x FROM wide) s', '... in groups');
compare('(SELECT 0 AS g, x FROM wide WHERE abs(x) < 1e-290) s', '... the small ones');
compare('(SELECT 0 AS g, x FROM wide UNION ALL SELECT 0, -x FROM wide WHERE i > 3) s',
	'... nearly all cancelled');
compare('(SELECT i / 10 AS g, x FROM (SELECT i, x FROM wide UNION ALL
		SELECT (i * 7919::int8 % 100000)::int, -x FROM wide) u) s', '... and mixed with opposites');

# The rows' order doesn't matter.
my ($whole) = split(/\n/, reference('SELECT 0, x FROM wide'));
foreach my $order ('i DESC', 'x', 'abs(x)', 'md5(i::text)')
{
	is( results(qq{SELECT 0, encode(float8send(tidemark.exact_sum(x ORDER BY $order)), 'hex'),
			encode(float8send(tidemark.exact_avg(x ORDER BY $order)), 'hex') FROM wide}),
		$whole, "in the order of $order");
}

# What is left of a window is what a sum over the rest gives.
my $slid = results(
	q{SELECT i, encode(float8send(s), 'hex'), encode(float8send(a), 'hex') FROM (
		SELECT i, tidemark.exact_sum(x) OVER w AS s, tidemark.exact_avg(x) OVER w AS a FROM wide
		WINDOW w AS (ORDER BY i ROWS 49999 PRECEDING)) v WHERE i % 10000 = 0});
my $frames = reference(
	q{SELECT e, x FROM generate_series(10000, 100000, 10000) e, wide WHERE i BETWEEN e - 49999 AND e});
is($slid, $frames, 'frames of 50,000 rows');

$node->safe_psql('postgres', 'DELETE FROM wide WHERE i % 2 = 0');
compare('wide', 'after half of the rows are deleted');

# By parallel workers: partial sums, written, read, combined.
my $parallel = q{
	ALTER TABLE wide SET (parallel_workers = 3);
	SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
	SET min_parallel_table_scan_size = 0; SET max_parallel_workers_per_gather = 3;};
like(
	$node->safe_psql('postgres', "$parallel EXPLAIN SELECT tidemark.exact_sum(x) FROM wide"),
	qr/Partial Aggregate/, 'a parallel plan');
is( $node->safe_psql(
		'postgres', "$parallel SELECT encode(float8send(tidemark.exact_sum(x)), 'hex') FROM wide"),
	(split(/\t/, reference('SELECT 0, x FROM wide')))[1],
	'... gives the same');

# Few bits each, so that sums are often halfway between two doubles, or barely not.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE halfway AS SELECT i / 5 AS g,
			sign(random() - 0.5) * power(2::float8, floor(CASE i % 5 WHEN 4 THEN random() * -900 ELSE random() * 60 END)) AS x
		FROM generate_series(0, 99999) i;
});
compare('halfway', 'halfway cases');
compare('(SELECT g, x * power(2::float8, -1070) AS x FROM halfway WHERE x >= 1 OR x <= -1) s',
	'... among the subnormals');

# Near the end of the range, averages stay in it, whatever the sum does.
my $ends = q{SELECT i / 6 AS g, sign(random() - 0.5) * (1 + random()) * power(2::float8, 1023 - floor(random() * random() * 60)) AS x
	FROM generate_series(0, 59999) i};
$node->safe_psql('postgres', "CREATE TABLE ends AS $ends");
my %overflows;
my @expected_averages;
foreach (split(/\n/, reference('SELECT g, x FROM ends')))
{
	my ($group, $sum, $average) = split(/\t/);
	$overflows{$group} = 1 if $sum eq 'overflow';
	push @expected_averages, "$group\t$average";
}
cmp_ok(scalar(keys %overflows), '>', 100, 'sums that overflow');
is( results(
		q{SELECT g, encode(float8send(tidemark.exact_avg(x)), 'hex') FROM ends GROUP BY g}),
	join("\n", sort @expected_averages),
	'... while their averages do not');
$node->safe_psql('postgres',
	'CREATE TABLE overflowing (g int); INSERT INTO overflowing VALUES ('
	  . join('), (', sort keys %overflows) . ')');
compare('(SELECT g, x FROM ends WHERE g NOT IN (SELECT g FROM overflowing)) s',
	'sums near the end of the range');
is( $node->safe_psql(
		'postgres', q{
	CREATE FUNCTION overflows(group_wanted int) RETURNS bool LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM tidemark.exact_sum(x) FROM ends WHERE g = group_wanted;
		RETURN false;
	EXCEPTION WHEN numeric_value_out_of_range THEN
		RETURN true;
	END $$;
	CREATE INDEX ON ends (g);
	SELECT count(*) FROM overflowing WHERE NOT overflows(g)}),
	'0',
	'the sums that should overflow do');

# float4
$node->safe_psql(
	'postgres', q{
	CREATE TABLE narrow AS SELECT i / 10 AS g,
			(sign(random() - 0.5) * power(2::float8, floor(CASE i % 10 WHEN 4 THEN random() * -140 ELSE random() * 30 END))
			 * CASE WHEN i % 3 = 0 THEN 1 ELSE 1 + random() END)::float4 AS x
		FROM generate_series(0, 99999) i;
});
is( results(
		q{SELECT g, encode(float4send(tidemark.exact_sum(x)), 'hex'),
			encode(float8send(tidemark.exact_avg(x)), 'hex') FROM narrow GROUP BY g}),
	reference('SELECT g, x::float8 FROM narrow', 'float4'),
	'float4');

# In a continuous view: its rows, those of its query, and sums over each frame, as rows come, late ones too, and go.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE arriving AS SELECT timestamp '2026-01-01' + i * interval '1 s' AS t, i, i % 3 AS k,
			(random() - 0.5) * power(2::float8, floor(random() * 2000 - 1000)) AS x FROM generate_series(1, 3000) i;
	CREATE TABLE doubles (LIKE arriving);
	SELECT tidemark.create_stream('doubles', 't');
	CREATE VIEW sums AS SELECT t, i, sum(x) OVER w AS sum, avg(x) OVER w AS avg FROM doubles
		WINDOW w AS (PARTITION BY k ORDER BY t RANGE BETWEEN '200 s' PRECEDING AND CURRENT ROW);
	SELECT tidemark.make_continuous('sums')});
foreach my $step (
	[ 'half of the rows', 'INSERT INTO doubles SELECT * FROM arriving WHERE i % 2 = 0 ORDER BY random()' ],
	[ 'the other half, late', 'INSERT INTO doubles SELECT * FROM arriving WHERE i % 2 = 1 ORDER BY random()' ],
	[ 'half of them deleted', q{DELETE FROM doubles WHERE hashint4(i) % 2 = 0} ])
{
	my ($what, $statement) = @$step;
	my $bits = q{COPY (SELECT i, encode(float8send(sum), 'hex'), encode(float8send(avg), 'hex') FROM sums ORDER BY i::text COLLATE "C") TO STDOUT};

	$node->safe_psql('postgres', $statement);
	wait_maintained($node, 'sums');
	my $maintained = $node->safe_psql('postgres', $bits);
	ok($node->safe_psql('postgres', "SET tidemark.use_continuous = off; $bits") eq $maintained,
		"$what: the view and its query");
	ok( $maintained eq reference(
			q{SELECT a.i, b.x FROM doubles a JOIN doubles b ON b.k = a.k AND b.t BETWEEN a.t - interval '200 s' AND a.t}),
		'... and the frames\' sums');
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('sums')}), '0', 'verified');

$node->stop;
done_testing();
