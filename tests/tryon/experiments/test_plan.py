"""Parts of an experiment that are shared among processes."""

from __future__ import annotations

import time
from pathlib import Path

from tryon.experiments.plan import Part, run_parts

LEAVING = 1.5  # seconds, more than another process waits between two looks


def test_a_part_begins_when_those_before_it_have_ended_not_when_their_files_are_there(tmp_path: Path) -> None:
    made, left, seen = (tmp_path / name for name in ("made", "left", "seen"))

    def make_and_leave() -> None:
        made.touch()
        time.sleep(LEAVING)
        left.touch()

    first = Part("first", 1, made.exists, make_and_leave)
    second = Part("second", 1, seen.exists, lambda: seen.write_text(str(left.exists())), (first,))
    run_parts([first, second], tmp_path, processes=2)
    assert seen.read_text() == "True"
