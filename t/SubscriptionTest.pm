# What the tests of subscriptions share: consumers, which are killed and come again.
package SubscriptionTest;

use strict;
use warnings;

use Exporter 'import';
use POSIX qw(_exit);
use PostgreSQL::Test::Utils;
use TidemarkServer;

our @EXPORT = qw(start_consumers stop_consumers wait_consumed);

my @children;
my $stop;

# Processes that run each of these statements again and again, whatever becomes of the server or their sessions.
sub start_consumers
{
	my ($node, @statements) = @_;
	my @psql = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'), '-c');

	my $parent = $$;

	$stop = PostgreSQL::Test::Utils::tempdir() . '/stop';
	for my $statement (@statements)
	{
		my $child = fork() // die "fork: $!";
		if ($child)
		{
			push @children, $child;
			next;
		}
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		until (-e $stop || getppid != $parent)
		{
			system(@psql, $statement) == 0 or select undef, undef, undef, 0.1;
		}
		_exit(0);
	}
	return;
}

sub stop_consumers
{
	open my $file, '>', $stop or die "$stop: $!";
	close $file;
	waitpid $_, 0 for @children;
	@children = ();
	unlink $stop;
	return;
}

# Until all that is final now is acknowledged.
sub wait_consumed
{
	my ($node, $view) = @_;
	wait_maintained($node, $view);
	return $node->poll_query_until('postgres', 'SELECT bool_and(lag_rows = 0) FROM tidemark.subscriptions');
}

1;
