"""The report SQL for Spark: the text in ``reports/sql`` stays the only one, and is translated when it is asked.

sqlglot knows most of what the two dialects write differently; what is here is what it leaves out or gets wrong.  That
both give the same rows is held by tests/reports/test_spark_sql.py, which asks every query of both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import NamedTuple

import sqlglot
from sqlglot import exp

from reports import spark_clauses

_HEX = "^0x[0-9a-fA-F]{1,32}$"
# What stands between two escapes: octets of the text, or of an escape and what follows it (RFC 3986 2.1).
_DECODED = """aggregate(
    transform(split(:whole, '%'), (part, i) -> CASE
        WHEN i = 0 THEN encode(part, 'utf-8')
        WHEN part RLIKE '^[0-9a-fA-F]{2}' THEN unhex(left(part, 2)) || encode(substr(part, 3), 'utf-8')
        ELSE encode('%' || part, 'utf-8') END),
    CAST('' AS BINARY), (whole, part) -> whole || part)"""


@functools.cache
def translate(sql: str) -> str:
    """A query in DuckDB's dialect → the same in Spark's; ``$name`` becomes the parameter marker ``:name``."""
    return _written(spark_clauses.rewrite(_parsed(sql)))


class Steps(NamedTuple):
    """A query in parts: relations that are computed once, each by its name, and what is asked with them."""

    computed: tuple[tuple[str, str], ...]
    query: str


@functools.cache
def steps(sql: str) -> Steps:
    """A query whose WITH says MATERIALIZED, in Spark's words.

    Spark puts a relation of WITH in wherever it is named, and computes it as often.  What our SQL wants computed once
    is therefore asked for first, by itself.
    """
    tree = spark_clauses.rewrite(_parsed(sql))
    beside = tree.args.get("with_")
    computed: list[tuple[str, str]] = []
    earlier: list[exp.Expr] = []
    for cte in [] if beside is None else list(beside.expressions):
        if cte.args.pop("materialized", None):
            alone = cte.this.copy()
            alone.set("with_", exp.With(expressions=[one.copy() for one in earlier]) if earlier else None)
            computed.append((cte.alias, _written(alone)))
            cte.pop()
        else:
            earlier.append(cte)
    if not earlier:
        tree.set("with_", None)
    return Steps(tuple(computed), _written(tree))


def _written(tree: exp.Expr) -> str:
    # From the leaves up: what is around a call is seen once the call is Spark's.
    for node in reversed(list(tree.walk())):
        change = _CHANGES.get(type(node))
        made = node if change is None else change(node)
        if made is not node:
            node.replace(made)
    return tree.sql(dialect="spark", comments=False)


@functools.cache
def parameters_in(sql: str) -> frozenset[str]:
    """The names of the parameters that a query of ours asks for."""
    return frozenset(node.name for node in _parsed(sql).find_all(exp.Placeholder))


def stored(kind: str) -> str:
    """Name of the view over all files of a kind, with every column they may have."""
    return f"stored_{kind}"


def _parsed(sql: str) -> exp.Expr:
    return sqlglot.parse_one(sql, read="duckdb")


def _call(name: str, *arguments: exp.Expr | str | int | bool) -> exp.Anonymous:
    made = [one if isinstance(one, exp.Expr) else exp.convert(one) for one in arguments]
    return exp.Anonymous(this=name, expressions=made)


def _spark(text: str, **parts: exp.Expr) -> exp.Expr:
    """An expression written in Spark's own words, with expressions in place of its markers."""
    made = sqlglot.parse_one(text, read="spark")
    for node in list(made.find_all(exp.Placeholder)):
        node.replace(parts[node.name].copy())
    return made


def _anonymous(node: exp.Expr) -> exp.Expr:
    name, arguments = node.name.lower(), node.expressions
    if name == "hash":
        return _call("xxhash64", *arguments)
    if name == "epoch_us":
        return _spark("unix_micros(CAST(:at AS TIMESTAMP))", at=arguments[0])
    if name == "to_json":
        return _call("to_json", *arguments, _spark("map('ignoreNullFields', 'false')"))
    if name == "url_decode":
        return _spark(_DECODED, whole=arguments[0])
    return node


def _try(node: exp.Expr) -> exp.Expr:
    """TRY(url_decode(…)), which is NULL where the octets are not UTF-8."""
    return _spark("try_validate_utf8(CAST(:octets AS STRING))", octets=node.this)


def _cast(node: exp.Expr) -> exp.Expr:
    to = node.args["to"]
    if isinstance(node.this, exp.Placeholder) and to.this == exp.DType.ARRAY:
        of = to.sql(dialect="spark").lower()
        return _spark(f"from_json(CAST(:listed AS STRING), '{of}')", listed=node.this)
    if to.this == exp.DType.VARBINARY and isinstance(node.this, exp.Literal):
        octets = node.this.name.replace("\\x", "")
        return exp.HexString(this=octets)
    if isinstance(node, exp.TryCast) and to.this == exp.DType.UINT128:
        return _spark(f"CASE WHEN :digits RLIKE '{_HEX}' THEN lower(:digits) END", digits=node.this)
    return node


def _list(node: exp.Expr) -> exp.Expr:
    """A list that is NULL where it would have no item, as DuckDB has it."""
    ordered = node.this if isinstance(node.this, exp.Order) else None
    if ordered is None:
        return node
    keys = [item.this for item in ordered.expressions]
    pairs = _call("struct", *(key.copy() for key in keys), exp.alias_(ordered.this.copy(), "item"))
    return _spark("transform(array_sort(collect_list(:pairs)), pair -> pair.item)", pairs=pairs)


def _filter(node: exp.Expr) -> exp.Expr:
    """FILTER belongs to the aggregate, which may be inside of what it became."""
    inside = node.this
    if isinstance(inside, exp.AggFunc | exp.Anonymous | exp.WithinGroup | exp.Distinct | exp.IgnoreNulls):
        if isinstance(inside, exp.ArrayAgg):
            return _no_empty(node.copy())
        return node
    made = inside.copy()
    for aggregate in list(made.find_all(exp.ArrayAgg, exp.WithinGroup, exp.Count)):
        aggregate.replace(exp.Filter(this=aggregate.copy(), expression=node.expression.copy()))
    return _no_empty(made) if isinstance(inside, exp.Transform) else made


def _no_empty(made: exp.Expr) -> exp.Expr:
    return _spark("CASE WHEN size(:made) > 0 THEN :made END", made=made)


def _quantile(node: exp.Expr) -> exp.Expr:
    """Discrete quantiles, in the type of what is counted: integers everywhere in a log."""
    asked = node.expression
    if isinstance(asked, exp.Array):
        each = [_one_quantile(node.this, one) for one in asked.expressions]
        some = exp.Count(this=node.this.copy())
        return _spark("CASE WHEN :some > 0 THEN :each END", some=some, each=exp.Array(expressions=each))
    return _one_quantile(node.this, asked)


def _one_quantile(of: exp.Expr, at: exp.Expr) -> exp.Expr:
    ordered = exp.Order(expressions=[exp.Ordered(this=of.copy(), nulls_first=False)])
    within = exp.WithinGroup(this=_call("percentile_disc", at.copy()), expression=ordered)
    return exp.cast(within, "BIGINT")


def _smallest(node: exp.Expr) -> exp.Expr:
    """min(x, n): the n smallest as a list."""
    count = node.args.get("count")
    if count is None:
        return node
    return _spark("slice(array_sort(collect_list(:x)), 1, :n)", x=node.this, n=count)


def _java_regex(node: exp.Expr) -> exp.Expr:
    """RE2's `.` and `$` know one end of a line, Java's six."""
    pattern = node.expression
    if isinstance(pattern, exp.Literal):
        pattern.replace(exp.Literal.string("(?d)" + pattern.name))
    else:
        pattern.replace(exp.DPipe(this=exp.Literal.string("(?d)"), expression=pattern.copy()))
    return node


def _table(node: exp.Expr) -> exp.Expr:
    """The files of a kind, and what is known of all of them, are views here."""
    if isinstance(node.this, exp.ReadParquet):
        named = node.this.expressions[0].find(exp.Literal)
        return exp.to_table(stored(PurePosixPath(named.name).stem), alias=node.alias or None)
    if node.text("db") == "files":
        return exp.to_table(f"files_{node.name}", alias=node.alias or None)
    return node


_CHANGES: dict[type[exp.Expr], Callable[[exp.Expr], exp.Expr]] = {
    exp.Anonymous: _anonymous,
    exp.Try: _try,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Tuple: lambda node: _call("struct", *(one.copy() for one in node.expressions)),
    exp.ArrayAgg: _list,
    exp.ArrayOverlaps: lambda node: _call("arrays_overlap", node.this.copy(), node.expression.copy()),
    exp.PercentileDisc: _quantile,
    exp.Min: _smallest,
    exp.Filter: _filter,
    exp.IgnoreNulls: lambda node: _call("any_value", node.this.this.copy(), exp.true()),
    exp.RegexpLike: _java_regex,
    exp.RegexpExtract: _java_regex,
    exp.RegexpReplace: _java_regex,
    exp.Table: _table,
}
