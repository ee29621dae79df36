-- Options of servers, user mappings, foreign tables and columns. No broker is needed.
CREATE EXTENSION tidemark;
CREATE ROLE regress_topic_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER tidemark_kafka TO regress_topic_owner;

-- A server: what it needs, what it takes, what it refuses.
CREATE SERVER kafka FOREIGN DATA WRAPPER tidemark_kafka;
CREATE SERVER kafka FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers '');
CREATE SERVER kafka FOREIGN DATA WRAPPER tidemark_kafka OPTIONS ("bootstrap.servers" 'localhost:1');
CREATE SERVER kafka FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_server 'localhost:1');
CREATE SERVER kafka FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers 'localhost:1');
ALTER SERVER kafka OPTIONS (ADD "security.protocoll" 'ssl');
ALTER SERVER kafka OPTIONS (ADD "security.protocol" 'tls');
ALTER SERVER kafka OPTIONS (ADD "security.protocol" 'sasl_ssl');
ALTER SERVER kafka OPTIONS (ADD "security.protocol" 'sasl_ssl', ADD "sasl.mechanism" 'GSSAPI');
ALTER SERVER kafka OPTIONS (ADD "security.protocol" 'sasl_ssl', ADD "sasl.mechanism" 'SCRAM-SHA-512');
ALTER SERVER kafka OPTIONS (ADD "fetch.max.bytes" 'lots');
ALTER SERVER kafka OPTIONS (ADD "fetch.max.bytes" '1000000', ADD "group.id" 'tidemark');
ALTER SERVER kafka OPTIONS (ADD broker_timeout 'soon');
ALTER SERVER kafka OPTIONS (ADD broker_timeout '2 parsecs');
ALTER SERVER kafka OPTIONS (ADD broker_timeout '1500ms');
ALTER SERVER kafka OPTIONS (ADD topic 'a');
ALTER SERVER kafka OPTIONS (ADD zzzzzzzzzz 'a');

-- Nothing that loads code, runs a command, or takes back a promise.
ALTER SERVER kafka OPTIONS (ADD "plugin.library.paths" '/tmp/x.so');
ALTER SERVER kafka OPTIONS (ADD "ssl.engine.location" '/tmp/x.so');
ALTER SERVER kafka OPTIONS (ADD "ssl.providers" 'legacy');
ALTER SERVER kafka OPTIONS (ADD "sasl.kerberos.kinit.cmd" 'touch /tmp/x');
ALTER SERVER kafka OPTIONS (ADD "sasl.kerberos.principal" '$(touch /tmp/x)');
ALTER SERVER kafka OPTIONS (ADD "offset.store.path" '/tmp/x');
ALTER SERVER kafka OPTIONS (ADD "enable.idempotence" 'false');
ALTER SERVER kafka OPTIONS (ADD "acks" '0');
ALTER SERVER kafka OPTIONS (ADD "enable.auto.commit" 'true');

-- Secrets are for user mappings, and only they.
ALTER SERVER kafka OPTIONS (ADD "sasl.password" 'hush');
CREATE FOREIGN TABLE t (a int) SERVER kafka OPTIONS (topic 't', "sasl.username" 'me');
CREATE USER MAPPING FOR PUBLIC SERVER kafka OPTIONS ("sasl.username" 'me', "sasl.password" 'hush');
ALTER USER MAPPING FOR PUBLIC SERVER kafka OPTIONS (ADD "sasl.passwort" 'hush');
ALTER USER MAPPING FOR PUBLIC SERVER kafka OPTIONS (ADD "security.protocol" 'plaintext');
ALTER USER MAPPING FOR PUBLIC SERVER kafka OPTIONS (ADD bootstrap_servers 'elsewhere:9092');

-- Options that make the server read a file need the right to.
GRANT USAGE ON FOREIGN SERVER kafka TO regress_topic_owner;
SET ROLE regress_topic_owner;
CREATE SERVER mine FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers 'localhost:1', "ssl.ca.location" '/etc/passwd');
CREATE USER MAPPING FOR CURRENT_USER SERVER kafka OPTIONS ("ssl.key.location" '/etc/passwd');
CREATE USER MAPPING FOR CURRENT_USER SERVER kafka OPTIONS ("ssl.keystore.location" '/etc/passwd');
-- Others' secrets stay theirs.
SELECT srvname, umoptions FROM pg_user_mappings WHERE srvname = 'kafka';
RESET ROLE;
GRANT pg_read_server_files TO regress_topic_owner;
SET ROLE regress_topic_owner;
CREATE SERVER mine FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers 'localhost:1', "ssl.ca.location" '/etc/passwd');
DROP SERVER mine;
RESET ROLE;

-- A foreign table.
CREATE FOREIGN TABLE t (a int) SERVER kafka;
CREATE FOREIGN TABLE t (a int) SERVER kafka OPTIONS (topik 't');
CREATE FOREIGN TABLE t (a int) SERVER kafka OPTIONS (topic 'no/such name');
CREATE FOREIGN TABLE t (a int) SERVER kafka OPTIONS (topic 't', format 'xml');
CREATE FOREIGN TABLE t (a int) SERVER kafka OPTIONS (topic 't', timestamp_format 'roman');
CREATE FOREIGN TABLE t (a int) SERVER kafka OPTIONS (topic 't', format 'csv', delimiter '::');
CREATE FOREIGN TABLE t (a int) SERVER kafka OPTIONS (topic 't', "security.protocol" 'plaintext');
CREATE FOREIGN TABLE t (a int) SERVER kafka OPTIONS (topic 't', "compression.codec" 'zip');
CREATE FOREIGN TABLE t (a int) SERVER kafka OPTIONS (topic 't', "compression.codec" 'lz4', timestamp_format 'epoch_ms');

-- Its columns.
CREATE FOREIGN TABLE c (a int OPTIONS (feild 'x')) SERVER kafka OPTIONS (topic 't');
CREATE FOREIGN TABLE c (a int OPTIONS (field 'x..y')) SERVER kafka OPTIONS (topic 't');
CREATE FOREIGN TABLE c (a int OPTIONS (metadata 'ofset')) SERVER kafka OPTIONS (topic 't');
CREATE FOREIGN TABLE c (a int OPTIONS (metadata 'offset', field 'x')) SERVER kafka OPTIONS (topic 't');
CREATE FOREIGN TABLE c (a int OPTIONS (topic 'x')) SERVER kafka OPTIONS (topic 't');

-- What can only be seen when the table is used.
CREATE FOREIGN TABLE c (a text OPTIONS (metadata 'offset')) SERVER kafka OPTIONS (topic 't');
SELECT * FROM c;
INSERT INTO c VALUES ('1');
CREATE FOREIGN TABLE r (a text, b text) SERVER kafka OPTIONS (topic 't', format 'raw');
SELECT * FROM r;
INSERT INTO r VALUES ('a', 'b');
CREATE FOREIGN TABLE f (a int, b int OPTIONS (field 'a.b')) SERVER kafka OPTIONS (topic 't');
INSERT INTO f VALUES (1, 2);
CREATE FOREIGN TABLE k (a int) SERVER kafka OPTIONS (topic 't', key_column 'b');
INSERT INTO k VALUES (1);
UPDATE t SET a = 2;
DELETE FROM t;
INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING;

-- The wrapper has no options. A broker that is away is said to be.
ALTER FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (ADD a 'b');
CREATE SERVER away FOREIGN DATA WRAPPER tidemark_kafka OPTIONS (bootstrap_servers '127.0.0.1:1', broker_timeout '300ms', log_level '0');
CREATE FOREIGN TABLE away (a int) SERVER away OPTIONS (topic 't');
EXPLAIN (COSTS OFF) SELECT * FROM away;
EXPLAIN (COSTS OFF) INSERT INTO away VALUES (1);
\set VERBOSITY terse
SELECT * FROM away;
INSERT INTO away VALUES (1);
\set VERBOSITY default

\set VERBOSITY terse
DROP EXTENSION tidemark CASCADE;
DROP OWNED BY regress_topic_owner;
DROP ROLE regress_topic_owner;
