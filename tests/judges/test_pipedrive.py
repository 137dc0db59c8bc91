"""Others judge the simulator, and our client: nobody here wrote what both believe."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from common.clock import SystemClock
from common.mongo import client as mongo
from pipedrive_sync.domain.custom_fields import FieldKeys
from pipedrive_sync.domain.notice import Cleared, Quota
from pipedrive_sync.domain.write_back import Figures
from pipedrive_sync.parts import build_client
from pipedrive_sync.pipedrive.client import NewWebhook, PipedriveClient, PipedriveRefused
from pipedrive_sync.settings import Settings
from pipedrive_sync.store.cursors import Cursors
from simulators.pipedrive.simulator import TOKEN
from support.judges import HERE, Judged, run_node


class ThroughPrism(httpx.AsyncHTTPTransport):
    """Sends what belongs to API v2 to Prism, which judges it and passes it on."""

    def __init__(self, judged: Judged) -> None:
        super().__init__()
        self._prism = urlsplit(judged.v2_url)
        self.passed = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        if path.startswith("/api/v2/"):
            self.passed += 1
            url = request.url.copy_with(port=self._prism.port, raw_path=path.removeprefix("/api/v2").encode())
            request = httpx.Request(
                request.method, url, headers=request.headers, content=await request.aread()
            )
        return await super().handle_async_request(request)


@pytest.fixture
async def client(judged: Judged, db_url: str):
    settings = Settings(pipedrive_token=TOKEN, pipedrive_base_url=judged.simulator_url, pipedrive_burst=1000)
    db = mongo.connect(db_url, service="test")
    transport = ThroughPrism(judged)
    base_url, headers = f"{judged.simulator_url}/api/", {"x-api-token": TOKEN}
    async with httpx.AsyncClient(transport=transport, base_url=base_url, headers=headers, timeout=30) as http:
        yield build_client(settings, http, Cursors(db), SystemClock())
    db.client.close()
    assert transport.passed > 0


async def test_pipedrives_own_client_finds_in_the_simulator_what_it_expects(judged: Judged):
    code, output = await run_node(
        HERE / "official_client.mjs", judged.v1_url, judged.v2_url, TOKEN, f"{judged.simulator_url}/"
    )
    assert code == 0, output
    found = json.loads(output)
    assert found["company"] == "acme"
    assert found["set"] == 50_000
    assert found["cleared"] is None
    assert len(found["listed"]) == len(set(found["listed"])) >= 5
    assert found["hook"] == {"id": found["hook"]["id"], "object": "person", "active": 1, "version": "2.0"}
    assert found["hook"]["id"] in found["hooks"]
    assert found["hook"]["id"] not in found["left"]
    assert found["missing"] == 404


async def test_our_client_and_the_simulator_keep_to_the_official_description(
    client: PipedriveClient, control: httpx.AsyncClient, judged: Judged
):
    await client.account()
    quota, used, balance = [
        (await client.add_field(name, "double")).key
        for name in ("Judged quota", "Judged used", "Judged balance")
    ]
    user = (await client.add_field("Judged user", "varchar")).key
    keys = FieldKeys(quota=quota, used=used, balance=balance, user_id=user)
    assert set(keys.all) <= {field.key for field in await client.fields()}
    ids = [
        (await control.post("/_sim/persons", json={"name": f"P{n}", "email": f"p{n}@x.example"})).json()["id"]
        for n in range(3)
    ]
    await control.post("/_sim/quota", json={"ids": ids[:2], "field": "Judged quota", "value": 750})

    assert (
        await client.write_figures(ids[0], Figures(used=1, balance=749), keys, purpose="refresh") == "written"
    )
    record = await client.person(ids[0], keys)
    assert record is not None
    assert (record.wanted, record.used, record.balance) == (Quota(tokens=750), 1, 749)
    batch = await client.persons([*ids, 999_999], keys)
    assert sorted(batch) == sorted(ids)
    assert batch[ids[2]].wanted == Cleared()
    assert await client.person(999_999, keys) is None

    now = datetime.now(UTC)  # noqa: TID251 - the simulator runs by the real clock
    span = {"since": now - timedelta(hours=1), "until": now + timedelta(hours=1)}
    recent = [record.person_id async for page in client.pages(keys, **span) for record in page]
    everybody = [record.person_id async for page in client.pages(keys) for record in page]
    assert set(ids) <= set(recent) <= set(everybody)


async def test_our_client_keeps_webhooks_as_pipedrive_describes_them(client: PipedriveClient, judged: Judged):
    await client.fields()
    hook = await client.add_webhook(
        NewWebhook(url=f"{judged.simulator_url}/", object="person", user="u", password="p")
    )
    assert hook in await client.webhooks()
    await client.delete_webhook(hook.id)
    await client.delete_webhook(hook.id)
    assert hook.id not in {found.id for found in await client.webhooks()}
    with pytest.raises(PipedriveRefused):
        await client.add_webhook(NewWebhook(url="no address", object="person", user="u", password="p"))
