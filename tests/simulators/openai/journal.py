"""What the simulator remembers of every request: the truth that a ledger is checked against."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from simulators.openai.generation import Generation
from simulators.openai.request import CreateRequest


@dataclass(slots=True)
class Journal:
    posts: Counter[str] = field(default_factory=Counter[str])
    """POSTs by run id, also those that were refused."""
    refused: Counter[int] = field(default_factory=Counter[int])
    """Answers by HTTP status that started no response."""
    resumes: Counter[str] = field(default_factory=Counter[str])
    cancels: Counter[str] = field(default_factory=Counter[str])
    peer_ports: set[int] = field(default_factory=set[int])
    """Connections that responses were asked for on."""
    generations: dict[str, Generation] = field(default_factory=dict[str, Generation])

    def posted(self, request: CreateRequest, peer_port: int) -> None:
        self.posts[request.run_id] += 1
        self.peer_ports.add(peer_port)

    def report(self, run_id: str | None) -> dict[str, Any]:
        """List the responses, oldest first, with what they really cost so far; of one run if it is given."""
        chosen = [g for g in self.generations.values() if run_id is None or g.answer.request.run_id == run_id]
        return {
            "responses": [self._entry(g) for g in chosen],
            "posts": dict(self.posts) if run_id is None else {run_id: self.posts[run_id]},
            "refused": {str(status): n for status, n in self.refused.items()},
            "connections": len(self.peer_ports),
            "active": sum(not g.is_closed for g in chosen),
            "deltas": sum(g.produced for g in chosen),
        }

    def _entry(self, generation: Generation) -> dict[str, Any]:
        request = generation.answer.request
        return {
            "id": generation.id,
            "run_id": request.run_id,
            "status": "cut" if generation.was_cut else generation.status,
            "background": generation.background,
            "stream": request.stream,
            "model": request.model,
            "metadata": dict(request.metadata),
            "options": request.options,
            "user_messages": request.user_messages,
            "usage": generation.answer.spent(generation.produced),
            "usage_reported": generation.response()["usage"],
            "text": generation.answer.text(generation.produced),
            "resumes": self.resumes[generation.id],
            "cancels": self.cancels[generation.id],
        }
