"""How a change looks in Webhooks v2: other shapes than the API's for the same values."""

from typing import Any, Literal

from simulators.pipedrive.records import Change, Field

TimestampForm = Literal["iso", "epoch"]
ClearedForm = Literal["null", "absent"]


def webhook_body(
    change: Change,
    fields: dict[str, Field],
    *,
    company_id: int,
    webhook_id: int,
    owner_id: int,
    attempt: int,
    timestamps: TimestampForm = "iso",
    cleared: ClearedForm = "null",
) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "action": change.action,
        "entity": change.entity,
        "entity_id": str(change.entity_id),
        "company_id": str(company_id),
        "user_id": str(change.actor.user_id),
        "id": change.id,
        "correlation_id": f"correlation-{change.id}",
        "timestamp": change.at if timestamps == "iso" else str(change.epoch_s),
        "change_source": change.actor.source,
        "is_bulk_edit": change.is_bulk,
        "attempt": attempt,
        "type": "general",
        "version": "2.0",
        "webhook_id": str(webhook_id),
        "webhook_owner_id": str(owner_id),
        "host": "acme.pipedrive.com",
        "permitted_user_ids": [str(owner_id)],
    }
    if change.merged_from_id is not None:
        meta["merged_from_id"] = str(change.merged_from_id)
    if change.merged_to_id is not None:
        meta["merged_to_id"] = str(change.merged_to_id)
    return {
        "data": change.data and _record(change.data, fields, cleared),
        # Of what changed, an empty value is there as null: that is how a reader knows that it changed.
        "previous": change.previous and _record(change.previous, fields, "null"),
        "meta": meta,
    }


def _record(shown: dict[str, Any], fields: dict[str, Field], cleared: ClearedForm) -> dict[str, Any]:
    record = dict(shown)
    if "visible_to" in record:
        record["visible_to"] = str(record["visible_to"])
    if "label_ids" in record:
        record["label"] = next(iter(record.pop("label_ids")), None)
    if "custom_fields" in record:
        values = {code: _value(value, fields.get(code)) for code, value in record["custom_fields"].items()}
        if cleared == "absent":
            values = {code: value for code, value in values.items() if value is not None}
        record["custom_fields"] = values
    return record


def _value(value: Any, field: Field | None) -> dict[str, Any] | None:
    if value is None:
        return None
    kind = "varchar" if field is None else field.type
    match kind:
        case "monetary":
            return {"type": kind, **value}
        case "enum":
            return {"type": kind, "id": value}
        case "set":
            return {"type": kind, "values": [{"id": option} for option in value]}
        case _:
            return {"type": kind, "value": value}
