/*
 * decimal_sum.h: exact sums of numerics, and of their squares, from which values can be taken
 * away again. decimal_sum.c explains the format.
 */
#ifndef TIDEMARK_AGGREGATE_DECIMAL_SUM_H
#define TIDEMARK_AGGREGATE_DECIMAL_SUM_H

#include "lib/stringinfo.h"
#include "utils/palloc.h"

typedef enum DecimalKind
{
	DECIMAL_FINITE,
	DECIMAL_NAN,
	DECIMAL_INFINITY,
	DECIMAL_MINUS_INFINITY
} DecimalKind;

/* A numeric, read where it lies: its digits in base 10000, from the first on. */
typedef struct Decimal
{
	DecimalKind kind;
	bool negative;
	int weight; /* of the first digit: it counts 10000^weight */
	int scale;	/* for display, decimal digits behind the point */
	int count;
	const char *digits; /* of int16, not aligned */
	int16 buffer[5];	/* of an integer */
} Decimal;

/* May be embedded in another struct; not to be copied by assignment. */
typedef struct DecimalSum
{
	MemoryContext context;
	int64 *digit; /* from the last on; see decimal_sum.c */
	int32 base;	  /* digit[0] counts 10000^base */
	int32 count;
	int32 capacity;
	int64 bound; /* no digit is greater in magnitude */
} DecimalSum;

/* Reads a numeric. Frees nothing: a compressed one leaves its copy in CurrentMemoryContext. */
extern void decimal_read(Decimal *decimal, Datum numeric);
extern void decimal_of_int64(Decimal *decimal, int64 value);

/* The sum of nothing; digits will be allocated in context. */
extern void decimal_sum_init(DecimalSum *sum, MemoryContext context);

/* Frees what was allocated: the sum of nothing again. */
extern void decimal_sum_free(DecimalSum *sum);

/* Adds a finite number, or its square, or takes it away. */
extern void decimal_sum_add(DecimalSum *sum, const Decimal *decimal, bool subtract);
extern void decimal_sum_add_square(DecimalSum *sum, const Decimal *decimal, bool subtract);

/* The sum as a numeric that displays so many digits behind the point (no sum has more). */
extern Datum decimal_sum_numeric(const DecimalSum *sum, int scale);

/* A numeric that isn't finite. */
extern Datum decimal_special(DecimalKind kind);

/* The sum as PostgreSQL's partial aggregates of numerics write it, and back. */
extern void decimal_sum_write(const DecimalSum *sum, int scale, StringInfo buf);
extern void decimal_sum_read(DecimalSum *sum, StringInfo buf);

#endif
