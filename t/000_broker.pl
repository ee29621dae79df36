# The brokers that the other tests use keep what they promise: acknowledged records survive a stop and a kill.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkKafka;

my $kafka = TidemarkKafka->start;

$kafka->topic('payment_msg', 2);
my ($good, $garbage) = $kafka->payments('payment_msg', records => 1000, garbage => 10);
is($good + $garbage, 1000, 'every record is counted');
ok($garbage > 50 && $garbage < 200, 'about a tenth is garbage');
is_deeply([ $kafka->ends('payment_msg') ], [ [ 0, 500 ], [ 0, 500 ] ], 'they are spread over the partitions');

$kafka->stop;
$kafka->restart;
is_deeply([ $kafka->ends('payment_msg') ], [ [ 0, 500 ], [ 0, 500 ] ], 'a stop keeps them');

$kafka->produce('payment_msg', [ 'one', undef, "a\nb\0c" ], partition => 1);
$kafka->kill9;
$kafka->restart;
is_deeply([ $kafka->ends('payment_msg') ], [ [ 0, 500 ], [ 0, 503 ] ], 'a kill keeps acknowledged ones');

$kafka->add_partitions('payment_msg', 3);
$kafka->produce('payment_msg', ['7|{"provinceId": 7}'], partition => 2, key => '|');
$kafka->trim('payment_msg', 0, 100);
is_deeply(
	[ $kafka->ends('payment_msg') ],
	[ [ 100, 500 ], [ 0, 503 ], [ 0, 1 ] ],
	'partitions are added, records trimmed');

eval { $kafka->produce('no_such_topic', ['x']) };
like($@, qr/topic "no_such_topic" does not exist/, 'a topic that is not there is an error');

done_testing();
