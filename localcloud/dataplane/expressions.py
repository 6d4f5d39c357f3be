"""CloudWatch metric math, one moment at a time: pure.

What the alarms of this platform and most others use: numbers, metrics by id, + - * / ^, comparisons, AND, OR,
IF, FILL, ABS, CEIL, FLOOR, and SUM, AVG, MIN, MAX over an array. A value that is missing makes what is made
from it missing, except in FILL and in the functions over an array.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence

Value = float | None
Values = Mapping[str, Value]

OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
}
COMPARISONS: dict[type, Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
OF_ONE: dict[str, Callable[[float], float]] = {"ABS": abs, "CEIL": math.ceil, "FLOOR": math.floor}
OF_MANY: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": sum,
    "AVG": lambda values: sum(values) / len(values),
    "MIN": min,
    "MAX": max,
}
# Metric math writes these otherwise than Python does.
SPELLINGS = ((r"\bAND\b|&&", " and "), (r"\bOR\b|\|\|", " or "), (r"\^", "**"))


class BadExpressionError(ValueError):
    """Not metric math, or more of it than is understood here."""


def evaluate(expression: str, values: Values) -> Value:
    """The value at one moment, from the values that the metrics have then; None where it is missing.

    An expression is missing at a moment at which none of its metrics has a value, whatever it would fill in.
    Raises BadExpressionError.
    """
    tree = _parse(expression)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & values.keys()
    if used and all(values[name] is None for name in used):
        return None
    found = _value(tree.body, values)
    return None if found is None else float(found)


def _parse(expression: str) -> ast.Expression:
    text = expression
    for pattern, spelling in SPELLINGS:
        text = re.sub(pattern, spelling, text)
    try:
        return ast.parse(text.strip(), mode="eval")
    except SyntaxError as error:
        raise BadExpressionError(f"{expression!r} is not metric math: {error.msg}") from error


def _value(node: ast.expr, values: Values) -> Value:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name):
        return _named(node.id, values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = _value(node.operand, values)
        return None if operand is None else -operand
    if isinstance(node, ast.BinOp):
        return _binary(node, values)
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARISONS:
        sides = _value(node.left, values), _value(node.comparators[0], values)
        compare = COMPARISONS[type(node.ops[0])]
        return None if sides[0] is None or sides[1] is None else float(compare(sides[0], sides[1]))
    if isinstance(node, ast.BoolOp):
        parts = [_value(part, values) for part in node.values]
        join = all if isinstance(node.op, ast.And) else any
        return None if None in parts else float(join(parts))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id.upper(), node.args, values)
    raise BadExpressionError(f"{ast.unparse(node)!r} is not understood; {_understood()}")


def _named(name: str, values: Values) -> Value:
    if name not in values:
        raise BadExpressionError(
            f"no metric with the id {name!r}; there are {', '.join(sorted(values)) or 'none'}"
        )
    return values[name]


def _binary(node: ast.BinOp, values: Values) -> Value:
    left, right = _value(node.left, values), _value(node.right, values)
    if left is None or right is None:
        return None
    if isinstance(node.op, ast.Div):
        # CloudWatch leaves out what is divided by zero.
        return left / right if right else None
    if type(node.op) not in OPERATORS:
        raise BadExpressionError(f"{ast.unparse(node)!r} is not understood; {_understood()}")
    return OPERATORS[type(node.op)](left, right)


def _call(name: str, arguments: Sequence[ast.expr], values: Values) -> Value:
    if name == "IF" and len(arguments) == 3:
        condition = _value(arguments[0], values)
        return None if condition is None else _value(arguments[1 if condition else 2], values)
    if name == "FILL" and len(arguments) == 2:
        found = _value(arguments[0], values)
        return _value(arguments[1], values) if found is None else found
    if name in OF_ONE and len(arguments) == 1:
        found = _value(arguments[0], values)
        return None if found is None else OF_ONE[name](found)
    if name in OF_MANY and len(arguments) == 1 and isinstance(arguments[0], ast.List):
        several = [_value(element, values) for element in arguments[0].elts]
        known = [value for value in several if value is not None]
        return OF_MANY[name](known) if known else None
    raise BadExpressionError(f"{name} with {len(arguments)} arguments is not understood; {_understood()}")


def _understood() -> str:
    functions = ", ".join(["IF(a, b, c)", "FILL(a, b)", *OF_ONE, *(f"{name}([...])" for name in OF_MANY)])
    return f"there are numbers, metric ids, + - * / ^, comparisons, AND, OR, {functions}"
