"""The plugin of every service: a stopped app starts again, with nothing left of its first life."""

from importlib import import_module

import httpx
import msgspec
import pytest

from shared.contracts import SERVICES
from tests.conftest import Flats


@pytest.mark.parametrize("service", SERVICES)
async def test_a_stopped_app_starts_again_with_the_settings_of_now_and_a_kit_of_its_own(
    flats: Flats, service: str
) -> None:
    await flats.start(service)
    app = import_module(f"services.{service}.app").create_app(flats.settings(service))
    router, lives = app.asgi_handler, []
    for home in ("first", "second"):
        app.state.settings = msgspec.structs.replace(app.state.settings, home=flats.tmp_path / home)
        async with (
            app.lifespan(),
            httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as client,
        ):
            assert (await client.head("/health/ready")).status_code == 200
            held = {name: value for name, value in app.state.items() if name != "settings"}
            lives.append((app.state.kit.settings.home.name, held))
        assert app.asgi_handler is router, "what stood around the router is gone"
    (home, first), (later, second) = lives
    assert (home, later) == ("first", "second")
    assert "kit" in first
    assert first.keys() == second.keys()
    assert not [name for name, value in first.items() if value is second[name]]
