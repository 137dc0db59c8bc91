"""A part of the running whole: a private server or a service."""

from dataclasses import dataclass, field

from embedded.probes import Probe
from embedded.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`programs` in the order in which they start; the part's own is the last. `probe` says when it works."""

    name: str
    url: str = field(repr=False)
    programs: tuple[Program, ...]
    probe: Probe
    management_url: str | None = field(default=None, repr=False)

    @property
    def program(self) -> Program:
        return self.programs[-1]
