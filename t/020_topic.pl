# Topics as foreign tables, against a real Apache Kafka: what INSERT writes SELECT reads, and what is wrong is said.
use strict;
use warnings;
use utf8;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkKafka;

my $kafka = TidemarkKafka->start;
my $node  = TidemarkKafka::new_node('main');

# Queries and their results are characters here, and bytes outside.
sub sql
{
	my ($query) = @_;

	utf8::encode($query);
	my $result = $node->safe_psql('postgres', $query);
	utf8::decode($result);
	return $result;
}

# The error of a statement that must fail, with its detail and context; settings come before it.
sub error_of
{
	my ($query, $settings) = @_;
	my $statements = ($settings // '') . $query;
	utf8::encode($statements);
	my ($status, $out, $error) = $node->psql('postgres', $statements);

	isnt($status, 0, "fails: $query");
	return $error;
}

sub foreign_table
{
	my ($name, $columns, $options) = @_;

	sql("CREATE FOREIGN TABLE $name ($columns) SERVER kafka OPTIONS (topic '$name'" . ($options // '') . ')');
}

sql("CREATE SERVER kafka FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers '"
	  . $kafka->address . "', broker_timeout '20s', log_level '3')");

# --- what is written is read ---------------------------------------------------------------------

$kafka->topic('everything', 3);
foreign_table('everything', q{
	k text OPTIONS (metadata 'key'), p int OPTIONS (metadata 'partition'), o bigint OPTIONS (metadata 'offset'),
	ts timestamptz OPTIONS (metadata 'timestamp'), h jsonb OPTIONS (metadata 'headers'), tp text OPTIONS (metadata 'topic'),
	id int, small smallint, big bigint, f4 real, f8 double precision, n numeric, ok boolean, name text, code varchar(5),
	d date, t timestamp(3), tz timestamptz, ms timestamptz OPTIONS (timestamp_format 'epoch_ms'),
	sq timestamp OPTIONS (timestamp_format 'sql'), iv interval, u uuid, raw bytea, doc jsonb, txt json,
	tags text[], grid int[], ip inet, inner1 text OPTIONS (field 'in.one'), inner2 int OPTIONS (field 'in.deep.two')});
my $row = q{'schlüssel', 1, NULL, '2024-01-02 03:04:05.678+00', '{"a": "x", "b": ["1", "2"], "n": null}', 'everything',
	1, -32768, 9223372036854775807, 0.1, 88694.71922270155, 123456789012345678901234567890.123456789, true, E'ein "Text"\n\\ mit € und 🌊', 'abcde',
	'2024-02-29', '2023-09-20 22:19:02.224', '2024-05-05 12:00:00.123456+02', '2024-05-05 12:00:00.123+02',
	'1999-12-31 23:59:59.999999', '1 day 02:03:04.5', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\xdeadbeef00', '{"z": [1, {"y": null}]}', '{"keep":  "this"}',
	ARRAY['a', 'b"c', NULL, ''], '{{1,2},{3,NULL}}', '10.0.0.1/8', 'one', 2};
sql("INSERT INTO everything VALUES ($row)");
sql("CREATE TABLE expected AS SELECT * FROM everything WITH NO DATA");
sql("INSERT INTO expected VALUES ($row)");
is( sql('SELECT (e.*)::text = (x.*)::text FROM everything e, (SELECT (jsonb_populate_record(expected, \'{"o": 0}\')).* FROM expected) x'),
	't', 'every type comes back as it was written');
is( sql("SELECT DISTINCT p, o, ts = '2024-01-02 03:04:05.678+00', h->>'a', h->'b' FROM everything"),
	'1|0|t|x|["1", "2"]', 'so do partition, timestamp and headers');

sql("INSERT INTO everything (id, f8, n) VALUES (2, 'NaN', 'Infinity'), (3, '-infinity', 'NaN')");
is(sql('SELECT id, f8, n FROM everything WHERE id > 1 ORDER BY id'), "2|NaN|Infinity\n3|-Infinity|NaN", 'floats that JSON lacks');

# What is written without PostgreSQL's output functions is what they would write: of times, also at the ends of their ranges.
$kafka->topic('texts', 1);
my @texts = ('id smallint', 'ts timestamp', 'tz timestamptz', 'f8 float8', 'f4 float4', 'i4 int', 'i8 bigint');
foreign_table('texts', join(', ', @texts));
foreign_table('texts_raw', 'payload text', ", format 'raw'");
sql("ALTER FOREIGN TABLE texts_raw OPTIONS (SET topic 'texts')");
sql('CREATE TABLE texts_written (' . join(', ', @texts) . ')');
sql(<<'SQL');
INSERT INTO texts_written
SELECT n, t, t AT TIME ZONE 'UTC', power(-10, n % 300) / 7, power(-10, n % 30) / 7, hashint8(n), hashint8extended(n, n)
  FROM (SELECT n, CASE WHEN n < 1000 THEN timestamp '1997-01-01' + n * 7 * interval '1 day' + (hashint8(n) & 3) * interval '1 second' + n % 100 * interval '0.0101 seconds'
                       ELSE timestamp '1969-07-20 20:17:40' + hashint8(n / 3) * interval '0.000001 second' + hashint8(n) * interval '1 second' END
          FROM generate_series(1, 2000) n) i (n, t)
UNION ALL
SELECT 3000 + o, t::timestamp, t::timestamp AT TIME ZONE 'UTC', f, f::float4, o, -o
  FROM unnest(ARRAY['2000-01-01', '1999-12-31 23:59:59.999999', '2000-01-01 00:00:00.000001', '0001-01-01', '0001-12-31 23:59:59.1 BC', '9999-12-31 23:59:59.999999',
                    '10000-01-01', '4714-11-24 BC', '294276-12-31 23:59:59.999999', '1600-02-29 12:00', 'infinity', '-infinity', '2024-02-29 00:00:60'],
              '{0,-0,1,-1,1e15,1e16,123456789012345680,1e-4,1e-5,3.4028235e38,1.1754944e-38,0.1,-2.5}'::float8[]) WITH ORDINALITY e (t, f, o);
INSERT INTO texts SELECT * FROM texts_written;
SQL
is( sql(q{SET TimeZone = 'UTC';
	WITH w AS (SELECT format('{"id": %s, "ts": %s, "tz": %s, "f8": %s, "f4": %s, "i4": %s, "i8": %s}', to_json(id), to_json(ts), to_json(tz), to_json(f8), to_json(f4),
	                         to_json(i4), to_json(i8)) AS payload FROM texts_written)
	SELECT (SELECT count(*) FROM texts_raw), (SELECT string_agg(payload, '; ') FROM (TABLE texts_raw EXCEPT TABLE w ORDER BY 1 LIMIT 3) d)}),
	'2013|', 'numbers and times are written as the output functions do');

# --- keys, partitions, tombstones ----------------------------------------------------------------

$kafka->topic('keyed', 4);
foreign_table('keyed', "id int, v text, p int OPTIONS (metadata 'partition')", ", key_column 'id'");
sql("INSERT INTO keyed SELECT i % 10, 'v' || i FROM generate_series(1, 1000) i");
is( sql('SELECT count(*), count(DISTINCT id), max(n) FROM keyed, LATERAL (SELECT count(DISTINCT k.p) AS n FROM keyed k WHERE k.id = keyed.id AND keyed.v LIKE \'v__\') x'),
	'1000|10|1', 'a key stays in its partition, and rescans read the same again');

foreign_table('keyed_raw', "k text OPTIONS (metadata 'key'), v bytea", ", format 'raw'");
sql("ALTER FOREIGN TABLE keyed_raw OPTIONS (SET topic 'raw')");
$kafka->topic('raw', 1);
sql(q{INSERT INTO keyed_raw VALUES ('a', '\x00ff'), ('b', NULL), (NULL, ''), ('', '\x61')});
is(sql('SELECT k, v, v IS NULL, k IS NULL FROM keyed_raw'), "a|\\x00ff|f|f\nb||t|f\n|\\x|f|t\n|\\x61|f|f", 'raw: bytes, tombstones, empty payloads, empty keys');
is_deeply([ $kafka->ends('raw') ], [ [ 0, 4 ] ], 'one record each');

foreign_table('raw_as_json', "k text OPTIONS (metadata 'key'), o bigint OPTIONS (metadata 'offset'), a int");
sql("ALTER FOREIGN TABLE raw_as_json OPTIONS (SET topic 'json_tombstones')");
$kafka->topic('json_tombstones', 1);
$kafka->produce('json_tombstones', [ '{"a": 1}', undef, '{}', '{"a": null}' ], partition => 0);
sql("INSERT INTO raw_as_json (k) VALUES ('gone')");
is(sql('SELECT k, o, a FROM raw_as_json'), "|0|1\n|1|\n|2|\n|3|\ngone|4|", 'json: tombstones read as nulls');
is(sql(q{SELECT v IS NULL FROM (SELECT 1) x, keyed_raw WHERE k = 'b'}), 't', 'and a row of nothing but a key is written as one');

# --- json ----------------------------------------------------------------------------------------

sub reads
{
	my ($columns, $payload, $expected, $name) = @_;
	state_table($columns, $payload);
	is(sql('SELECT * FROM one'), $expected, $name);
}

sub refuses
{
	my ($columns, $payload, $expected, $name) = @_;
	state_table($columns, $payload);
	like(error_of('SELECT * FROM one'), $expected, $name);
}

# A topic with the one record, and a foreign table over it. Topics are numbered.
my $ones = 0;
sub state_table
{
	my ($columns, $payload) = @_;
	my $options = $columns =~ s/ (WITH .*)$// ? $1 : '';
	my $topic = 'one_' . ++$ones;

	$options =~ s/^WITH /, /;
	utf8::encode($payload) if utf8::is_utf8($payload);    # else it is bytes
	$kafka->topic($topic, 1);
	$kafka->produce($topic, [$payload], partition => 0);
	sql("DROP FOREIGN TABLE IF EXISTS one; CREATE FOREIGN TABLE one ($columns) SERVER kafka OPTIONS (topic '$topic'$options)");
}

reads('createtime timestamp(3), "orderId" bigint', '{"createTime": "2023-09-20 22:19:02.2245", "orderId": 1}', '2023-09-20 22:19:02.225|1', 'names without regard to case; rounding by the type');
reads('a int, "A" int', '{"A": 2, "a": 1}', '1|2', 'the same name goes before another case');
reads('a int', '{"A": 2, "a": 1, "A": 3}', '1', 'wherever it stands');
reads('a int', '{"a": 1, "b": {"a": [5, "}", {"x": "\\""}]}, "a": 2}', '2', 'the last of a repeated field counts');
reads("x int OPTIONS (field 'a.b')", '{"a": {"b": 1}, "a": {"c": 2}}', '', 'with all that is in it');
reads("x int OPTIONS (field 'a.b'), a jsonb", '{"a": {"b": 1, "c": [true]}}', '1|{"b": 1, "c": [true]}', 'a field and its whole');
reads('"ä" int, "käse" int', '{"\\u00e4": 1, "KÄSE": 2}', '1|2', 'names beyond ASCII, escaped or in another case');
reads('n numeric, f float8, i bigint', '{"n": 0.1000000000000000000000000000000000001, "f": 12345678901234567890.5, "i": "42"}', '0.1000000000000000000000000000000000001|1.2345678901234567e+19|42', 'digits are kept');
reads('a text, b text, c text, d text', '{"a": 1.50, "b": true, "c": {"x": [1, 2]}, "d": "\\u20ac\\ud83c\\udf0a\\n"}', "1.50|true|{\"x\": [1, 2]}|\x{20ac}\x{1f30a}\n", 'anything as text');
reads('a text[], b int[], c jsonb[], d int[]', '{"a": ["x", null, "y,z"], "b": [[1, 2], [3, 4]], "c": [[1], {"a": 2}], "d": "{5,6}"}', '{x,NULL,"y,z"}|{{1,2},{3,4}}|{[1],"{\\"a\\": 2}"}|{5,6}', 'arrays');
reads('a timestamptz, b timestamp, c timestamptz, d date', '{"a": "2024-05-05T12:00:00.5+02:00", "b": "2024-05-05T12:00:00Z", "c": "2024-05-05 10:00:00Z", "d": "2024-05-05"}', '2024-05-05 10:00:00.5+00|2024-05-05 12:00:00|2024-05-05 10:00:00+00|2024-05-05', 'ISO 8601') if sql('SHOW timezone') =~ /^(GMT|UTC|Etc\/UTC)$/;
reads("a timestamp, b timestamp(0) OPTIONS (timestamp_format 'epoch_s'), c date WITH timestamp_format 'epoch_ms'", '{"a": 1695248342224, "b": 1695248342.7, "c": "2023-09-20"}', '2023-09-20 22:19:02.224|2023-09-20 22:19:03|2023-09-20', 'numbers since 1970');
reads('a int, b text', "\r\n\t {}  \n", '|', 'an empty object, and space around it');
reads('a int, b text WITH format \'csv\'', "7,\"say \"\"hi\"\", world\"\r\n", '7|say "hi", world', 'csv');
reads("a int, o int OPTIONS (metadata 'partition'), b text, c text WITH format 'csv', delimiter ';', quote '''', null 'NIL'", "7;'NIL';NIL", '7|0|NIL|', 'csv with options');
reads("a text WITH format 'raw'", "any \x{1f30a}\ntext", "any \x{1f30a}\ntext", 'raw text');

refuses('"provinceId" int', '{"provinceId": "abc"}', qr/invalid input syntax for type integer: "abc".*column "provinceId", field "provinceId".*topic "one_\d+", partition 0, offset 0/s, 'an error names column, topic, partition and offset');
refuses('a int', '{"a": 1.5}', qr/invalid input syntax for type integer: "1.5"/, 'no silent rounding');
is(sql("SELECT count(*) FROM one"), '1', 'a payload that no column takes is not looked at');
refuses('a smallint', '{"a": 40000}', qr/out of range for type smallint/, 'out of range');
refuses('a int', '{"a": 1', qr/invalid JSON: it ends where "," or "}" is expected/, 'cut off');
refuses('a int', '{"a": 1} x', qr/invalid JSON: the end is expected at byte 9, not "x"/, 'garbage behind the object');
refuses('a int', '[1]', qr/invalid JSON: an object is expected at byte 0/, 'no object');
refuses('a int', '{"a": 01}', qr/invalid JSON: "," or "}" is expected at byte 7/, 'a number that JSON has not');
refuses('a int', '{"b": nul}', qr/invalid JSON: a value is expected/, 'a word that JSON has not');
refuses('a int', '{"b": "\\x"}', qr/invalid JSON: an escape is expected/, 'an escape that JSON has not');
refuses('a text', "{\"a\": \"x\ty\"}", qr/invalid JSON: a character of a string is expected/, 'a bare control character');
refuses('a text', '{"a": "x\\u0000"}', qr/unsupported Unicode escape sequence.*field "a"/s, 'an escaped NUL');
refuses('a text', '{"a": "\\ud83c"}', qr/unsupported Unicode escape sequence/, 'half a character');
refuses('a text', "{\"a\": \"\0\"}", qr/invalid byte sequence for encoding "UTF8": 0x00/, 'a NUL');
{
	my $bytes = "{\"a\": \"\xff\xfe\"}\n";    # the newline makes it travel as hexadecimal
	utf8::downgrade($bytes);
	refuses('a text', $bytes, qr/invalid byte sequence for encoding "UTF8": 0xff/, 'not UTF-8');
}
refuses('a int', '{"b": ' . '[' x 200000, qr/stack depth limit exceeded/, 'absurd depth');
refuses('a int[]', '{"a": [[1], [2, 3]]}', qr/JSON array does not fit a PostgreSQL array/, 'a ragged array');
refuses("a timestamp WITH timestamp_format 'epoch_ms'", '{"a": "soon"}', qr/invalid number of milliseconds since 1970: "soon"/, 'a number of milliseconds that is none');
refuses("a timestamp WITH timestamp_format 'epoch_ms'", '{"a": 999999999999999999}', qr/invalid number of milliseconds since 1970/, 'nor one out of range');
refuses("a int, b int WITH format 'csv'", '1', qr/CSV record has 1 fields, 2 are expected/, 'csv: too few');
refuses("a int WITH format 'csv'", '1,2', qr/extra data after the last of 1 CSV fields/, 'csv: too many');
refuses("a text WITH format 'csv'", '"open', qr/unterminated CSV quoted field/, 'csv: open quote');

# The fast paths for floats, integers, dates and times give what the types' input functions give.
foreign_table('spellings', 'v text', ", format 'raw'");
$kafka->topic('spellings', 1);
sql(q{SELECT setseed(0.25); INSERT INTO spellings
	SELECT format('{"f": %s, "i": %s, "t": "%s", "z": "%3$s%s", "d": "%s"}',
		CASE (random() * 5)::int
			WHEN 0 THEN (random() * 10 ^ ((random() * 20)::int))::text
			WHEN 1 THEN trunc((random() * 1e6)::numeric) || '.' || lpad((random() * 1e18)::numeric(20, 0)::text, 1 + (random() * 12)::int, '0')
			WHEN 2 THEN ((random() * 1e19)::numeric(20, 0))::text
			WHEN 3 THEN '-0.' || repeat('0', (random() * 6)::int) || (random() * 1e12)::bigint
			WHEN 4 THEN ((random() * 2 ^ 53)::numeric(20, 0) + 0.5)::text
			ELSE (9007199254740993 + (random() * 100)::int) || '.' || (ARRAY['0', '5', '50', '500', '25'])[1 + (random() * 4)::int] END,
		((random() - 0.5) * 1.8e19)::numeric(20, 0) % 9223372036854775807,
		date_trunc('second', timestamp '0001-01-01' + random() * interval '9990 years') || CASE WHEN random() < 0.5 THEN '.' || (random() * 999999)::int ELSE '' END,
		(ARRAY['', 'Z', '+02', '-05:30', '+0545'])[1 + (random() * 4)::int], date '0001-01-01' + (random() * 3000000)::int)
	FROM generate_series(1, 20000)});
sql(q{CREATE FOREIGN TABLE spelled (f float8, ft text OPTIONS (field 'f'), i bigint, it text OPTIONS (field 'i'), t timestamp(1), tt text OPTIONS (field 't'),
	z timestamptz, zt text OPTIONS (field 'z'), d date, dt text OPTIONS (field 'd')) SERVER kafka OPTIONS (topic 'spellings')});
is( sql(q{SET timezone = 'Europe/Berlin'; SELECT count(*), count(*) FILTER (WHERE float8send(f) = float8send(ft::float8)), count(*) FILTER (WHERE i = it::bigint),
	count(*) FILTER (WHERE t = tt::timestamp(1)), count(*) FILTER (WHERE z = zt::timestamptz), count(*) FILTER (WHERE d = dt::date) FROM spelled}),
	join('|', (20000) x 6), 'the fast paths are exact');

# In a database of another encoding, topics hold UTF-8 all the same.
sql(q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
$node->safe_psql('latin', q{CREATE EXTENSION tidemark; CREATE SERVER kafka FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers '}
	  . $kafka->address . q{'); CREATE FOREIGN TABLE latin (a text, o bigint OPTIONS (metadata 'offset')) SERVER kafka OPTIONS (topic 'latin')});
$kafka->topic('latin', 1);
foreign_table('latin', 'a text');
$node->safe_psql('latin', q{INSERT INTO latin SELECT 'caf' || chr(233)});
is(sql('SELECT a FROM latin'), 'café', 'written in Latin 1, read in UTF-8');
sql(q{INSERT INTO latin VALUES ('naïve')});
$kafka->produce('latin', ['{"a": "\\u00e9"}']);
is($node->safe_psql('latin', q{SELECT string_agg(ascii(substr(a, 4, 1))::text || ' ' || length(a), ',' ORDER BY o) FROM latin WHERE o < 2}), '233 4,118 5', 'and the other way round');
is($node->safe_psql('latin', q{SELECT ascii(a) FROM latin WHERE o = 2}), '233', 'escaped too');
sql(q{INSERT INTO latin VALUES ('€')});
like(($node->psql('latin', 'SELECT * FROM latin'))[2], qr/character with byte sequence 0xe2 0x82 0xac in encoding "UTF8" has no equivalent in encoding "LATIN1"/, 'what the encoding lacks is an error');

# --- bounds --------------------------------------------------------------------------------------

$kafka->topic('gaps', 1);
foreign_table('gaps', "a int, o bigint OPTIONS (metadata 'offset')");
is(sql('SELECT count(*) FROM gaps'), '0', 'an empty topic');
$kafka->produce('gaps', [ map { "{\"a\": $_}" } 1 .. 3 ], transaction => 'commit');
$kafka->produce('gaps', [ map { "{\"a\": $_}" } 4 .. 6 ], transaction => 'abort');
is(sql('SELECT string_agg(a::text, \',\' ORDER BY o) FROM gaps'), '1,2,3', 'ends behind an aborted transaction');
$kafka->produce('gaps', ['{"a": 7}']);
is(sql('SELECT string_agg(a::text, \',\' ORDER BY o) FROM gaps'), '1,2,3,7', 'reads past it');
$kafka->trim('gaps', 0, 2);
is(sql('SELECT string_agg(a::text, \',\' ORDER BY o) FROM gaps'), '3,7', 'begins where the broker does');
$kafka->trim('gaps', 0, 9);
is(sql('SELECT count(*) FROM gaps'), '0', 'a topic of which all is deleted');

$kafka->topic('loop', 2);
foreign_table('loop', 'a int');
sql('INSERT INTO loop SELECT generate_series(1, 1000)');
sql('INSERT INTO loop SELECT a + 1000 FROM loop') for 1 .. 2;
is(sql('SELECT count(*), count(DISTINCT a) FROM loop'), '4000|3000', 'a scan ends at the end that it found, though its own rows move it');

$kafka->topic('big', 4);
foreign_table('big', "id bigint, payload text, p int OPTIONS (metadata 'partition')", q{, "compression.codec" 'lz4'});
sql("INSERT INTO big SELECT i, repeat(md5(i::text), 4) FROM generate_series(1, 100000) i");
is(sql('SELECT count(*), count(DISTINCT id), sum(id), bool_and(payload = repeat(md5(id::text), 4)) FROM big'), '100000|100000|5000050000|t', 'many records, in and out');
is(sql('BEGIN; DECLARE c CURSOR FOR SELECT id FROM big; MOVE 10 FROM c; COMMIT; SELECT 1'), '1', 'a cursor that is not read to its end');
is(sql("SELECT count(*) FROM (SELECT id FROM big LIMIT 5) x"), '5', 'nor is a scan with a limit');

# --- conditions that bound what is read ----------------------------------------------------------

$kafka->topic('bounded', 3);
foreign_table('bounded', q{a int, p int OPTIONS (metadata 'partition'), o bigint OPTIONS (metadata 'offset'), ts timestamptz OPTIONS (metadata 'timestamp')});
sql(q{INSERT INTO bounded SELECT i, i % 3, NULL, timestamptz '2024-01-01 00:00+00' + i * interval '1 minute' FROM generate_series(0, 2999) i});
for my $condition (
	'p = 1', 'p > 0', '2 > p', 'p = 7', 'o < 10', 'o >= 990', 'o = 5', '5 <= o AND o <= 7 AND p <= 1', 'o = NULL', 'o > 100000',
	"ts >= '2024-01-01 10:00+00'", "ts > '2024-01-02 23:58:30+00'", "ts = '2024-01-01 00:05+00'", "ts < '2024-01-01 01:00+00'",
	'ts > now()', "ts >= '-infinity'", "ts >= 'infinity'", 'o < 9223372036854775807', 'p = 1 AND o BETWEEN 10 AND 12 AND ts > \'2020-01-01\'')
{
	my $bounded = sql("SELECT count(*), sum(a) FROM bounded WHERE $condition");
	my $whole   = sql("WITH whole AS MATERIALIZED (SELECT * FROM bounded) SELECT count(*), sum(a) FROM whole WHERE $condition");

	is($bounded, $whole, "$condition: as without the bound");
}
like(sql(q{EXPLAIN SELECT * FROM bounded WHERE p = 1 AND o > 5 AND ts < now()}), qr/Bounded By: offset, partition|Bounded By: partition, offset/, 'EXPLAIN says what bounds it');
is(sql(q{PREPARE q(int) AS SELECT count(*) FROM bounded WHERE p = $1 AND o < 5; SET plan_cache_mode = force_generic_plan; EXECUTE q(1); EXECUTE q(9)}), "5\n0", 'parameters bound too');
is(sql('SELECT x, (SELECT count(*) FROM bounded WHERE p = x AND o < 7) FROM generate_series(0, 3) x'), "0|7\n1|7\n2|7\n3|0", 'rescans');

# --- COPY, partitions of a table, functions ------------------------------------------------------

$kafka->topic('routed', 1);
sql(q{CREATE TABLE parts (id int, v text) PARTITION BY RANGE (id);
	CREATE TABLE parts_here PARTITION OF parts FOR VALUES FROM (0) TO (10);
	CREATE FOREIGN TABLE parts_there PARTITION OF parts FOR VALUES FROM (10) TO (20) SERVER kafka OPTIONS (topic 'routed');
	INSERT INTO parts SELECT i, 'v' FROM generate_series(5, 14) i});
is(sql('SELECT count(*), count(*) FILTER (WHERE tableoid = \'parts_there\'::regclass) FROM parts'), '10|5', 'rows are routed to a topic');
$node->safe_psql('postgres', "COPY parts_there FROM stdin;\n15\tcopied\n\\.\n");
is(sql(q{SELECT id FROM parts_there WHERE v = 'copied'}), '15', 'COPY produces');
sql(q{CREATE FUNCTION put(int) RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO parts_there VALUES ($1, ''f''); END'; SELECT put(i) FROM generate_series(16, 18) i});
is(sql(q{SELECT count(*) FROM parts_there WHERE v = 'f'}), '3', 'so do functions');
sql(q{BEGIN; INSERT INTO parts_there VALUES (19, 'rolled back'); ROLLBACK});
is(sql(q{SELECT count(*) FROM parts_there WHERE id = 19}), '1', 'a rollback takes nothing back');
is(sql(q{INSERT INTO parts_there VALUES (11, 'r') RETURNING id, v}), '11|r', 'RETURNING');

# --- what goes wrong -----------------------------------------------------------------------------

foreign_table('no_such_topic', 'a int');
like(error_of('SELECT * FROM no_such_topic'), qr/topic "no_such_topic" does not exist.*HINT:  Create it on the broker/s, 'reading a topic that is not there');
like(error_of('INSERT INTO no_such_topic VALUES (1)'), qr/topic "no_such_topic" does not exist/, 'writing one');
like(error_of('INSERT INTO everything (p, id) VALUES (7, 1)'), qr/could not write record 1 to partition 7 of topic "everything": Local: Unknown partition/, 'a partition that is not there');
like(error_of("INSERT INTO everything (o, id) VALUES (7, 1)"), qr/column "o" cannot be written: the broker gives a record its offset/, 'an offset');
like(error_of("INSERT INTO everything (tp, id) VALUES ('elsewhere', 1)"), qr/column "tp" cannot name another topic than "everything"/, 'another topic');
like(error_of("INSERT INTO everything (h, id) VALUES ('[]', 1)"), qr/headers must be a JSON object/, 'headers that are none');
sql(q{ALTER FOREIGN TABLE big OPTIONS (ADD "message.max.bytes" '20000000')});
like(error_of("INSERT INTO big (p, payload) SELECT i % 4, CASE WHEN i = 5 THEN (SELECT string_agg(md5(j::text), '') FROM generate_series(1, 500000) j) ELSE 'x' END FROM generate_series(1, 10) i"),
	qr/could not write record 5 to partition 1 of topic "big": Broker: Message size too large/, 'what the broker refuses, with record and partition');

my $mapping = q{CREATE ROLE reader; GRANT SELECT, INSERT ON loop TO reader; };
sql($mapping);
is(sql('SET ROLE reader; SELECT count(*) > 0 FROM loop'), 't', 'another user reads without a user mapping');

$kafka->pause;
like(error_of('SELECT * FROM loop', "SET statement_timeout = '400ms'; "), qr/canceling statement due to statement timeout/, 'a scan that waits for the broker can be cancelled');
like(error_of('INSERT INTO loop VALUES (1)', "SET statement_timeout = '400ms'; "), qr/canceling statement due to statement timeout/, 'an INSERT too');
{
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'SELECT count(*) FROM loop' ], '>', \my $out, '2>', \my $error);
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'SELECT count(*) FROM loop' AND state = 'active'}), 'a session waits');
	sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT count(*) FROM loop'});
	$session->finish;
	like($error, qr/terminating connection due to administrator command/, 'and ends when it is told to');
}
$kafka->continue;
is(sql('SELECT count(*) >= 4000 FROM loop'), 't', 'all is well when the broker is back');

# Records that the broker deletes before a scan comes to them: an error, not a gap.
sql(q{ALTER FOREIGN TABLE big OPTIONS (ADD "queued.min.messages" '1000', ADD "fetch.message.max.bytes" '10000')});
{
	my ($in, $out, $error) = ('', '', '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$error, IPC::Run::timer(60));
	$in = "BEGIN; DECLARE c CURSOR FOR SELECT id FROM big; MOVE 1 FROM c; SELECT 'started';\n";
	$session->pump until $out =~ /started/ || $error =~ /ERROR/;
	my @ends = $kafka->ends('big');
	$kafka->trim('big', $_, $ends[$_][1] - 10) for 0 .. 3;
	$in .= "MOVE ALL FROM c;\n\\q\n";
	$session->finish;
	like($error, qr/offset \d+ of partition \d of topic "big" is no longer on the broker/, 'records deleted during a scan are an error');
}
is(sql('SELECT count(*) FROM big'), '40', 'the next scan reads what there is');
sql(q{INSERT INTO big SELECT i, repeat(md5(i::text), 4) FROM generate_series(1, 100000) i});

# A broker that goes away in the middle of a scan: an error, never an end.
sql(q{ALTER SERVER kafka OPTIONS (SET broker_timeout '4s')});
{
	my ($in, $out, $error) = ('', '', '');
	my $timer = IPC::Run::timer(60);
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>', \$error, $timer);
	$in = "BEGIN; DECLARE c CURSOR FOR SELECT id FROM big; MOVE 1 FROM c; SELECT 'started';\n";
	$session->pump until $out =~ /started/ || $error =~ /ERROR/;
	$kafka->stop;
	$in .= "MOVE ALL FROM c;\nSELECT 'ended';\n\\q\n";
	$session->finish;
	like($error, qr/could not read topic "big"/, 'a broker that goes away during a scan is an error');
}
like(error_of('SELECT count(*) FROM loop'), qr/could not read topic "loop".*DETAIL:.*(Connection refused|Connect to)/s, 'a broker that is away is said to be');
like(error_of('INSERT INTO loop VALUES (1)'), qr/could not write to topic "loop".*DETAIL:.*(Connection refused|Connect to)/s, 'for INSERT too');
$kafka->restart;
sql(q{ALTER SERVER kafka OPTIONS (SET broker_timeout '20s')});
is(sql('SELECT count(*) >= 4000 FROM loop'), 't', 'and back again');

unlike(slurp_file($node->logfile), qr/PANIC|terminated by signal|server process .* was terminated/, 'no server process crashed');
$node->stop;
done_testing();
