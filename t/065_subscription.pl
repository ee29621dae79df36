# Subscriptions: consumers that are killed at random, two at once: no gap, and no repeat beyond what was not acknowledged. Who listens is
# told. One that doesn't come is lost, and stops nobody. TIDEMARK_SEED: another run.
use strict;
use warnings;

use CorrectionsTest;
use IPC::Run qw(start finish);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SinkTest;
use SubscriptionTest;
use Test::More;
use TidemarkKafka;
use TidemarkServer;

seed_run;

my $node = TidemarkKafka::new_node('main', "tidemark.maintain_interval = 20\nrestart_after_crash = on\n");

create_corrected_view($node);
$node->safe_psql(
	'postgres', q{
	-- once: changes are taken in, and acknowledged, in one transaction: what came less what went is the view
	CREATE TABLE once (taken int, op text, row jsonb);
	CREATE SEQUENCE taken;
	-- again: they are taken in first, and acknowledged later, or not: the last change of each key is its row
	CREATE TABLE again (id bigint PRIMARY KEY, row jsonb);
	CREATE PROCEDURE consume_once() LANGUAGE plpgsql AS $$
	DECLARE
		last text;
	BEGIN
		FOR i IN 1 .. 20 LOOP
			WITH changes AS MATERIALIZED (SELECT * FROM tidemark.next_changes('once', 1 + (random() * 40)::int, '200 ms')),
			     taken AS (INSERT INTO once SELECT 0, op, row FROM changes)
			SELECT max(position) INTO last FROM changes;
			PERFORM tidemark.acknowledge('once', last);
			COMMIT;
		END LOOP;
	END $$;
	CREATE PROCEDURE consume_again() LANGUAGE plpgsql AS $$
	DECLARE
		change record;
		last text;
	BEGIN
		FOR i IN 1 .. 20 LOOP
			last := NULL;
			FOR change IN SELECT * FROM tidemark.next_changes('again', 1 + (random() * 40)::int, '200 ms') LOOP
				IF change.op = 'delete' THEN
					DELETE FROM again WHERE id = (change.row ->> 'id')::bigint;
				ELSE
					INSERT INTO again VALUES ((change.row ->> 'id')::bigint, change.row)
					ON CONFLICT (id) DO UPDATE SET row = excluded.row;
				END IF;
				last := change.position;
			END LOOP;
			COMMIT;
			-- about as long as it takes to be killed
			PERFORM pg_sleep(random() / 50);
			IF random() < 0.8 THEN
				PERFORM tidemark.acknowledge('again', last);
			END IF;
			COMMIT;
		END LOOP;
	END $$;
	SELECT tidemark.create_subscription('v', 'once'), tidemark.create_subscription('v', 'again', key => '{id}')});

sub write_rows
{
	insert_rows($node, 20);
	change_rows($node);
}

sub is_consumed
{
	my ($name) = @_;
	my $final = q{final AS MATERIALIZED (SELECT to_jsonb(v.*) AS row FROM v WHERE t <= (SELECT frontier::bigint FROM tidemark.continuous_views))};

	ok(wait_consumed($node, 'v'), "$name: all is acknowledged") or diag $node->safe_psql('postgres', 'SELECT * FROM tidemark.subscriptions');
	is( $node->safe_psql('postgres', qq{
			WITH $final, kept AS MATERIALIZED (SELECT row FROM once WHERE op = 'insert' EXCEPT ALL SELECT row FROM once WHERE op = 'delete')
			(SELECT 'lost', * FROM (TABLE final EXCEPT ALL TABLE kept) x LIMIT 5)
			UNION ALL (SELECT 'repeated', * FROM (TABLE kept EXCEPT ALL TABLE final) x LIMIT 5)}),
		'', "$name: what came less what went is the view: no gap, no repeat");
	is( $node->safe_psql('postgres', q{SELECT changes = (SELECT count(*) FROM once) FROM tidemark.subscriptions WHERE subscription = 'once'}),
		't', "$name: each change once");
	is( $node->safe_psql('postgres', qq{
			WITH $final, kept AS MATERIALIZED (SELECT row FROM again)
			(SELECT 'lost', * FROM (TABLE final EXCEPT ALL TABLE kept) x LIMIT 5)
			UNION ALL (SELECT 'left over', * FROM (TABLE kept EXCEPT ALL TABLE final) x LIMIT 5)}),
		'', "$name: unacknowledged changes come again: the last change of each key is its row");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('v')}), '0', "$name: view = batch");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.subscriptions WHERE last_error IS NOT NULL}), '0', "$name: nothing is lost");
}

# --- killed at random ---

my @killed;
my $consumers = q{FROM pg_stat_activity WHERE query LIKE 'CALL consume%' ORDER BY random() LIMIT 1};

sub kill_something
{
	my $kind = ('session', 'session', 'backend', 'server')[ rand 4 ];

	push @killed, $kind;
	if ($kind eq 'session')
	{
		$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $consumers");
	}
	elsif ($kind eq 'backend')
	{
		my $pid = $node->safe_psql('postgres', "SELECT pid $consumers");
		return if $pid eq '';
		kill_backend($node, $pid);
	}
	else
	{
		$node->kill9;
		start_again($node);
	}
}

start_consumers($node, ('CALL consume_once()', 'CALL consume_again()') x 2);
for my $round (1 .. 4)
{
	for (1 .. 5)
	{
		write_rows() for 1 .. 4;
		kill_something();
	}
	is_consumed("round $round");
}
note "killed: @killed";
$node->safe_psql('postgres', 'TRUNCATE s');
is_consumed('emptied');
insert_rows($node, 100);
is_consumed('filled again');
stop_consumers();

# --- one that hangs: the server ends its session, and the next one has its turn ---

my ($hanging, $shown, $ended) = ('', '', '');
my $hung = start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$hanging, '>', \$shown, '2>', \$ended);
$hanging = "SET idle_session_timeout = '300 ms';\nSELECT count(*) > 0 FROM tidemark.next_changes('once', timeout => '1 minute');\n";
insert_rows($node, 100);
$hung->pump until $shown =~ /\n/ || $ended =~ /\n/;
is($shown, "t\n", 'one has changes, and hangs');
is( $node->safe_psql('postgres', q{SELECT count(*) > 0 FROM tidemark.next_changes('once', timeout => '1 minute')}),
	't', 'idle_session_timeout ends it, and the next one has its turn');
$hanging = "\\q\n";
$hung->finish;
$node->safe_psql('postgres', q{WITH changes AS MATERIALIZED (SELECT * FROM tidemark.next_changes('once', 1000000)),
	taken AS (INSERT INTO once SELECT 0, op, row FROM changes) SELECT tidemark.acknowledge('once', max(position)) FROM changes});

# --- who listens is told ---

my ($in, $out, $err) = ('', '', '');
my $listener = start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$err);

# What is told next, of those that this matches.
sub is_told
{
	my ($pattern, $name) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	until ($out =~ $pattern || time > $deadline)
	{
		$in .= "SELECT pg_sleep(0.01);\n";
		$listener->pump_nb;
		select undef, undef, undef, 0.02;
	}
	like($out, $pattern, $name) or diag $err;
	$out = '';
}

$in .= "LISTEN once;\nSELECT 'listens';\n";
is_told(qr/listens/, 'listens');
my $time = stream_time(100);
stream_time(20);
$node->safe_psql('postgres', "INSERT INTO s VALUES ($time, 1, -1, 1), ($time, 2, -2, 1), ($time + 11, 1, -3, 1)");
is_told(qr/notification "once" with payload "\{"view" : "public\.v", "watermark" : "@{[$time + 1]}", "rows" : \d+\}"/, 'the frontier moves');
$node->safe_psql('postgres', 'UPDATE s SET v = 2 WHERE id = -1');
is_told(qr/notification "once" with payload "\{"view" : "public\.v", "watermark" : "@{[$time + 1]}", "rows" : 2\}"/, 'a correction');
$in .= "\\q\n";
$listener->finish;

# --- one that doesn't come ---

$node->safe_psql('postgres', q{SELECT tidemark.drop_subscription('again'), tidemark.drop_subscription('once'),
	tidemark.create_subscription('v', 'bounded', start_at => 'now', retention_rows => 10),
	tidemark.create_subscription('v', 'old', start_at => 'now', retention => '0')});
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.next_changes('bounded')}), '0', 'it begins with now');
# rows that become final wait in the view
insert_rows($node, 100);
$node->safe_psql('postgres', q{INSERT INTO s VALUES (1, 1, -10, 1)});
ok($node->poll_query_until('postgres', q{SELECT state = 'lost' FROM tidemark.subscriptions WHERE subscription = 'old'}), 'too old: lost');
$node->safe_psql('postgres', "INSERT INTO s VALUES (1, 1, -10 - $_, 1)") for 1 .. 10;
ok($node->poll_query_until('postgres', q{SELECT state = 'lost' FROM tidemark.subscriptions WHERE subscription = 'bounded'}), 'too many: lost');
my ($result, undef, $error) = $node->psql('postgres', q{SELECT tidemark.next_changes('bounded')});
like($error, qr/subscription "bounded" is lost: more than 10 corrections.*HINT:.*tidemark.reset_subscription\('bounded'\)/s, 'says what to do');
($result, undef, $error) = $node->psql('postgres', q{SELECT tidemark.next_changes('old')});
like($error, qr/subscription "old" is lost: nothing was acknowledged for longer than 00:00:00.*HINT:/s, 'and why');
is($node->safe_psql('postgres', q{SELECT bool_and(last_error IS NOT NULL AND lag_rows IS NULL) FROM tidemark.subscriptions}), 't', 'shown');
$node->safe_psql('postgres', q{SELECT tidemark.reset_subscription('bounded')});
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM tidemark_data.v_changes'), 'what nobody waits for is gone');
$node->safe_psql('postgres', q{CREATE TABLE snapshot AS SELECT * FROM tidemark.next_changes('bounded', 1000000)});
is( $node->safe_psql('postgres', q{SELECT count(*) = (SELECT count(*) FROM v WHERE t <= (SELECT frontier::bigint FROM tidemark.continuous_views)) FROM snapshot}),
	't', 'begun anew: all rows');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('v')}), '0', 'view = batch');

# --- dump and restore: the view comes along, subscriptions don't ---

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, 'postgres' ], 'dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-e', '-d', 'restored', $dump ], 'restore');
wait_maintained($node, 'v', 'restored');
is($node->safe_psql('restored', 'SELECT count(*) FROM tidemark.subscription'), '0', 'none');
is($node->safe_psql('restored', q{SELECT count(*) FROM tidemark.verify('v')}), '0', 'view = batch there, too');
$node->safe_psql('restored', q{SELECT tidemark.create_subscription('v', 'bounded')});
is( $node->safe_psql('restored', q{SELECT count(*) FROM tidemark.next_changes('bounded', 1000000)}),
	$node->safe_psql('postgres', 'SELECT count(*) FROM snapshot'), 'created again: all rows');

$node->stop;
done_testing();
