import json

import pytest
from click.testing import CliRunner

from tracer.cli import run, viptrace
from tracer.commands.explain_cause import _matching
from tracer.diagnosis.causes import CAUSES_BY_ID


def printed(*arguments):
    result = CliRunner().invoke(viptrace, ["explain-cause", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_cause_is_explained_with_its_numbered_remedy():
    text = printed("ip-forward-off")
    order = ["What people notice", "What happens", "What it cannot know", "How to make it happen"]
    order += ["What to do", "Sources"]
    assert "python -m lab record ip-forward-off -o /tmp" in text
    places = [text.index(title) for title in order]
    assert places == sorted(places)
    assert "  1. sysctl -w <setting>=1" in text
    assert max(map(len, text.splitlines())) < 200


def test_without_an_id_all_are_listed():
    listed = [line.split()[0] for line in printed().splitlines()]
    assert listed == list(CAUSES_BY_ID)


@pytest.mark.parametrize("name", CAUSES_BY_ID)
def test_as_json_every_part_is_there(name):
    told = json.loads(printed(name, "--json"))
    assert (told["type"], told["cause"]) == ("cause", name)
    assert all(told[key] for key in ("title", "symptom", "mechanism", "claims", "remedy", "modes"))


def test_an_unknown_id_says_what_was_meant(capsys):
    assert run(["explain-cause", "ip-forward-of"]) == 2
    assert "Did you mean ip-forward-off" in capsys.readouterr().err


def test_ids_are_completed():
    found = [item.value for item in _matching(None, None, "ipvs-")]
    assert len(found) > 1
    assert found == [name for name in CAUSES_BY_ID if name.startswith("ipvs-")]
