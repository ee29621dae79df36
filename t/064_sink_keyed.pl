# Sinks of views that keep rows by key: what a compacted topic keeps, and what marked changes add up to, is the batch query on the rows up
# to the frontier; of sessions, those that are over; of rows that are kept for a while, what the view shows. TIDEMARK_SEED: another run.
use strict;
use warnings;

use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SinkTest;
use Test::More;
use TidemarkKafka;
use TidemarkServer;

seed_run();

my $kafka = TidemarkKafka->start;
my $node = TidemarkKafka::new_node('main', "tidemark.maintain_interval = 20\nmax_worker_processes = 40\n");

# Each view: its query over a source, its columns with the topic's types, and the key that tells its rows apart; what make_continuous is told, and
# which of the rows up to the frontier a consumer has to have, or knows the present state of.
my $sessions = 'SELECT k, start, max(t) AS t, count(*) AS n, sum(v) AS total
	FROM (SELECT *, tidemark.session(t, 8) OVER (PARTITION BY k ORDER BY t) AS start FROM %s) r GROUP BY k, start';
my %views = (
	first_ones => [ 'SELECT DISTINCT ON (k) k, t, id, v FROM %s ORDER BY k, t', 'k int, t bigint, id bigint, v int', 'k' ],
	latest => [ 'SELECT DISTINCT ON (k) k, t, 100.0 / v AS ratio, note FROM %s ORDER BY k, t DESC', 'k int, t bigint, ratio numeric, note text', 'k' ],
	best => [ 'SELECT k, v, id, rn FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY v DESC, id) AS rn FROM %s) r WHERE rn <= 3',
		'k int, v int, id bigint, rn bigint', 'k,rn' ],
	totals => [ 'SELECT k, count(*) AS n, sum(v) AS total, max(id) AS last FROM %s GROUP BY k HAVING count(*) > 1',
		'k int, n bigint, total bigint, last bigint', 'k' ],
	pairs => [ 'SELECT DISTINCT k, v / 20 AS high FROM %s', 'k int, high int', 'k,high' ],
	everything => [ 'SELECT count(*) AS n, sum(v) AS total FROM %s', 'n bigint, total bigint', undef ],
	visits => [ $sessions, 'k int, start bigint, t bigint, n bigint, total bigint', 'k,start', '', 't + 8 <= %s' ],
	open_visits => [ $sessions, 'k int, start bigint, t bigint, n bigint, total bigint', 'k,start', ", 'arrival'" ],
	for_a_while => [ 'SELECT DISTINCT ON (k) k, t, id, v FROM %s ORDER BY k, t, id', 'k int, t bigint, id bigint, v int', 'k', ", dedup_for => '40'", 't > %s - 40' ]);

sub names { return join ', ', map { (split ' ')[0] } split /, /, $_[0] }

$node->safe_psql('postgres', q{CREATE TABLE s (t bigint, k int, id bigint, v int, note text);
	SELECT tidemark.create_stream('s', 't', allowed_delay => '10')});
for my $name (sort keys %views)
{
	my ($query, $columns, $key, $options) = @{ $views{$name} };
	$node->safe_psql('postgres', sprintf("CREATE VIEW $name AS $query; SELECT tidemark.make_continuous('$name'" . ($options // '') . ')', 's'));
	create_sink_topics($node, $kafka, 2, $columns, map { "${name}_$_" } defined $key ? qw(kept kept_late marked) : qw(marked));
}
my @final = qw(first_ones visits for_a_while);    # rows of these are final
create_sink_topics($node, $kafka, 2, $views{$_}[1], "${_}_appended") for @final;

my $next = 1;
my $time = 1;

sub insert_rows
{
	my ($n) = @_;
	my @rows = map { $time += int(rand(3)); sprintf('(%d, %s, %d, %d, %s)', $time, rand() < 0.05 ? 'NULL' : int(rand(12)), $next++, 1 + int(rand(60)), int(rand(3))) } 1 .. $n;
	$node->safe_psql('postgres', 'INSERT INTO s VALUES ' . join(', ', @rows));
}

sub change_rows
{
	my $id = 1 + int(rand($next));
	my $other = int(rand($time));
	my @changes = (
		"INSERT INTO s VALUES ($other, 3, " . $next++ . ", 40)",
		"INSERT INTO s VALUES ($other, NULL, " . $next++ . ", 61)",
		"DELETE FROM s WHERE id = $id",
		"UPDATE s SET v = 60 WHERE id = $id",
		"UPDATE s SET t = $other WHERE id = $id",
		"UPDATE s SET k = 4 WHERE t BETWEEN $other AND $other + 5",
		"DELETE FROM s WHERE k = " . int(rand(12)),
		"BEGIN; DELETE FROM s WHERE id = $id; INSERT INTO s VALUES ($other, 1, $id, 5); COMMIT");
	$node->safe_psql('postgres', $changes[ rand @changes ]);
}

sub frontier
{
	my ($name) = @_;
	return $node->safe_psql('postgres', "SELECT frontier FROM tidemark.continuous_views WHERE view = '$name'::regclass");
}

# Which rows are compared.
sub which
{
	my ($name) = @_;
	return sprintf $views{$name}[4] // 'true', frontier($name);
}

# The view's rows up to its frontier, by its query: over rows of the stream up to a constant, so that ties are decided as in the view. What is kept for
# a while is not its query's result.
sub final
{
	my ($name) = @_;
	my ($query, $columns) = @{ $views{$name} };
	my $names = names($columns);
	my $frontier = frontier($name);
	my $source = "(SELECT * FROM s WHERE t <= $frontier) s";

	return "SELECT $names FROM $name WHERE t <= $frontier" if $name eq 'for_a_while';
	return "SELECT $names FROM (" . sprintf($query, $source) . ') q WHERE ' . which($name);
}

# What a compacted topic keeps. A tombstone has no columns.
sub kept
{
	my ($name, $topic) = @_;
	my $names = names($views{$name}[1]);
	my $present = join ' OR ', map { "$_ IS NOT NULL" } split /, /, $names;

	return "SELECT $names FROM (SELECT DISTINCT ON (key) * FROM ${topic}_topic ORDER BY key, pos DESC) l WHERE ($present) AND " . which($name);
}

sub added_up
{
	my ($name, $topic) = @_;
	my $names = names($views{$name}[1]);
	my $op = q{headers ->> 'tidemark-op'};

	return "SELECT * FROM (SELECT $names FROM ${topic}_topic WHERE $op IS DISTINCT FROM 'delete' EXCEPT ALL SELECT $names FROM ${topic}_topic WHERE $op = 'delete') a WHERE "
	  . which($name);
}

my $late_sinks = 0;

sub are_the_views
{
	my ($when) = @_;
	wait_maintained($node);
	ok($node->poll_query_until('postgres', q{SELECT bool_and(lag_rows = 0 AND state = 'running') FROM tidemark.sinks}), "$when: all is sent")
	  or diag $node->safe_psql('postgres', 'SELECT * FROM tidemark.sinks');
	for my $name (sort keys %views)
	{
		my $final = final($name);
		rows_become($node, $final, added_up($name, "${name}_marked"), "$when: marked changes add up to $name");
		next unless defined $views{$name}[2];
		rows_become($node, $final, kept($name, "${name}_kept"), "$when: what a compacted topic keeps is $name");
		rows_become($node, $final, kept($name, "${name}_kept_late"), "$when: also of who came late") if $late_sinks;
	}
	is($node->safe_psql('postgres', 'SELECT count(*) FROM tidemark.continuous_views, tidemark.verify(view)'), '0', "$when: views = batch");
}

sub start_sinks
{
	my ($suffix, $start_at) = @_;
	for my $name (sort keys %views)
	{
		my $key = $views{$name}[2] // next;
		# a record's key can't be null, an object with a null can: that of several columns
		$node->safe_psql('postgres', "SELECT tidemark.start_sink('$name', '${name}_${suffix}_topic', mode => 'upsert', key => '{$key,$key}', start_at => '$start_at')");
	}
}

insert_rows(100);
wait_maintained($node);
start_sinks('kept', 'beginning');
$node->safe_psql('postgres', "SELECT tidemark.start_sink('$_', '${_}_marked_topic', corrections => 'mark')") for sort keys %views;
$node->safe_psql('postgres', "SELECT tidemark.start_sink('$_', '${_}_appended_topic')") for @final;
insert_rows(100);
are_the_views('rows in order');
for my $name (@final)
{
	rows_become($node, final($name), 'SELECT ' . names($views{$name}[1]) . " FROM ${name}_appended_topic WHERE " . which($name),
		"each row of $name once, when it is final");
	is($node->safe_psql('postgres', "SELECT corrections_ignored FROM tidemark.sinks WHERE topic = '${name}_appended_topic'::regclass"), '0', 'nothing is corrected yet');
}
for my $round (1 .. 4)
{
	for (1 .. 6) { insert_rows(5); change_rows() }
	if ($round == 2)
	{
		start_sinks('kept_late', 'beginning');
		$late_sinks = 1;
	}
	if ($round == 3)
	{
		$node->kill9;
		start_again($node);
	}
	if ($round == 4)
	{
		$kafka->kill9;
		change_rows();
		$kafka->restart;
	}
	are_the_views("round $round");
}
ok($node->safe_psql('postgres', q{SELECT corrections_ignored > 0 FROM tidemark.sinks WHERE topic = 'first_ones_appended_topic'::regclass}) eq 't', 'corrections are counted');

# --- the frontier goes back, and the stream is emptied ---

my ($result, $out, $err) = $node->psql('postgres', 'INSERT INTO s VALUES (' . ($time - 15) . ", 77, 999999, 0)");
like($err, qr/continuous view "latest" fails/, 'a view fails on a late row');
$node->safe_psql('postgres', 'DELETE FROM s WHERE v = 0');
insert_rows(50);
are_the_views('failed, and mended');
$node->safe_psql('postgres', 'TRUNCATE s');
are_the_views('emptied');
insert_rows(100);
are_the_views('and filled again');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark_data.latest_changes}), '0', 'what is no longer needed of the logs is gone');

$node->stop;
done_testing();
