"""A simulator of Pipedrive, with state, a clock that can be moved, and its faults.

It serves the parts of API v1 and v2 that an integration needs, posts Webhooks v2 with their retries, ban
and deletion, counts the daily budget and the burst limit, and misbehaves on demand (`POST /_sim/faults`).
`GET /` is a page on which a person changes quotas by hand. See `control.py` for all that tests can do.
"""
