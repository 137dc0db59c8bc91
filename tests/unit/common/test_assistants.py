from pathlib import Path

import pytest

from common.assistants import AssistantNotFound, load_assistant

PROFILE = """
id = "helper"
version = 3
aliases = ["asst_old"]
model = "m"
instructions = "Be kind."
max_input_tokens = 1000
max_output_tokens = 500
min_output_tokens = 16
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "helper.toml").write_text(PROFILE)
    return tmp_path


@pytest.mark.parametrize("name", ["helper", "asst_old"])
def test_a_profile_is_found_by_its_id_and_by_an_old_one(directory: Path, name: str):
    assert load_assistant(directory, name).reference == "helper@3"


def test_a_missing_profile_says_what_there_is(directory: Path):
    with pytest.raises(AssistantNotFound, match="found: helper"):
        load_assistant(directory, "asst_new")


def test_a_hosted_prompt_is_refused_with_the_date_of_its_end(directory: Path):
    with pytest.raises(AssistantNotFound, match="2026-11-30"):
        load_assistant(directory, "pmpt_1")


def test_a_profile_with_a_misspelt_field_is_refused(directory: Path):
    (directory / "helper.toml").write_text(PROFILE + 'modle = "x"\n')
    with pytest.raises(AssistantNotFound, match="modle"):
        load_assistant(directory, "helper")


def test_the_profiles_that_come_along_are_valid():
    shipped = Path(__file__).parents[3] / "deploy" / "assistants"
    for path in shipped.glob("*.toml"):
        assert load_assistant(shipped, path.stem).id == path.stem
