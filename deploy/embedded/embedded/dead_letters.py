"""`python -m embedded.dead_letters`: queues and dead letters of what runs here, or by the addresses given."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from common.service import EXIT_BAD_SETTINGS
from embedded.config import BadSetting, read_config
from embedded.run_file import RunFile


def main() -> int:
    try:
        config = read_config(os.environ, Path(".env"))
    except BadSetting as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_SETTINGS
    running = RunFile.read(config.data_dir)
    urls = {
        "DB_URL": running.db_url if running else config.given("DB_URL"),
        "AMQP_URL": running.amqp_url if running else config.given("AMQP_URL"),
    }
    management_url = running.amqp_management_url if running else config.given("AMQP_MANAGEMENT_URL")
    if None in urls.values():
        print("Nothing runs here: start `make run`, or set DB_URL and AMQP_URL", file=sys.stderr)
        return EXIT_BAD_SETTINGS
    urls["AMQP_MANAGEMENT_URL"] = management_url
    return _become_command({**config.settings, **{name: url for name, url in urls.items() if url}})


def _become_command(settings: Mapping[str, str]) -> NoReturn:
    argv = (sys.executable, "-P", "-m", "gateway.dashboard.dead_letters", *sys.argv[1:])
    os.execve(argv[0], argv, settings)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
