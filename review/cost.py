"""What a stack costs in a month, and what a change adds to it. An estimate, by list prices and assumptions.

prices = load("eu-west-1")
after = estimate(of_declared(declared(stack)), prices, of_settings(settings))
before = estimate(of_states(export["deployment"]["resources"]), prices, of_settings(settings))
change = delta(before, after)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from review.cost_items import Item
from review.cost_prices import Basis, PriceTable
from review.cost_rules import FREE, RULES, Charge, Context
from review.cost_usage import Usage

CENT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One position of the bill. `monthly` is quantity times price, in US dollars, not rounded.

    assumed: the quantity rests on an assumption. basis: how sure the price is.
    """

    component: str
    resource: str
    what: str
    key: str
    quantity: Decimal
    usd: Decimal
    monthly: Decimal
    basis: Basis
    assumed: bool


@dataclass(frozen=True, kw_only=True, order=True)
class Unpriced:
    """Something that is billed and not counted here."""

    component: str
    resource: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A month of a stack.

    assumptions: what the quantities rest on, by name.
    as_of, source: of the prices.
    """

    lines: Sequence[Line]
    unpriced: Sequence[Unpriced]
    assumptions: Mapping[str, str]
    region: str
    as_of: date
    source: str

    @property
    def monthly(self) -> Decimal:
        """All that is priced, to the cent. What is unpriced comes on top."""
        return cents(sum((line.monthly for line in self.lines), Decimal(0)))

    def by_component(self) -> dict[str, Decimal]:
        """The same by component, the dearest first."""
        found: dict[str, Decimal] = {}
        for line in self.lines:
            found[line.component] = found.get(line.component, Decimal(0)) + line.monthly
        return {name: cents(found[name]) for name in sorted(found, key=lambda n: (-found[n], n))}


@dataclass(frozen=True, kw_only=True)
class ComponentDelta:
    """What a component costs in a month before and after."""

    component: str
    before: Decimal
    after: Decimal

    @property
    def change(self) -> Decimal:
        """What is added; negative for what is saved."""
        return self.after - self.before


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What a change does to a month. `components` are those that change, the largest change first.

    unpriced: what is unpriced after the change and was not there before it: the change may cost more.
    released: what was unpriced before and is gone: it may save more.
    """

    before: Decimal
    after: Decimal
    components: Sequence[ComponentDelta]
    unpriced: Sequence[Unpriced]
    released: Sequence[Unpriced]

    @property
    def change(self) -> Decimal:
        """What is added; negative for what is saved."""
        return self.after - self.before


def estimate(resources: Iterable[Item], prices: PriceTable, usage: Usage) -> Estimate:
    """A month of these resources. What has no rule, no price or lies in another region is unpriced."""
    items = {item.key: item for item in resources}
    context = Context(items=items, usage=usage)
    lines: list[Line] = []
    unpriced: list[Unpriced] = []
    for item in sorted(items.values(), key=lambda found: found.key):
        found, missing = _priced(item, context, prices)
        lines += found
        unpriced += [Unpriced(component=item.component, resource=item.name, why=why) for why in missing]
    return Estimate(
        lines=lines,
        unpriced=sorted(unpriced),
        assumptions=usage.named(),
        region=prices.region,
        as_of=prices.as_of,
        source=prices.source,
    )


def _priced(item: Item, context: Context, prices: PriceTable) -> tuple[list[Line], list[str]]:
    if item.type in FREE:
        return [], []
    if item.type not in RULES:
        return [], [f"{item.type} has no rule in review/cost_rules.py"]
    if item.region not in ("", prices.region):
        return [], [f"it is in {item.region}; the prices are of {prices.region}"]
    lines, missing = [], []
    for charge in RULES[item.type](item, context):
        if not isinstance(charge, Charge):
            missing.append(charge.why)
        elif charge.key not in prices.prices:
            missing.append(f"{charge.what}: no price for {charge.key} in {prices.region}")
        else:
            lines.append(_line(item, charge, prices))
    return lines, missing


def _line(item: Item, charge: Charge, prices: PriceTable) -> Line:
    price = prices.prices[charge.key]
    return Line(
        component=item.component,
        resource=item.name,
        what=charge.what,
        key=charge.key,
        quantity=charge.quantity,
        usd=price.usd,
        monthly=charge.quantity * price.usd,
        basis=price.basis,
        assumed=charge.assumed,
    )


def delta(before: Estimate, after: Estimate) -> Delta:
    """What lies between two estimates by the same prices. Raises ValueError if they are not the same."""
    if (before.region, before.as_of) != (after.region, after.as_of):
        raise ValueError(
            f"prices of {before.region} as of {before.as_of} and of {after.region} as of {after.as_of} "
            "can't be compared: estimate both by one table"
        )
    old, new = before.by_component(), after.by_component()
    changed = [
        ComponentDelta(component=name, before=old.get(name, Decimal(0)), after=new.get(name, Decimal(0)))
        for name in sorted({*old, *new})
        if old.get(name, Decimal(0)) != new.get(name, Decimal(0))
    ]
    return Delta(
        before=before.monthly,
        after=after.monthly,
        components=sorted(changed, key=lambda c: (-abs(c.change), c.component)),
        unpriced=sorted(set(after.unpriced) - set(before.unpriced)),
        released=sorted(set(before.unpriced) - set(after.unpriced)),
    )


def cents(amount: Decimal) -> Decimal:
    """The amount to the cent."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)
