# Random streams, views over them, and transactions that write to them, all from perl's own seeded generator: one seed,
# one sequence of statements. For the differential test.
#
#   srand($seed);
#   my $world = TidemarkRandom->new(streams => 2);
#   print $world->schema;            # tables, streams, views; some views are continuous
#   print $world->transactions(20);  # a session's script for psql
#
# An event time is a position, an integer, on its stream's axis: origin + position * unit. Windows are whole units long, so that
# rows often lie exactly on a frame's bound, and sometimes a tick beside it.
package TidemarkRandom;

use strict;
use warnings;

sub pick { return $_[ rand @_ ] }
sub chance { return rand() < $_[0] }
sub between { my ($from, $to) = @_; return $from + int rand($to - $from + 1) }
sub quoted { my $text = shift; $text =~ s/'/''/g; return "'$text'" }

my @time_types = (
	{ type => 'bigint', units => [1], distances => [ 0, 1, 2, 5, 10, 30 ] },
	{
		type      => 'date',
		units     => ['day'],
		distances => [ '0', '1 day', '3 days', '36 hours', '1 month', '1 month 3 days', '10 days' ]
	},
	{
		type      => 'timestamp',
		units     => [ 'second', 'hour', 'day' ],
		distances => {
			second => [ '0', '1 second', '5 seconds', '10 seconds', '1 minute', '0.5 seconds' ],
			hour   => [ '0', '1 hour', '3 hours', '1 day', '1 day 2 hours', '10 hours 30 minutes' ],
			day    => [ '0', '1 day', '5 days', '1 month', '1 month 1 day', '2 months', '36 hours' ]
		}
	},
	{
		type      => 'timestamptz',
		units     => [ 'second', 'hour' ],
		distances => {
			second => [ '0', '1 second', '5 seconds', '10 seconds', '1 minute' ],
			hour   => [ '0', '1 hour', '3 hours', '24 hours', '10 hours 30 minutes' ]
		}
	});

my @columns = (
	[ k1 => 'int' ], [ k2 => 'text' ],    [ b => 'bool' ],   [ i => 'int' ],
	[ l  => 'int8' ], [ n  => 'numeric' ], [ f => 'float8' ], [ g => 'float4' ]);

# ---- values ---------------------------------------------------------------------------------------

sub random_float
{
	my ($exponent) = @_;
	return pick('NaN', 'Infinity', '-Infinity') if chance(0.01);
	return pick('0', '-0', '1', '0.1')          if chance(0.2);
	return sprintf '%s%.6fe%d', pick('', '-'), rand(10), between(-$exponent, $exponent) if chance(0.5);
	return sprintf '%.2f', rand(2000) - 1000;
}

sub random_numeric
{
	return 'NaN' if chance(0.01);
	return sprintf '%s%d.%0*d', pick('', '-'), rand(1e6), between(1, 8), rand(1e6);
}

my %values = (
	k1 => sub { between(0, 3) },
	k2 => sub { pick('a', 'b', 'c') },
	b  => sub { pick('t', 'f') },
	i  => sub { chance(0.1) ? between(-1e8, 1e8) : between(-9, 9) },
	l  => sub { chance(0.1) ? pick('', '-') . between(1e14, 1e15) : between(-99, 99) },
	n  => \&random_numeric,
	f  => sub { random_float(100) },
	g  => sub { random_float(18) });

# The texts of a row's values, undef for null.
sub random_row
{
	return map { chance(0.08) ? undef : $values{ $_->[0] }->() } @columns;
}

# Aggregates of users' own, for all worlds: one that combines, one that moves, one that depends on the order of its rows.
sub aggregates
{
	return q{
		CREATE FUNCTION fold_xor(int8, int) RETURNS int8 IMMUTABLE PARALLEL SAFE RETURN coalesce($1, 0) # coalesce($2, 7);
		CREATE FUNCTION combine_xor(int8, int8) RETURNS int8 IMMUTABLE PARALLEL SAFE RETURN coalesce($1, 0) # coalesce($2, 0);
		CREATE FUNCTION fold_order(int8, int) RETURNS int8 IMMUTABLE PARALLEL SAFE RETURN (coalesce($1, 1) * 31 + coalesce($2, 7)) % 1000003;
		CREATE AGGREGATE combined_xor(int) (SFUNC = fold_xor, STYPE = int8, COMBINEFUNC = combine_xor);
		CREATE AGGREGATE moving_xor(int) (SFUNC = fold_xor, STYPE = int8, MSFUNC = fold_xor, MINVFUNC = fold_xor, MSTYPE = int8);
		CREATE AGGREGATE ordered_fold(int) (SFUNC = fold_order, STYPE = int8);
	};
}

# ---- streams --------------------------------------------------------------------------------------

sub new
{
	my ($class, %options) = @_;
	my $self = bless { streams => [], views => [], id => 0, resets => chance(0.3) }, $class;
	my $serial = $options{serial} // 1;

	for my $number (1 .. ($options{streams} // 1))
	{
		my $stream = $self->new_stream("s${serial}_$number");
		push @{ $self->{streams} }, $stream;
		my $base = chance(0.4) ? $self->new_base($stream, "b${serial}_$number") : undef;
		$self->new_view($stream, "v${serial}_${number}_$_", chance(0.5) ? $base : undef) for 1 .. between(2, 4);
		for my $view (grep { $_->{stream} == $stream && $_->{continuous} } @{ $self->{views} })
		{
			$view->{followed} = chance(0.4);
			$view->{subscribed} = chance(0.4);
		}
	}
	return $self;
}

sub new_stream
{
	my ($self, $name) = @_;
	my $kind = pick(@time_types);
	my $unit = pick(@{ $kind->{units} });
	my $distances = ref $kind->{distances} eq 'HASH' ? $kind->{distances}{$unit} : $kind->{distances};

	return {
		name        => $name,
		type        => $kind->{type},
		unit        => $unit,
		distances   => $distances,
		unique      => chance(0.3),
		partitioned => chance(0.4),
		delay       => pick(0, 0, 1, 5),
		brin        => chance(0.2),
		now         => 30
	};
}

# An event time as an expression of the stream's type; tick: so many ticks beside the position.
sub event_time
{
	my ($stream, $position, $tick) = @_;
	my $type = $stream->{type};
	$tick = 0 if $type eq 'date';
	return $position + ($tick // 0) if $type eq 'bigint';
	return quoted('2024-01-20') . "::date + $position" if $type eq 'date';
	my $origin = $type eq 'timestamp' ? '2024-01-20' : '2024-01-20 00:00+00';
	my $beside = $tick ? sprintf(" + '%d microseconds'::interval", $tick) : '';
	return quoted($origin) . "::$type + $position * interval '1 $stream->{unit}'$beside";
}

sub distance
{
	my ($stream, $units) = @_;
	return $units if $stream->{type} eq 'bigint' || $stream->{type} eq 'date';
	return "interval '$units $stream->{unit}'";
}

sub stream_schema
{
	my ($stream) = @_;
	my $columns = join ', ', map { "$_->[0] $_->[1]" } @columns;
	my $unique = $stream->{unique} ? ', UNIQUE (t)' : '';
	my $sql = "CREATE TABLE $stream->{name} (t $stream->{type}, id int, $columns$unique)";
	my $delay = $stream->{type} eq 'bigint' ? $stream->{delay} : "$stream->{delay} " . $stream->{unit};

	if ($stream->{partitioned})
	{
		my @bounds = map { my $bound = event_time($stream, $_); "($bound)" } 40, 90;
		$sql .= " PARTITION BY RANGE (t);\n";
		$sql .= "CREATE TABLE $stream->{name}_low PARTITION OF $stream->{name} FOR VALUES FROM (MINVALUE) TO $bounds[0];\n";
		$sql .= "CREATE TABLE $stream->{name}_mid PARTITION OF $stream->{name} FOR VALUES FROM $bounds[0] TO $bounds[1];\n";
		$sql .= "CREATE TABLE $stream->{name}_rest PARTITION OF $stream->{name} FOR VALUES FROM $bounds[1] TO (MAXVALUE)";
	}
	$sql .= ";\nSELECT tidemark.create_stream('$stream->{name}', 't', allowed_delay => '$delay'"
	  . ($stream->{brin} ? ", time_index => 'brin'" : '') . ");\n";
	return $sql;
}

# ---- views ----------------------------------------------------------------------------------------

sub random_condition
{
	return pick(
		'i > 0', 'k1 <> 2', "k2 IN ('a', 'b')", 'b', 'f < 100', 'n IS NOT NULL', 'l % 2 = 0',
		'coalesce(i, 0) BETWEEN -5 AND 5');
}

# A frame of a window that is ordered by more than the event time, or counted in rows: of any rows before.
sub random_frame_of_rows
{
	my ($units) = @_;
	my ($far, $near) = (pick(0, 1, 1, 2, 3, 3, 4, 12, 1000), between(1, 2));
	return "$units " . pick(
		"$far PRECEDING", 'UNBOUNDED PRECEDING', 'BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW', 'CURRENT ROW',
		"BETWEEN $far PRECEDING AND CURRENT ROW", "BETWEEN $far PRECEDING AND 0 FOLLOWING",
		"BETWEEN UNBOUNDED PRECEDING AND $near PRECEDING", "BETWEEN 3 PRECEDING AND $near PRECEDING",
		"BETWEEN $far PRECEDING AND 3 PRECEDING");
}

# All columns of a row, in the order that a stream's windows have after the event time: rows that are equal in all are the same. Most
# windows agree on it, else they can't be computed together.
sub total_order
{
	my ($stream) = @_;
	$stream->{order} //= join ', ', 'id' . pick('', '', ' DESC'),
	  map { $_->[0] . pick('', '', '', ' DESC', ' NULLS FIRST') } sort { rand() <=> 0.5 } @columns;
	return chance(0.9) ? $stream->{order} : join ', ', 'id', map { $_->[0] } @columns;
}

# A window over the rows of one window of event time: any order, any frame.
sub random_window_within
{
	my ($stream, $total) = @_;
	my ($within, $from) = random_group_window($stream);
	($within, $from) = random_group_window($stream) while $from;
	my $key = chance(0.4) ? ', ' . pick('k1', 'k2', 'b') : '';
	my $order = $total ? 'ORDER BY ' . total_order($stream) . ', t' : pick('', map { "ORDER BY $_" } 'i', 'f DESC', 'k2, n', 't', 't DESC, k1');
	my $frame = !$order ? '' : pick(
		'', 'RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING', 'GROUPS BETWEEN 1 PRECEDING AND 2 FOLLOWING',
		'GROUPS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE TIES');

	$frame = pick('ROWS BETWEEN 2 PRECEDING AND 3 FOLLOWING', 'ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING') if $total && chance(0.5);
	return { text => "(PARTITION BY $within$key $order $frame)", total => $total, within => 1 };
}

# A window's definition, and whether it leaves the order of two rows open that differ in anything. total: it must not.
sub random_window
{
	my ($stream, $total) = @_;
	return random_window_within($stream, $total) if chance(0.12);
	my @keys = grep { defined } (
		chance(0.7) ? pick('k1', 'k2', 'b', 'i % 3', 'coalesce(k1, -1)', 'k1 + 1') : undef,
		chance(0.2) ? pick('k2', 'b', 'l % 2 = 0') : undef);
	my $partition = @keys ? 'PARTITION BY ' . join(', ', @keys) . ' ' : '';
	my @lengths = map { my $text = $_; $stream->{type} eq 'bigint' ? $text : "interval '$text'" } @{ $stream->{distances} };
	my $zero = $stream->{type} eq 'bigint' ? '0' : "interval '0'";
	my $length = pick(@lengths);
	my $frame = 'RANGE ' . pick(
		("BETWEEN $length PRECEDING AND CURRENT ROW") x 6,
		"$length PRECEDING", 'BETWEEN CURRENT ROW AND CURRENT ROW',
		"BETWEEN $length PRECEDING AND $zero FOLLOWING",
		"BETWEEN $length PRECEDING AND $lengths[1] PRECEDING",
		"BETWEEN $length PRECEDING AND $lengths[1] FOLLOWING",
		"BETWEEN $lengths[1] FOLLOWING AND $lengths[2] FOLLOWING");
	my $exclude = chance(0.1) ? pick(' EXCLUDE CURRENT ROW', ' EXCLUDE TIES', ' EXCLUDE GROUP') : '';
	my $order = 't';

	$frame = pick('', 'RANGE UNBOUNDED PRECEDING', "RANGE BETWEEN UNBOUNDED PRECEDING AND $lengths[1] PRECEDING", random_frame_of_rows('GROUPS'))
	  if chance(0.25);
	if ($total)
	{
		$order = 't, ' . total_order($stream);
		$frame = pick('', 'RANGE UNBOUNDED PRECEDING', map { random_frame_of_rows($_) } qw(ROWS ROWS GROUPS));
	}
	$frame = random_frame_of_rows('ROWS') if $stream->{unique} && chance(0.15);
	$exclude = '' unless $frame;
	return {
		text  => "(${partition}ORDER BY $order $frame$exclude)",
		total => $total || $stream->{unique},
		gap   => pick(grep { !/month/ } @lengths)
	};
}

sub random_aggregate
{
	my ($window, $inputs) = @_;
	my $column = pick('i', 'l', 'n', 'k1', @$inputs);

	return (pick('row_number()', "lag($column)", "lag($column, " . pick(0 .. 3, 1000) . ')', "lead($column, -2)", "lag($column, 2, $column)"), '')
	  if $window->{total} && chance(0.3);
	return (pick('rank()', 'percent_rank()', 'cume_dist()'), '') if $window->{within} && chance(0.3);
	return (pick('rank()', 'dense_rank()', "tidemark.session(t, $window->{gap})"), '') if !$window->{within} && chance(0.08);
	return (pick("lead($column)", 'ntile(3)'), '') if $window->{within} && $window->{total} && chance(0.3);
	my $filter = chance(0.15) ? ' FILTER (WHERE ' . random_condition() . ')' : '';
	my $number = @$inputs && chance(0.8) ? pick(@$inputs) : pick('i', 'l', 'n', 'f', 'g');
	my @calls = (
		'count(*)', "count($number)", ("sum($number)") x 3,
		("avg($number)") x 2, "min($number)", "max($number)", 'bool_and(b)', 'bool_or(b)', 'bit_or(i)', 'min(k2)',
		'stddev(i)', 'variance(n)', 'stddev(f)', 'corr(f, i)', 'sum(i * 2 + 1)', 'sum(CASE WHEN b THEN f END)', 'combined_xor(i)', 'moving_xor(k1)');

	push @calls, 'array_agg(i)', "string_agg(k2, ',')", 'ordered_fold(i)' if $window->{total};
	return (pick('first_value(i)', 'last_value(f)', 'nth_value(n, 2)'), '') if $window->{total} && chance(0.1);
	return (pick(@calls), $filter);
}

# A query with windows over a source that has the stream's columns; returns its text and its own columns' names.
sub windowed_query
{
	my ($stream, $source, $inputs, $prefix, $keep_columns) = @_;
	# rows that are the same in all columns are in no order: what is counted in rows may differ between them
	my @windows = map { random_window($stream, !@$inputs && chance(0.35)) } 1 .. between(1, 3);
	my $hidden = !$keep_columns && chance(0.15);
	my @output = $keep_columns ? ('*') : $hidden ? ('k1') : ('t', 'k1', pick('k2', 'i AS plain', 'id'));
	my @names;

	for my $n (1 .. between(1, 4))
	{
		my $number = between(1, scalar @windows);
		my ($call, $filter) = random_aggregate($windows[ $number - 1 ], $inputs);
		$call = 'sum(' . pick(@$inputs) . ')' if @$inputs && $n == 1;    # what is nested is looked through
		my $expression = "$call$filter OVER w$number";
		$expression = "coalesce($expression, 0)" if $call =~ /^(sum|avg)\(/ && chance(0.1);
		push @output, "$expression AS $prefix$n";
		push @names, "$prefix$n" if $call =~ /^(count|sum|avg|min\([^k]|max|stddev|row_number|rank|dense_rank)/;
	}
	my $where = chance(0.25) ? ' WHERE ' . random_condition() : '';
	my $window = join ', ', map { "w$_ AS $windows[$_ - 1]{text}" } 1 .. @windows;
	return ('SELECT ' . join(', ', @output) . " FROM $source$where WINDOW $window", \@names);
}

# What rows of a key are ordered by: often equal for several of them.
sub random_order
{
	my @columns = map { $_ . pick('', '', ' DESC', ' DESC NULLS LAST', ' NULLS FIRST') }
	  pick('t', 't', 'i', 'k1', 'f', 'n', 'i % 4', 'k2'), pick('b', 'l', 'k2', 'g', 't');
	return chance(0.7) ? $columns[0] : join ', ', @columns;
}

# A query that keeps some rows of each key.
sub keyed_query
{
	my ($source) = @_;
	my @keys = grep { defined } (
		chance(0.9) ? pick('k1', 'k1', 'k2', 'b', 'i % 3', 'coalesce(k1, -1)', 'n', 'f') : undef,
		chance(0.3) ? pick('k2', 'l % 5', "b AND k2 = 'a'") : undef);
	my $keys = join ', ', @keys;
	my $partition = @keys ? "PARTITION BY $keys " : '';
	my @output = pick([ 't', 'id', 'k1' ], [ 'k1', 'k2', 'i', 'f' ], [ 'k2', 'n', 'upper(k2) AS upper' ], ['*']);
	my $output = join ', ', @{ $output[0] };
	my $limit = pick(1, 1, 2, 3, 20);
	my $function = pick('row_number', 'row_number', 'row_number', 'rank', 'dense_rank');
	my $number = "$function() OVER (${partition}ORDER BY " . random_order() . ')';

	return 'SELECT DISTINCT ' . pick('k1, k2', 'k1, b, i % 3 AS i', 'n', 'k1, n', 'f', 'k2') . " FROM $source" if chance(0.2);
	return "SELECT DISTINCT ON ($keys) $output FROM $source ORDER BY $keys, " . random_order() if @keys && chance(0.45);
	return "SELECT * FROM (SELECT $output, $number - 1 AS number FROM $source) numbered WHERE number < $limit" if chance(0.2);
	return "SELECT k1, k2, f FROM (SELECT *, $number AS number FROM $source) numbered WHERE "
	  . pick("number <= $limit", "number = $limit", "number BETWEEN 2 AND $limit + 1", "k1 > 0 AND number IN (1, 3)")
	  if chance(0.5);
	return "SELECT * FROM (SELECT $output, $number AS number FROM $source) numbered WHERE number <= $limit";
}

# A query that keeps the first row of each key, as it may be kept for a while only.
sub entries_query
{
	my ($source) = @_;
	my $keys = join ', ', pick('k1', 'k2', 'b', 'i % 3', 'n'), chance(0.3) ? pick('f', 'l % 5') : ();
	my $order = chance(0.4) ? ', ' . pick('i DESC', 'k2', 'n NULLS FIRST') : '';

	return 'SELECT DISTINCT ' . pick('k1, k2', 'k1, b', 'n') . " FROM $source" if chance(0.2);
	return "SELECT DISTINCT ON ($keys) k1, t, id, upper(k2) AS upper, f FROM $source ORDER BY $keys, t$order" if chance(0.6);
	return "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY $keys ORDER BY t$order) AS number FROM $source) numbered WHERE number = 1";
}

# ---- windows by GROUP BY ---------------------------------------------------------------------------

# Windows of a few units: what GROUP BY says, what stands in FROM for it beside the stream, and whether it has the stream's type.
sub random_group_window
{
	my ($stream) = @_;
	my $size = between(2, 12);
	my $slide = between(1, 6);
	my $origin = between(-3, 3);

	if ($stream->{type} eq 'bigint')
	{
		return (pick("t / $size * $size", "t - t % $size", 't'), '', 1) if chance(0.4);
		return ("t / $size", '', 0) if chance(0.3);
		return ('window_start', ", tidemark.hop(t, $slide, $size, $origin)", 1) if chance(0.6);
		return (pick('window_start, window_end', 'window_end'), ', tidemark.cumulate(t, ' . $slide . ', ' . 3 * $slide . ')', 1);
	}
	my ($length, $step) = map { "interval '$_ $stream->{unit}'" } $size, $slide;
	my $thrice = "interval '" . 3 * $slide . " $stream->{unit}'";
	if ($stream->{type} eq 'date')
	{
		return (pick("date_trunc('week', t::timestamp)", "date_trunc('month', t::timestamp)::date", 't - 3', "date_bin($length, t::timestamp, '2000-01-01')",
			"date_bin(interval '36 hours', t::timestamp, '2000-01-01 05:00')"), '', 0) if chance(0.6);
	}
	else
	{
		my $zone = $stream->{type} eq 'timestamptz' ? '+00' : '';
		my $local = $stream->{type} eq 'timestamptz' ? pick("(t AT TIME ZONE 'UTC')", "(t AT TIME ZONE 'Europe/Berlin')", "(t AT TIME ZONE interval '-3:30')") : 't';
		my $bin = "date_bin($length, t, '2000-01-01 00:00:0$slide$zone')";
		my $longer = $stream->{unit} eq 'second' ? pick('minute', 'hour') : $stream->{unit} eq 'hour' ? pick('day', 'week') : pick('week', 'month', 'quarter');
		return ($bin, '', 1) if chance(0.3);
		return ("$bin + $length", '', 1) if chance(0.1) && $stream->{unit} ne 'day';
		return ("date_trunc('$longer', $local)" . pick('', '', '::date'), '', 0) if chance(0.4);
		return ("$local\::timestamp(0)", '', 0) if chance(0.1);
	}
	return ('window_start', " CROSS JOIN LATERAL tidemark.hop(t, $step, $length)", 1) if chance(0.6);
	return (pick('window_start, window_end', 'window_end'), ", tidemark.cumulate(t, $step, $thrice)", 1);
}

sub random_group_aggregate
{
	my $number = pick('i', 'l', 'n', 'f', 'g');
	my $filter = chance(0.2) ? ' FILTER (WHERE ' . random_condition() . ')' : '';
	my @calls = (
		'count(*)', "count($number)", ("sum($number)") x 3, "avg($number)", "min($number)", "max($number)", 'count(DISTINCT k2)', 'sum(DISTINCT i)',
		'bool_and(b)', 'stddev(f)', 'corr(f, l)', 'variance(n)', 'array_agg(i ORDER BY i)', "string_agg(k2, ',' ORDER BY k2)", 'array_agg(DISTINCT l)',
		'combined_xor(i)', 'moving_xor(i)',
		'sum(CASE WHEN b THEN f END)');

	return ('percentile_disc(0.5) WITHIN GROUP (ORDER BY i)', '') if chance(0.05);
	return (random_first($filter), '') if chance(0.1);
	return (pick(@calls), $filter);
}

# The first or last value of a group; its order, if there is one, often leaves rows equal.
sub random_first
{
	my ($filter) = @_;
	my $value = pick('i', 'f', 'n', 'k2', 'id');
	my $order = chance(0.3) ? '' : ' ORDER BY ' . random_order();

	return "tidemark.first($value$order)$filter" if chance(0.4);
	return "tidemark.last($value$order)$filter"  if chance(0.5);
	return "(array_agg($value$order)$filter)[1]";
}

# An aggregate whose state is small.
sub random_total
{
	my $number = pick('i', 'l', 'n', 'f', 'g');
	my $filter = chance(0.2) ? ' FILTER (WHERE ' . random_condition() . ')' : '';
	my $call = pick('count(*)', "count($number)", ("sum($number)") x 3, "avg($number)", "min($number)", "max($number)", 'bool_and(b)', 'bit_or(i)',
		'max(k2)', 'min(t)', 'stddev(f)', 'corr(f, l)', 'variance(n)', 'sum(CASE WHEN b THEN f END)');

	return random_first($filter) if chance(0.25);
	# which of 0 and -0 is the least is left open: text would show it
	return chance(0.1) && $call !~ /^(min|max)/ ? "coalesce(($call$filter)::text, 'none')" : "$call$filter";
}

# GROUP BY sessions, said by tidemark.session or as gaps and islands; and which of its rows are over at :'frontier'.
sub sessions_query
{
	my ($stream, $source) = @_;
	my @keys = grep { chance(0.4) } 'k1', 'k2', 'i % 3', 'coalesce(b, false)';
	my $partition = @keys ? 'PARTITION BY ' . join(', ', map { "key$_" } 0 .. $#keys) . ' ' : '';
	my $gap = pick(grep { !/month/ } @{ $stream->{distances} });
	my @output = map { "key$_" } grep { chance(0.9) } 0 .. $#keys;
	my $islands = chance(0.3);
	my $inner = 'SELECT *' . join('', map { ", $keys[$_] AS key$_" } 0 .. $#keys) . " FROM $source" . (chance(0.25) ? ' WHERE ' . random_condition() : '');

	$gap = "interval '$gap'" unless $stream->{type} eq 'bigint';
	if ($islands)
	{
		my $over = "OVER (${partition}ORDER BY t)";
		my $longer = $stream->{type} eq 'date' ? pick("t > before + $gap", "before < t - $gap") : pick("t - before > $gap", "before + $gap < t", "NOT t - before <= $gap");
		my $number = pick("sum(CASE WHEN $longer THEN 1 ELSE 0 END)", "count(*) FILTER (WHERE before IS NULL OR $longer)", "sum(coalesce(($longer)::int, 1))");
		$inner = "SELECT *, $number $over AS session FROM (SELECT *, lag(t) $over AS before FROM ($inner) keyed) gaps";
		push @output, 'min(t) AS began';
	}
	else
	{
		$inner = "SELECT *, tidemark.session(t, $gap) OVER (${partition}ORDER BY t) AS session FROM ($inner) keyed";
		push @output, 'session' if chance(0.8);
		push @output, 'max(t) - session AS lasted' if chance(0.3);
	}
	push @output, 'max(t) AS until', map { random_total() . " AS a$_" } 1 .. between(1, 3);
	my $query = 'SELECT ' . join(', ', @output) . " FROM ($inner) sessions GROUP BY " . join(', ', 'session', map { "key$_" } 0 .. $#keys);
	$query .= ' HAVING count(*) > ' . between(1, 3) if chance(0.2);
	# of dates, what a part of a day would be after is no later day
	my $tick = $stream->{type} =~ /bigint|date/ ? '1' : "interval '1 microsecond'";
	return ($query, "until + $gap < :'frontier'::$stream->{type} + $tick");
}

# GROUP BY without a window, or aggregates of the whole stream.
sub totals_query
{
	my ($source) = @_;
	my @keys = grep { chance(0.4) } 'k1', 'k2', 'i % 3', 'coalesce(b, false)';
	my $where = chance(0.25) ? ' WHERE ' . random_condition() : '';
	my @output = map { "$keys[$_] AS key$_" } 0 .. $#keys;

	push @output, map { random_total() . " AS a$_" } 1 .. between(1, 4);
	my $query = 'SELECT ' . join(', ', @output) . " FROM $source$where" . (@keys ? ' GROUP BY ' . join(', ', @keys) : '');
	$query .= ' HAVING count(*) > ' . between(1, 3) if chance(0.2);
	return chance(0.2) ? "SELECT * FROM ($query) above WHERE a1 IS NOT NULL" : $query;
}

sub grouping_sets
{
	my @keys = @_;
	my $all = join ', ', @keys;
	return pick("ROLLUP ($all)", "CUBE ($all)", "GROUPING SETS (($all), ($keys[-1]), ())", "GROUPING SETS (($all), ())");
}

# A window function over the groups themselves, at their own level: over groups of one window, or of windows up to that one.
sub random_window_beside
{
	my ($stream, $window, $same_type, @keys) = @_;
	my $first = $window =~ /^(window_\w+)/ ? $1 : $window;
	my $length = $stream->{type} eq 'bigint' ? $stream->{distances}[2] : "interval '$stream->{distances}[2]'";
	my $partition = @keys ? 'PARTITION BY ' . join(', ', @keys) . ' ' : '';
	my $over = $same_type && $window !~ /^window.*,/ && chance(0.5) ? "(${partition}ORDER BY $first RANGE $length PRECEDING)" : "(PARTITION BY $first)";
	return pick('max(count(*))', 'sum(count(i))', 'count(*)') . " OVER $over AS beside";
}

# A query that groups by windows; levels above and windows over what it gives, now and then.
sub grouped_query
{
	my ($stream, $source) = @_;
	my ($window, $from, $same_type) = random_group_window($stream);
	my @keys = grep { chance(0.5) } 'k1', 'k2', 'i % 3';
	my $having = chance(0.2) ? ' HAVING count(*) > ' . between(1, 3) : '';
	my $where = chance(0.25) ? ' WHERE ' . random_condition() : '';
	my ($first) = split /, /, $window =~ /^window/ ? $window : 'w';
	my @output = $window =~ /^window/ ? ($window) : ("$window AS w");
	my $sets = @keys && chance(0.2) ? grouping_sets(@keys) : '';
	my $by = join ', ', $window, $sets ? $sets : @keys;
	my $rolled_up = $sets ne '';
	my @names;

	push @output, map { "$keys[$_] AS key$_" } 0 .. $#keys;
	for my $n (1 .. between(1, 4))
	{
		my ($call, $filter) = random_group_aggregate();
		push @output, "$call$filter AS a$n";
		push @names, "a$n" if $call =~ /^(count|sum|avg)/;
	}
	push @output, 'grouping(' . join(', ', @keys) . ') AS level' if $rolled_up && chance(0.5);
	shift @output if chance(0.1) && $window !~ /^window/;
	push @output, random_window_beside($stream, $window, $same_type, @keys) if !$rolled_up && chance(0.12);
	my $query = 'SELECT ' . join(', ', @output) . " FROM $source$from$where GROUP BY $by$having";
	if ($same_type && !$rolled_up && @names && $output[0] =~ /^window| AS w$/ && chance(0.35))
	{
		# groups are told apart by their keys: no two are peers, and an order of them is total
		my @lengths = map { $stream->{type} eq 'bigint' ? $_ : "interval '$_'" } @{ $stream->{distances} };
		my $partition = @keys ? 'PARTITION BY ' . join(', ', map { "key$_" } 0 .. $#keys) . ' ' : '';
		my $over = $first eq 'window_start' && $window =~ /end/
		  ? "(${partition}ORDER BY window_end RANGE $lengths[2] PRECEDING)"
		  : pick("(${partition}ORDER BY $first RANGE $lengths[2] PRECEDING)", "(ORDER BY $first RANGE BETWEEN $lengths[1] PRECEDING AND $lengths[1] FOLLOWING)", "(${partition}ORDER BY $first)");
		my $call = $over =~ /ORDER BY \w+\)$/ ? pick("lag($names[0])", "sum($names[0])") : pick("sum($names[0])", "max($names[0])", 'count(*)');
		$query = "SELECT *, $call OVER $over AS o FROM ($query) grouped";
	}
	elsif (@names && $output[0] =~ /^window| AS w$/ && chance(0.2))
	{
		my $call = pick('rank()', 'dense_rank()', 'max(' . $names[0] . ')', 'count(*)');
		$query = "SELECT *, $call OVER (PARTITION BY $first ORDER BY $names[0] DESC) AS o FROM ($query) grouped";
		$query = "SELECT * FROM ($query) ranked WHERE o <= " . between(1, 3) if $call =~ /rank/ && chance(0.6);
	}
	elsif ($same_type && @names && $output[0] =~ / AS w$/ && chance(0.15))
	{
		my $outer = $stream->{type} eq 'bigint' ? 'w / 30 * 30' : $stream->{type} eq 'date' ? "date_trunc('month', w::timestamp)" : "date_bin(interval '30 $stream->{unit}', w, '2000-01-01')";
		$query = "SELECT $outer AS outer_w, count(*) AS windows, max($names[0]) FROM ($query) grouped GROUP BY 1";
	}
	$query = "SELECT * FROM ($query) above WHERE $names[0] > " . between(0, 3) if @names && $query !~ /outer_w/ && chance(0.2);
	return $query;
}

# Rows as they are, or several for each: of a function in the select list, or in FROM.
sub plain_query
{
	my ($source) = @_;
	my $where = ' WHERE ' . random_condition();

	return "SELECT t, k1, l, n, f FROM $source$where" if chance(0.4);
	return "SELECT t, k1, unnest(ARRAY[i, k1, 3]) AS item FROM $source$where" if chance(0.3);
	return "SELECT t, id, copy FROM $source" . pick(', generate_series(1, k1) copy', ' CROSS JOIN LATERAL unnest(ARRAY[i, k1]) copy') . $where if chance(0.5);
	return "SELECT t, k2, copy FROM $source LEFT JOIN LATERAL generate_series(1, k1) copy ON copy > 1";
}

# The first row of each key, for windows and groups over it.
sub first_rows
{
	my ($source) = @_;
	my $key = pick('k1', 'k2', 'i', 'n');

	return "(SELECT DISTINCT ON ($key) * FROM $source ORDER BY $key, t) once" if chance(0.6);
	return "(SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY $key, b ORDER BY t, l) AS nth FROM $source) numbered WHERE nth = 1) once";
}

# Views with the stream's columns, for other views to read: some of its rows, or the first row of each key.
sub new_base
{
	my ($self, $stream, $name) = @_;
	my $first_rows = chance(0.5);
	my $query = $first_rows ? "SELECT * FROM " . first_rows($stream->{name}) : "SELECT * FROM $stream->{name} WHERE " . random_condition();
	my $base = { name => $name, stream => $stream, query => $query, continuous => chance(0.7), arrival => chance(0.3), base => 1, first_rows => $first_rows };

	push @{ $self->{views} }, $base;
	return $base;
}

sub new_view
{
	my ($self, $stream, $name, $base) = @_;
	my $source = $base ? $base->{name} : $stream->{name};
	my @inputs;
	my $with = '';
	my $of_first_rows = $base && $base->{first_rows};
	my $keyed = !$of_first_rows && chance(0.35);

	if (chance(0.3))
	{
		$source = chance(0.2) ? "(SELECT * FROM $source WHERE " . random_condition() . ') filtered' : $source;
		my ($query, $over) = $of_first_rows ? grouped_query($stream, $source)
		  : chance(0.3) ? totals_query($source)
		  : chance(0.3) ? sessions_query($stream, $source)
		  : grouped_query($stream, chance(0.2) ? first_rows($source) : $source);
		push @{ $self->{views} },
		  { name => $name, stream => $stream, query => $query, continuous => chance(0.85), arrival => chance(0.3), over => $over };
		return;
	}
	if (chance(0.2))
	{
		$source = "(SELECT * FROM $source WHERE " . random_condition() . ') filtered';
	}
	elsif (chance(0.15))
	{
		$with = "WITH chosen AS (SELECT * FROM $source WHERE " . random_condition() . ') ';
		$source = 'chosen';
	}
	$source = first_rows($source) if !$keyed && !$of_first_rows && chance(0.2);
	if (!$keyed && chance(0.4))
	{
		my ($inner, $names) = windowed_query($stream, $source, [], 'inner_', 1);
		$source = "($inner) inside";
		@inputs = @$names;
	}
	my ($query, $names) = windowed_query($stream, $source, \@inputs, 'a', 0);
	$query = "SELECT * FROM ($query) whole WHERE $names->[0] > " . between(0, 3) if @$names && chance(0.2);
	$query = plain_query($source) if chance(0.08);
	$query = keyed_query($source) if $keyed;
	my $dedup_for = $keyed && chance(0.25) ? pick(grep { !/month|^0$/ } @{ $stream->{distances} }) : undef;
	$query = entries_query($source) if $dedup_for;
	push @{ $self->{views} },
	  { name => $name, stream => $stream, query => "$with$query", continuous => chance(0.8),
		arrival => chance(0.3), dedup_for => $dedup_for };
	return;
}

sub schema
{
	my ($self) = @_;
	my $sql = join '', map { stream_schema($_) } @{ $self->{streams} };

	for my $view (@{ $self->{views} })
	{
		$sql .= "CREATE VIEW $view->{name} AS $view->{query};\n";
		my $advance_on = $view->{arrival} ? ", advance_on => 'arrival'" : '';
		$advance_on .= ", dedup_for => '$view->{dedup_for}'" if $view->{dedup_for};
		$sql .= "SELECT tidemark.make_continuous('$view->{name}'$advance_on);\n" if $view->{continuous};
		$sql .= topic_of($view->{name}) . follow($view->{name}) if $view->{followed};
		$sql .= subscribe($view->{name}) if $view->{subscribed};
	}
	return $sql;
}

# Somebody follows the view, as it is now, if it can be followed: a sink without a broker, whose process never runs. So all that is logged for it stays.
sub follow
{
	my ($view) = @_;
	return "DO \$\$ BEGIN PERFORM tidemark.start_sink('$view', '${view}_topic', corrections => 'mark'), tidemark.pause_sink('$view', '${view}_topic');\n"
	  . "EXCEPTION WHEN feature_not_supported THEN NULL; END \$\$;\n";
}

# A topic for the view's first column.
sub topic_of
{
	my ($view) = @_;
	return "DO \$\$ BEGIN EXECUTE (SELECT format('CREATE FOREIGN TABLE ${view}_topic (%I %s) SERVER nowhere OPTIONS (topic ''nowhere'')', attname, format_type(atttypid, atttypmod))\n"
	  . " FROM pg_attribute WHERE attrelid = '$view'::regclass AND attnum = 1); END \$\$;\n";
}

# Which rows of a view that keeps rows by key its log adds up to: of sessions, those that are over, unless the view advances on arrival. And what counts
# of the log: of rows that are kept for a while, those that the view shows.
sub shown_in_log
{
	my ($view) = @_;
	my $type = $view->{stream}{type};
	my $shown = $view->{over} ? "(:'advance_on' = 'arrival' OR $view->{over})" : 'true';
	my $duration = !$view->{dedup_for} || $type eq 'bigint' ? $view->{dedup_for} : "interval '$view->{dedup_for}'";

	return ($shown, 'true')  if !$duration;
	return ($shown, 'false') if $view->{query} =~ /^SELECT DISTINCT (?!ON)/;
	return ($shown, "t > :'frontier'::$type - $duration");
}

# Is the log one of a view that keeps rows by key, whose frontier has come to the end? And what else is asked for.
sub log_of
{
	my ($view) = @_;
	my ($name, $stream) = ($view->{name}, $view->{stream});

	return "SELECT EXISTS (SELECT FROM tidemark.view v JOIN tidemark.continuous_views c ON c.view = v.relid WHERE v.relid = '$name'::regclass AND v.method = 'keyed' AND v.changes IS NOT NULL\n"
	  . " AND NOT EXISTS (SELECT FROM $stream->{name} WHERE c.frontier IS NULL OR t > c.frontier::$stream->{type})) AS is_whole,\n"
	  . " (SELECT string_agg('c' || attnum || ' AS ' || quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = '$name'::regclass AND attnum > 0) AS columns,\n"
	  . " frontier, advance_on, materialised_in, coalesce(method <> 'keyed', false) AS is_by_time\n"
	  . " FROM (SELECT) none LEFT JOIN tidemark.continuous_views ON view = '$name'::regclass \\gset\n";
}

# What is logged for views that keep rows by key adds up to them. Rows come out where it doesn't.
sub log_script
{
	my ($self) = @_;
	my $sql = '';

	for my $view (grep { $_->{followed} } @{ $self->{views} })
	{
		my ($name, $shown, $counts) = ($view->{name}, shown_in_log($view));
		$sql .= log_of($view) . "SELECT :is_whole AND EXISTS (SELECT FROM tidemark.sink WHERE view = '$name'::regclass) AS is_whole \\gset\n\\if :is_whole\n"
		  . "WITH shown AS MATERIALIZED (SELECT * FROM $name WHERE $shown),\n"
		  . " log AS (SELECT l.* FROM tidemark_data.${name}_changes l JOIN tidemark.sink s ON s.view = '$name'::regclass AND l.seq > s.seq AND (l.op <> 's' OR l.seq <= s.present_to)),\n"
		  . " logged AS MATERIALIZED (SELECT :columns FROM log WHERE op <> 'd' EXCEPT ALL SELECT :columns FROM log WHERE op = 'd')\n"
		  . "(SELECT '$name: not logged', x FROM (TABLE shown EXCEPT ALL TABLE logged) x LIMIT 5) UNION ALL\n"
		  . "(SELECT '$name: logged', x FROM (SELECT * FROM logged WHERE $counts EXCEPT ALL TABLE shown) x LIMIT 5);\n"
		  . "\\endif\n";
	}
	return $sql;
}

# ---- subscriptions ----------------------------------------------------------------------------------

# A subscription of the view, if it can have one, with a key of some of its columns, or none; what is taken from it goes to a table.
sub subscribe
{
	my ($view) = @_;
	my ($columns, $seed) = (between(0, 2), between(1, 1000));

	return "CREATE TABLE ${view}_taken (op text, row jsonb, old_row jsonb);\n"
	  . "DO \$\$ BEGIN PERFORM tidemark.create_subscription('$view', '$view', key => (SELECT array_agg(attname) FROM (\n"
	  . " SELECT attname FROM pg_attribute WHERE attrelid = '$view'::regclass AND attnum > 0 ORDER BY md5(attname || $seed) LIMIT $columns) c));\n"
	  . "EXCEPTION WHEN feature_not_supported THEN NULL; END \$\$;\n";
}

# Takes changes and acknowledges them, in one transaction or in two; or doesn't. What isn't acknowledged has to come again, the same, with whatever comes
# behind it: a row comes out where it doesn't.
sub consumption
{
	my ($self, $view) = @_;
	my $some = pick(1, 2, 5, 20, 1000);
	my $next = "tidemark.next_changes('$view', $some" . (chance(0.3) ? ", '20 ms'" : '') . ')';
	my $end = pick('COMMIT', 'COMMIT', 'ROLLBACK');
	my $columns = 'op, row, old_row';
	my $acknowledge = "SELECT count(tidemark.acknowledge('$view', position)) FROM (SELECT max(position) AS position FROM";

	return "BEGIN;\nWITH changes AS MATERIALIZED (SELECT * FROM $next), taken AS (INSERT INTO ${view}_taken SELECT $columns FROM changes)\n"
	  . "$acknowledge changes) last \\gset\n$end;\n"
	  if chance(0.5);
	my $sql = "CREATE TEMP TABLE given AS SELECT * FROM $next;\n";
	$sql .= $self->transaction if chance(0.3);
	$sql .= "SELECT '$view: does not come again', r FROM (SELECT $columns FROM given EXCEPT ALL SELECT $columns FROM tidemark.next_changes('$view', 1000000)) r;\n" unless $self->{resets};
	return "${sql}BEGIN;\nINSERT INTO ${view}_taken SELECT $columns FROM given;\n$acknowledge given) last \\gset\n$end;\nDROP TABLE given;\n";
}

# A consumer's session; '' if nobody subscribes.
sub consumer
{
	my ($self, $n) = @_;
	my @subscribed = grep { $_->{subscribed} } @{ $self->{views} };

	return @subscribed ? join '', map { $self->consumption(pick(@subscribed)->{name}) } 1 .. $n : '';
}

# Takes all that is left.
sub drain
{
	my ($view) = @_;
	return "DO \$\$ DECLARE n int; BEGIN LOOP\n"
	  . " WITH changes AS MATERIALIZED (SELECT * FROM tidemark.next_changes('$view', " . between(1, 100) . ")), taken AS (INSERT INTO ${view}_taken SELECT op, row, old_row FROM changes)\n"
	  . " SELECT count(tidemark.acknowledge('$view', position)) INTO n FROM (SELECT max(position) AS position FROM changes) last WHERE position IS NOT NULL;\n"
	  . " EXIT WHEN n = 0; END LOOP; END \$\$;\n";
}

# What came less what went is what is shown; counts: which rows of it are compared.
sub taken_is
{
	my ($view, $shown, $counts) = @_;
	return "WITH shown AS MATERIALIZED (SELECT to_jsonb(x) AS row FROM ($shown) x),\n"
	  . " kept AS MATERIALIZED (SELECT row FROM ${view}_taken WHERE op IN ('insert', 'update')\n"
	  . "  EXCEPT ALL (SELECT row FROM ${view}_taken WHERE op = 'delete' UNION ALL SELECT old_row FROM ${view}_taken WHERE op = 'update'))\n"
	  . "(SELECT '$view: not given', row FROM (TABLE shown EXCEPT ALL TABLE kept) x LIMIT 5) UNION ALL\n"
	  . "(SELECT '$view: given', row FROM (SELECT row FROM kept WHERE $counts EXCEPT ALL TABLE shown) x LIMIT 5);\n";
}

# Subscriptions have given, in the end, what is materialised of their views. Rows come out where they haven't.
sub consumed_script
{
	my ($self) = @_;
	my $sql = '';

	for my $view (grep { $_->{subscribed} } @{ $self->{views} })
	{
		my ($name, $shown, $counts) = ($view->{name}, shown_in_log($view));
		$counts =~ s/^t /(row ->> 't')::$view->{stream}{type} /;
		$sql .= "SELECT EXISTS (SELECT FROM tidemark.subscription s JOIN tidemark.view v ON s.view = v.relid WHERE s.name = '$name' AND s.mat = v.mat) AS is_current \\gset\n"
		  . "\\if :is_current\n" . drain($name) . log_of($view)
		  . "\\if :is_by_time\n" . taken_is($name, 'SELECT :columns FROM :materialised_in', 'true')
		  . "\\elif :is_whole\n" . taken_is($name, "SELECT * FROM $name WHERE $shown", $counts)
		  . "\\endif\n\\endif\n";
	}
	return $sql;
}

sub views { return map { $_->{name} } @{ $_[0]{views} } }

sub drop
{
	my ($self) = @_;
	return join '', (map { "DROP TABLE $_->{name} CASCADE;\n" } @{ $self->{streams} }),
	  (map { "DROP FOREIGN TABLE $_->{name}_topic;\n" } grep { $_->{followed} } @{ $self->{views} }),
	  map { "DROP TABLE $_->{name}_taken;\n" } grep { $_->{subscribed} } @{ $self->{views} };
}

# The table itself is changed.
sub change_of_stream
{
	my ($self) = @_;
	my $stream = pick(@{ $self->{streams} });
	my $name = $stream->{name};
	my $part = "${name}_mid";
	my ($from, $to) = map { event_time($stream, $_) } 40, 90;

	return "BEGIN; ALTER TABLE $name DETACH PARTITION $part; ALTER TABLE $name ATTACH PARTITION $part FOR VALUES FROM ($from) TO ($to); COMMIT;\n"
	  if $stream->{partitioned} && chance(0.5);
	my $column = 'more' . ++$self->{id};
	return "ALTER TABLE $name ADD COLUMN $column int DEFAULT 1;\n" if chance(0.5);
	return "ALTER TABLE $name ADD COLUMN $column int; ALTER TABLE $name DROP COLUMN $column;\n";
}

# A view becomes continuous, an ordinary one, follows another event time, or is made anew, now and then; a statement that does not ask what it is.
sub change_of_view
{
	my ($self) = @_;
	my $view = pick(@{ $self->{views} });
	return $self->change_of_stream if chance(0.1);
	return "BEGIN; SELECT tidemark.stop_sink('$view->{name}', '$view->{name}_topic'); COMMIT;\n" . follow($view->{name}) if $view->{followed} && chance(0.5);
	return "BEGIN; SELECT count(tidemark.reset_subscription('$view->{name}')) \\gset\nTRUNCATE $view->{name}_taken; COMMIT;\n" if $view->{subscribed} && $self->{resets} && chance(0.5);
	return sprintf "SELECT tidemark.make_continuous('%s', '%s');\n", $view->{name}, pick('watermark', 'arrival') if $view->{followed} || $view->{subscribed};
	return "CREATE OR REPLACE VIEW $view->{name} AS SELECT * FROM $view->{stream}{name} WHERE " . random_condition() . ";\n"
	  if $view->{base} && !$view->{first_rows} && chance(0.3);
	return "DROP VIEW $view->{name}; CREATE VIEW $view->{name} AS $view->{query}; SELECT tidemark.make_continuous('$view->{name}');\n"
	  if chance(0.15) && !$view->{base};
	return sprintf "SELECT tidemark.make_continuous('%s', '%s');\n", $view->{name}, pick('watermark', 'arrival') if chance(0.25);
	return sprintf "SELECT CASE WHEN EXISTS (SELECT FROM tidemark.view WHERE relid = '%s'::regclass)"
	  . " THEN tidemark.make_batch('%s') ELSE tidemark.make_continuous('%s') END;\n", ($view->{name}) x 3;
}

# ---- writes ---------------------------------------------------------------------------------------

# Where a new row is: on time, a little late, far back, a gap ahead.
sub random_position
{
	my ($stream) = @_;
	my $dice = rand;
	return $stream->{now} += between(0, 2)          if $dice < 0.55;
	return $stream->{now} - between(0, 12)          if $dice < 0.8;
	return between(-5, $stream->{now})              if $dice < 0.99;
	return $stream->{now} += between(5, 40);
}

sub random_tick { return chance(0.1) ? pick(-1, 1) : 0 }

sub rows
{
	my ($self, $stream, $n) = @_;
	return map {
		my @values = map { defined $_ ? quoted($_) : 'NULL' } random_row();
		'(' . join(', ', event_time($stream, random_position($stream), random_tick()), ++$self->{id}, @values) . ')'
	} 1 .. $n;
}

sub insert
{
	my ($self, $stream) = @_;
	my $conflict = $stream->{unique} && chance(0.8) ? ' ON CONFLICT ' . pick('DO NOTHING', '(t) DO UPDATE SET i = excluded.i') : '';
	my $rows = $stream->{unique} && $conflict =~ /UPDATE/ ? 1 : chance(0.1) ? between(20, 60) : between(1, 5);
	return "INSERT INTO $stream->{name} VALUES " . join(', ', $self->rows($stream, $rows)) . "$conflict;\n";
}

sub copy
{
	my ($self, $stream) = @_;
	# COPY takes no expressions: its event times are computed by the select that feeds it, as text
	return $self->insert($stream) if $stream->{type} !~ /bigint/;
	# not FROM STDIN: where the statement fails at once, psql would take the rows for statements
	my $names = join ', ', 't', 'id', map { $_->[0] } @columns;
	my @lines = map { join "\t", map { $_ // '\N' } event_time($stream, random_position($stream)), ++$self->{id}, random_row() } 1 .. between(1, 20);
	return "COPY $stream->{name} ($names) FROM PROGRAM \$copy\$printf '%s\\n' " . join(' ', map { "'$_'" } @lines) . "\$copy\$;\n";
}

# A row that is there is changed or deleted, others are inserted.
sub merge
{
	my ($self, $stream) = @_;
	my @names = ('t', 'id', map { $_->[0] } @columns);
	my $columns = join ', ', @names;
	my $matched = pick('UPDATE SET i = kept.i + 1, f = 0.3', 'DELETE', 'DO NOTHING', 'UPDATE SET t = kept.t + ' . distance($stream, between(0, 5)));
	my $known = between(1, $self->{id} + 1);
	my $types = join ', ', event_time($stream, 0), 0, map { "NULL::$_->[1]" } @columns;    # of the columns
	my $rows = join ', ', "($types)", $self->rows($stream, between(1, 4));

	return "MERGE INTO $stream->{name} AS kept USING (SELECT * FROM (VALUES $rows) v ($columns) WHERE id > 0"
	  . " UNION ALL (SELECT $columns FROM $stream->{name} WHERE id = $known LIMIT 1)) AS given ON kept.id = given.id"
	  . " WHEN MATCHED THEN $matched WHEN NOT MATCHED THEN INSERT ($columns) VALUES (" . join(', ', map { "given.$_" } @names) . ");\n";
}

sub random_rows
{
	my ($stream) = @_;
	my $from = between(0, $stream->{now});
	my $range = sprintf 't BETWEEN %s AND %s', event_time($stream, $from), event_time($stream, $from + between(0, 6));
	return pick(
		sprintf('t = %s', event_time($stream, between($stream->{now} - 10, $stream->{now}))),
		$range, "$range AND k1 = " . between(0, 3), 'id % 17 = ' . between(0, 16) . " AND $range",
		sprintf('t >= %s', event_time($stream, $stream->{now} - between(0, 3))));
}

sub change
{
	my ($self, $stream) = @_;
	my $set = pick(
		('i = i + 1', "f = '" . random_float(100) . "'", 'n = -n', 'b = NOT b', 'l = NULL, g = 1') x 2,
		'k1 = k1 + 1', "k2 = 'b', k1 = NULL",
		('t = t + ' . distance($stream, between(1, 8)), 't = t - ' . distance($stream, between(1, 8))) x 2);
	return "UPDATE $stream->{name} SET $set WHERE " . random_rows($stream) . ";\n";
}

sub statement
{
	my ($self) = @_;
	my $stream = pick(@{ $self->{streams} });
	my $dice = rand;
	my $part = $stream->{partitioned} && chance(0.2) ? pick('_low', '_mid', '_rest') : '';

	return $self->insert($stream) if $dice < 0.47;
	return $self->merge($stream)  if $dice < 0.5;
	return $self->copy($stream)   if $dice < 0.56;
	return $self->change($stream) if $dice < 0.76;
	return "DELETE FROM $stream->{name}$part WHERE " . random_rows($stream) . ";\n" if $dice < 0.88;
	return "UPDATE $stream->{name}$part SET i = i - 1, f = 0.3 WHERE " . random_rows($stream) . ";\n" if $dice < 0.92;
	return sprintf "WITH moved AS (DELETE FROM %s WHERE %s RETURNING *) INSERT INTO %s SELECT t - %s, id, k1, k2, b, i, l, n, f, g FROM moved;\n",
	  $stream->{name}, random_rows($stream), $stream->{name}, distance($stream, between(1, 9))
	  if $dice < 0.96;
	return sprintf "INSERT INTO %s SELECT t + %s, id, k1, k2, NOT b, i, l, n, f, g FROM %s WHERE %s;\n",
	  $stream->{name}, distance($stream, between(0, 9)), $stream->{name}, random_rows($stream)
	  if $dice < 0.99;
	return "TRUNCATE $stream->{name};\n" if chance(0.3);
	return "DELETE FROM $stream->{name};\n" if chance(0.1);
	return $self->insert($stream);
}

sub transaction
{
	my ($self) = @_;
	return $self->statement if chance(0.4);

	my $level = pick(('') x 6, ' ISOLATION LEVEL REPEATABLE READ', ' ISOLATION LEVEL SERIALIZABLE');
	my $sql = "BEGIN$level;\n";
	for (1 .. between(1, 4))
	{
		if (chance(0.2))
		{
			$sql .= 'SAVEPOINT p; ' . $self->statement . pick('ROLLBACK TO p', 'RELEASE p') . ";\n";
		}
		else
		{
			$sql .= $self->statement;
		}
	}
	if (chance(0.05))
	{
		my $name = 'p' . ++$self->{id};
		return $sql . "PREPARE TRANSACTION '$name';\n" . pick('COMMIT', 'COMMIT', 'ROLLBACK') . " PREPARED '$name';\n";
	}
	return $sql . pick('COMMIT', 'COMMIT', 'COMMIT', 'COMMIT', 'ROLLBACK') . ";\n";
}

sub transactions
{
	my ($self, $n) = @_;
	return join '', map { $self->transaction } 1 .. $n;
}

1;
