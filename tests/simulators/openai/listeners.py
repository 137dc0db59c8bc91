"""Those who wait for a generation: a stream of events, which may be made to break, or a plain answer."""

import asyncio

from simulators.openai.behaviour import CONNECTION_FAULTS, Fault
from simulators.openai.generation import Generation
from simulators.openai.http import Exchange

BROKEN_EVENT = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"half\n\n'
)


class EventStream:
    """One client reading the events of a generation, from any of them on."""

    def __init__(
        self, generation: Generation, exchange: Exchange, *, after: int | None, fault: Fault | None
    ) -> None:
        self._generation = generation
        self._exchange = exchange
        self._next = 0 if after is None else after + 1
        self._fault: Fault | None = fault if fault in CONNECTION_FAULTS else None
        self._fault_at = generation.event_of_delta(self._next, generation.answer.behaviour.after_deltas)
        self._is_mute = False
        exchange.on_gone = self._gone
        exchange.start_stream({"x-request-id": f"req_{generation.id}"})
        generation.listeners.append(self)

    @property
    def keeps_up(self) -> bool:
        return self._exchange.writable and not self._is_mute

    def pump(self) -> None:
        if self._is_mute:
            return
        ready = self._generation.ready
        end = ready if self._fault is None else min(ready, self._fault_at)
        if end > self._next:
            self._exchange.write(self._generation.events(self._next, end))
            self._next = end
        if self._fault is not None and self._next >= self._fault_at:
            self._go_wrong(self._fault)
        elif self._generation.is_closed and self._next >= ready:
            self._leave()
            self._end()

    def _end(self) -> None:
        delay_s = self._generation.answer.behaviour.end_delay_s
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self._exchange.end)
        else:
            self._exchange.end()

    def _go_wrong(self, fault: Fault) -> None:
        self._fault = None
        match fault:
            case "malformed":
                self._exchange.write(BROKEN_EVENT)
                self.pump()
                return
            case "stall":
                # The listener stays: a foreground response stalls with it, as it would behind a dead proxy.
                self._is_mute = True
                return
            case "fin":
                self._exchange.close_unfinished()
            case "eof":
                self._exchange.end()
            case _:
                self._exchange.reset()
        self._gone()

    def _leave(self) -> None:
        if self in self._generation.listeners:
            self._generation.listeners.remove(self)

    def _gone(self) -> None:
        self._leave()
        self._generation.client_gone()


class PlainAnswer:
    """One client waiting for the whole response."""

    def __init__(self, generation: Generation, exchange: Exchange) -> None:
        self._generation = generation
        self._exchange = exchange
        exchange.on_gone = generation.client_gone
        generation.listeners.append(self)

    @property
    def keeps_up(self) -> bool:
        return True

    def pump(self) -> None:
        if self._generation.is_closed:
            self._generation.listeners.remove(self)
            self._exchange.on_gone = None
            self._exchange.answer(200, self._generation.response())
