"""A stranger's program does the whole job from the documents alone: its client was made by an outside generator."""

import json
import subprocess
import sys
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from services.ads.actions import sandbox
from shared.jobs import Batch
from tests.accounts.builders import some_agencies
from tests.ads.builders import a_rate_card, an_image


async def generated(flat: Any, service: str, folder: Path) -> Any:
    """The package that openapi-python-client makes of a service's document."""
    answer = await flat.client.get(f"/api/{service}/v1/openapi.json")
    written, config = folder / f"{service}.json", folder / "config.yml"
    written.write_bytes(answer.content)
    config.write_text("post_hooks: []\n")
    generate(written, folder / f"{service}_client", config)
    return import_module(f"{service}_client")


def generate(written: Path, client: Path, config: Path) -> None:
    command = ["generate", "--meta", "none", "--fail-on-warning", "--path", str(written)]
    command += ["--output-path", str(client), "--config", str(config)]
    made = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", *command],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert made.returncode == 0, made.stdout + made.stderr


def client_of(package: Any, flat: Any, key: str = "") -> Any:
    made = (
        package.AuthenticatedClient("http://localhost:8080", key)
        if key
        else package.Client("http://localhost")
    )
    transport = httpx.ASGITransport(app=flat.app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    made.set_async_httpx_client(
        httpx.AsyncClient(transport=transport, base_url="http://localhost:8080", headers=headers)
    )
    return made


@pytest.mark.promise("F5", "F11", "A2")
async def test_a_client_made_by_an_outside_generator_registers_and_books_a_campaign(
    flats, tmp_path, monkeypatch
):
    accounts, ads = await flats.start("accounts"), await flats.start("ads")
    await some_agencies(accounts)
    await a_rate_card(ads)
    monkeypatch.syspath_prepend(tmp_path)
    first = client_of(await generated(accounts, "accounts", tmp_path), accounts)
    package = await generated(ads, "ads", tmp_path)
    document = json.loads((tmp_path / "accounts.json").read_bytes())
    path = document["paths"]["/api/accounts/v1/advertisers"]["post"]
    example = path["requestBody"]["content"]["application/json"]["example"]

    calls = import_module("accounts_client.api.accounts.register_advertiser")
    models = import_module("accounts_client.models")
    registered = await calls.asyncio(
        client=first,
        body=models.RegisterAdvertiser.from_dict(example),
        idempotency_key=uuid4().hex,
    )
    assert isinstance(registered, models.Registered), registered
    client = client_of(package, ads, registered.key)
    await book(client, ads, json.loads((tmp_path / "ads.json").read_bytes()))


async def book(client: Any, ads: Any, document: Any) -> None:
    """Book, upload, submit and read back, with nothing but the generated package."""
    path = document["paths"]["/api/ads/v1/orders"]["post"]
    example = path["requestBody"]["content"]["application/json"]["example"]
    api, models = "ads_client.api.ads", import_module("ads_client.models")
    places = await import_module(f"{api}.list_placements").asyncio(client=client, agency=example["agency"])
    assert "article-mid" in [place.code for place in places]
    order = await import_module(f"{api}.book").asyncio(
        client=client, body=models.NewOrder.from_dict(example), idempotency_key=uuid4().hex
    )
    assert isinstance(order, models.OrderView), order
    assert (order.status, order.agency) == ("draft", "bkh-sandbox")
    picture = import_module("ads_client.types").File(BytesIO(an_image(300, 250)), "banner.png", "image/png")
    creative = await import_module(f"{api}.upload_creative").asyncio(
        client=client,
        order_id=order.id,
        body=models.Upload(file=picture, click_url="https://honyen.example/vu-moi"),
        idempotency_key=uuid4().hex,
    )
    assert isinstance(creative, models.CreativeView), creative
    submitted = await import_module(f"{api}.submit").asyncio(client=client, order_id=order.id)
    assert submitted.status == "review"
    async with ads.tx() as tx:
        await sandbox.review(tx, Batch())
    read = await import_module(f"{api}.show_order").asyncio(client=client, order_id=order.id)
    assert (read.status, read.creatives[0].status) == ("payment", "approved")
    assert read.pay_url.startswith("http")
    mine = await import_module(f"{api}.list_orders").asyncio(client=client)
    assert [one.id for one in mine.items] == [order.id]
    stranger = await import_module(f"{api}.show_order").asyncio(client=client, order_id=uuid4())
    assert isinstance(stranger, models.Problem)
    assert stranger.code == "not-found"
