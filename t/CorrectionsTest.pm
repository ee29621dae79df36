# What tests of corrections share: a stream, a view of it, and random changes of rows that were final.
package CorrectionsTest;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(create_corrected_view insert_rows change_rows stream_time);

my $next = 1;
my $time = 1;

# A row of the stream moves in time and keeps its key; of some keys, no row is left.
sub create_corrected_view
{
	my ($node) = @_;
	$node->safe_psql(
		'postgres', q{
		CREATE TABLE s (t bigint, k int, id bigint, v int, note json);
		SELECT tidemark.create_stream('s', 't', allowed_delay => '10');
		CREATE VIEW v AS SELECT t, k, id, count(*) OVER w AS n, max(v) OVER w AS high FROM s WHERE v > 0
			WINDOW w AS (PARTITION BY k ORDER BY t RANGE BETWEEN 20 PRECEDING AND CURRENT ROW);
		SELECT tidemark.make_continuous('v')});
	return;
}

# Rows in the order of event time, about.
sub insert_rows
{
	my ($node, $n) = @_;
	my @rows = map { $time += int(rand(3)); sprintf('(%d, %d, %d, %d)', $time, int(rand(5)), $next++, int(rand(50)) - 5) } 1 .. $n;
	$node->safe_psql('postgres', 'INSERT INTO s VALUES ' . join(', ', @rows));
	return;
}

# A transaction that inserts, changes or deletes rows anywhere.
sub change_rows
{
	my ($node) = @_;
	my $id = 1 + int(rand($next));
	my $other = int(rand($time));
	my @changes = (
		"INSERT INTO s VALUES ($other, 3, " . $next++ . ", 40)",
		"DELETE FROM s WHERE id = $id",
		"UPDATE s SET v = 60 WHERE id = $id",
		"UPDATE s SET t = $other WHERE id = $id",
		"UPDATE s SET v = -1 WHERE id = $id",
		"BEGIN; UPDATE s SET t = $other WHERE id = $id; UPDATE s SET t = t + 7 WHERE id = $id; COMMIT",
		"BEGIN; DELETE FROM s WHERE id = $id; INSERT INTO s VALUES ($other, 1, $id, 5); COMMIT",
		"UPDATE s SET k = 4 WHERE t BETWEEN $other AND $other + 15");
	$node->safe_psql('postgres', $changes[ rand @changes ]);
	return;
}

# The stream's event time, that far ahead; rows that are inserted later come after it.
sub stream_time
{
	my ($ahead) = @_;
	return $time += $ahead;
}

1;
