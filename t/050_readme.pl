# The README says what is so: its SQL runs, in order, against a real broker, and its tables name every function with its
# arguments, every setting with its default, and every column of the catalogue's views and option of a topic.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkKafka;
use TidemarkServer;

my $readme = slurp_file("$FindBin::RealBin/../README.md");
my $kafka = TidemarkKafka->start;
my $node = TidemarkKafka::new_node('main');

# --- its SQL ---

$kafka->topic('payment_msg', 4);
$kafka->topic('orders', 1);
$kafka->topic('sink', 1);
$kafka->topic('latest', 1);
$kafka->topic('totals', 1);
$kafka->payments('payment_msg', records => 1000, disorder => 3000);

my @blocks = $readme =~ /^```sql\n(.*?)^```/msg;
cmp_ok(scalar(@blocks), '>', 10, 'blocks of SQL');
like($blocks[0], qr/CREATE EXTENSION tidemark.*tidemark\.verify/s, 'the quick start is the first');

$node->safe_psql('postgres', 'CREATE DATABASE readme');
my $sql = join("\n", @blocks);
my $address = $kafka->address;
$sql =~ s/localhost:9092/$address/;
my ($out, $err) = ('', '');
my $result = $node->psql('readme', $sql, on_error_stop => 1, stdout => \$out, stderr => \$err);
is($result, 0, 'every block runs') or diag($err);

is( $node->safe_psql('readme', 'SELECT count(*), count(DISTINCT "orderId") FROM payment_msg'),
	'1002|1002', 'the payments are there, with those inserted');
wait_maintained($node, undef, 'readme');
is( $node->safe_psql('readme', 'SELECT view, state FROM tidemark.continuous_views ORDER BY 1'),
	join("\n", map { "$_|current" } qw(recent_spend device_load minutes busiest today trend leaders platform_totals grand_total platforms_now busy_times spend_by_province)), 'its views are maintained');
is( $node->safe_psql('readme', 'SELECT count(*) FROM tidemark.continuous_views, tidemark.verify(view)'),
	'0', 'and equal to their queries');
is($node->safe_psql('readme', 'SELECT count(*) FROM tidemark.dead_letters'), '0', 'no dead letters');

# --- its tables ---

# What a query returns that stands nowhere in the README as `…`, in the section.
sub missing
{
	my ($section, $query) = @_;
	my ($text) = $readme =~ /^(##+ \Q$section\E\n.*?)(?=^## |\z)/ms;

	return join("\n", grep { index($text, "`$_`") < 0 } split /\n/, $node->safe_psql('readme', $query));
}

is( missing('Reference', q{
		SELECT format('tidemark.%s(%s)', proname, regexp_replace(replace(pg_get_function_arguments(p.oid), ' DEFAULT ', ' = '), '::[a-z ]+(\[\])?', '', 'g'))
		FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
		WHERE pronamespace = 'tidemark'::regnamespace AND proname ~ '(_(stream|ingest|sink|continuous|batch|ingested|maintained|subscription)|^next_changes|^acknowledge)$'
		  AND NOT (proname = 'start_ingest' AND pg_get_function_arguments(p.oid) !~ 'DEFAULT')}),
	'', 'every function is in the reference');
is( missing('Configuration', q{SELECT name FROM pg_settings WHERE name LIKE 'tidemark.%'}),
	'', 'every setting is in the table of settings');
is( $node->safe_psql('readme', q{SELECT name FROM pg_settings WHERE name LIKE 'tidemark.%' AND setting || coalesce(unit, '') <> boot_val || coalesce(unit, '')}),
	'', 'which this server has as they are by default');
foreach (split /\n/, $node->safe_psql('readme', q{SELECT name, CASE WHEN unit = 'kB' THEN replace(pg_size_pretty(boot_val::int8 * 1024), ' ', '') ELSE boot_val || coalesce(unit, '') END FROM pg_settings WHERE name LIKE 'tidemark.%'}))
{
	my ($name, $default) = split /\|/;
	like($readme, qr/^\| `\Q$name\E` \| `\Q$default\E` \|/m, "default of $name");
}
is( missing('Monitoring', q{
		SELECT attname FROM pg_attribute WHERE attnum > 0
		   AND attrelid IN ('tidemark.streams'::regclass, 'tidemark.ingest_status'::regclass, 'tidemark.ingest_partitions'::regclass,
		       'tidemark.continuous_views'::regclass, 'tidemark.sinks'::regclass, 'tidemark.subscriptions'::regclass)}),
	'', 'every column of the views is explained');
is( missing('Tables', q{SELECT attname FROM pg_attribute WHERE attnum > 0 AND attrelid = 'tidemark.dead_letters'::regclass}),
	'', 'and of the dead letters');

$node->stop;
done_testing();
