# A cluster that asks who one is: secrets come from the user mapping of whoever reads, and show up nowhere.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use TidemarkKafka;

my $kafka = TidemarkKafka->start;
$kafka->topic('vault', 2);
$kafka->produce('vault', [ '{"a": 1}', '{"a": 2}' ]);

# A second way in, with user and password.
my $root = $ENV{TIDEMARK_ROOT} // '.';
chomp(my $port = `$root/scripts/kafka client free-port`);
my $address = '127.0.0.1:' . $port;
$kafka->stop;
my $properties = slurp_file("$kafka->{dir}/server.properties");
my ($listeners) = $properties =~ /^listeners=(.*)$/m;
append_to_file("$kafka->{dir}/server.properties", <<"PROPERTIES");
listeners=$listeners,SASL_PLAINTEXT://$address
advertised.listeners=SASL_PLAINTEXT://$address,PLAINTEXT://@{[ $kafka->address ]}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="alices-secret";
PROPERTIES
$kafka->restart;

my $node = TidemarkKafka::new_node('main', "log_statement = none\n");
$node->safe_psql('postgres', qq{
	CREATE SERVER kafka FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers '$address', broker_timeout '20s',
		"security.protocol" 'sasl_plaintext', "sasl.mechanism" 'PLAIN');
	CREATE FOREIGN TABLE vault (a int) SERVER kafka OPTIONS (topic 'vault');
	CREATE ROLE alice LOGIN; CREATE ROLE mallory LOGIN; CREATE ROLE nobody LOGIN;
	GRANT SELECT, INSERT ON vault TO alice, mallory, nobody;
	CREATE USER MAPPING FOR alice SERVER kafka OPTIONS ("sasl.username" 'alice', "sasl.password" 'alices-secret');
	CREATE USER MAPPING FOR mallory SERVER kafka OPTIONS ("sasl.username" 'alice', "sasl.password" 'a-guessed-secret');
	CREATE VIEW lent AS SELECT a FROM vault;
	ALTER VIEW lent OWNER TO alice;
	GRANT SELECT ON lent TO nobody;});

# Status, output and error of a statement under a role.
sub as
{
	my ($role, $query) = @_;
	return $node->psql('postgres', "SET ROLE $role; $query");
}

is((as('alice', 'SELECT count(*) FROM vault'))[1], '2', 'with the right secret one reads');
is((as('alice', 'INSERT INTO vault VALUES (3)'))[0], 0, 'and writes');
is((as('nobody', 'SELECT count(*) FROM lent'))[1], '3', "a view reads with its owner's secret");

for my $query ('SELECT count(*) FROM vault', 'INSERT INTO vault VALUES (4)')
{
	my $started = time;
	my (undef, undef, $error) = as('mallory', $query);

	like($error, qr/could not (read|write to) topic "vault".*Authentication failed/s, "a wrong secret: $query");
	unlike($error, qr/guessed/, 'the error does not repeat it');
	cmp_ok(time - $started, '<', 15, 'nor does it wait for what cannot come');
}
like((as('nobody', 'SELECT count(*) FROM vault'))[2], qr/could not read topic "vault"|could not create a Kafka client/, 'without a user mapping');
is((as('nobody', q{SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL}))[1], '0', "others' mappings are not shown");

$node->safe_psql('postgres', 'SELECT 1');
unlike(slurp_file($node->logfile), qr/alices-secret|guessed-secret/, "the server's log has none of the secrets");
$node->stop;
done_testing();
