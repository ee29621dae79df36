# What tests that kill the server share.
package TidemarkServer;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils;

our @EXPORT = qw(start_again);

# Starts a node that was killed. The killed server's children have to be gone before: each notices when it gets to it, and until then
# the start fails.
sub start_again
{
	my ($node) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	$node->{_pid} = undef;
	until ($node->start(fail_ok => 1))
	{
		die 'the server does not start again' if time > $deadline;
		$node->{_pid} = undef;    # what it found is the killed one's file
		select undef, undef, undef, 0.1;
	}
	return;
}

1;
