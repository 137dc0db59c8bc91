"""`/_sim`: what tests and the page tell the simulator.

`POST /_sim/persons` makes one, `POST /_sim/quota` edits a field by hand (`ids`, `field`, `value`, `is_bulk`,
`by_api`), `/_sim/merge`, `/_sim/delete`, `/_sim/faults`, `/_sim/clock` (`skip_s`), `GET /_sim/state`,
`GET /_sim/deliveries`.
"""

from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from simulators.pipedrive.clock import MovableClock
from simulators.pipedrive.faults import ApiFault, WebhookFaults
from simulators.pipedrive.simulator import Simulator


class NewPerson(BaseModel):
    """`fields` are custom ones by their names."""

    model_config = ConfigDict(extra="forbid")

    name: str
    email: str | None = None
    fields: dict[str, Any] = Field(default_factory=dict)


class Edit(BaseModel):
    """Sets one custom field, by its name."""

    model_config = ConfigDict(extra="forbid")

    ids: list[int]
    field: str
    value: Any
    is_bulk: bool = False
    by_api: bool = False


class FaultsOn(BaseModel):
    """All that is to go wrong from now on; what is not named goes well again."""

    model_config = ConfigDict(extra="forbid")

    api: list[ApiFault] = Field(default_factory=list[ApiFault])
    webhooks: WebhookFaults = WebhookFaults()


def control_routes(simulator: Simulator) -> list[BaseRoute]:
    control = _Control(simulator)
    actions = {
        "persons": control.add_person,
        "quota": control.edit,
        "merge": control.merge,
        "delete": control.delete,
        "faults": control.set_faults,
        "clock": control.skip,
    }
    posts = [Route(f"/_sim/{name}", _checked(action), methods=["POST"]) for name, action in actions.items()]
    return [
        *posts,
        Route("/_sim/state", control.state),
        Route("/_sim/deliveries", control.deliveries),
    ]


def _checked(action: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await action(await request.json()))
        except (ValidationError, ValueError, KeyError, StopIteration) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=400)

    return endpoint


class _Control:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._company = simulator.company

    async def add_person(self, body: dict[str, Any]) -> Any:
        person = NewPerson.model_validate(body)
        custom = {self._company.field_named(name).code: value for name, value in person.fields.items()}
        by = self._simulator.by_hand
        record = self._company.create("person", person.name, by=by, email=person.email, custom_fields=custom)
        return {"id": record.id}

    async def edit(self, body: dict[str, Any]) -> Any:
        edit = Edit.model_validate(body)
        by = self._simulator.by_other_tool if edit.by_api else self._simulator.by_hand
        code = self._company.field_named(edit.field).code
        self._company.set_field(edit.ids, code, edit.value, by=by, is_bulk=edit.is_bulk)
        return {"changed": len(edit.ids)}

    async def merge(self, body: dict[str, Any]) -> Any:
        persons = self._company.persons
        self._company.merge(persons[body["loser"]], persons[body["winner"]], by=self._simulator.by_hand)
        return {}

    async def delete(self, body: dict[str, Any]) -> Any:
        self._company.delete(self._company.persons[body["id"]], by=self._simulator.by_hand)
        return {}

    async def set_faults(self, body: dict[str, Any]) -> Any:
        faults = FaultsOn.model_validate(body)
        self._simulator.faults.api, self._simulator.faults.webhooks = faults.api, faults.webhooks
        return {}

    async def skip(self, body: dict[str, Any]) -> Any:
        assert isinstance(self._simulator.clock, MovableClock)
        self._simulator.clock.skip(float(body["skip_s"]))
        return {"now": self._simulator.clock.now().isoformat()}

    async def deliveries(self, _request: Request) -> Response:
        """What became of the posts, for who asks often."""
        deliveries = self._simulator.deliveries
        return JSONResponse({**asdict(deliveries.counts), "waiting": deliveries.waiting})

    async def state(self, _request: Request) -> Response:
        simulator, company = self._simulator, self._company
        names = {code: company.fields[code].name for code in company.custom_codes}
        return JSONResponse(
            {
                "persons": [
                    {
                        "id": person.id,
                        "name": person.name,
                        "emails": [email["value"] for email in person.emails],
                        "is_deleted": person.is_deleted,
                        "update_time": person.update_time,
                        "fields": {name: person.custom_fields.get(code) for code, name in names.items()},
                    }
                    for person in company.persons.values()
                ],
                "fields": list(names.values()),
                "webhooks": [
                    {name: value for name, value in hook.as_api().items() if name != "http_auth_password"}
                    for hook in simulator.deliveries.webhooks.values()
                ],
                "calls": [f"{method} {path}" for _, method, path, _ in simulator.limits.calls],
                "spent": simulator.limits.spent,
                "busiest": simulator.limits.busiest,
            }
        )
