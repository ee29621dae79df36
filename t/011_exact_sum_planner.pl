# The planner gives queries over streams the exact sums only where our extension is: not in other databases, whatever is
# in them, not after it is dropped, and again after it is created anew.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('planner');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'tidemark'");
$node->start;

# 1e17 + 1 - 1e17: stock sum loses the 1
my $table = q{
	CREATE TABLE readings (t timestamp NOT NULL, x float8);
	INSERT INTO readings VALUES ('2026-01-01', 1e17), ('2026-01-02', 1), ('2026-01-03', -1e17);
};
my $sum = 'SELECT sum(x ORDER BY t) FROM readings;';

is($node->safe_psql('postgres', "$table $sum"), '0', 'no extension in the database');

# A schema of that name that isn't ours: its functions must not get into other people's queries.
$node->safe_psql(
	'postgres', q{
	CREATE SCHEMA tidemark;
	CREATE TABLE tidemark.stream (relid regclass, attnum int2, allowed_delay int8);
	INSERT INTO tidemark.stream VALUES ('readings', 1, 1);
	CREATE FUNCTION tidemark.trap(float8, float8) RETURNS float8 LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'trap'; END $$;
	CREATE AGGREGATE tidemark.exact_sum(float8) (SFUNC = tidemark.trap, STYPE = float8);
});
is($node->safe_psql('postgres', $sum), '0', 'a schema called tidemark without the extension');

$node->safe_psql('postgres', 'CREATE DATABASE other');
my $create = q{CREATE EXTENSION tidemark;
	DO $$ BEGIN PERFORM tidemark.create_stream('readings', 't', allowed_delay => '1 second'); END $$;};
my $drop = 'SET client_min_messages = warning; DROP EXTENSION tidemark CASCADE;';
is( $node->safe_psql(
		'other', "$table $sum $create $sum $drop $sum $create $sum BEGIN; $drop $sum ROLLBACK; $sum"),
	"0\n1\n0\n1\n0\n1",
	'one session: before, created, dropped, created anew, dropped, not dropped after all');

# A cached plan follows.
is( $node->safe_psql(
		'other', qq{SET plan_cache_mode = force_generic_plan;
	PREPARE p AS $sum
	EXECUTE p; $drop EXECUTE p; $create EXECUTE p;}),
	"1\n0\n1",
	'a prepared statement');

$node->stop;
done_testing();
