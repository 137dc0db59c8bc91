"""What was missed is put right: reconciliation, the webhook's supervisor, setup and doctor."""

from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest

from pipedrive_sync.commands.doctor import Doctor
from pipedrive_sync.commands.setup import Setup
from pipedrive_sync.pipedrive.client import NewWebhook, PipedriveRefused
from pipedrive_sync.pipedrive.gate import PipedriveAway
from pipedrive_sync.settings import Settings
from simulators.pipedrive.faults import ApiFault
from simulators.pipedrive.simulator import TOKEN
from support.crm import BALANCE, PASSWORD, QUOTA, USED, USER, USER_ID, CrmOnTrial, crm_on
from support.ledger import user

SETTINGS = Settings(pipedrive_token=TOKEN, dist_url="http://chat.test", int_user=USER, int_password=PASSWORD)


@pytest.fixture
async def crm(db_url: str) -> AsyncGenerator[CrmOnTrial]:
    async with crm_on(db_url) as trial:
        yield trial


async def people(crm: CrmOnTrial, count: int) -> list[int]:
    found = [crm.person(f"P{n}", **{USER_ID: f"u{n}", QUOTA: 1_000}) for n in range(count)]
    await crm.settle()
    await crm.api.reconcile.full()
    return found


class TestReconciliation:
    async def test_what_is_still_on_its_way_is_no_miss(self, crm: CrmOnTrial):
        [person] = await people(crm, 1)
        crm.clock.pass_s(1_000)
        crm.edit([person], 1_500)
        assert await crm.api.reconcile.recent() == 0
        crm.clock.pass_s(120)
        assert await crm.api.reconcile.recent() == 1
        await crm.settle()
        assert await crm.balance("u0") == 1_500
        assert (await crm.decisions())["stale"] == 1

    async def test_the_full_scan_finds_the_deleted_the_unmapped_and_figures_that_drifted(
        self, crm: CrmOnTrial
    ):
        found = await people(crm, 3)
        await crm.pass_time(60)
        crm.receiver.is_down = True
        company = crm.simulator.company
        company.delete(company.persons[found[0]], by=crm.simulator.by_hand)
        new = crm.person("New", email="ada@example.org", **{QUOTA: 700})
        await crm.ledger.ledger.accounts.open(user("u9"))
        crm.clock.pass_s(1)
        crm.edit([found[1]], 5, title=BALANCE)
        crm.clock.pass_s(60)
        await crm.api.reconcile.full()
        assert await crm.parts.stores.people.all_linked() == {found[1]: "u1", found[2]: "u2", new: "u9"}
        assert await crm.balance("u9") == 700
        await crm.pass_time(1_000, step_s=100)
        assert crm.shown(found[1], BALANCE) == 1_000

    async def test_a_page_that_shifts_while_it_is_read_loses_nobody(self, crm: CrmOnTrial):
        found = await people(crm, 1)
        for n in range(1, 1_003):
            crm.person(f"P{n}", **({USER_ID: f"u{n}", QUOTA: n} if n > 995 else {}))
        crm.receiver.is_down = True
        crm.clock.pass_s(100)
        keys = crm.parts.known.keys
        seen: set[int] = set()
        async for page in crm.api.client.pages(
            keys, since=crm.clock.now() - timedelta(days=1), until=crm.clock.now()
        ):
            seen |= {record.person_id for record in page}
            crm.clock.pass_s(2)
            crm.edit(found, len(seen))
        assert len(seen) == 1_003 or found[0] not in seen
        await crm.api.reconcile.recent()
        assert await crm.balance("u1000") == 1_000

    async def test_nothing_is_spent_twice_and_what_it_costs_is_known(self, crm: CrmOnTrial):
        await people(crm, 3)
        crm.clock.pass_s(100)
        limits = crm.simulator.limits
        before = limits.spent[limits.today]
        for _ in range(4):
            await crm.api.reconcile.recent()
        assert limits.spent[limits.today] - before == 40

    async def test_a_failure_in_the_middle_leaves_the_cursor_where_it_was(self, crm: CrmOnTrial):
        [person] = await people(crm, 1)
        crm.receiver.is_down = True
        crm.clock.pass_s(60)
        crm.edit([person], 1_500)
        crm.clock.pass_s(7_200)
        crm.simulator.faults.api = [ApiFault(kind="error")]
        with pytest.raises(PipedriveAway):
            await crm.api.reconcile.recent()
        crm.clock.pass_s(2)
        assert await crm.api.reconcile.recent() == 1


class TestAMergeThatWasMissed:
    """Nobody tells then that it was no deletion: the person that is left asks for the same user."""

    @pytest.fixture
    async def suspending(self, db_url: str) -> AsyncGenerator[CrmOnTrial]:
        async with crm_on(db_url, pipedrive_on_deleted="suspend") as trial:
            yield trial

    async def merged(self, crm: CrmOnTrial, loser: int, winner: int) -> None:
        await crm.pass_time(20)
        crm.receiver.is_down = True
        company = crm.simulator.company
        company.merge(company.persons[loser], company.persons[winner], by=crm.simulator.by_hand)
        crm.clock.pass_s(120)

    async def quotas(self, crm: CrmOnTrial, user_id: str) -> list[int]:
        return [row["quota_after"] for row in await crm.ledger.rows(user_id=user_id, kind="quota")]

    async def test_the_next_comparison_hands_the_user_over_and_suspends_nobody(self, suspending: CrmOnTrial):
        [loser] = await people(suspending, 1)
        winner = suspending.person("Winner", **{QUOTA: 7_000})
        await self.merged(suspending, loser, winner)
        await suspending.api.reconcile.recent()
        await suspending.pass_time(20)
        assert await suspending.parts.stores.people.all_linked() == {winner: "u0"}
        assert await self.quotas(suspending, "u0") == [1_000, 7_000]
        assert await suspending.waiting() == {}

    @pytest.mark.parametrize("finds_it", ["recent", "full"])
    async def test_so_it_is_when_only_the_address_tells_who_it_is(
        self, suspending: CrmOnTrial, finds_it: str
    ):
        await suspending.ledger.ledger.accounts.open(user("u0"))
        loser = suspending.person("Ada", email="ada@example.org", **{QUOTA: 3_000})
        winner = suspending.person("Ada Lee", email="lee@example.org", **{QUOTA: 7_000})
        await suspending.settle()
        await suspending.api.reconcile.full()
        await self.merged(suspending, loser, winner)
        await getattr(suspending.api.reconcile, finds_it)()
        await suspending.pass_time(20)
        assert await suspending.parts.stores.people.all_linked() == {winner: "u0"}
        assert await self.quotas(suspending, "u0") == [3_000, 7_000]

    async def test_a_write_that_finds_the_person_gone_first_ends_the_same(self, suspending: CrmOnTrial):
        [loser] = await people(suspending, 1)
        winner = suspending.person("Winner", **{QUOTA: 7_000})
        await self.merged(suspending, loser, winner)
        await suspending.parts.stores.outbox.write_again("u0")
        await suspending.pass_time(1_000, step_s=100)
        await suspending.api.reconcile.recent()
        assert await suspending.parts.stores.people.all_linked() == {winner: "u0"}
        assert await suspending.balance("u0") == 7_000

    async def test_what_only_a_webhook_says_hands_nobody_over(self, suspending: CrmOnTrial):
        [loser] = await people(suspending, 1)
        suspending.person("Eve", **{USER_ID: "u0", QUOTA: 7_000})
        await suspending.settle()
        company = suspending.simulator.company
        suspending.receiver.is_down = True
        suspending.clock.pass_s(60)
        company.delete(company.persons[loser], by=suspending.simulator.by_hand)
        await suspending.parts.stores.people.confirm_later(loser, suspending.clock.now())
        await suspending.api.confirm.once()
        assert await suspending.parts.stores.people.all_linked() == {}
        assert await suspending.balance("u0") == 0

    async def test_of_two_who_ask_for_the_user_neither_gets_it(self, suspending: CrmOnTrial):
        [loser] = await people(suspending, 1)
        claims = [suspending.person(f"C{n}", **{USER_ID: "u0", QUOTA: 7_000}) for n in range(2)]
        await suspending.settle()
        suspending.clock.pass_s(60)
        suspending.simulator.company.persons[loser].is_deleted = True
        await suspending.api.reconcile.full()
        assert await suspending.balance("u0") == 0
        assert set(await suspending.waiting()) == {f"person:{person}" for person in claims}


class TestWhoIsHiddenIsNotGone:
    @pytest.fixture
    async def suspending(self, db_url: str) -> AsyncGenerator[CrmOnTrial]:
        async with crm_on(db_url, pipedrive_on_deleted="suspend") as trial:
            yield trial

    def hide(self, crm: CrmOnTrial, person_ids: list[int]) -> None:
        """Take people out of the lists, and have their own addresses answer 403."""
        company = crm.simulator.company
        for person in person_ids:
            company.persons[person].is_deleted = True
            fault = ApiFault(kind="forbidden", path=f"/v2/persons/{person}", times=None)
            crm.simulator.faults.api.append(fault)

    async def test_a_look_at_many_tells_the_hidden_from_the_deleted(self, suspending: CrmOnTrial):
        found = await people(suspending, 6)
        await suspending.pass_time(60)
        self.hide(suspending, found[:2])
        suspending.simulator.company.persons[found[5]].is_deleted = True
        suspending.clock.pass_s(60)
        for person in found:
            await suspending.parts.stores.people.confirm_later(person, suspending.clock.now())
        await suspending.api.confirm.once()
        assert set(await suspending.parts.stores.people.all_linked()) == set(found[:5])
        assert [await suspending.balance(f"u{n}") for n in range(6)] == [1_000] * 5 + [0]

    async def test_the_full_comparison_leaves_the_hidden_alone(self, suspending: CrmOnTrial):
        found = await people(suspending, 6)
        self.hide(suspending, found[:2])
        await suspending.api.reconcile.full()
        assert set(await suspending.parts.stores.people.all_linked()) == set(found)
        assert [await suspending.balance(f"u{n}") for n in range(6)] == [1_000] * 6

    async def test_when_many_are_missing_nobody_is_taken_for_gone_and_the_doctor_says_so(
        self, suspending: CrmOnTrial
    ):
        found = await people(suspending, 20)
        for person in found[:8]:
            suspending.simulator.company.persons[person].is_deleted = True
        await suspending.api.reconcile.full()
        assert set(await suspending.parts.stores.people.all_linked()) == set(found)
        doctor = Doctor(
            SETTINGS, suspending.ledger.db, suspending.parts.stores, suspending.clock, client=None
        )
        wrong = [finding.what async for finding in doctor.run() if not finding.is_well]
        assert any("8 of 20 linked people were not listed" in what for what in wrong)


class TestSupervisor:
    async def supervise(self, crm: CrmOnTrial) -> list[str]:
        assert crm.api.supervise is not None
        return await crm.api.supervise.once()

    async def active(self, crm: CrmOnTrial) -> list[tuple[str, str, str]]:
        return [(hook.url, hook.object, hook.version) for hook in await crm.api.client.webhooks()]

    async def test_when_all_is_well_nothing_is_done(self, crm: CrmOnTrial):
        assert await self.supervise(crm) == []
        assert len(await self.active(crm)) == 1

    async def test_a_deleted_webhook_is_made_again_and_what_was_missed_is_looked_for(self, crm: CrmOnTrial):
        [hook] = await crm.api.client.webhooks()
        await crm.api.client.delete_webhook(hook.id)
        assert len(await self.supervise(crm)) == 1
        assert len(await self.active(crm)) == 1
        await crm.api.reconcile_waker.sleep(3_600)

    async def test_a_second_registration_is_removed(self, crm: CrmOnTrial):
        url = "http://chat.test/int/pipedrive/webhooks"
        await crm.api.client.add_webhook(NewWebhook(url=url, object="person", user=USER, password=PASSWORD))
        crm.simulator.deliveries.subscribe(
            crm.simulator.admin.id,
            url=url,
            action="change",
            object="person",
            name="old",
            version="1.0",
            user=None,
            password=None,
        )
        assert len(await self.supervise(crm)) == 2
        assert await self.active(crm) == [(url, "person", "2.0")]

    async def test_other_webhooks_of_the_company_are_left_alone(self, crm: CrmOnTrial):
        other = NewWebhook(url="http://zapier.test/", object="person", user="u", password="p")
        await crm.api.client.add_webhook(other)
        assert await self.supervise(crm) == []
        assert len(await self.active(crm)) == 2

    async def test_one_whose_credentials_are_refused_is_made_anew(self, crm: CrmOnTrial):
        [hook] = crm.simulator.deliveries.webhooks.values()
        hook.password = "of yesterday"
        crm.person("Ann")
        await crm.settle()
        assert hook.last_status == 401
        await self.supervise(crm)
        crm.person("Eve", **{USER_ID: "u1", QUOTA: 5})
        await crm.settle()
        assert await crm.balance("u1") == 5


class TestSetupAndDoctor:
    async def findings(self, crm: CrmOnTrial, settings: Settings = SETTINGS) -> dict[str, bool]:
        doctor = Doctor(settings, crm.ledger.db, crm.parts.stores, crm.clock, client=crm.api.client)
        return {finding.what: finding.is_well async for finding in doctor.run()}

    async def test_setup_makes_what_is_missing_and_nothing_twice(self, crm: CrmOnTrial):
        names = {found.name for found in crm.simulator.company.fields.values() if found.is_custom}
        assert names == {QUOTA, USED, BALANCE, USER_ID}
        setup = Setup(crm.api.client, crm.parts.known, SETTINGS.field_names, crm.api.supervise)
        lines = [line async for line in setup.run()]
        assert all("was made" not in line for line in lines)
        assert len(crm.simulator.company.custom_codes) == 4
        assert len(await crm.api.client.webhooks()) == 1

    async def test_setup_makes_a_deleted_field_anew(self, crm: CrmOnTrial):
        crm.simulator.company.delete_field(crm.simulator.company.field_named(QUOTA).code)
        setup = Setup(crm.api.client, crm.parts.known, SETTINGS.field_names, crm.api.supervise)
        assert f'The field "{QUOTA}" was made.' in [line async for line in setup.run()]
        crm.person("Ann", **{USER_ID: "u1", QUOTA: 5})
        await crm.settle()
        assert await crm.balance("u1") == 5

    async def test_setup_says_why_a_field_cannot_be_made(self, crm: CrmOnTrial):
        crm.simulator.company.delete_field(crm.simulator.company.field_named(QUOTA).code)
        while len(crm.simulator.company.custom_codes) < 100:
            crm.simulator.company.add_field(f"F{len(crm.simulator.company.fields)}", "text")
        setup = Setup(crm.api.client, crm.parts.known, SETTINGS.field_names, crm.api.supervise)
        with pytest.raises(PipedriveRefused, match="limit of custom fields"):
            [line async for line in setup.run()]

    async def test_two_fields_of_the_same_name_are_not_guessed(self, db_url: str):
        async with crm_on(db_url) as crm:
            crm.simulator.company.add_field(QUOTA, "double")
            await crm.ledger.db["crm_cursors"].delete_many({})
            await crm.parts.known.refresh(crm.api.client)
            assert crm.parts.known.keys.quota is None

    async def test_the_doctor_finds_nothing_when_all_is_well(self, crm: CrmOnTrial):
        await people(crm, 1)
        assert [what for what, is_well in (await self.findings(crm)).items() if not is_well] == []

    async def test_the_doctor_names_what_is_wrong_in_plain_words(self, crm: CrmOnTrial):
        await people(crm, 1)
        [hook] = await crm.api.client.webhooks()
        await crm.api.client.delete_webhook(hook.id)
        crm.simulator.company.delete_field(crm.simulator.company.field_named(USED).code)
        crm.person("Nobody", **{QUOTA: 5})
        await crm.settle()
        crm.simulator.admin.is_admin = False
        crm.clock.pass_s(7_200)
        wrong = " ".join(what for what, is_well in (await self.findings(crm)).items() if not is_well)
        for said in (
            "no working webhook",
            f'"{USED}" is missing',
            "not an administrator",
            "last reconciliation",
        ):
            assert said in wrong

    async def test_the_doctor_says_when_the_token_is_refused(self, crm: CrmOnTrial):
        crm.simulator.admin.token = "regenerated"
        wrong = [what for what, is_well in (await self.findings(crm)).items() if not is_well]
        assert any("PIPEDRIVE_TOKEN is refused" in what for what in wrong)

    async def test_the_doctor_names_a_pause(self, crm: CrmOnTrial):
        crm.simulator.faults.api = [ApiFault(kind="blocked")]
        with pytest.raises(PipedriveAway):
            await crm.api.client.account()
        wrong = [what for what, is_well in (await self.findings(crm)).items() if not is_well]
        assert any("Calls are paused: Pipedrive blocks us" in what for what in wrong)
