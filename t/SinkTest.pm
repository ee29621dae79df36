# What the tests of sinks share.
package SinkTest;

use strict;
use warnings;

use Exporter 'import';
use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkServer;

our @EXPORT = qw(seed_run create_sink_topics kill_and_restart wait_sent wait_sink_state becomes rows_become final_rows is_sent_to is_kept_in);

# What is random follows from TIDEMARK_SEED, which is told.
sub seed_run
{
	my $seed = $ENV{TIDEMARK_SEED} // int(rand(1000000));
	note "TIDEMARK_SEED=$seed";
	srand($seed);
	return;
}

# Topics with so many partitions, and their tables, of the same columns and those of a record's metadata: TOPIC_topic.
sub create_sink_topics
{
	my ($node, $kafka, $partitions, $columns, @topics) = @_;
	my %metadata = (key => 'text', headers => 'jsonb', part => 'int', pos => 'bigint');
	my %names = (key => 'key', headers => 'headers', part => 'partition', pos => 'offset');
	my $all = join ', ', $columns, map { "$_ $metadata{$_} OPTIONS (metadata '$names{$_}')" } sort keys %names;

	for my $topic (@topics)
	{
		$kafka->topic($topic, $partitions);
		create_topic_table($node, $kafka, "${topic}_topic", $topic, $all);
	}
	return;
}

# Kills the 'server', the 'broker' or 'both', and starts it again.
sub kill_and_restart
{
	my ($node, $kafka, $what) = @_;

	$kafka->kill9 if $what ne 'server';
	$node->kill9 if $what ne 'broker';
	start_again($node) if $what ne 'broker';
	$kafka->restart if $what ne 'server';
	return;
}

# Until all that is final now has been sent.
sub wait_sent
{
	my ($node, $view) = @_;
	wait_maintained($node, $view);
	my $done = $node->poll_query_until('postgres',
		"SELECT bool_and(lag_rows = 0 AND state = 'running') FROM tidemark.sinks WHERE view = '$view'::regclass");
	ok($done, "all of $view is sent") or diag $node->safe_psql('postgres', 'SELECT * FROM tidemark.sinks');
	return;
}

# Until the view's sink is in this state; meanwhile is run now and then, if given.
sub wait_sink_state
{
	my ($node, $view, $state, $meanwhile) = @_;
	$meanwhile->() if $meanwhile;
	my $reached =
	  $node->poll_query_until('postgres', "SELECT bool_and(state = '$state') FROM tidemark.sinks WHERE view = '$view'::regclass");
	ok($reached, "state: $state") or diag $node->safe_psql('postgres', 'SELECT * FROM tidemark.sinks');
	return;
}

# A query's result is this, soon: consumers see a transaction when its end has come to the partitions, which is a moment after the
# broker has taken it in.
sub becomes
{
	my ($node, $query, $expected, $name) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my $result;

	until (($result = $node->safe_psql('postgres', $query)) eq $expected || time > $deadline)
	{
		select undef, undef, undef, 0.1;
	}
	return is($result, $expected, $name);
}

# A query gives the rows of another one, soon, each as often.
sub rows_become
{
	my ($node, $expected, $query, $name) = @_;
	return becomes($node, qq{
		WITH expected AS MATERIALIZED ($expected), found AS MATERIALIZED ($query)
		(SELECT 'missing', * FROM (TABLE expected EXCEPT ALL TABLE found) x LIMIT 5)
		UNION ALL (SELECT 'unexpected', * FROM (TABLE found EXCEPT ALL TABLE expected) x LIMIT 5)}, '', $name);
}

# A query for the rows of the view, up to its frontier if it's continuous.
sub final_rows
{
	my ($node, $view, $columns) = @_;
	my $frontier = $node->safe_psql('postgres', "SELECT frontier FROM tidemark.continuous_views WHERE view = '$view'::regclass");
	return "SELECT $columns FROM $view" . ($frontier eq '' ? '' : qq{ WHERE "createTime" <= '$frontier'});
}

# The topic has these, each once.
sub is_sent_to
{
	my ($node, $view, $topic, $columns, $name) = @_;
	return rows_become($node, final_rows($node, $view, $columns), "SELECT $columns FROM $topic", $name);
}

# A compacted topic, of which the last record of each key is kept, comes to have these; "orderId" is null in tombstones only.
sub is_kept_in
{
	my ($node, $view, $topic, $columns, $name) = @_;
	my $last = qq{SELECT DISTINCT ON (key) $columns FROM $topic ORDER BY key, pos DESC};
	return rows_become($node, final_rows($node, $view, $columns), qq{SELECT $columns FROM ($last) l WHERE "orderId" IS NOT NULL}, $name);
}

1;
