"""Clauses of DuckDB's SQL that Spark has not, said with clauses that it has: syntax trees in, syntax trees out.

Each function changes one tree in place (or gives the tree that takes its place) and keeps its meaning, row for row.
"""

from __future__ import annotations

from sqlglot import exp

PLACE = "place_in_part"
"""Column that a QUALIFY becomes a condition on."""
NEXT = "next_of_part"
"""Column of the right side of an ASOF join: the time of the row after, from which on this one no longer counts."""


def rewrite(tree: exp.Expr) -> exp.Expr:
    """The same query without QUALIFY, GROUPING SETS, ASOF JOIN, ORDER BY ALL without a place for NULL, and BY NAME."""
    for change in (_without_empty_union, _without_grouping_sets, _without_qualify):
        tree = tree.transform(change)
    for join in list(tree.find_all(exp.Join)):
        if join.args.get("method") == "ASOF":
            _without_asof(join)
    for select in list(tree.find_all(exp.Select)):
        _without_unnest(select)
    return tree


def _without_empty_union(node: exp.Expr) -> exp.Expr:
    """UNION ALL BY NAME with no row only adds columns, which the views over a log's files have anyway."""
    if isinstance(node, exp.Union) and node.args.get("by_name"):
        kept: list[exp.Expr] = [side for side in (node.this, node.expression) if not _is_empty(side)]
        if len(kept) != 1:
            raise NotImplementedError("Spark's SQL has no UNION ALL BY NAME: name the columns in order.")
        return kept[0]
    return node


def _is_empty(side: exp.Expr) -> bool:
    where = side.args.get("where")
    return where is not None and where.this == exp.false()


def _without_grouping_sets(node: exp.Expr) -> exp.Expr:
    """One SELECT for each set, because Spark has no row for the set () where there is nothing to group."""
    group = node.args.get("group") if isinstance(node, exp.Select) else None
    if group is None or not group.args.get("grouping_sets"):
        sets = [] if group is None else [one for one in group.expressions if isinstance(one, exp.GroupingSets)]
    else:
        sets = group.args["grouping_sets"]
    if not sets:
        return node
    groups = [_columns_of(one) for one in sets[0].expressions]
    every = {column.sql() for columns in groups for column in columns}
    parts = [_one_group(node, columns, every) for columns in groups]
    union: exp.Expr = parts[0]
    for part in parts[1:]:
        union = exp.Union(this=union, expression=part, distinct=False)
    for name in ("with_", "order", "limit"):
        union.set(name, node.args.get(name))
    return union


def _columns_of(one: exp.Expr) -> list[exp.Expr]:
    if isinstance(one, exp.Tuple):
        return one.expressions
    return [one.this if isinstance(one, exp.Paren) else one]


def _one_group(node: exp.Expr, columns: list[exp.Expr], every: set[str]) -> exp.Expr:
    """The SELECT of one set: what it is not by is NULL, and grouping() is known."""
    mine = {column.sql() for column in columns}

    def known(part: exp.Expr) -> exp.Expr:
        if isinstance(part, exp.Grouping):
            return exp.Literal.number(0 if part.expressions[0].sql() in mine else 1)
        return part

    select = node.copy()
    for name in ("with_", "order", "limit", "group"):
        select.set(name, None)
    made = []
    for projection in select.expressions:
        named = projection.alias_or_name
        if projection.sql() in every - mine:
            made.append(exp.alias_(exp.null(), named, quoted=True))
        else:
            made.append(projection.transform(known))
    select.set("expressions", made)
    if columns:
        select.set("group", exp.Group(expressions=[column.copy() for column in columns]))
    return select


def _without_qualify(node: exp.Expr) -> exp.Expr:
    """The window function becomes a column of a subquery, and QUALIFY a condition on it; the order is given outside."""
    if not isinstance(node, exp.Select) or node.args.get("qualify") is None:
        return node
    inner = node.copy()
    condition = inner.args["qualify"].this
    window = condition.find(exp.Window)
    ordered = inner.args.get("order")
    for name in ("qualify", "order"):
        inner.set(name, None)
    beside = inner.args.get("with_")
    inner.set("with_", None)
    names = [projection.alias_or_name for projection in inner.expressions]
    spelled = {projection.unalias().sql(): name for projection, name in zip(inner.expressions, names, strict=True)}
    inner.append("expressions", exp.alias_(window.copy(), PLACE))
    window.replace(exp.column(PLACE))
    if inner.is_star:
        outer = exp.select(f"* EXCEPT ({PLACE})", dialect="spark")
    else:
        outer = exp.select(*(exp.column(name, quoted=True) for name in names))
    outer = outer.from_(inner.subquery("qualified")).where(condition)
    outer.set("with_", beside)
    if ordered is not None:
        for item in ordered.expressions:
            name = spelled.get(item.this.sql(), item.this.name)
            item.set("this", exp.column(name, quoted=True))
        outer.set("order", ordered)
    return outer


def _without_asof(join: exp.Join) -> None:
    """ASOF JOIN … ON keys AND l.t >= r.t: each row of the right side holds until the next one of the same keys."""
    conditions = list(join.args["on"].flatten()) if isinstance(join.args["on"], exp.And) else [join.args["on"]]
    (after,) = [one for one in conditions if isinstance(one, exp.GTE)]
    alias = join.this.alias
    keys = [
        side for one in conditions if one is not after for side in (one.this, one.expression) if side.table == alias
    ]
    at = after.expression
    source = join.this.copy()
    source.set("alias", None)
    inner = source.this if isinstance(source, exp.Subquery) else exp.select("*").from_(source)
    part = ", ".join(key.name for key in keys)
    numbered = exp.select("*", f"LEAD({at.name}) OVER (PARTITION BY {part} ORDER BY {at.name}) AS {NEXT}").from_(
        inner.subquery("held")
    )
    before = f"({after.this.sql()} < {alias}.{NEXT} OR {alias}.{NEXT} IS NULL)"
    join.set("method", None)
    join.set("this", numbered.subquery(alias))
    join.set("on", exp.and_(*conditions, exp.condition(before)))


def _without_unnest(select: exp.Select) -> None:
    """Lists unnested side by side become one generator: Spark takes one for each SELECT."""
    unnested = [one for one in select.expressions if isinstance(one.unalias(), exp.Explode)]
    if not unnested:
        return
    if len(unnested) != len(select.expressions):
        raise NotImplementedError("A SELECT that unnests lists must give nothing else, or Spark cannot run it.")
    if len(unnested) == 1:
        return
    lists = [one.unalias().this for one in unnested]
    zipped = exp.Anonymous(this="inline", expressions=[exp.Anonymous(this="arrays_zip", expressions=lists)])
    names = [exp.to_identifier(one.alias) for one in unnested]
    select.set("expressions", [exp.Aliases(this=zipped, expressions=names)])
