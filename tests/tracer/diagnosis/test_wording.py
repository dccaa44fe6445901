import pytest

from tracer.address import parse
from tracer.diagnosis import wording


@pytest.mark.parametrize(
    ("name", "sentence", "command"),
    [
        ("web", "web", "web"),
        ("a b", "a b", "'a b'"),
        ("$(reboot)", "$(reboot)", "'$(reboot)'"),
        ("x\x1b[2J", "x\\x1b[2J", "'x\\x1b[2J'"),
        ("[bold]x[/]", "[bold]x[/]", "'[bold]x[/]'"),
        ("a\nb", "a\\x0ab", "'a\\x0ab'"),
    ],
)
def test_names_act_neither_on_the_screen_nor_on_the_prompt(name, sentence, command):
    assert wording.plain(name) == sentence
    assert wording.word(name) == command


@pytest.mark.parametrize(
    ("ip", "prefix"), [("172.18.0.4", "172.18.0.4/32"), ("fd00::4", "fd00::4/128")]
)
def test_host_routes_have_their_familys_length(ip, prefix):
    assert wording.prefix(parse(ip)) == prefix


def test_unknown_protocols_are_numbers():
    assert wording.protocol_name(6) == "tcp"
    assert wording.protocol_name(47) == "47"


def test_names_are_listed_or_said_to_be_missing():
    assert wording.listed(["a", "b"], "none") == "a, b"
    assert wording.listed([], "none") == "none"


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("[0:0] -A FORWARD -s 10.0.0.1/32 -j DROP", "FORWARD -s 10.0.0.1/32 -j DROP"),
        ('-A X -m comment --comment "a \\"b\\" $(reboot)" -j Y', None),
        ('-A X -m comment --comment "no end', ""),
        ("ip daddr 10.0.0.1 drop", ""),
    ],
)
def test_a_rules_words_are_a_command_whatever_its_comment_says(line, command):
    wanted = """X -m comment --comment 'a "b" $(reboot)' -j Y""" if command is None else command
    assert wording.rule_words(line) == wanted
