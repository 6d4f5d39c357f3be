"""The price table, and how it is made anew.

moto has no Price List API, so a small HTTP server stands in for it; its answers have the shape that AWS
documents for GetProducts (format aws_v1), and boto3 asks it as it would ask AWS.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from review import cost_refresh
from review.cost_prices import InvalidPrices, known_regions, load
from review.cost_refresh import PREFIXES, QUERIES, refresh_prices

TODAY = date(2026, 11, 21)


# --- the table


def test_every_table_says_what_it_is_of_when_and_from_where() -> None:
    assert known_regions() == ["eu-west-1"]
    table = load("eu-west-1")
    assert table.region == "eu-west-1"
    assert table.as_of <= TODAY
    assert table.source
    assert table.age_days(date(table.as_of.year + 1, table.as_of.month, table.as_of.day)) in (365, 366)
    assert all(price.usd > 0 for price in table.prices.values())


def test_a_table_has_a_price_for_all_that_can_be_asked_for() -> None:
    assert set(QUERIES) <= set(load("eu-west-1").prices)


def test_a_table_is_written_as_it_is_read(tmp_path: Path) -> None:
    table = load("eu-west-1")
    (tmp_path / "eu-west-1.json").write_text(table.as_json())
    assert load("eu-west-1", tmp_path) == table


def test_a_region_without_prices_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidPrices, match=r"no prices for sa-east-1; there are some for eu-west-1"):
        load("sa-east-1")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"currency": "EUR"}, "in EUR"),
        ({"region": "eu-west-2"}, "it is for eu-west-2"),
        ({"as_of": "lately"}, "lately"),
        ({"prices": {"nat.hour": {"usd": "0", "basis": "list"}}}, "what is free has no place"),
        ({"prices": {"nat.hour": {"usd": "0.1", "basis": "guess"}}}, "has the basis 'guess'"),
        ({"prices": {"nat.hour": {"usd": "cheap", "basis": "list"}}}, "InvalidOperation"),
        ({"prices": {"nat.hour": {"usd": "0.1"}}}, "basis"),
    ],
)
def test_a_table_that_is_none_is_refused(changes: Mapping[str, Any], told: str, tmp_path: Path) -> None:
    content = json.loads(load("eu-west-1").as_json())
    (tmp_path / "eu-west-1.json").write_text(json.dumps({**content, **changes}))
    with pytest.raises(InvalidPrices, match=told):
        load("eu-west-1", tmp_path)


# --- the Price List API


def product(*tiers: tuple[str, str], **attributes: str) -> dict[str, Any]:
    """A product as GetProducts has it, with its tiers: where each begins, and its price."""
    dimensions = {
        f"SKU.TERM.{number}": {
            "unit": "Hrs",
            "beginRange": begin,
            "endRange": "Inf",
            "pricePerUnit": {"USD": usd},
        }
        for number, (begin, usd) in enumerate(tiers)
    }
    return {
        "product": {"sku": "SKU", "attributes": attributes},
        "terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": dimensions}}},
    }


class PriceList:
    """Answers GetProducts, a product a page, by all filters, and keeps what it was asked."""

    def __init__(self) -> None:
        self.products: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[dict[str, Any]] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(request)
        wanted = {entry["Field"]: entry["Value"] for entry in request["Filters"]}
        found = [
            product
            for service, product in self.products
            if service == request["ServiceCode"]
            and wanted.items() <= product["product"]["attributes"].items()
        ]
        page = int(request.get("NextToken", "0"))
        more = {"NextToken": str(page + 1)} if page + 1 < len(found) else {}
        return {"FormatVersion": "aws_v1", "PriceList": list(map(json.dumps, found[page : page + 1])), **more}


@pytest.fixture
def aws() -> Iterator[tuple[PriceList, Any]]:
    prices = PriceList()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["X-Amz-Target"] == "AWSPriceListService.GetProducts"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            content = json.dumps(prices.answer(body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = boto3.client(
        "pricing",
        region_name="eu-central-1",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - nobody's
    )
    yield prices, client
    server.shutdown()
    server.server_close()


def whole(prices: PriceList, region: str = "eu-west-1") -> None:
    """A product for every query."""
    for number, query in enumerate(QUERIES.values(), start=1):
        price = product(("0", f"0.{number:03}0000000"), **query.terms(region))
        prices.products.append((query.service, price))


def test_a_table_is_made_of_what_aws_lists(aws: tuple[PriceList, Any]) -> None:
    prices, client = aws
    whole(prices)
    found = refresh_prices(client, "eu-west-1", [], TODAY)
    assert found.missing == {}
    assert set(found.table.prices) == set(QUERIES)
    assert found.table.as_of == TODAY
    assert {price.basis for price in found.table.prices.values()} == {"list"}
    first = next(iter(QUERIES))
    assert found.table.prices[first].usd == Decimal("0.001")


def test_the_price_of_a_request_becomes_that_of_a_million(aws: tuple[PriceList, Any]) -> None:
    prices, client = aws
    query = QUERIES["dynamodb.write_million"]
    prices.products.append((query.service, product(("0", "0.000000705"), **query.terms("eu-west-1"))))
    found = refresh_prices(client, "eu-west-1", [], TODAY)
    assert found.table.prices["dynamodb.write_million"].usd == Decimal("0.705")


def test_instances_are_asked_for_by_class_engine_and_zones(aws: tuple[PriceList, Any]) -> None:
    prices, client = aws
    for deployment, usd in (
        ("Single-AZ", "0.10"),
        ("Multi-AZ", "0.20"),
        ("Multi-AZ (readable standbys)", "0.30"),
    ):
        attributes = {
            "regionCode": "eu-west-1",
            "instanceType": "db.r8g.large",
            "databaseEngine": "PostgreSQL",
            "deploymentOption": deployment,
        }
        prices.products.append(("AmazonRDS", product(("0", usd), **attributes)))
    table = refresh_prices(client, "eu-west-1", ["db.r8g.large"], TODAY).table
    assert table.prices["rds.postgres.db.r8g.large.single.hour"].usd == Decimal("0.1")
    assert table.prices["rds.postgres.db.r8g.large.multi.hour"].usd == Decimal("0.2")


def test_of_several_tiers_the_first_that_costs_something_counts(aws: tuple[PriceList, Any]) -> None:
    prices, client = aws
    query = QUERIES["dynamodb.gb_month"]
    tiers = (("10240", "0.20"), ("25", "0.283"), ("0", "0.0000000000"))
    prices.products.append((query.service, product(*tiers, **query.terms("eu-west-1"))))
    assert refresh_prices(client, "eu-west-1", [], TODAY).table.prices["dynamodb.gb_month"].usd == Decimal(
        "0.283"
    )


def test_two_prices_for_one_key_are_no_price(aws: tuple[PriceList, Any]) -> None:
    prices, client = aws
    whole(prices)
    query = QUERIES["nat.hour"]
    prices.products.append((query.service, product(("0", "9.99"), **query.terms("eu-west-1"))))
    found = refresh_prices(client, "eu-west-1", [], TODAY)
    assert set(found.missing) == {"nat.hour"}
    assert "9.99" in found.missing["nat.hour"]
    assert "nat.hour" not in found.table.prices, "the second page of an answer was not read"


def test_what_aws_does_not_list_is_told_with_what_was_asked(aws: tuple[PriceList, Any]) -> None:
    _, client = aws
    found = refresh_prices(client, "eu-west-1", [], TODAY)
    assert set(found.missing) == set(QUERIES)
    assert found.missing["nat.hour"] == (
        "AmazonEC2 with regionCode=eu-west-1, usagetype=EU-NatGateway-Hours: no price"
    )


def test_a_region_whose_usage_types_are_not_known_is_refused(aws: tuple[PriceList, Any]) -> None:
    prices, client = aws
    with pytest.raises(InvalidPrices, match="sa-east-1 has no entry in PREFIXES"):
        refresh_prices(client, "sa-east-1", [], TODAY)
    assert prices.asked == []
    assert len(set(PREFIXES.values())) == len(PREFIXES)


def test_the_command_writes_nothing_unless_all_is_known(
    aws: tuple[PriceList, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prices, client = aws
    monkeypatch.setattr(cost_refresh, "FOLDER", tmp_path)
    monkeypatch.setattr(cost_refresh, "_priced_classes", lambda _region: [])
    monkeypatch.setattr(boto3, "client", lambda *_arguments, **_named: client)
    assert cost_refresh.main([]) == 2
    assert cost_refresh.main(["sa-east-1"]) == 1
    assert cost_refresh.main(["eu-west-1"]) == 1
    assert list(tmp_path.iterdir()) == []
    assert "nothing was written" in capsys.readouterr().err
    whole(prices)
    assert cost_refresh.main(["eu-west-1"]) == 0
    assert set(load("eu-west-1", tmp_path).prices) == set(QUERIES)


def test_the_classes_of_the_present_table_are_asked_for_again() -> None:
    assert cost_refresh._priced_classes("eu-west-1") == ["db.m7g.large", "db.t4g.medium"]
    assert cost_refresh._priced_classes("us-east-1") == []
