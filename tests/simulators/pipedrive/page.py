"""A page on which a person changes a quota by hand and sees what comes back."""

from html import escape
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from simulators.pipedrive.records import Record
from simulators.pipedrive.simulator import Simulator

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    ":root{color-scheme:light dark}table{border-collapse:collapse;width:100%}"
    "td,th{padding:.4rem .8rem .4rem 0;text-align:left}tr+tr td{border-top:1px solid #8885}"
    "input{font:inherit;width:9rem}button{font:inherit}form{display:inline}"
)
_REFRESH = (
    "setInterval(async()=>{const s=await(await fetch('/_sim/state')).json();"
    "for(const p of s.persons)for(const[n,v]of Object.entries(p.fields))"
    "for(const c of document.querySelectorAll(`[data-person='${p.id}']`))"
    "if(c.dataset.field===n)c.textContent=v??'-'},1000)"
)


def page_routes(simulator: Simulator) -> list[BaseRoute]:
    async def page(_request: Request) -> Response:
        return HTMLResponse(_page(simulator))

    async def change(request: Request) -> Response:
        form = await _form(request)
        code, person = form["code"], simulator.company.persons[int(form["person"])]
        try:
            value = _typed(form.get("value", ""), simulator.company.fields[code].type)
        except ValueError:
            return HTMLResponse(_page(simulator, wrong="That is not a number, such as 50000."), 400)
        simulator.company.change(person, {"custom_fields": {code: value}}, by=simulator.by_hand)
        return RedirectResponse("/", status_code=303)

    async def add(request: Request) -> Response:
        form = await _form(request)
        name, email = form.get("name", ""), form.get("email", "")
        simulator.company.create("person", name or email, by=simulator.by_hand, email=email or None)
        return RedirectResponse("/", status_code=303)

    return [
        Route("/", page),
        Route("/_page/change", change, methods=["POST"]),
        Route("/_page/add", add, methods=["POST"]),
    ]


async def _form(request: Request) -> dict[str, str]:
    return {name: value.strip() for name, value in parse_qsl((await request.body()).decode())}


def _typed(text: str, kind: str) -> Any:
    if not text:
        return None
    # A number may be typed with spaces or commas between its thousands, as in Pipedrive itself.
    return float("".join(text.replace(",", "").split())) if kind == "double" else text


def _page(simulator: Simulator, *, wrong: str = "") -> str:
    company, counts = simulator.company, simulator.deliveries.counts
    codes = company.custom_codes
    head = "".join(f"<th>{escape(company.fields[code].name)}" for code in codes)
    rows = "".join(
        f"<tr><td>{escape(person.name)}<td>{escape(', '.join(e['value'] for e in person.emails))}"
        + "".join(_cell(simulator, person, code) for code in codes)
        for person in company.persons.values()
        if not person.is_deleted
    )
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Pipedrive (simulator)</title><style>{_STYLE}</style><h1>People</h1>"
        "<p>A stand-in for Pipedrive. What you save here is posted to the chat as a webhook.</p>"
        f'<p role="alert">{escape(wrong)}</p>'
        f"<table><tr><th>Name<th>E-mail{head}{rows}</table>"
        '<h2>Add</h2><form method="post" action="/_page/add">'
        '<input name="name" placeholder="Name" aria-label="Name"> '
        '<input name="email" type="email" placeholder="E-mail" aria-label="E-mail"> '
        "<button>Add</button></form>"
        f"<h2>Webhooks</h2><p>{counts.delivered} delivered, {counts.first_failures} failed at first, "
        f"{counts.lost_in_ban} lost; {simulator.limits.spent.get(simulator.limits.today, 0)} of "
        f"{simulator.limits.daily_tokens} API tokens spent today.</p><script>{_REFRESH}</script></html>"
    )


def _cell(simulator: Simulator, person: Record, code: str) -> str:
    field = simulator.company.fields[code]
    value = person.custom_fields.get(code)
    shown = "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)
    return (
        f'<td><span data-person="{person.id}" data-field="{escape(field.name)}">'
        f'{escape(shown) or "-"}</span><br><form method="post" action="/_page/change">'
        f'<input type="hidden" name="person" value="{person.id}">'
        f'<input type="hidden" name="code" value="{code}">'
        f'<input name="value" value="{escape(shown)}" '
        f'aria-label="{escape(field.name)} of {escape(person.name)}"> <button>Save</button></form>'
    )
