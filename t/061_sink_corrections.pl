# Corrections of rows that were sent. Mode upsert: the compacted topic, read to its end, is the view. Mode append: marked, or an error.
# TIDEMARK_SEED: another run.
use strict;
use warnings;

use CorrectionsTest;
use IngestTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use SinkTest;
use Test::More;
use TidemarkKafka;
use TidemarkServer;

seed_run;

my $kafka = TidemarkKafka->start;
my $node = TidemarkKafka::new_node('main', "tidemark.maintain_interval = 20\n");

create_sink_topics($node, $kafka, 3,
	't bigint, k int, id bigint, n bigint, high numeric', qw(upserts marked refused changes marked_changes provisional));
create_topic_table($node, $kafka, "${_}_read", $_, q{before jsonb, after jsonb, op text, source jsonb, ts_ms bigint, key text OPTIONS (metadata 'key'),
	part int OPTIONS (metadata 'partition'), pos bigint OPTIONS (metadata 'offset')}) for qw(changes marked_changes);
create_corrected_view($node);
$node->safe_psql(
	'postgres', q{
	CREATE VIEW v_on_arrival AS SELECT * FROM v;
	SELECT tidemark.make_continuous('v_on_arrival', advance_on => 'arrival');
	SELECT tidemark.start_sink('v_on_arrival', 'provisional_topic', mode => 'upsert', key => '{id}');
	SELECT tidemark.start_sink('v', 'upserts_topic', mode => 'upsert', key => '{id}'),
	       tidemark.start_sink('v', 'marked_topic', key => '{k,id}', corrections => 'mark'),
	       tidemark.start_sink('v', 'refused_topic', corrections => 'error'),
	       tidemark.start_sink('v', 'changes_topic', mode => 'upsert', key => '{id}', envelope => 'debezium'),
	       tidemark.start_sink('v', 'marked_changes_topic', corrections => 'mark', envelope => 'debezium')});

# The view up to its frontier; what a compacted topic keeps.
my $final = q{(SELECT * FROM v WHERE t <= (SELECT frontier::bigint FROM tidemark.continuous_views WHERE view = 'v'::regclass)) f};
my $last = q{SELECT DISTINCT ON (key) key, t, k, id, n, high FROM upserts_topic ORDER BY key, pos DESC};

sub wait_all_sent
{
	wait_maintained($node);
	ok( $node->poll_query_until('postgres',
			q{SELECT bool_and(lag_rows = 0 AND state = 'running') FROM tidemark.sinks WHERE topic <> 'refused_topic'::regclass}),
		'all is sent')
	  or diag $node->safe_psql('postgres', 'SELECT * FROM tidemark.sinks');
}

sub is_the_view
{
	my ($name) = @_;
	wait_all_sent();
	rows_become($node, "SELECT id::text, * FROM $final", "SELECT * FROM ($last) l WHERE t IS NOT NULL", "$name: what a compacted topic keeps is the view");
	# marked: what came, less what went, is the view too
	rows_become($node, "SELECT t, k, id, n, high FROM $final", q{
			WITH records AS MATERIALIZED (SELECT t, k, id, n, high, headers ->> 'tidemark-op' AS op FROM marked_topic)
			SELECT t, k, id, n, high FROM records WHERE op IS DISTINCT FROM 'delete' EXCEPT ALL SELECT t, k, id, n, high FROM records WHERE op = 'delete'},
		"$name: and what is marked adds up to it");
	are_changes($name);
	is_provisional($name);
	is($node->safe_psql('postgres', q{SELECT count(*) FROM tidemark.verify('v')}), '0', "$name: view = batch");
}

# Of a view that advances on arrival, all rows are sent: those that more rows can still change by time, too.
sub is_provisional
{
	my ($name) = @_;
	rows_become($node, 'SELECT t, k, id, n, high FROM v_on_arrival',
		'SELECT * FROM (SELECT DISTINCT ON (key) t, k, id, n, high FROM provisional_topic ORDER BY key, pos DESC) l WHERE t IS NOT NULL',
		"$name: provisional results");
}

# Envelopes: each change of a key begins where the one before it ended; where the last one ends is the view. So do changes that are marked add up.
sub are_changes
{
	my ($name) = @_;
	becomes($node, q{
			WITH changes AS MATERIALIZED (SELECT *, lag(after) OVER k AS last_after, lead(pos) OVER k IS NULL AS is_last
			                              FROM changes_read WHERE op IS NOT NULL WINDOW k AS (PARTITION BY key ORDER BY pos)),
			     final AS MATERIALIZED (SELECT to_jsonb(v) AS row FROM v WHERE t <= (SELECT frontier::bigint FROM tidemark.continuous_views WHERE view = 'v'::regclass)),
			     kept AS MATERIALIZED (SELECT after AS row FROM changes WHERE is_last AND jsonb_typeof(after) = 'object'),
			     marked AS MATERIALIZED (SELECT op, before, after FROM marked_changes_read),
			     added AS MATERIALIZED (SELECT after AS row FROM marked WHERE op = 'c' EXCEPT ALL SELECT before FROM marked WHERE op = 'd')
			(SELECT 'broken', to_jsonb(c) FROM changes c WHERE coalesce(nullif(before, 'null'), 'null') <> coalesce(last_after, 'null') LIMIT 5)
			UNION ALL (SELECT 'wrong op', to_jsonb(c) FROM changes c
			            WHERE op <> CASE WHEN coalesce(before, 'null') = 'null' THEN 'c' WHEN coalesce(after, 'null') = 'null' THEN 'd' ELSE 'u' END LIMIT 5)
			UNION ALL (SELECT 'missing', * FROM (TABLE final EXCEPT ALL TABLE kept) x LIMIT 5)
			UNION ALL (SELECT 'unexpected', * FROM (TABLE kept EXCEPT ALL TABLE final) x LIMIT 5)
			UNION ALL (SELECT 'not marked', * FROM (TABLE final EXCEPT ALL TABLE added) x LIMIT 5)
			UNION ALL (SELECT 'marked', * FROM (TABLE added EXCEPT ALL TABLE final) x LIMIT 5)},
		'', "$name: envelopes tell the changes");
}

insert_rows($node, 200);
is_the_view('rows in order');
for my $round (1 .. 6)
{
	for (1 .. 8) { insert_rows($node, 5); change_rows($node) }
	if ($round == 3)
	{
		$node->kill9;
		start_again($node);
	}
	if ($round == 4)
	{
		$kafka->kill9;
		change_rows($node);
		$kafka->restart;
	}
	is_the_view("round $round");
}
is( $node->safe_psql('postgres', q{SELECT count(*) > 0 FROM upserts_topic WHERE t IS NULL AND id IS NULL AND key IS NOT NULL}), 't',
	'keys that are gone left a tombstone');
is( $node->safe_psql('postgres', q{SELECT DISTINCT source - 'ts_ms', ts_ms > 1.7e12 FROM changes_read WHERE op = 'u'}),
	'{"db": "postgres", "name": "postgres", "table": "v", "schema": "public", "snapshot": "false", "connector": "tidemark"}|t', 'where they are from');
is($node->safe_psql('postgres', q{SELECT count(*) = (SELECT count(*) FROM changes_read WHERE op = 'd') AND count(*) > 0 FROM changes_read WHERE op IS NULL}),
	't', 'a tombstone behind each d');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM marked_topic WHERE key::jsonb <> jsonb_build_object('k', k, 'id', id)}),
	'0', 'a key of two columns is an object');
becomes($node, q{SELECT state FROM tidemark.sinks WHERE topic = 'refused_topic'::regclass}, 'error', 'corrections => error');
like($node->safe_psql('postgres', q{SELECT last_error FROM tidemark.sinks WHERE topic = 'refused_topic'::regclass}),
	qr/was corrected after its rows were sent/, 'says why');

# --- the frontier goes back: the view fails on rows for a while; the stream is emptied ---

$node->safe_psql('postgres', q{SELECT tidemark.stop_sink('v', 'refused_topic')});
$node->safe_psql('postgres', 'TRUNCATE s');
is_the_view('emptied');
insert_rows($node, 100);
is_the_view('and filled again');

$node->stop;
done_testing();
