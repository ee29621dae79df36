# kill -9 of the server, again and again, while several sessions write in order, late and far back, and the maintainer
# moves frontiers: after each restart every view is its batch query's result, and the frontier moves on. Nothing that was
# acknowledged is lost. Windows go on from their saved states.
use strict;
use warnings;

use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkServer;

use constant { CRASHES => 5, WRITERS => 3 };

my $node = PostgreSQL::Test::Cluster->new('crash');
$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'tidemark'
max_worker_processes = 16
max_prepared_transactions = 5
tidemark.maintain_interval = 1ms
# the machine survives
fsync = off
});
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION tidemark;
	CREATE SEQUENCE clock;
	CREATE TABLE s (t bigint, k int, v float8, writer int, serial bigint) PARTITION BY RANGE (t);
	CREATE TABLE s_low PARTITION OF s FOR VALUES FROM (MINVALUE) TO (500);
	CREATE TABLE s_high PARTITION OF s FOR VALUES FROM (500) TO (MAXVALUE);
	SELECT tidemark.create_stream('s', 't', allowed_delay => '5');
	CREATE VIEW spend AS SELECT t, k, sum(v) OVER (PARTITION BY k ORDER BY t RANGE BETWEEN 20 PRECEDING AND CURRENT ROW) FROM s;
	CREATE VIEW hidden AS SELECT k, max(v) OVER w, count(*) OVER w FROM s
		WINDOW w AS (ORDER BY t RANGE BETWEEN 5 PRECEDING AND CURRENT ROW);
	SELECT tidemark.make_continuous('spend'), tidemark.make_continuous('hidden');
	-- a writer says what is committed
	CREATE PROCEDURE write(writer int, first bigint) LANGUAGE plpgsql AS $$
	BEGIN
		FOR serial IN first .. first + 100000 LOOP
			INSERT INTO s SELECT nextval('clock'), serial % 7, random() * 1000, write.writer, serial;
			IF serial % 5 = 0 THEN
				INSERT INTO s SELECT greatest(currval('clock') - n * 3, 0), serial % 7, n, write.writer, -1 FROM generate_series(1, 4) n;
			END IF;
			IF serial % 11 = 0 THEN
				UPDATE s SET v = v + 1 WHERE t = currval('clock') - 10;
				DELETE FROM s WHERE t = currval('clock') - 30 AND s.serial = -1;
			END IF;
			IF serial % 13 = 0 THEN
				ROLLBACK;
			ELSE
				COMMIT;
				RAISE NOTICE 'committed %', serial;
			END IF;
		END LOOP;
	END $$;
});

my @first = (1) x WRITERS;
my @committed = map { {} } 1 .. WRITERS;

# What a writer says goes to a file: a pipe that nobody reads while the test waits would hold it up.
sub start_writer
{
	my ($number) = @_;
	my %writer = (output => '', said => "$PostgreSQL::Test::Utils::tmp_check/writer_$number");
	my @command = ('psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "CALL write($number, $first[$number])");
	$writer{run} = start \@command, '<', \undef, '>', \$writer{output}, '2>', $writer{said};
	return \%writer;
}

sub end_writer
{
	my ($number, $writer) = @_;
	finish $writer->{run};
	for my $serial (slurp_file($writer->{said}) =~ /committed (\d+)/g)
	{
		$committed[$number]{$serial} = 1;
		$first[$number] = $serial + 1 if $serial >= $first[$number];
	}
	$first[$number] += 2;    # one that was rolled back, and one more that committed and was not told of
	return;
}

sub differences
{
	return $node->safe_psql('postgres', q{
		BEGIN ISOLATION LEVEL REPEATABLE READ;
		SELECT 'spend', * FROM tidemark.verify('spend') UNION ALL SELECT 'hidden', * FROM tidemark.verify('hidden') LIMIT 20;
		COMMIT;
	});
}

sub frontier
{
	return $node->safe_psql('postgres', q{SELECT coalesce(min(frontier::bigint), 0) FROM tidemark.continuous_views});
}

# Rows in the table that the writer was told of; whether each is there once.
sub lost_or_repeated
{
	my ($number) = @_;
	my %found;
	$found{$_}++ for split /\n/, $node->safe_psql('postgres', "SELECT serial FROM s WHERE writer = $number AND serial > 0");
	return grep { ($found{$_} // 0) != 1 } sort { $a <=> $b } keys %{ $committed[$number] };
}

for my $crash (1 .. CRASHES)
{
	my $before = frontier();
	my @writers = map { start_writer($_) } 0 .. WRITERS - 1;

	# in the middle: when the maintainer has come some way, and has corrections to do
	ok( $node->poll_query_until('postgres',
			"SELECT min(frontier::bigint) > $before + 100 AND min(corrections) > 0 FROM tidemark.continuous_views"),
		"crash $crash: the frontier moves while everybody writes");
	if ($crash == 3)
	{
		$node->safe_psql('postgres',
			"BEGIN; INSERT INTO s SELECT nextval('clock'), 1, 1, -1, -1; PREPARE TRANSACTION 'left'");
	}
	kill_server($node);
	end_writer($_, $writers[$_]) for 0 .. WRITERS - 1;
	start_again($node);
	is(differences(), '', "crash $crash: the views are what they should be");
	is_deeply([ map { lost_or_repeated($_) } 0 .. WRITERS - 1 ], [], "crash $crash: what was committed is there once");
	if ($crash == 3)
	{
		# a transaction that survived
		$node->safe_psql('postgres', "COMMIT PREPARED 'left'");
		is(differences(), '', "crash $crash: the prepared transaction's row is there");
	}
	wait_maintained($node);
	is(differences(), '', "crash $crash: and when they are maintained again");
	cmp_ok(frontier(), '>=', $before + 100, "crash $crash: the frontier has moved on");
}

# Saved states: of many functions; and, of so many keys that they are not saved each time, from before the frontier.
$node->append_conf('postgresql.conf', 'log_min_messages = debug1');
$node->safe_psql('postgres', q{
	CREATE VIEW few_keys AS SELECT t, k, sum(v) OVER long, avg(v::numeric) OVER long, max(v) OVER long, min(v::text) OVER short, count(*) FILTER (WHERE v > 500) OVER short,
		stddev(v) OVER short, avg(v) OVER (PARTITION BY k ORDER BY t, serial, v ROWS 20 PRECEDING) AS of_rows, sum(v) OVER (PARTITION BY k ORDER BY t) AS ever, bool_or(v > 990) OVER (ORDER BY t RANGE 50 PRECEDING) FROM s
		WINDOW long AS (PARTITION BY k ORDER BY t RANGE 300 PRECEDING), short AS (PARTITION BY k ORDER BY t RANGE 40 PRECEDING);
	CREATE VIEW many_keys AS SELECT t, v, sum(v) OVER (PARTITION BY t % 400, k IS NULL ORDER BY t RANGE 900 PRECEDING), max(v) OVER (PARTITION BY t % 400 ORDER BY t RANGE 500 PRECEDING) FROM s;
	SELECT tidemark.make_continuous('few_keys'), tidemark.make_continuous('many_keys');
});

sub write_in_order
{
	my ($rows) = @_;
	$node->safe_psql('postgres', "INSERT INTO s SELECT nextval('clock'), nullif(i % 6, 0), random() * 1000, -1, -1 FROM generate_series(1, $rows) i");
	wait_maintained($node);
	return;
}

sub differences_of_kept
{
	return $node->safe_psql('postgres', q{SELECT * FROM tidemark.verify('few_keys') UNION ALL SELECT * FROM tidemark.verify('many_keys') LIMIT 20});
}

for my $crash (1 .. 3)
{
	write_in_order(3000);
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 2 FROM tidemark.frontier WHERE relid IN ('few_keys'::regclass, 'many_keys'::regclass) AND saved IS NOT NULL}),
		"the states are saved");
	write_in_order(350);
	my $log = -s $node->logfile;
	kill_server($node);
	start_again($node);
	is(differences_of_kept(), '', "the views are what they should be");
	write_in_order($crash == 2 ? 1000 : 50);
	is(differences_of_kept(), '', "and when they are maintained again");
	my $told = substr slurp_file($node->logfile), $log;
	like($told, qr/windows of "$_" go on from saved states/, "$_ goes on from saved states") for qw(few_keys many_keys);
}

$node->stop;
done_testing();
