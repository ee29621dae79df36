/*
 * images.c: rows compared by the binary images of some columns, as "ROW(...) *< ROW(...)" does.
 *
 * Images are there for every type, also for those without an order (json), and tell apart what is equal (1.0 and 1.00). What is compared here
 * has to come out as it does in a query that says it by that operator, so it is its function that compares.
 */
#include "tidemark.h"

#include "access/htup_details.h"
#include "aggregate/images.h"
#include "funcapi.h"
#include "utils/fmgroids.h"

Images
images_of_types(int n, const Oid *types, const Oid *collations)
{
	Images images = {.record = CreateTemplateTupleDesc(n)};

	for (int i = 0; i < n; i++)
	{
		TupleDescInitEntry(images.record, i + 1, NULL, types[i], -1, 0);
		TupleDescInitEntryCollation(images.record, i + 1, collations[i]);
	}
	images.record = BlessTupleDesc(images.record);
	fmgr_info(F_BTRECORDIMAGECMP, &images.compare);
	return images;
}

int
images_compare(Images *images, Datum *left, bool *left_nulls, Datum *right, bool *right_nulls)
{
	HeapTuple a = heap_form_tuple(images->record, left, left_nulls);
	HeapTuple b = heap_form_tuple(images->record, right, right_nulls);

	return DatumGetInt32(
		FunctionCall2(&images->compare, HeapTupleGetDatum(a), HeapTupleGetDatum(b)));
}
