# Views against their batch queries: random streams, random over-window views, and random transactions in several sessions at
# once, while the maintainer works, views are made continuous and batch, and the server is killed now and then.
#
# In every snapshot that a reader takes meanwhile, and after each round, each continuous view must be its batch query's result:
# tidemark.verify, and besides, the same question to the view with tidemark.use_continuous on and off. Some views have subscriptions, whose changes
# are taken and acknowledged meanwhile, or not: what came less what went must be the view's materialised part.
#
#   TIDEMARK_SEED=7 TIDEMARK_ROUNDS=100 scripts/test differential
#
# The statements follow from the seed; how the sessions' statements come to lie among each other does not. All of
# them are kept in a file for the case of a failure, which names it.
use strict;
use warnings;

use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkRandom;
use TidemarkServer;

use constant {
	SESSIONS         => 3,
	CONSUMPTIONS     => 10,
	ROUNDS_OF_WORLD  => 4,
	TRANSACTIONS     => 12,
	SNAPSHOTS        => 3,
};

# What a statement may fail with: serialization, deadlock; what follows in the aborted transaction, and a prepared one that
# came to nothing; a duplicate event time; a view that is continuous (or not) already, or is just being made anew (and has no columns);
# a definition that another one needs; a kept plan of a view that is gone; a row that MERGE finds twice; a position of a subscription that has begun anew.
my %allowed = map { $_ => 1 } qw(40001 40P01 25P02 3B001 42704 23505 42710 55000 42P01 42P07 42703 2BP01 26000 21000 22023);

# CI asks the same questions of every change; elsewhere each run asks others.
my $seed = $ENV{TIDEMARK_SEED} // ($ENV{CI} ? 20240229 : int(rand(2**31)));
my $rounds = $ENV{TIDEMARK_ROUNDS} // 24;
my $kept = "$PostgreSQL::Test::Utils::log_path/differential.sql";
my $failed = 0;
my $saved = 0;          # views that were read with saved states
my $incremental = 0;    # and that could have been
my $consumed = 0;       # changes that subscriptions gave

note "seed $seed, $rounds rounds";
srand($seed);

my $node = PostgreSQL::Test::Cluster->new('differential');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'tidemark'
max_worker_processes = 16
max_prepared_transactions = 10
tidemark.maintain_interval = 1ms
deadlock_timeout = 50ms
restart_after_crash = on
timezone = 'America/New_York'
});
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION tidemark;
	CREATE SERVER nowhere FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers '127.0.0.1:1');} . TidemarkRandom::aggregates());

open my $keep, '>', $kept or die "$kept: $!";
$keep->autoflush;

sub keep_statements
{
	my ($title, $sql) = @_;
	print $keep "-- $title\n$sql\n";
	return;
}

# ---- sessions -------------------------------------------------------------------------------------

# Starts psql on a script; its errors are SQLSTATEs.
sub start_session
{
	my ($title, $sql) = @_;
	my $session = { title => $title, output => '', errors => '' };
	my $file = PostgreSQL::Test::Utils::tempdir() . "/$title.sql" =~ s/[ ,:]+/_/gr;

	keep_statements($title, $sql);
	append_to_file($file, $sql);
	$session->{run} = start [ 'psql', '-XAtq', '-v', 'VERBOSITY=sqlstate', '-d', $node->connstr('postgres'), '-f', $file ],
	  '<', \undef, '>', \$session->{output}, '2>', \$session->{errors};
	return $session;
}

# Waits for its end; returns the errors that it should not have had.
sub end_session
{
	my ($session, $killed) = @_;
	finish $session->{run};
	return () if $killed;
	my @errors = grep { !/NOTICE|WARNING|DETAIL|HINT|CONTEXT/ } split /\n/, $session->{errors};
	return map { "$session->{title}: $_" } grep { !(/(?:ERROR|FATAL): +(\w{5})\b/ && $allowed{$1}) } @errors;
}

# ---- comparing ------------------------------------------------------------------------------------

# Plans that are kept from snapshot to snapshot.
sub prepare_script
{
	my (@views) = @_;
	return "SET plan_cache_mode = force_generic_plan;\n"
	  . join '', map { "PREPARE kept_$_ AS SELECT count(*) || ' rows, ' || coalesce(sum(hash_record_extended(v, 0)::numeric), 0) AS answer FROM $_ v;\n" } @views;
}

# One snapshot: verify, and the view asked in both ways, for whole rows, for one of its columns, for a part of its rows by what they have in that
# column, for none, and by a plan of an earlier snapshot. Rows come out where something is wrong.
sub snapshot_script
{
	my ($prepared, @views) = @_;
	my $sql = "BEGIN ISOLATION LEVEL REPEATABLE READ;\n";

	for my $view (@views)
	{
		my %ask = (
			rows   => "SELECT count(*) || ' rows, ' || coalesce(sum(hash_record_extended(v, 0)::numeric), 0) AS answer FROM $view v",
			column => "SELECT count(*) || ' rows, ' || coalesce(sum(hash_record_extended(ROW(v.:\"column\"), 0)::numeric), 0) AS answer FROM $view v",
			part   => "SELECT count(*) || ' rows, ' || coalesce(sum(hash_record_extended(v, 0)::numeric), 0) AS answer FROM $view v WHERE v.:\"column\" "
			  . TidemarkRandom::pick('=', '<=', '>', '<', '<>') . ' :value',
			count  => "SELECT count(*) AS answer FROM $view");
		my ($column, $row) = map { TidemarkRandom::between(0, 99) } 1, 2;
		$sql .= "\\set is_continuous off\n\\set column none\n\\set value NULL\n"
		  . "SELECT EXISTS (SELECT FROM tidemark.view WHERE relid = to_regclass('$view')) AS is_continuous \\gset\n"
		  . "SELECT EXISTS (SELECT FROM tidemark.view WHERE relid = to_regclass('$view') AND dedup_for IS NOT NULL) AS expires \\gset\n"
		  . "\\if :is_continuous\n"
		  . "SELECT '$view', * FROM tidemark.verify('$view') LIMIT 5;\n"
		  . "SELECT coalesce((array_agg(attname))[$column % greatest(count(*), 1) + 1], 'none') AS column FROM pg_attribute WHERE attrelid = '$view'::regclass AND attnum > 0 \\gset\n";
		$sql .= "\\if :expires\n\\else\n";    # verify knows what these have to be
		$sql .= "SELECT coalesce((SELECT quote_literal(c::text) FROM (SELECT v.:\"column\" AS c FROM $view v OFFSET $row LIMIT 1) r), 'NULL') AS value \\gset\n";
		my %batch = %ask;
		($ask{kept}, $batch{kept}) = ("EXECUTE kept_$view", $ask{rows}) if $prepared;
		for my $what (sort keys %ask)
		{
			$sql .= "\\set on_answer 0\n\\set off_answer 0\n"
			  . "SET LOCAL tidemark.use_continuous = on;\n$ask{$what} \\gset on_\n"
			  . "SET LOCAL tidemark.use_continuous = off;\n$batch{$what} \\gset off_\n"
			  . "SELECT '$view', '$what', 'on: ' || :'on_answer', 'off: ' || :'off_answer' WHERE :'on_answer' <> :'off_answer';\n";
		}
		$sql .= "\\endif\n\\endif\n";
	}
	return "${sql}COMMIT;\n";
}

sub quiescent_differences
{
	my ($world, $title) = @_;
	my $session = start_session("$title: verify", snapshot_script(0, $world->views));
	my @errors = end_session($session);
	return (@errors, grep { /\S/ } split /\n/, $session->{output});
}

sub log_differences
{
	my ($world, $title) = @_;
	my $session = start_session("$title: log", $world->log_script . $world->consumed_script);
	my @errors = end_session($session);
	return (@errors, grep { /\S/ } split /\n/, $session->{output});
}

# ---- rounds ---------------------------------------------------------------------------------------

sub start_killed_server
{
	# prepared transactions that were left hold the frontier back
	start_again($node);
	my $left = $node->safe_psql('postgres', "SELECT format('ROLLBACK PREPARED %L;', gid) FROM pg_prepared_xacts");
	$node->safe_psql('postgres', $_) for split /\n/, $left;
	return;
}

# Readers cut off half-way can have printed part of a row; only whole differences count.
sub run_round
{
	my ($world, $title, $kill) = @_;
	my @sessions;
	my @problems;

	for my $n (1 .. SESSIONS)
	{
		push @sessions, start_session("$title, writer $n", $world->transactions(TRANSACTIONS));
	}
	if (TidemarkRandom::chance(0.5))
	{
		push @sessions, start_session("$title, definitions",
			join '', map { $world->change_of_view } 1 .. TidemarkRandom::between(1, 4));
	}
	my @consumers = map { start_session("$title, consumer $_", $world->consumer(CONSUMPTIONS)) } 1 .. TidemarkRandom::between(0, 2);
	my $prepared = TidemarkRandom::chance(0.5);
	my $reader = start_session("$title, reader",
		($prepared ? prepare_script($world->views) : '') . snapshot_script($prepared, $world->views) x SNAPSHOTS);
	if ($kill)
	{
		keep_statements($title, '-- kill -9');
		finish $reader->{run} if TidemarkRandom::chance(0.5);
		kill_server($node);
	}
	push @problems, map { end_session($_, $kill) } @sessions, @consumers, $reader;
	push @problems, grep { /\S/ } map { split /\n/, $_->{output} } @consumers, $reader unless $kill;
	start_killed_server() if $kill;

	push @problems, quiescent_differences($world, "$title, after");
	if (TidemarkRandom::chance(0.7))
	{
		my $wait = "SELECT tidemark.wait_until_maintained(relid, '$PostgreSQL::Test::Utils::timeout_default s') FROM tidemark.view";
		my ($status, undef, $error) = $node->psql('postgres', $wait);
		push @problems, "$title: $error" if $status;
		my ($all, $with_states) = split /\|/, $node->safe_psql('postgres',
			q{SELECT count(*), count(saved) FROM tidemark.view JOIN tidemark.frontier USING (relid) WHERE method = 'incremental'});
		$incremental += $all;
		$saved += $with_states;
		push @problems, quiescent_differences($world, "$title, maintained"), log_differences($world, "$title, maintained");
		$consumed += $node->safe_psql('postgres', 'SELECT coalesce(sum(changes), 0) FROM tidemark.subscription');
	}
	return @problems;
}

sub report
{
	my ($title, @problems) = @_;
	my $errors = $node->safe_psql('postgres', 'SELECT view, last_error FROM tidemark.continuous_views WHERE last_error IS NOT NULL');

	push @problems, "maintenance failed: $errors" if $errors;
	ok(!@problems, $title);
	return unless @problems;
	$failed = 1;
	close $keep;
	diag("seed $seed; the statements are in $kept");
	diag($_) for @problems[ 0 .. ($#problems > 40 ? 40 : $#problems) ];
	diag(slurp_file($kept)) if -s $kept < 200_000 && !-t STDOUT && $ENV{TIDEMARK_SHOW_STATEMENTS};
	return;
}

my $round = 0;
my $worlds = 0;
while ($round < $rounds && !$failed)
{
	truncate $keep, 0;
	seek $keep, 0, 0;
	my $world = TidemarkRandom->new(streams => TidemarkRandom::pick(1, 1, 2), serial => ++$worlds);
	my $schema = start_session("world $worlds", '\set ON_ERROR_STOP on' . "\n" . $world->schema);
	my @errors = end_session($schema);
	report("world $worlds: the schema", @errors) if @errors;

	for my $in_world (1 .. ROUNDS_OF_WORLD)
	{
		last if $failed || $round >= $rounds;
		$round++;
		my $kill = $round % 8 == 5;
		report("round $round (world $worlds)" . ($kill ? ', killed' : ''), run_round($world, "round $round", $kill));
	}
	last if $failed;
	my ($status, undef, $error) = $node->psql('postgres', $world->drop);
	report("world $worlds: dropped", $error) if $status;
}

note "$incremental times a view could be read from saved states, $saved times it was; $consumed changes were taken from subscriptions";
cmp_ok($saved, '>', 0, 'some of the views were read from saved states') if !$failed && $incremental >= 10;
my $log = slurp_file($node->logfile);
unlike($log, qr/TRAP:|PANIC|terminated by signal (?!9)/, 'no crash that was not asked for');
$node->stop('immediate');
done_testing();
