"""`python -m embedded.token USER`: a session token, as the customer's main application would issue it."""

import argparse
import os
import sys
from datetime import timedelta
from pathlib import Path

from common.auth import Role, issue_session
from common.clock import SystemClock
from common.service import EXIT_BAD_SETTINGS
from embedded.config import BadSetting, Config, read_config

_TTL = timedelta(days=7)


def issue(
    config: Config,
    user_id: str,
    *,
    role: Role = "user",
    name: str | None = None,
    company: str | None = None,
    email: str | None = None,
) -> str:
    """Sign a session with the configured secret, for a week."""
    claims = {"role": role, "name": name, "company": company, "email": email}
    return issue_session(
        user_id,
        secret=config.settings["SHARED_SECRET"],
        now=SystemClock().now(),
        ttl=_TTL,
        claims={claim: value for claim, value in claims.items() if value},
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make token", description=__doc__)
    parser.add_argument("user")
    parser.add_argument("--role", choices=("user", "operator"), default="user")
    parser.add_argument("--company")
    parser.add_argument("--name")
    options = parser.parse_args()
    try:
        config = read_config(os.environ, Path(".env"))
    except BadSetting as error:
        print(error, file=sys.stderr)
        return EXIT_BAD_SETTINGS
    print(issue(config, options.user, role=options.role, name=options.name, company=options.company))
    return 0


if __name__ == "__main__":
    sys.exit(main())
