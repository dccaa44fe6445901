"""A mapping that the kernel told of is looked for in what was printed."""

import json

from lab.accounted import without_translation
from tests.builders import batch, mapping
from tests.tracer.recording.stories import BACKENDS, HOME, VIP, lines_of, recorder
from tracer.events import Hook

CLIENT = "10.244.3.8:40000"
FIRST, SECOND = BACKENDS


def told(*records):
    seconds = range(10, 10 * len(records) + 1, 10)
    return [
        ("batch", batch(row, until=after), 0) for row, after in zip(records, seconds, strict=True)
    ]


RUN = told(
    mapping(1, CLIENT, VIP, FIRST, netns=HOME),
    mapping(11, CLIENT, VIP, FIRST, hook=Hook.CT_END, netns=HOME),
    mapping(21, CLIENT, VIP, SECOND, netns=HOME),
    mapping(31, CLIENT, VIP, SECOND, hook=Hook.CT_END, netns=HOME),
    mapping(41, CLIENT, VIP, FIRST, netns=HOME),
)


def printed(path):
    return [json.loads(line) for line in lines_of(RUN, recorder(path))]


def is_of(line, backend):
    return line["type"] == "translation" and f"{line['backend']['ip']}:8080" == backend


def test_ports_used_again_have_a_translation_for_each_mapping(tmp_path):
    lines = printed(tmp_path / "run.pcapng")
    assert without_translation(tmp_path / "run.pcapng", lines) == (3, [])


def test_a_mapping_is_missed_where_another_one_took_its_line(tmp_path):
    lines = printed(tmp_path / "run.pcapng")
    others = [line for line in lines if not is_of(line, SECOND)]
    count, missing = without_translation(tmp_path / "run.pcapng", others)
    assert (count, len(missing)) == (3, 1)
    assert f"to {SECOND}" in missing[0]


def test_a_translation_of_another_time_is_no_mappings(tmp_path):
    lines = printed(tmp_path / "run.pcapng")
    late = [line | {"first": "2023-11-14T23:59:00.000000000Z"} for line in lines]
    assert len(without_translation(tmp_path / "run.pcapng", late)[1]) == 3
