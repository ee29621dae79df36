# A real Apache Kafka and a server with tidemark, for TAP tests.
#
#   use TidemarkKafka;
#   my $kafka = TidemarkKafka->start;
#   $kafka->topic('payment_msg', 4);
#   $kafka->produce('payment_msg', [ '{"a": 1}', '{"a": 2}' ], partition => 0);
#   $kafka->payments('payment_msg', records => 100000, garbage => 1);
#   my $node = TidemarkKafka::new_node('main', "tidemark.maintain = off\n");
#
# Each command returns when the broker has done it (a produced record is acknowledged), and dies with
# the broker's words where it could not. The brokers that a test started end with it, however it ends.
package TidemarkKafka;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);
use IPC::Run qw(run);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $script = ($ENV{TIDEMARK_ROOT} // abs_path(dirname(__FILE__) . '/..')) . '/scripts/kafka';
my @started;
my @producers;

# Starts a broker of its own, on a free port.
sub start
{
	my ($class) = @_;
	my $self = bless { dir => PostgreSQL::Test::Utils::tempdir() . '/kafka' }, $class;

	push @started, $self;
	$self->_run('start');
	chomp($self->{address} = $self->_run('address'));
	return $self;
}

# What bootstrap_servers takes; the same after a restart.
sub address { return $_[0]->{address} }

sub stop     { $_[0]->_run('stop') }
sub kill9    { $_[0]->_run('kill') }
sub restart  { $_[0]->_run('start') }    # after stop or kill9: with the records it had
sub pause    { $_[0]->_run('pause') }
sub continue { $_[0]->_run('continue') }

sub topic          { my $self = shift; $self->_run('topic',      @_) }    # name, partitions
sub add_partitions { my $self = shift; $self->_run('partitions', @_) }    # name, the new total
sub delete_topic   { my $self = shift; $self->_run('delete',     @_) }    # name
sub trim           { my $self = shift; $self->_run('trim',       @_) }    # name, partition, first offset to stay

# Produces a record for each element. Options: partition => N (default: in turn over all), key => SEPARATOR (what is
# before it in an element is the record's key), transaction => 'commit' or 'abort' (all in one). Elements may hold any byte; undef is a tombstone.
sub produce
{
	my ($self, $topic, $records, %options) = @_;
	my $hex = grep { !defined || /[\n\0]/ } @$records;
	my @arguments;

	die 'a key needs records without newlines and tombstones' if $hex && defined $options{key};
	push @arguments, '--partition', $options{partition} if defined $options{partition};
	push @arguments, '--key',       $options{key}       if defined $options{key};
	push @arguments, '--transaction', $options{transaction} if defined $options{transaction};
	push @arguments, '--hex' if $hex;
	my $input = join '', map { ($hex ? unpack('H*', $_ // '') : $_) . "\n" } @$records;
	utf8::encode($input) if utf8::is_utf8($input);
	$self->_run([ 'produce', $topic, @arguments ], $input);
	return;
}

# Produces the payments of the quick start: records, start, density, disorder, first, seed, garbage, csv,
# as scripts/kafka_client.c explains them. Returns the numbers of good and of garbage records.
sub payments
{
	my ($self, $topic, %options) = @_;
	my $output = $self->_run('payments', $topic, map { ("--$_", $options{$_}) } sort keys %options);

	return $output =~ /produced (\d+) garbage (\d+)/;
}

# Starts the same in the background, and returns an IPC::Run handle for its finish().
sub payments_in_background
{
	my ($self, $topic, %options) = @_;
	my @command =
	  ($script, 'payments', $self->{dir}, $topic, map { ("--$_", $options{$_}) } sort keys %options);

	my $producer = IPC::Run::start(\@command, '<', \'', '>', \my $output, '2>', \my $error);

	push @producers, $producer;
	return $producer;
}

# A list of [first offset, next offset], by partition.
sub ends
{
	my ($self, $topic) = @_;
	return map { my (undef, @ends) = split / /; \@ends } split /\n/, $self->_run('ends', $topic);
}

sub _run
{
	my ($self, $command, @arguments) = @_;
	my ($output, $error) = ('', '');
	my $input = '';

	if (ref $command)
	{
		$input = shift @arguments;
		($command, @arguments) = @$command;
	}
	run([ $script, $command, $self->{dir}, @arguments ], '<', \$input, '>', \$output, '2>', \$error)
	  or die "scripts/kafka $command: $error";
	return $output;
}

# A started server that has the library preloaded and, in the database postgres, the extension.
sub new_node
{
	my ($name, $settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'tidemark'\nmax_worker_processes = 16\n"
		  . ($settings // ''));
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION tidemark');
	return $node;
}

END
{
	my $status = $?;
	eval { $_->kill_kill } for grep { $_->pumpable } @producers;
	eval { $_->kill9 } for @started;
	$? = $status;
}

1;
