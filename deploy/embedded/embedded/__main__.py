"""`make run`: the whole product on this machine, in the foreground, until Ctrl-C or SIGTERM."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from common.service import EXIT_BAD_SETTINGS
from embedded import processes, token
from embedded.config import BadSetting, Config, read_config
from embedded.probes import PartFailed
from embedded.servers.pipedrive import DEMO_EMAIL
from embedded.stack import Stack, Tell, held

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    try:
        config = read_config(os.environ, Path(".env"))
    except BadSetting as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_SETTINGS
    started_s = time.monotonic()

    def tell(line: str) -> None:
        print(f"{time.monotonic() - started_s:6.1f} s  {line}", flush=True)

    try:
        with held(config.data_dir, tell):
            asyncio.run(_run(config, tell))
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("All stopped.")
    except PartFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


async def _run(config: Config, tell: Tell) -> None:
    """Run until cancelled by a signal. Raises PartFailed."""
    _stop_on_signals(config.data_dir)
    stack = Stack(config, tell)
    try:
        await stack.open()
        print(_welcome(stack, config), flush=True)
        await stack.watch()
    finally:
        print("Stopping …", flush=True)
        await stack.close()


def _stop_on_signals(data_dir: Path) -> None:
    """Cancel the run at the first signal; at the second, end everything by force."""
    loop = asyncio.get_running_loop()
    run = asyncio.current_task()
    assert run is not None
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if len(received) == 1:
            run.cancel()
        else:
            processes.end_marked(data_dir, grace_s=0)

    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    # Under nohup it is ignored, and stays so.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, stop, signal.SIGHUP)


def _welcome(stack: Stack, config: Config) -> str:
    url = stack.url
    user = token.issue(config, "demo", name="Demo user", company="Acme", email=DEMO_EMAIL)
    operator = token.issue(config, "operator", name="Operator", role="operator")
    crm = f"\nPipedrive       {stack.simulated_crm_url} (simulated)" if stack.simulated_crm_url else ""
    return f"""
The app         {url}
as a user       {url}?s={user}
as an operator  {url}?s={operator}{crm}
Logs            {config.data_dir}/log
Ctrl-C ends it; data stays in {config.data_dir}
"""


if __name__ == "__main__":
    sys.exit(main())
