/*
 * images.h: rows compared by the binary images of some columns, as "ROW(...) *< ROW(...)" does.
 */
#ifndef TIDEMARK_AGGREGATE_IMAGES_H
#define TIDEMARK_AGGREGATE_IMAGES_H

#include "access/tupdesc.h"

typedef struct Images
{
	TupleDesc record;
	FmgrInfo compare;
} Images;

/* For records of columns of these types; lives in CurrentMemoryContext. */
extern Images images_of_types(int n, const Oid *types, const Oid *collations);

/* Less than, equal to, or greater than zero. Leaves memory behind. */
extern int images_compare(Images *images, Datum *left, bool *left_nulls, Datum *right,
						  bool *right_nulls);

#endif
