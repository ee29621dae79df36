# A continuous view to a topic: each row once, when it's final, whatever dies meanwhile.
use strict;
use warnings;

use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SinkTest;
use Test::More;
use TidemarkKafka;
use TidemarkServer;

my $kafka = TidemarkKafka->start;
my $node = TidemarkKafka::new_node('main', "tidemark.maintain_interval = 20\n");

$kafka->topic('sink', 2);
create_topic_table($node, $kafka, 'sink_topic', 'sink',
	q{"createTime" timestamp(3), province_id int, "orderId" bigint, pay_amount double precision,
	  sent_after jsonb OPTIONS (metadata 'headers'), part int OPTIONS (metadata 'partition'), pos bigint OPTIONS (metadata 'offset')});
$node->safe_psql(
	'postgres', q{
	ALTER FOREIGN TABLE sink_topic OPTIONS (key_column 'province_id');
	CREATE TABLE payment_msg ("createTime" timestamp(3), "orderId" bigint, "payAmount" double precision, "provinceId" int);
	SELECT tidemark.create_stream('payment_msg', 'createTime', allowed_delay => '15 seconds');
	CREATE VIEW recent_spend AS
	SELECT "createTime", "provinceId" AS province_id, "orderId", SUM("payAmount") OVER (PARTITION BY "provinceId" ORDER BY "createTime"
	       RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW) AS pay_amount, 'not sent' AS comment FROM payment_msg;
	SELECT tidemark.make_continuous('recent_spend')});

# Payments number first to last, a hundred a second, in 34 provinces.
sub pay
{
	my ($first, $last) = @_;
	$node->safe_psql(
		'postgres',
		"INSERT INTO payment_msg SELECT timestamp '2024-01-01' + i * interval '10 ms', i, i % 1000 / 7.0, i % 34
		 FROM generate_series($first, $last) i");
}

sub is_sent
{
	my ($name) = @_;
	wait_sent($node, 'recent_spend');
	is_sent_to($node, 'recent_spend', 'sink_topic', '"createTime", province_id, "orderId", pay_amount', $name);
}

# --- the way there ---

pay(1, 5000);
$node->safe_psql('postgres', q{SELECT tidemark.start_sink('recent_spend', 'sink_topic', mode => 'append')});
is_sent('what was there is sent');
is($node->safe_psql('postgres', 'SELECT count(*) FROM sink_topic'), '3500', 'what is final');
pay(5001, 10000);
is_sent('and what comes');
is( $node->safe_psql('postgres',
		q{SELECT state, mode, records, corrections_ignored, lag_rows, lag_seconds, last_error FROM tidemark.sinks}),
	'running|append|8500|0|0|0|', 'its status');
is( $node->safe_psql('postgres',
		q{SELECT count(*) FROM sink_topic WHERE "createTime" <= (sent_after ->> 'tidemark-watermark')::timestamp}),
	'0', 'the watermark in the headers: what is final up to there came before');
is( $node->safe_psql('postgres', q{SELECT count(DISTINCT part) FROM sink_topic GROUP BY province_id HAVING count(DISTINCT part) > 1}),
	'', 'a key stays in its partition');
is( $node->safe_psql(
		'postgres', q{SELECT count(*) FROM (SELECT "createTime" < lag("createTime") OVER (PARTITION BY part ORDER BY pos) AS back FROM sink_topic) r WHERE back}),
	'0', 'in event-time order');

# --- INSERT ... SELECT is the batch form: the same records ---

$kafka->topic('batch', 2);
create_topic_table($node, $kafka, 'batch_topic', 'batch', q{"createTime" timestamp(3), province_id int, "orderId" bigint, pay_amount double precision});
create_topic_table($node, $kafka, "${_}_bytes", $_, q{payload bytea, key bytea OPTIONS (metadata 'key'), part int OPTIONS (metadata 'partition')}) for qw(sink batch);
$node->safe_psql(
	'postgres', q{
	ALTER FOREIGN TABLE batch_topic OPTIONS (key_column 'province_id');
	ALTER FOREIGN TABLE sink_bytes OPTIONS (SET format 'raw');
	ALTER FOREIGN TABLE batch_bytes OPTIONS (SET format 'raw');
	INSERT INTO batch_topic SELECT "createTime", province_id, "orderId", pay_amount FROM recent_spend
	 WHERE "createTime" <= (SELECT frontier::timestamp FROM tidemark.continuous_views)});
is( $node->safe_psql('postgres', q{
		WITH sink AS MATERIALIZED (SELECT * FROM sink_bytes), batch AS MATERIALIZED (SELECT * FROM batch_bytes)
		SELECT (SELECT count(*) FROM batch), (SELECT count(*) FROM (TABLE sink EXCEPT ALL TABLE batch) d), (SELECT count(*) FROM (TABLE batch EXCEPT ALL TABLE sink) d)}),
	'8500|0|0', 'INSERT ... SELECT writes the same records');

# --- kill -9, on both sides ---

pay(10001, 12000);
$node->kill9;
start_again($node);
pay(12001, 14000);
is_sent('after kill -9 of the server');
pay(14001, 16000);
$kafka->kill9;
pay(16001, 18000);
wait_maintained($node, 'recent_spend');
pass('a broker that is away stops nobody');
$kafka->restart;
is_sent('after kill -9 of the broker');

# --- pause and resume ---

$node->safe_psql('postgres', q{SELECT tidemark.pause_sink('recent_spend', 'sink_topic')});
wait_sink_state($node, 'recent_spend', 'paused');
pay(18001, 19000);
wait_maintained($node, 'recent_spend');
is($node->safe_psql('postgres', 'SELECT records, lag_rows, lag_seconds > 0 FROM tidemark.sinks'), '16500|1000|t', 'paused: rows wait');
$node->safe_psql('postgres', q{SELECT tidemark.resume_sink('recent_spend', 'sink_topic')});
is_sent('resumed');

# --- what comes late is not sent: the topic has what was final then ---

$node->safe_psql('postgres', q{CREATE TABLE final AS SELECT "createTime", province_id, "orderId", pay_amount FROM recent_spend
	WHERE "createTime" <= (SELECT frontier::timestamp FROM tidemark.continuous_views)});
$node->safe_psql('postgres', q{INSERT INTO payment_msg VALUES ('2024-01-01 00:00:30.005', -1, 5, 7)});
wait_sent($node, 'recent_spend');
ok( $node->poll_query_until('postgres', 'SELECT corrections_ignored > 0 FROM tidemark.sinks'), 'corrections are counted');
is( $node->safe_psql('postgres', 'SELECT corrections_ignored = 1 + 2 * (SELECT count(*) FROM recent_spend'
		  . q{ WHERE province_id = 7 AND "createTime" > '2024-01-01 00:00:30.005' AND "createTime" <= '2024-01-01 00:00:40.005') FROM tidemark.sinks}),
	't', 'a new row, and the old and the new one of each changed');
is_sent_to($node, 'final', 'sink_topic', '"createTime", province_id, "orderId", pay_amount', 'and not sent');
is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('recent_spend')}), '0', 'view = batch');
is($node->safe_psql('postgres', 'SELECT count(*) FROM tidemark_data.recent_spend_changes'), '0', 'what is no longer needed is gone');

# --- the broker forgets the position ---

$kafka->delete_topic('sink');
wait_sink_state($node, 'recent_spend', 'waiting for topic', sub { pay(19001, 20000) });
$kafka->topic('sink', 1);
wait_sink_state($node, 'recent_spend', 'error');
like($node->safe_psql('postgres', 'SELECT last_error FROM tidemark.sinks'), qr/no longer has the position.*position_lost => true/, 'said, and not guessed');
$node->safe_psql('postgres', q{SELECT tidemark.resume_sink('recent_spend', 'sink_topic', position_lost => true)});
wait_sent($node, 'recent_spend');
becomes($node, 'SELECT count(*), min("orderId") FROM sink_topic', '1000|17501', 'on from the position in the catalogue');

# --- the end, and a view that begins with now ---

$node->safe_psql('postgres', q{SELECT tidemark.stop_sink('recent_spend', 'sink_topic')});
is($node->safe_psql('postgres', q{SELECT to_regclass('tidemark_data.recent_spend_changes')}), '', 'stopped: nothing is logged');
$node->safe_psql('postgres', q{SELECT tidemark.start_sink('recent_spend', 'sink_topic', start_at => 'now')});
pay(20001, 21000);
wait_sent($node, 'recent_spend');
becomes($node, 'SELECT count(*), max("orderId") FROM sink_topic', '2000|19500', 'from now on');
$node->safe_psql('postgres', 'DROP VIEW recent_spend CASCADE');
is($node->safe_psql('postgres', 'SELECT count(*) FROM tidemark.sink'), '0', 'dropped with the view');

$node->stop;
done_testing();
