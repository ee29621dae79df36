/*
 * query_parts.c: pieces that queries are put together from, as trees.
 *
 * What the analyser would make of a text: entries of a range table, columns of them, conditions, orders. Queries that are made here
 * mostly read one entry, which is the first of their range table.
 */
#include "tidemark.h"

#include "catalog/pg_aggregate.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_func.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"
#include "view/query_parts.h"

/* ---- expressions --------------------------------------------------------------------------------- */

Expr *
int4_constant(int32 value)
{
	return (Expr *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(value), false,
							  true);
}

Expr *
null_like(const Node *expression)
{
	return (Expr *) makeNullConst(exprType(expression), exprTypmod(expression),
								  exprCollation(expression));
}

Var *
variable_like(const Node *expression, int rtindex, AttrNumber column)
{
	return makeVar(rtindex, column, exprType(expression), exprTypmod(expression),
				   exprCollation(expression), 0);
}

Oid
own_function(char *name, int nargs, const Oid *types)
{
	List *qualified = list_make2(makeString(TIDEMARK_SCHEMA), makeString(name));

	return LookupFuncName(qualified, nargs, types, false);
}

Aggref *
make_aggregate(Oid function, Oid result, Oid collation, Oid input_collation, List *arguments)
{
	Aggref *call = makeNode(Aggref);
	ListCell *cell;

	call->aggfnoid = function;
	call->aggtype = result;
	call->aggcollid = collation;
	call->inputcollid = input_collation;
	call->aggkind = AGGKIND_NORMAL;
	call->aggno = call->aggtransno = -1;
	call->location = -1;
	foreach (cell, arguments)
	{
		Expr *argument = lfirst(cell);

		call->aggargtypes = lappend_oid(call->aggargtypes, exprType((Node *) argument));
		call->args = lappend(
			call->args, makeTargetEntry(argument, foreach_current_index(cell) + 1, NULL, false));
	}
	return call;
}

Expr *
builtin_aggregate(char *name, Oid result, Expr *argument)
{
	Oid type = exprType((Node *) argument);
	List *qualified = list_make2(makeString("pg_catalog"), makeString(name));

	return (Expr *) make_aggregate(LookupFuncName(qualified, 1, &type, false), result, InvalidOid,
								   InvalidOid, list_make1(argument));
}

/* ---- what queries read --------------------------------------------------------------------------- */

RangeTblEntry *
subquery_entry(Query *query, char *name)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	List *names = NIL;
	ListCell *cell;

	foreach (cell, query->targetList)
	{
		TargetEntry *column = lfirst_node(TargetEntry, cell);

		if (!column->resjunk)
			names = lappend(names, makeString(column->resname ? column->resname : "?column?"));
	}
	entry->rtekind = RTE_SUBQUERY;
	entry->subquery = query;
	entry->eref = makeAlias(name, names);
	entry->inFromCl = true;
	return entry;
}

RangeTblEntry *
table_entry(Oid relid)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	List *names = NIL;
	char *name;

	for (AttrNumber i = 1; (name = get_attname(relid, i, true)) != NULL; i++)
		names = lappend(names, makeString(name));
	entry->rtekind = RTE_RELATION;
	entry->relid = relid;
	entry->relkind = RELKIND_RELATION;
	entry->rellockmode = AccessShareLock;
	entry->eref = makeAlias(get_rel_name(relid), names);
	entry->inh = true;
	entry->inFromCl = true;
	return entry;
}

/* What the tuplestore is called in a query's environment; each query has one. */
#define TUPLESTORE_NAME "tidemark_rows"

RangeTblEntry *
tuplestore_entry(TupleDesc columns, double rows)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	List *names = NIL;

	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);

		names = lappend(names, makeString(pstrdup(NameStr(column->attname))));
		entry->coltypes = lappend_oid(entry->coltypes, column->atttypid);
		entry->coltypmods = lappend_int(entry->coltypmods, column->atttypmod);
		entry->colcollations = lappend_oid(entry->colcollations, column->attcollation);
	}
	entry->rtekind = RTE_NAMEDTUPLESTORE;
	entry->enrname = TUPLESTORE_NAME;
	entry->enrtuples = rows;
	entry->eref = makeAlias(TUPLESTORE_NAME, names);
	entry->inFromCl = true;
	return entry;
}

QueryEnvironment *
tuplestore_environment(Tuplestorestate *rows, TupleDesc columns)
{
	QueryEnvironment *environment = create_queryEnv();
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));

	relation->md.name = TUPLESTORE_NAME;
	relation->md.tupdesc = columns;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = tuplestore_tuple_count(rows);
	relation->reldata = rows;
	register_ENR(environment, relation);
	return environment;
}

/* ---- queries ------------------------------------------------------------------------------------- */

Query *
select_nothing_from(RangeTblEntry *entry)
{
	Query *query = makeNode(Query);
	RangeTblRef *reference = makeNode(RangeTblRef);

	reference->rtindex = 1;
	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->rtable = list_make1(entry);
	query->jointree = makeFromExpr(list_make1(reference), NULL);
	return query;
}

Query *
select_from(RangeTblEntry *entry, const Query *like)
{
	Query *query = select_nothing_from(entry);
	ListCell *cell;

	foreach (cell, like->targetList)
	{
		TargetEntry *column = lfirst_node(TargetEntry, cell);

		if (!column->resjunk)
			query->targetList = lappend(
				query->targetList,
				makeTargetEntry((Expr *) variable_like((Node *) column->expr, 1, column->resno),
								column->resno, column->resname, false));
	}
	return query;
}

Query *
union_all(List *entries)
{
	Query *first = linitial_node(RangeTblEntry, entries)->subquery;
	Query *query = select_from(linitial(entries), first);
	Node *tree = (Node *) linitial(query->jointree->fromlist);
	ListCell *cell;

	for (int i = 2; i <= list_length(entries); i++)
	{
		SetOperationStmt *operation = makeNode(SetOperationStmt);
		RangeTblRef *reference = makeNode(RangeTblRef);

		query->rtable = lappend(query->rtable, list_nth(entries, i - 1));
		reference->rtindex = i;
		operation->op = SETOP_UNION;
		operation->all = true;
		operation->larg = tree;
		operation->rarg = (Node *) reference;
		foreach (cell, query->targetList)
		{
			Node *column = (Node *) lfirst_node(TargetEntry, cell)->expr;

			operation->colTypes = lappend_oid(operation->colTypes, exprType(column));
			operation->colTypmods = lappend_int(operation->colTypmods, exprTypmod(column));
			operation->colCollations = lappend_oid(operation->colCollations, exprCollation(column));
		}
		tree = (Node *) operation;
	}
	query->jointree = makeFromExpr(NIL, NULL);
	query->setOperations = tree;
	return query;
}

void
add_target(Query *query, Expr *expression, char *name)
{
	AttrNumber column = list_length(query->targetList) + 1;

	query->targetList =
		lappend(query->targetList, makeTargetEntry(expression, column, name, false));
}

void
add_condition(Query *query, Expr *condition)
{
	query->jointree->quals = make_and_qual(query->jointree->quals, (Node *) condition);
}

SortGroupClause *
sort_clause(TargetEntry *entry, Oid equality, Oid ordering)
{
	SortGroupClause *clause = makeNode(SortGroupClause);

	if (entry->ressortgroupref == 0)
		entry->ressortgroupref = entry->resno;
	clause->tleSortGroupRef = entry->ressortgroupref;
	clause->eqop = equality;
	clause->sortop = ordering;
	compat_set_direction(clause);
	clause->hashable = op_hashjoinable(equality, exprType((Node *) entry->expr));
	return clause;
}

void
order_by(Query *query, AttrNumber column)
{
	TargetEntry *entry = list_nth_node(TargetEntry, query->targetList, column - 1);
	TypeCacheEntry *type =
		lookup_type_cache(exprType((Node *) entry->expr), TYPECACHE_LT_OPR | TYPECACHE_EQ_OPR);

	query->sortClause = list_make1(sort_clause(entry, type->eq_opr, type->lt_opr));
}

CommonTableExpr *
make_with(char *name, Query *query, int references)
{
	CommonTableExpr *with = makeNode(CommonTableExpr);
	ListCell *cell;

	with->ctename = name;
	with->ctematerialized = CTEMaterializeAlways;
	with->ctequery = (Node *) query;
	with->location = -1;
	with->cterefcount = references;
	foreach (cell, query->targetList)
	{
		TargetEntry *column = lfirst_node(TargetEntry, cell);
		Node *expression = (Node *) column->expr;

		if (column->resjunk)
			continue;
		with->ctecolnames = lappend(with->ctecolnames, makeString(column->resname));
		with->ctecoltypes = lappend_oid(with->ctecoltypes, exprType(expression));
		with->ctecoltypmods = lappend_int(with->ctecoltypmods, exprTypmod(expression));
		with->ctecolcollations = lappend_oid(with->ctecolcollations, exprCollation(expression));
	}
	return with;
}

RangeTblEntry *
with_entry(const CommonTableExpr *with, int levels)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);

	entry->rtekind = RTE_CTE;
	entry->ctename = with->ctename;
	entry->ctelevelsup = levels;
	entry->coltypes = with->ctecoltypes;
	entry->coltypmods = with->ctecoltypmods;
	entry->colcollations = with->ctecolcollations;
	entry->eref = makeAlias(with->ctename, with->ctecolnames);
	entry->inFromCl = true;
	return entry;
}
