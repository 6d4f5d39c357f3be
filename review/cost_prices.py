"""The price table of a region: dated, with its source, and honest about what is only near the truth."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).with_name("prices")

# `list`: AWS's list price. `approximate`: near it, to be refreshed before anybody relies on it.
Basis = Literal["list", "approximate"]
BASES: tuple[Basis, ...] = ("list", "approximate")


class InvalidPrices(ValueError):
    """A price table that is none, and why."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """On-demand, before discounts, credits, free tiers and tax."""

    usd: Decimal
    basis: Basis


@dataclass(frozen=True, kw_only=True)
class PriceTable:
    """The prices of one region in US dollars by key. A key's last part is its unit: `nat.hour`, `nat.gb`.

    as_of: the day that they were right on.
    source: where they are from.
    """

    region: str
    as_of: date
    source: str
    prices: Mapping[str, Price]

    def age_days(self, today: date) -> int:
        """How old they are."""
        return (today - self.as_of).days

    def as_json(self) -> str:
        """The text of the file."""
        lines = (
            f"    {json.dumps(key)}: {json.dumps({'usd': str(price.usd), 'basis': price.basis})}"
            for key, price in sorted(self.prices.items())
        )
        head = {
            "region": self.region,
            "currency": "USD",
            "as_of": self.as_of.isoformat(),
            "source": self.source,
        }
        top = json.dumps(head, indent=2).rstrip("}\n")
        return top + ',\n  "prices": {\n' + ",\n".join(lines) + "\n  }\n}\n"


def known_regions(folder: Path = FOLDER) -> list[str]:
    """Regions that there is a table for."""
    return sorted(path.stem for path in folder.glob("*.json"))


def load(region: str, folder: Path = FOLDER) -> PriceTable:
    """The table of a region. Raises InvalidPrices."""
    path = folder / f"{region}.json"
    if not path.exists():
        raise InvalidPrices(
            f"no prices for {region}; there are some for {', '.join(known_regions(folder)) or 'no region'}. "
            f"Make them with an account at hand: python -m review.cost_refresh {region}"
        )
    try:
        return _table(json.loads(path.read_text()), region)
    except (ValueError, KeyError, TypeError, InvalidOperation) as error:
        raise InvalidPrices(
            f"{path.name} is no price table: {type(error).__name__}: {error}; make it anew with "
            f"python -m review.cost_refresh {region}"
        ) from None


def _table(content: Mapping[str, Any], region: str) -> PriceTable:
    if content["region"] != region or content["currency"] != "USD":
        raise ValueError(f"it is for {content['region']} in {content['currency']}")
    prices = {key: _price(key, entry) for key, entry in content["prices"].items()}
    return PriceTable(
        region=region,
        as_of=date.fromisoformat(content["as_of"]),
        source=content["source"],
        prices=prices,
    )


def _price(key: str, entry: Mapping[str, Any]) -> Price:
    usd, basis = Decimal(entry["usd"]), entry["basis"]
    if not usd.is_finite() or usd <= 0:
        raise ValueError(f"{key} costs {usd}; what is free has no place in the table")
    if basis not in BASES:
        raise ValueError(f"{key} has the basis {basis!r}; allowed: {', '.join(BASES)}")
    return Price(usd=usd, basis=basis)
