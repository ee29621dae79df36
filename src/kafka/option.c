/*
 * option.c: which options tidemark_kafka takes, where, and what they mean.
 *
 * One table names every option with the objects that may carry it. What is not in the table is
 * refused: librdkafka has properties that load libraries (plugin.library.paths,
 * ssl.engine.location), run commands (sasl.kerberos.kinit.cmd, into which the other Kerberos
 * properties are pasted), or write files, and whoever may create a server may not therefore run
 * code as the server's operating-system user.
 *
 * - A secret is accepted in a user mapping only, where pg_user_mappings hides it from others;
 *   anything else about security is accepted on the server only, so that a user mapping can't
 *   weaken it.
 * - A property that reads a file of the server is for superusers and members of
 *   pg_read_server_files.
 * - What makes the promises of this extension (acknowledgements, idempotence, offsets, logs) is set
 *   by client.c and can't be given at all.
 *
 * Values of properties are tried on a scratch configuration by librdkafka itself.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "kafka/option.h"

/* Objects that may carry an option. */
#define ON_SERVER 0x01
#define ON_USER 0x02
#define ON_TABLE 0x04
#define ON_COLUMN 0x08

/* What an option is. */
#define OURS 0x00	  /* not a property of librdkafka */
#define CONSUMER 0x01 /* a property of consumers */
#define PRODUCER 0x02 /* a property of producers */
#define BOTH (CONSUMER | PRODUCER)
#define SECRET 0x04 /* its value is shown to nobody */
#define FILES 0x08	/* makes the server read a file */

typedef struct KafkaOption
{
	const char *name;
	int objects;
	int flags;
} KafkaOption;

static const KafkaOption kafka_options[] = {
	{"bootstrap_servers", ON_SERVER, OURS},
	{"broker_timeout", ON_SERVER | ON_TABLE, OURS},
	{"topic", ON_TABLE, OURS},
	{"format", ON_TABLE, OURS},
	{"timestamp_format", ON_TABLE | ON_COLUMN, OURS},
	{"key_column", ON_TABLE, OURS},
	{"delimiter", ON_TABLE, OURS},
	{"quote", ON_TABLE, OURS},
	{"escape", ON_TABLE, OURS},
	{"null", ON_TABLE, OURS},
	{"field", ON_COLUMN, OURS},
	{"metadata", ON_COLUMN, OURS},

	/* connections */
	{"client.id", ON_SERVER | ON_TABLE, BOTH},
	{"client.rack", ON_SERVER, BOTH},
	{"message.max.bytes", ON_SERVER | ON_TABLE, BOTH},
	{"receive.message.max.bytes", ON_SERVER | ON_TABLE, BOTH},
	{"max.in.flight.requests.per.connection", ON_SERVER | ON_TABLE, BOTH},
	{"topic.metadata.refresh.interval.ms", ON_SERVER | ON_TABLE, BOTH},
	{"metadata.max.age.ms", ON_SERVER | ON_TABLE, BOTH},
	{"topic.metadata.propagation.max.ms", ON_SERVER | ON_TABLE, BOTH},
	{"allow.auto.create.topics", ON_SERVER | ON_TABLE, BOTH},
	{"socket.timeout.ms", ON_SERVER, BOTH},
	{"socket.send.buffer.bytes", ON_SERVER, BOTH},
	{"socket.receive.buffer.bytes", ON_SERVER, BOTH},
	{"socket.keepalive.enable", ON_SERVER, BOTH},
	{"socket.nagle.disable", ON_SERVER, BOTH},
	{"socket.max.fails", ON_SERVER, BOTH},
	{"socket.connection.setup.timeout.ms", ON_SERVER, BOTH},
	{"broker.address.ttl", ON_SERVER, BOTH},
	{"broker.address.family", ON_SERVER, BOTH},
	{"connections.max.idle.ms", ON_SERVER, BOTH},
	{"reconnect.backoff.ms", ON_SERVER, BOTH},
	{"reconnect.backoff.max.ms", ON_SERVER, BOTH},
	{"api.version.request", ON_SERVER, BOTH},
	{"api.version.request.timeout.ms", ON_SERVER, BOTH},
	{"api.version.fallback.ms", ON_SERVER, BOTH},
	{"broker.version.fallback", ON_SERVER, BOTH},
	{"log_level", ON_SERVER, BOTH},
	{"log.connection.close", ON_SERVER, BOTH},
	{"debug", ON_SERVER, BOTH},

	/* security */
	{"security.protocol", ON_SERVER, BOTH},
	{"ssl.cipher.suites", ON_SERVER, BOTH},
	{"ssl.curves.list", ON_SERVER, BOTH},
	{"ssl.sigalgs.list", ON_SERVER, BOTH},
	{"ssl.ca.location", ON_SERVER, BOTH | FILES},
	{"ssl.ca.pem", ON_SERVER, BOTH},
	{"ssl.crl.location", ON_SERVER, BOTH | FILES},
	{"ssl.certificate.location", ON_SERVER | ON_USER, BOTH | FILES},
	{"ssl.certificate.pem", ON_SERVER | ON_USER, BOTH},
	{"ssl.key.location", ON_SERVER | ON_USER, BOTH | FILES},
	{"ssl.keystore.location", ON_SERVER | ON_USER, BOTH | FILES},
	{"ssl.key.password", ON_USER, BOTH | SECRET},
	{"ssl.key.pem", ON_USER, BOTH | SECRET},
	{"ssl.keystore.password", ON_USER, BOTH | SECRET},
	{"enable.ssl.certificate.verification", ON_SERVER, BOTH},
	{"ssl.endpoint.identification.algorithm", ON_SERVER, BOTH},
	{"sasl.mechanism", ON_SERVER, BOTH},
	{"sasl.mechanisms", ON_SERVER, BOTH},
	{"sasl.username", ON_USER, BOTH | SECRET},
	{"sasl.password", ON_USER, BOTH | SECRET},
	{"sasl.oauthbearer.method", ON_SERVER, BOTH},
	{"sasl.oauthbearer.client.id", ON_SERVER | ON_USER, BOTH},
	{"sasl.oauthbearer.client.secret", ON_USER, BOTH | SECRET},
	{"sasl.oauthbearer.config", ON_USER, BOTH | SECRET},
	{"sasl.oauthbearer.scope", ON_SERVER, BOTH},
	{"sasl.oauthbearer.extensions", ON_SERVER, BOTH},
	{"sasl.oauthbearer.token.endpoint.url", ON_SERVER, BOTH},
	{"enable.sasl.oauthbearer.unsecure.jwt", ON_SERVER, BOTH},

	/* reading */
	{"group.id", ON_SERVER | ON_TABLE, CONSUMER},
	{"queued.min.messages", ON_SERVER | ON_TABLE, CONSUMER},
	{"queued.max.messages.kbytes", ON_SERVER | ON_TABLE, CONSUMER},
	{"fetch.wait.max.ms", ON_SERVER | ON_TABLE, CONSUMER},
	{"fetch.message.max.bytes", ON_SERVER | ON_TABLE, CONSUMER},
	{"max.partition.fetch.bytes", ON_SERVER | ON_TABLE, CONSUMER},
	{"fetch.max.bytes", ON_SERVER | ON_TABLE, CONSUMER},
	{"fetch.min.bytes", ON_SERVER | ON_TABLE, CONSUMER},
	{"fetch.error.backoff.ms", ON_SERVER | ON_TABLE, CONSUMER},
	{"isolation.level", ON_SERVER | ON_TABLE, CONSUMER},
	{"check.crcs", ON_SERVER | ON_TABLE, CONSUMER},

	/* writing */
	{"queue.buffering.max.messages", ON_SERVER | ON_TABLE, PRODUCER},
	{"queue.buffering.max.kbytes", ON_SERVER | ON_TABLE, PRODUCER},
	{"queue.buffering.max.ms", ON_SERVER | ON_TABLE, PRODUCER},
	{"linger.ms", ON_SERVER | ON_TABLE, PRODUCER},
	{"retry.backoff.ms", ON_SERVER | ON_TABLE, PRODUCER},
	{"compression.codec", ON_SERVER | ON_TABLE, PRODUCER},
	{"compression.type", ON_SERVER | ON_TABLE, PRODUCER},
	{"compression.level", ON_SERVER | ON_TABLE, PRODUCER},
	{"batch.num.messages", ON_SERVER | ON_TABLE, PRODUCER},
	{"batch.size", ON_SERVER | ON_TABLE, PRODUCER},
	{"sticky.partitioning.linger.ms", ON_SERVER | ON_TABLE, PRODUCER},
	{"request.timeout.ms", ON_SERVER | ON_TABLE, PRODUCER},
	{"message.timeout.ms", ON_SERVER | ON_TABLE, PRODUCER},
	{"delivery.timeout.ms", ON_SERVER | ON_TABLE, PRODUCER},
	{"partitioner", ON_SERVER | ON_TABLE, PRODUCER},
};

/* The words that an option takes, with what they stand for. */
typedef struct OptionWord
{
	const char *word;
	int meaning;
} OptionWord;

static const OptionWord format_words[] = {
	{"json", FORMAT_JSON}, {"csv", FORMAT_CSV}, {"raw", FORMAT_RAW}, {NULL, 0}};

static const OptionWord timestamp_words[] = {
	{"iso", TIMESTAMP_ISO},			  {"sql", TIMESTAMP_SQL},
	{"epoch_s", TIMESTAMP_EPOCH_S},	  {"epoch_ms", TIMESTAMP_EPOCH_MS},
	{"epoch_us", TIMESTAMP_EPOCH_US}, {NULL, 0}};

static const OptionWord metadata_words[] = {{"key", METADATA_KEY},
											{"topic", METADATA_TOPIC},
											{"partition", METADATA_PARTITION},
											{"offset", METADATA_OFFSET},
											{"timestamp", METADATA_TIMESTAMP},
											{"headers", METADATA_HEADERS},
											{NULL, 0}};

static const OptionWord sasl_words[] = {
	{"PLAIN", 0}, {"SCRAM-SHA-256", 0}, {"SCRAM-SHA-512", 0}, {"OAUTHBEARER", 0}, {NULL, 0}};

#define DEFAULT_BROKER_TIMEOUT_MS 10000

PG_FUNCTION_INFO_V1(tidemark_kafka_validator);

static const KafkaOption *
option_find(const char *name)
{
	for (int i = 0; i < lengthof(kafka_options); i++)
	{
		if (strcmp(kafka_options[i].name, name) == 0)
			return &kafka_options[i];
	}
	return NULL;
}

/* The bit of the object whose catalogue it is; 0 for the wrapper itself. */
static int
object_bit(Oid catalog)
{
	switch (catalog)
	{
		case ForeignServerRelationId:
			return ON_SERVER;
		case UserMappingRelationId:
			return ON_USER;
		case ForeignTableRelationId:
			return ON_TABLE;
		case AttributeRelationId:
			return ON_COLUMN;
		default:
			return 0;
	}
}

static const char *
objects_text(int objects)
{
	StringInfoData text;

	initStringInfo(&text);
	if (objects & ON_SERVER)
		appendStringInfoString(&text, "the server");
	if (objects & ON_USER)
		appendStringInfo(&text, "%sthe user mapping", text.len ? " or " : "");
	if (objects & ON_TABLE)
		appendStringInfo(&text, "%sthe foreign table", text.len ? " or " : "");
	if (objects & ON_COLUMN)
		appendStringInfo(&text, "%sa column of the foreign table", text.len ? " or " : "");
	return text.data;
}

/* The option of these objects with the name nearest to the wrong one, NULL if none is near. */
static const char *
nearest_option(const char *name, int object)
{
	const char *nearest = NULL;
	int allowed = Max(2, (int) strlen(name) / 3);

	if (strlen(name) > 100)
		return NULL;
	for (int i = 0; i < lengthof(kafka_options); i++)
	{
		const char *candidate = kafka_options[i].name;
		int distance;

		if ((kafka_options[i].objects & object) == 0)
			continue;
		distance = varstr_levenshtein_less_equal(name, strlen(name), candidate, strlen(candidate),
												 1, 1, 1, allowed, true);
		if (distance <= allowed)
		{
			nearest = candidate;
			allowed = distance - 1;
		}
		if (allowed < 0)
			break;
	}
	return nearest;
}

static void
refuse_unknown(const char *name, int object)
{
	const char *nearest = nearest_option(name, object);

	if (strcmp(name, "bootstrap.servers") == 0 || strcmp(name, "metadata.broker.list") == 0)
		nearest = "bootstrap_servers";
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME), errmsg("invalid option \"%s\"", name),
					nearest	 ? errhint("Perhaps you meant the option \"%s\".", nearest)
					: object ? errhint("Options of a foreign table, a column, a server and a user "
									   "mapping differ; see the reference for those of each.")
							 : errhint("The foreign-data wrapper itself has no options.")));
}

static void
refuse_misplaced(const KafkaOption *option, int object)
{
	if (option->flags & SECRET)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("option \"%s\" is a secret and belongs to a user mapping", option->name),
				 errhint("Use CREATE USER MAPPING FOR … SERVER … OPTIONS (\"%s\" '…'): "
						 "other users can't read it there.",
						 option->name)));
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					errmsg("option \"%s\" does not belong to %s", option->name,
						   object ? objects_text(object) : "the foreign-data wrapper"),
					errhint("Set it on %s.", objects_text(option->objects))));
}

static int
option_word(const DefElem *def, const OptionWord *words)
{
	const char *value = defGetString((DefElem *) def);
	StringInfoData all;

	for (const OptionWord *w = words; w->word; w++)
	{
		if (pg_strcasecmp(value, w->word) == 0)
			return w->meaning;
	}

	initStringInfo(&all);
	for (const OptionWord *w = words; w->word; w++)
		appendStringInfo(&all, "%s\"%s\"", all.len ? ", " : "", w->word);
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("invalid value for option \"%s\": \"%s\"", def->defname, value),
					errhint("Valid values are %s.", all.data)));
	return 0; /* not reached */
}

/* One ASCII character that can't be mistaken for the end of a line. */
static char
option_character(const DefElem *def)
{
	const char *value = defGetString((DefElem *) def);

	if (strlen(value) != 1 || IS_HIGHBIT_SET(value[0]) || value[0] == '\n' || value[0] == '\r')
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("option \"%s\" must be a single one-byte character", def->defname)));
	return value[0];
}

static int
option_milliseconds(const DefElem *def)
{
	const char *value = defGetString((DefElem *) def);
	const char *hint = NULL;
	int ms;

	if (!parse_int(value, &ms, GUC_UNIT_MS, &hint) || ms <= 0)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("invalid value for option \"%s\": \"%s\"", def->defname, value),
						hint ? errhint("%s", _(hint))
							 : errhint("It is a duration such as \"10s\" or \"1500ms\".")));
	return ms;
}

static void
check_field(const DefElem *def)
{
	const char *value = defGetString((DefElem *) def);
	size_t len = strlen(value);

	if (len == 0 || value[0] == '.' || value[len - 1] == '.' || strstr(value, "..") != NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("invalid value for option \"field\": \"%s\"", value),
						errhint("It is the field's name, or a path of names such as \"a.b\".")));
}

static void
check_topic(const DefElem *def)
{
	const char *value = defGetString((DefElem *) def);
	size_t len = strlen(value);

	if (len == 0 || len > 249 || strcmp(value, ".") == 0 || strcmp(value, "..") == 0 ||
		strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != len)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("invalid topic name \"%s\"", value),
						errhint("A topic's name has up to 249 ASCII letters, digits, \".\", \"_\" "
								"and \"-\".")));
}

/* An option of our own: its value is checked by reading it. */
static void
check_our_value(const DefElem *def)
{
	const char *name = def->defname;

	if (strcmp(name, "format") == 0)
		option_word(def, format_words);
	else if (strcmp(name, "timestamp_format") == 0)
		option_word(def, timestamp_words);
	else if (strcmp(name, "metadata") == 0)
		option_word(def, metadata_words);
	else if (strcmp(name, "broker_timeout") == 0)
		option_milliseconds(def);
	else if (strcmp(name, "field") == 0)
		check_field(def);
	else if (strcmp(name, "topic") == 0)
		check_topic(def);
	else if (strcmp(name, "delimiter") == 0 || strcmp(name, "quote") == 0 ||
			 strcmp(name, "escape") == 0)
		option_character(def);
	else if (strcmp(name, "bootstrap_servers") == 0 && defGetString((DefElem *) def)[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("option \"bootstrap_servers\" is empty"),
						errhint("List brokers as \"host:port, host:port\".")));
}

/* A property: librdkafka says whether it takes the value. */
static void
check_property_value(const DefElem *def, rd_kafka_conf_t *scratch, bool secret)
{
	char error[512];

	if (strcmp(def->defname, "sasl.mechanism") == 0 || strcmp(def->defname, "sasl.mechanisms") == 0)
		option_word(def, sasl_words); /* GSSAPI would run kinit */
	if (rd_kafka_conf_set(scratch, def->defname, defGetString((DefElem *) def), error,
						  sizeof(error)) == RD_KAFKA_CONF_OK)
		return;
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("invalid value for option \"%s\"", def->defname),
					secret ? 0 : errdetail("%s", error)));
}

static void
check_may_read_files(const KafkaOption *option)
{
	if (has_privs_of_role(GetUserId(), ROLE_PG_READ_SERVER_FILES))
		return;
	ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					errmsg("permission denied to set option \"%s\"", option->name),
					errdetail("It makes the server read a file, for which only superusers and "
							  "members of pg_read_server_files have the right."),
					strstr(option->name, "keystore")
						? 0
						: errhint("The same can be given in the option's place as text: see "
								  "ssl.ca.pem, ssl.certificate.pem and ssl.key.pem.")));
}

static void
check_option(const DefElem *def, int object, rd_kafka_conf_t *scratch)
{
	const KafkaOption *option = option_find(def->defname);

	if (option == NULL)
		refuse_unknown(def->defname, object);
	if ((option->objects & object) == 0)
		refuse_misplaced(option, object);
	if (option->flags & FILES)
		check_may_read_files(option);
	if (option->flags & BOTH)
		check_property_value(def, scratch, (option->flags & SECRET) != 0);
	else
		check_our_value(def);
}

static DefElem *
list_option(List *options, const char *name)
{
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *def = lfirst_node(DefElem, cell);

		if (strcmp(def->defname, name) == 0)
			return def;
	}
	return NULL;
}

/* Options without which, or with which together, an object makes no sense. */
static void
check_combination(List *options, int object)
{
	const char *needed = object == ON_SERVER  ? "bootstrap_servers"
						 : object == ON_TABLE ? "topic"
											  : NULL;
	DefElem *protocol = list_option(options, "security.protocol");

	if (needed && list_option(options, needed) == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
						errmsg("option \"%s\" is missing", needed),
						errhint("Add OPTIONS (%s '…').", needed)));
	if (object == ON_COLUMN && list_option(options, "metadata") && list_option(options, "field"))
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("a column takes either a field of the payload or a part of the metadata"),
				 errhint("Drop the option \"field\" or the option \"metadata\".")));
	if (protocol && pg_strncasecmp(defGetString(protocol), "sasl", 4) == 0 &&
		!list_option(options, "sasl.mechanism") && !list_option(options, "sasl.mechanisms"))
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
						errmsg("option \"sasl.mechanism\" is missing"),
						errhint("Valid values are \"PLAIN\", \"SCRAM-SHA-256\", \"SCRAM-SHA-512\", "
								"\"OAUTHBEARER\".")));
}

Datum
tidemark_kafka_validator(PG_FUNCTION_ARGS)
{
	List *options = untransformRelOptions(PG_GETARG_DATUM(0));
	int object = object_bit(PG_GETARG_OID(1));
	rd_kafka_conf_t *scratch = rd_kafka_conf_new();

	PG_TRY();
	{
		ListCell *cell;

		foreach (cell, options)
			check_option(lfirst_node(DefElem, cell), object, scratch);
		check_combination(options, object);
	}
	PG_FINALLY();
	{
		rd_kafka_conf_destroy(scratch);
	}
	PG_END_TRY();
	PG_RETURN_VOID();
}

void
topic_options_get(Oid foreign_table, TopicOptions *options)
{
	ForeignTable *table = GetForeignTable(foreign_table);
	bool escape_given = false;
	ListCell *cell;

	*options = (TopicOptions){
		.format = FORMAT_JSON, .delimiter = ',', .quote = '"', .escape = '"', .null_text = ""};
	foreach (cell, table->options)
	{
		DefElem *def = lfirst_node(DefElem, cell);
		const char *name = def->defname;

		if (strcmp(name, "topic") == 0)
			options->topic = defGetString(def);
		else if (strcmp(name, "format") == 0)
			options->format = option_word(def, format_words);
		else if (strcmp(name, "timestamp_format") == 0)
			options->timestamp_format = option_word(def, timestamp_words);
		else if (strcmp(name, "key_column") == 0)
			options->key_column = defGetString(def);
		else if (strcmp(name, "delimiter") == 0)
			options->delimiter = option_character(def);
		else if (strcmp(name, "quote") == 0)
			options->quote = option_character(def);
		else if (strcmp(name, "escape") == 0)
		{
			options->escape = option_character(def);
			escape_given = true;
		}
		else if (strcmp(name, "null") == 0)
			options->null_text = defGetString(def);
	}
	if (!escape_given)
		options->escape = options->quote;
	if (options->topic == NULL)
		ereport(ERROR, (errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
						errmsg("foreign table \"%s\" has no option \"topic\"",
							   get_rel_name(foreign_table))));
}

void
column_options_get(Oid foreign_table, AttrNumber attnum, const TopicOptions *table,
				   ColumnOptions *options)
{
	ListCell *cell;

	*options = (ColumnOptions){.timestamp_format = table->timestamp_format};
	foreach (cell, GetForeignColumnOptions(foreign_table, attnum))
	{
		DefElem *def = lfirst_node(DefElem, cell);

		if (strcmp(def->defname, "field") == 0)
			options->field = defGetString(def);
		else if (strcmp(def->defname, "metadata") == 0)
			options->metadata = option_word(def, metadata_words);
		else if (strcmp(def->defname, "timestamp_format") == 0)
			options->timestamp_format = option_word(def, timestamp_words);
	}
}

int
broker_timeout_get(Oid foreign_table)
{
	ForeignTable *table = GetForeignTable(foreign_table);
	DefElem *def = list_option(table->options, "broker_timeout");

	if (def == NULL)
		def = list_option(GetForeignServer(table->serverid)->options, "broker_timeout");
	return def ? option_milliseconds(def) : DEFAULT_BROKER_TIMEOUT_MS;
}

/* The options of userid's mapping, or of PUBLIC's; a cluster without secrets needs none. */
static List *
user_mapping_options(Oid userid, Oid serverid)
{
	HeapTuple tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(userid),
									  ObjectIdGetDatum(serverid));
	List *options = NIL;
	Datum datum;
	bool isnull;

	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid),
								ObjectIdGetDatum(serverid));
	if (!HeapTupleIsValid(tuple))
		return NIL;
	datum = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		options = untransformRelOptions(datum);
	ReleaseSysCache(tuple);
	return options;
}

static void
property_set(rd_kafka_conf_t *conf, const char *name, const char *value, bool secret)
{
	char error[512];

	if (rd_kafka_conf_set(conf, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK)
		ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
						errmsg("invalid value for option \"%s\"", name),
						secret ? 0 : errdetail("%s", error)));
}

static void
properties_apply_list(rd_kafka_conf_t *conf, rd_kafka_type_t type, List *options)
{
	int kind = type == RD_KAFKA_CONSUMER ? CONSUMER : PRODUCER;
	ListCell *cell;

	foreach (cell, options)
	{
		DefElem *def = lfirst_node(DefElem, cell);
		const KafkaOption *option = option_find(def->defname);

		if (strcmp(def->defname, "bootstrap_servers") == 0)
			property_set(conf, "bootstrap.servers", defGetString(def), false);
		else if (option && (option->flags & kind))
			property_set(conf, def->defname, defGetString(def), (option->flags & SECRET) != 0);
	}
}

void
kafka_properties_apply(rd_kafka_conf_t *conf, rd_kafka_type_t type, Oid foreign_table, Oid userid)
{
	ForeignTable *table = GetForeignTable(foreign_table);
	ForeignServer *server = GetForeignServer(table->serverid);

	properties_apply_list(conf, type, server->options);
	properties_apply_list(conf, type, table->options);
	properties_apply_list(conf, type, user_mapping_options(userid, server->serverid));
}

bool
kafka_property_given(Oid foreign_table, Oid userid, const char *name)
{
	ForeignTable *table = GetForeignTable(foreign_table);
	ForeignServer *server = GetForeignServer(table->serverid);

	return list_option(table->options, name) || list_option(server->options, name) ||
		   list_option(user_mapping_options(userid, server->serverid), name);
}
