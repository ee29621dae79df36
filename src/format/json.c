/*
 * json.c: a JSON object to columns, in one pass.
 *
 * The scanner checks the whole payload (RFC 8259; one object and nothing after it) and remembers
 * where the fields lie that some column takes: a span of the payload each. Only then are values
 * made of the spans. So a repeated field costs nothing and its last value counts, and syntax errors
 * come before those of values.
 *
 * Fields are found by name in a tree, for paths such as "a.b" have levels. Producers write the
 * fields of every record in the same order, so each level keeps, for the i-th field, what the i-th
 * field of the record before was called and where it led: most lookups are one memcmp.
 *
 *	{"createTime": "2023-09-20 22:19:02.224", "order": {"id": 7}}
 *	  ^ seen[0]                                 ^ seen[1] -> node "order", its own seen[0] -> "id"
 *
 * The payload is checked as UTF-8 (and converted where the server's encoding is another) before the
 * scan, so spans are valid text; NUL can't occur in it, and \u0000 is refused where a value is made
 * of it.
 */
#include "tidemark.h"

#include "catalog/pg_collation.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/formatting.h"

#include "format/payload.h"

typedef enum JsonKind
{
	JSON_ABSENT,
	JSON_NULL,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_OBJECT,
	JSON_LIST
} JsonKind;

/* Where a value lies: strings with their quotes. */
typedef struct JsonSpan
{
	const char *start;
	size_t length;
	JsonKind kind;
	bool escaped;	/* a string with backslashes */
	bool same_case; /* the field's name is the column's to the letter */
} JsonSpan;

/* Longer names are looked up each time, as are fields after this many. */
#define SEEN_NAME_MAX 62
#define SEEN_MAX 256

typedef struct SeenField
{
	uint8 length;
	bool same_case;
	char name[SEEN_NAME_MAX]; /* as written, escapes and all */
	struct FieldNode *node;	  /* NULL: no column takes it */
} SeenField;

typedef struct FieldNode
{
	char *name;
	size_t length;
	char *folded; /* without regard to case */
	int n_columns;
	int *columns; /* indexes into PayloadReader.columns */
	int n_children;
	struct FieldNode **children;
	int n_seen;
	SeenField *seen;
} FieldNode;

typedef struct JsonReader
{
	PayloadReader *payload;
	FieldNode *root;
	JsonSpan *spans; /* one per column */
} JsonReader;

typedef struct Scanner
{
	const char *start;
	const char *p;
	const char *end;
	JsonReader *reader; /* NULL: only the syntax matters */
} Scanner;

static void scan_value(Scanner *s, JsonSpan *span, FieldNode *node);
static Datum read_span(PayloadReader *payload, ValueReader *reader, const JsonSpan *span);

/* ---------------------------------------------------------------------------------------------- */
/* The tree of fields                                                                             */
/* ---------------------------------------------------------------------------------------------- */

static char *
fold_name(const char *name, size_t length)
{
	char *folded = pnstrdup(name, length);

	for (size_t i = 0; i < length; i++)
	{
		if (IS_HIGHBIT_SET(name[i]))
			return str_tolower(name, length, DEFAULT_COLLATION_OID);
		folded[i] = pg_ascii_tolower((unsigned char) name[i]);
	}
	return folded;
}

static FieldNode *
child_by_name(const FieldNode *node, const char *name, size_t length)
{
	for (int i = 0; i < node->n_children; i++)
	{
		FieldNode *child = node->children[i];

		if (child->length == length && memcmp(child->name, name, length) == 0)
			return child;
	}
	return NULL;
}

/* The child that stands for a column of that name but for the case. */
static FieldNode *
child_by_folded_name(const FieldNode *node, const char *name, size_t length)
{
	char *folded = fold_name(name, length);
	FieldNode *found = NULL;

	for (int i = 0; i < node->n_children && found == NULL; i++)
	{
		if (node->children[i]->n_columns > 0 && strcmp(node->children[i]->folded, folded) == 0)
			found = node->children[i];
	}
	pfree(folded);
	return found;
}

static FieldNode *
child_make(FieldNode *node, const char *name, size_t length)
{
	FieldNode *child = child_by_name(node, name, length);

	if (child)
		return child;
	child = palloc0(sizeof(FieldNode));
	child->name = pnstrdup(name, length);
	child->length = length;
	child->folded = fold_name(name, length);
	if (node->children == NULL)
	{
		node->children = palloc(sizeof(FieldNode *));
		node->seen = palloc(sizeof(SeenField) * SEEN_MAX);
	}
	else
		node->children = repalloc(node->children, sizeof(FieldNode *) * (node->n_children + 1));
	node->children[node->n_children++] = child;
	return child;
}

/* The node for a column: of its name, or at the end of its path. */
static FieldNode *
node_for_column(FieldNode *root, const PayloadColumn *column)
{
	const char *name = column->field;
	FieldNode *node = root;

	if (!column->by_path)
		return child_make(root, name, strlen(name));
	for (;;)
	{
		size_t length = strcspn(name, ".");

		node = child_make(node, name, length);
		if (name[length] == '\0')
			return node;
		name += length + 1;
	}
}

void
json_reader_create(PayloadReader *payload)
{
	JsonReader *reader = palloc0(sizeof(JsonReader));

	reader->payload = payload;
	reader->root = palloc0(sizeof(FieldNode));
	reader->spans = palloc0(sizeof(JsonSpan) * Max(payload->n_columns, 1));
	for (int i = 0; i < payload->n_columns; i++)
	{
		FieldNode *node = node_for_column(reader->root, &payload->columns[i]);

		node->columns = node->columns ? repalloc(node->columns, sizeof(int) * (node->n_columns + 1))
									  : palloc(sizeof(int));
		node->columns[node->n_columns++] = i;
	}
	payload->format = reader;
}

/* ---------------------------------------------------------------------------------------------- */
/* The scanner                                                                                    */
/* ---------------------------------------------------------------------------------------------- */

static pg_noinline void
syntax_error(const Scanner *s, const char *what)
{
	if (s->p >= s->end)
		ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						errmsg("invalid JSON: it ends where %s is expected", what)));
	ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					errmsg("invalid JSON: %s is expected at byte %zu, not \"%.*s\"", what,
						   (size_t) (s->p - s->start),
						   pg_mbcliplen(s->p, (int) Min(s->end - s->p, 20), 20), s->p)));
}

static inline void
skip_space(Scanner *s)
{
	const char *p = s->p;

	while (p < s->end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r'))
		p++;
	s->p = p;
}

static inline void
expect(Scanner *s, char c, const char *what)
{
	skip_space(s);
	if (s->p >= s->end || *s->p != c)
		syntax_error(s, what);
	s->p++;
}

/* s->p is at a backslash in a string: moves behind the escape. */
static void
scan_escape(Scanner *s)
{
	s->p++;
	if (s->p < s->end && *s->p == 'u')
	{
		for (int i = 1; i <= 4; i++)
		{
			if (s->p + i >= s->end || !isxdigit((unsigned char) s->p[i]))
				syntax_error(s, "\"u\" with four hexadecimal digits");
		}
		s->p += 5;
	}
	else if (s->p < s->end && *s->p != '\0' && strchr("\"\\/bfnrt", *s->p) != NULL)
		s->p++;
	else
		syntax_error(s, "an escape");
}

/*
 * To the first byte that is not an ordinary one of a string: a quote, a backslash or a control
 * character. Eight bytes at a time: a byte of x less than n, n <= 128, borrows into its highest bit
 * (Bit Twiddling Hacks, "determine if a word has a byte less than n"); bytes above 127 are masked
 * out by ~x.
 */
static inline const char *
skip_plain(const char *p, const char *end)
{
	const uint64 ones = UINT64CONST(0x0101010101010101);

	while (end - p >= 8)
	{
		uint64 x;
		uint64 quote;
		uint64 backslash;

		memcpy(&x, p, 8);
		quote = x ^ (ones * '"');
		backslash = x ^ (ones * '\\');
		if ((((x - ones * 0x20) & ~x) | ((quote - ones) & ~quote) |
			 ((backslash - ones) & ~backslash)) &
			(ones << 7))
			break;
		p += 8;
	}
	while (p < end && *p != '"' && *p != '\\' && (unsigned char) *p >= 0x20)
		p++;
	return p;
}

/* From the opening quote to behind the closing one; tells whether there are escapes. */
static inline bool
scan_string(Scanner *s)
{
	bool escaped = false;

	s->p++;
	for (;;)
	{
		s->p = skip_plain(s->p, s->end);
		if (s->p >= s->end)
			syntax_error(s, "the end of a string");
		if (*s->p == '"')
		{
			s->p++;
			return escaped;
		}
		if (*s->p != '\\')
			syntax_error(s, "a character of a string");
		escaped = true;
		scan_escape(s);
	}
}

static inline bool
at_digit(const Scanner *s)
{
	return s->p < s->end && (unsigned char) (*s->p - '0') <= 9;
}

static inline void
scan_digits(Scanner *s)
{
	const char *p = s->p;

	while (p < s->end && (unsigned char) (*p - '0') <= 9)
		p++;
	if (p == s->p)
		syntax_error(s, "a digit");
	s->p = p;
}

static inline void
scan_number(Scanner *s)
{
	if (*s->p == '-')
		s->p++;
	if (at_digit(s) && *s->p == '0')
		s->p++;
	else
		scan_digits(s);
	if (s->p < s->end && *s->p == '.')
	{
		s->p++;
		scan_digits(s);
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E'))
	{
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		scan_digits(s);
	}
}

static inline void
scan_word(Scanner *s, const char *word, size_t length)
{
	if ((size_t) (s->end - s->p) < length || memcmp(s->p, word, length) != 0)
		syntax_error(s, "a value");
	s->p += length;
}

static void
scan_list(Scanner *s)
{
	JsonSpan element;

	check_stack_depth();
	s->p++;
	skip_space(s);
	if (s->p < s->end && *s->p == ']')
	{
		s->p++;
		return;
	}
	for (;;)
	{
		scan_value(s, &element, NULL);
		skip_space(s);
		if (s->p < s->end && *s->p == ',')
		{
			s->p++;
			continue;
		}
		expect(s, ']', "\",\" or \"]\"");
		return;
	}
}

/* Appends the UTF-16 code unit written as \uXXXX at p. */
static unsigned
hex_unit(const char *p)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++)
	{
		unsigned char c = p[i];

		value = value * 16 + (isdigit(c) ? c - '0' : pg_ascii_tolower(c) - 'a' + 10);
	}
	return value;
}

static pg_noinline void
refuse_unicode(const char *p, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
			 errmsg("unsupported Unicode escape sequence"), errdetail("\"%.6s\" %s.", p, detail)));
}

/* One \uXXXX, or a pair of them, at *p: as text to out; moves *p behind it. */
static char *
unescape_unicode(const char **p, const char *end, char *out)
{
	const char *escape = *p;
	unsigned code = hex_unit(*p + 2);

	*p += 6;
	if (code == 0)
		refuse_unicode(escape, "cannot be a part of a value");
	if (code >= 0xDC00 && code <= 0xDFFF)
		refuse_unicode(escape, "is the second half of a pair without the first");
	if (code >= 0xD800 && code <= 0xDBFF)
	{
		unsigned low = end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' ? hex_unit(*p + 2) : 0;

		if (low < 0xDC00 || low > 0xDFFF)
			refuse_unicode(escape, "is the first half of a pair without the second");
		code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF);
		*p += 6;
	}
	if (GetDatabaseEncoding() == PG_UTF8)
	{
		unicode_to_utf8(code, (unsigned char *) out);
		return out + pg_utf_mblen((unsigned char *) out);
	}
	pg_unicode_to_server(code, (unsigned char *) out);
	return out + strlen(out);
}

/* The characters of a string that was scanned, given without its quotes. */
static char *
unescape(const char *p, size_t *length)
{
	/* An escape of six bytes becomes four at most, or what a conversion makes of it. */
	char *text = palloc(*length * (GetDatabaseEncoding() == PG_UTF8 ? 1 : 3) +
						MAX_UNICODE_EQUIVALENT_STRING + 1);
	const char *end = p + *length;
	char *out = text;

	while (p < end)
	{
		if (*p != '\\')
		{
			*out++ = *p++;
			continue;
		}
		if (p[1] == 'u')
		{
			out = unescape_unicode(&p, end, out);
			continue;
		}
		switch (p[1])
		{
			case 'b':
				*out++ = '\b';
				break;
			case 'f':
				*out++ = '\f';
				break;
			case 'n':
				*out++ = '\n';
				break;
			case 'r':
				*out++ = '\r';
				break;
			case 't':
				*out++ = '\t';
				break;
			default:
				*out++ = p[1];
				break;
		}
		p += 2;
	}
	*length = out - text;
	return text;
}

/* Where a field leads that is not the one the last record had there; remembers it. */
static pg_noinline FieldNode *
lookup_field(FieldNode *parent, int nth, const char *raw, size_t raw_length, bool escaped,
			 bool *same_case)
{
	size_t length = raw_length;
	const char *name = escaped ? unescape(raw, &length) : raw;
	FieldNode *node = child_by_name(parent, name, length);

	*same_case = node != NULL;
	if (node == NULL)
		node = child_by_folded_name(parent, name, length);
	if (nth < SEEN_MAX && nth <= parent->n_seen && raw_length <= SEEN_NAME_MAX)
	{
		SeenField *seen = &parent->seen[nth];

		seen->length = (uint8) raw_length;
		memcpy(seen->name, raw, raw_length);
		seen->node = node;
		seen->same_case = *same_case;
		parent->n_seen = Max(parent->n_seen, nth + 1);
	}
	return node;
}

/* s->p is at the opening quote of the nth field's name of an object: moves behind the name. */
static inline FieldNode *
scan_field_name(Scanner *s, FieldNode *parent, int nth, bool *same_case)
{
	const char *raw = s->p + 1;
	bool escaped;

	if (parent && nth < parent->n_seen)
	{
		SeenField *seen = &parent->seen[nth];

		if ((size_t) (s->end - raw) > seen->length && raw[seen->length] == '"' &&
			memcmp(raw, seen->name, seen->length) == 0)
		{
			s->p = raw + seen->length + 1;
			*same_case = seen->same_case;
			return seen->node;
		}
	}
	escaped = scan_string(s);
	if (parent == NULL)
		return NULL;
	return lookup_field(parent, nth, raw, s->p - 1 - raw, escaped, same_case);
}

/* The field comes anew: forget what an earlier one of that name had below it. */
static void
forget_below(JsonReader *reader, FieldNode *node)
{
	for (int i = 0; i < node->n_children; i++)
	{
		FieldNode *child = node->children[i];

		for (int j = 0; j < child->n_columns; j++)
			reader->spans[child->columns[j]].kind = JSON_ABSENT;
		forget_below(reader, child);
	}
}

static inline void
keep_span(JsonReader *reader, const FieldNode *node, const JsonSpan *found, bool same_case)
{
	for (int i = 0; i < node->n_columns; i++)
	{
		JsonSpan *span = &reader->spans[node->columns[i]];

		/* A field of another case doesn't count beside the column's own, nor for a path. */
		if (!same_case && (reader->payload->columns[node->columns[i]].by_path ||
						   (span->kind != JSON_ABSENT && span->same_case)))
			continue;
		*span = *found;
		span->same_case = same_case;
	}
}

static void
scan_object(Scanner *s, FieldNode *node)
{
	check_stack_depth();
	if (node && node->n_children == 0)
		node = NULL;
	s->p++;
	skip_space(s);
	if (s->p < s->end && *s->p == '}')
	{
		s->p++;
		return;
	}
	for (int nth = 0;; nth++)
	{
		FieldNode *field;
		bool same_case = false;
		JsonSpan span;

		skip_space(s);
		if (s->p >= s->end || *s->p != '"')
			syntax_error(s, "a field's name");
		field = scan_field_name(s, node, nth, &same_case);
		expect(s, ':', "\":\"");
		if (field && field->n_children > 0 && same_case)
			forget_below(s->reader, field);
		scan_value(s, &span, same_case ? field : NULL);
		if (field)
			keep_span(s->reader, field, &span, same_case);

		skip_space(s);
		if (s->p < s->end && *s->p == ',')
		{
			s->p++;
			continue;
		}
		expect(s, '}', "\",\" or \"}\"");
		return;
	}
}

static void
scan_value(Scanner *s, JsonSpan *span, FieldNode *node)
{
	skip_space(s);
	if (s->p >= s->end)
		syntax_error(s, "a value");
	span->start = s->p;
	span->escaped = false;
	switch (*s->p)
	{
		case '"':
			span->kind = JSON_STRING;
			span->escaped = scan_string(s);
			break;
		case '{':
			span->kind = JSON_OBJECT;
			scan_object(s, node);
			break;
		case '[':
			span->kind = JSON_LIST;
			scan_list(s);
			break;
		case 't':
			span->kind = JSON_TRUE;
			scan_word(s, "true", 4);
			break;
		case 'f':
			span->kind = JSON_FALSE;
			scan_word(s, "false", 5);
			break;
		case 'n':
			span->kind = JSON_NULL;
			scan_word(s, "null", 4);
			break;
		case '-':
		case '0':
		case '1':
		case '2':
		case '3':
		case '4':
		case '5':
		case '6':
		case '7':
		case '8':
		case '9':
			span->kind = JSON_NUMBER;
			scan_number(s);
			break;
		default:
			syntax_error(s, "a value");
	}
	span->length = s->p - span->start;
}

/* ---------------------------------------------------------------------------------------------- */
/* Values                                                                                         */
/* ---------------------------------------------------------------------------------------------- */

typedef struct ArrayBuild
{
	PayloadReader *payload;
	ValueReader *element;
	int n_dimensions; /* 0: not known yet */
	int lengths[MAXDIM];
	int n;
	int room;
	Datum *values;
	bool *nulls;
} ArrayBuild;

static void
array_add(ArrayBuild *build, const JsonSpan *span)
{
	if (build->n == build->room)
	{
		build->room = Max(16, build->room * 2);
		build->values = build->values ? repalloc(build->values, sizeof(Datum) * build->room)
									  : palloc(sizeof(Datum) * build->room);
		build->nulls = build->nulls ? repalloc(build->nulls, sizeof(bool) * build->room)
									: palloc(sizeof(bool) * build->room);
	}
	build->nulls[build->n] = span->kind == JSON_NULL;
	build->values[build->n] =
		span->kind == JSON_NULL ? (Datum) 0 : read_span(build->payload, build->element, span);
	build->n++;
}

static pg_noinline void
refuse_array(void)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					errmsg("JSON array does not fit a PostgreSQL array"),
					errdetail("Arrays within it must be of equal depth and length.")));
}

/* The elements of one list; lists within it are a further dimension. */
static void
array_add_list(ArrayBuild *build, const JsonSpan *list, int dimension)
{
	Scanner s = {list->start, list->start + 1, list->start + list->length, NULL};
	int length = 0;

	if (dimension >= MAXDIM)
		refuse_array();
	for (;;)
	{
		JsonSpan span;

		skip_space(&s);
		if (*s.p == ']')
			break;
		if (*s.p == ',')
			s.p++;
		scan_value(&s, &span, NULL);
		length++;
		if (span.kind == JSON_LIST && build->element->kind != VALUE_JSON &&
			build->n_dimensions != dimension + 1)
		{
			array_add_list(build, &span, dimension + 1);
			continue;
		}
		if (build->n_dimensions == 0)
			build->n_dimensions = dimension + 1;
		if (build->n_dimensions != dimension + 1 ||
			(span.kind == JSON_LIST && build->element->kind != VALUE_JSON))
			refuse_array();
		array_add(build, &span);
	}
	if (build->lengths[dimension] >= 0 && build->lengths[dimension] != length)
		refuse_array();
	build->lengths[dimension] = length;
}

static Datum
read_array(PayloadReader *payload, ValueReader *reader, const JsonSpan *span)
{
	ArrayBuild build = {payload, reader->element};
	int lower_bounds[MAXDIM];

	for (int i = 0; i < MAXDIM; i++)
	{
		build.lengths[i] = -1;
		lower_bounds[i] = 1;
	}
	array_add_list(&build, span, 0);
	if (build.n == 0)
		return PointerGetDatum(construct_empty_array(reader->element->type));
	return PointerGetDatum(construct_md_array(build.values, build.nulls, build.n_dimensions,
											  build.lengths, lower_bounds, reader->element->type,
											  reader->element_length, reader->element_by_value,
											  reader->element_align));
}

static Datum
read_span(PayloadReader *payload, ValueReader *reader, const JsonSpan *span)
{
	const char *text = span->start;
	size_t length = span->length;

	if (reader->kind == VALUE_ARRAY && span->kind == JSON_LIST)
		return read_array(payload, reader, span);
	if (span->kind == JSON_STRING && reader->kind != VALUE_JSON)
	{
		text++;
		length -= 2;
		if (span->escaped)
			text = unescape(text, &length);
	}
	return value_from_text(reader, text, length);
}

void
json_read(PayloadReader *payload, const char *bytes, size_t length, Datum *values, bool *nulls)
{
	JsonReader *reader = payload->format;
	const char *text = text_from_bytes(bytes, &length);
	Scanner s = {text, text, text + length, reader};

	for (int i = 0; i < payload->n_columns; i++)
		reader->spans[i].kind = JSON_ABSENT;

	skip_space(&s);
	if (s.p >= s.end || *s.p != '{')
		syntax_error(&s, "an object");
	scan_object(&s, reader->root);
	skip_space(&s);
	if (s.p < s.end)
		syntax_error(&s, "the end");

	for (int i = 0; i < payload->n_columns; i++)
	{
		const JsonSpan *span = &reader->spans[i];
		PayloadColumn *column = &payload->columns[i];

		if (span->kind == JSON_ABSENT || span->kind == JSON_NULL)
			continue;
		payload->current = column;
		values[column->target] = read_span(payload, &column->reader, span);
		nulls[column->target] = false;
	}
	payload->current = NULL;
}
