"""`python -m embedded.audit`: the ledger's audit on what runs here, or on the `DB_URL` that is set."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from common.service import EXIT_BAD_SETTINGS
from embedded.config import BadSetting, Config, read_config
from embedded.run_file import RunFile


def main() -> int:
    try:
        config = read_config(os.environ, Path(".env"))
    except BadSetting as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_SETTINGS
    running = RunFile.read(config.data_dir)
    db_url = running.db_url if running else config.given("DB_URL")
    if db_url is None:
        print("Nothing runs here: start `make run`, or set DB_URL", file=sys.stderr)
        return EXIT_BAD_SETTINGS
    return _become_audit(config, db_url)


def _become_audit(config: Config, db_url: str) -> NoReturn:
    argv = (sys.executable, "-P", "-m", "usage_ledger", "audit", *sys.argv[1:])
    os.execve(argv[0], argv, {**config.settings, "DB_URL": db_url})  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
