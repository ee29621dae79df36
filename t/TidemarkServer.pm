# What tests of a server share: how it is killed and comes back, and waiting until views are maintained.
package TidemarkServer;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Utils;

our @EXPORT = qw(start_again kill_server kill_backend wait_maintained);

# Until the condition holds; dies of what is said here if it doesn't.
sub wait_until
{
	my ($what, $holds) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	until ($holds->())
	{
		die "timed out: $what" if time > $deadline;
		select undef, undef, undef, 0.01;
	}
	return;
}

# A process's state by ps(1): T is stopped, Z has ended; undef is gone.
sub process_state
{
	my ($pid) = @_;

	open my $file, '<', "/proc/$pid/stat" or return undef;
	my $stat = <$file> // return undef;
	return $stat =~ /^.*\) (\S)/s ? $1 : undef;
}

# Stops a process where it is. False: it has ended already.
sub freeze
{
	my ($pid) = @_;

	kill 'STOP', $pid;
	wait_until("process $pid does not stop", sub { (process_state($pid) // 'Z') =~ /[TZX]/ });
	return (process_state($pid) // 'Z') eq 'T';
}

# The server and its processes end at once, as the machine's out-of-memory killer would do it. The postmaster is stopped before its children
# are listed: one that it starts meanwhile would stay, and might wait forever for what a killed one has locked.
sub kill_server
{
	my ($node) = @_;
	my $postmaster = $node->{_pid};

	die 'the server is not running' unless freeze($postmaster);
	kill 'KILL', (split ' ', `ps -o pid= --ppid $postmaster`), $postmaster;
	$node->{_pid} = undef;
	return;
}

# Starts a node that was killed. The killed server's children have to be gone before: each notices when it gets to it, and until then
# the start fails.
sub start_again
{
	my ($node) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	local $ENV{PGCTLTIMEOUT} = $PostgreSQL::Test::Utils::timeout_default;

	$node->{_pid} = undef;
	until ($node->start(fail_ok => 1))
	{
		die 'the server does not start again' if time > $deadline;
		$node->{_pid} = undef;    # what it found is the killed one's file
		select undef, undef, undef, 0.1;
	}
	return;
}

# Kills one process of a server with restart_after_crash, and returns when it takes connections again. A process that is about to end by itself
# is stopped first: what has ended can't be killed, and the server goes on.
sub kill_backend
{
	my ($node, $pid) = @_;
	my $told = -s $node->logfile;

	return unless freeze($pid);
	kill 'KILL', $pid;
	$node->wait_for_log(qr/all server processes terminated; reinitializing.*database system is ready to accept connections/s, $told);
	return;
}

# Until a view, or each one, has come up to where its stream is now.
sub wait_maintained
{
	my ($node, $view, $database) = @_;
	my $timeout = "$PostgreSQL::Test::Utils::timeout_default s";

	$node->safe_psql($database // 'postgres',
		'SELECT tidemark.wait_until_maintained(relid, ' . "'$timeout') FROM "
		  . (defined $view ? "CAST('$view' AS regclass) relid" : 'tidemark.view'));
	return;
}

1;
