"""A simulator of the OpenAI Responses API, with state, for tests and benchmarks.

It keeps to what the official SDK and the documented behaviour demand, knows what every response would
have been billed, and misbehaves on demand: by script (`POST /_sim/script`) or by a marker in the last
user text (`[[sim: {"fault": "cut", "after_deltas": 3}]]`). See `behaviour.py` for all it can do.
"""
