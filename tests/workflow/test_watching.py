"""Trainings are told of in the terminal in whole lines, now and then, whatever process or machine they run on."""

import pytest

from featdiff.training import progress
from workflow.watching import Trainings


@pytest.fixture
def told(tmp_path):
    """What was told of the trainings of a folder in which one of an earlier run lies."""
    lines: list[str] = []
    status(tmp_path, "old", step=9, time=1)
    trainings = Trainings(tmp_path, lines.append, every=10, jobs=lambda: "[3 of 9 jobs] ")
    trainings.folder, trainings.lines = tmp_path, lines
    return trainings


def status(folder, name, **values):
    (folder / name).mkdir(exist_ok=True)
    progress.write_json(folder / name / progress.NOW, {"steps": 100, "said": [], **values})


def test_a_training_is_told_of_every_so_many_seconds_and_at_its_end(told):
    for second in range(26):
        status(told.folder, "guided", step=second, loss=0.5, images_per_second=412.4, seconds_left=200, time=second + 2)
        told.look(float(second))
    expected = "[3 of 9 jobs] training guided: step {} of 100, loss 0.5000, 412 images/s, 3 min left"
    assert told.lines == [expected.format(step) for step in (0, 10, 20)]
    status(told.folder, "guided", step=100, finished=True, time=50)
    told.look(26.0)
    told.look(60.0)
    assert told.lines[3:] == ["[3 of 9 jobs] training guided: step 100 of 100, finished"]


def test_what_it_says_of_its_start_is_told_once(told):
    words = "training goes on from image 320 of 640"
    for second in range(3):
        status(told.folder, "guided", step=second, said=[words], time=second + 2)
        told.look(float(second))
    assert told.lines == [f"guided: {words}"]


def test_a_file_that_is_being_written_is_passed_by(told):
    (told.folder / "guided").mkdir()
    (told.folder / "guided" / progress.NOW).write_text('{"step": 1')
    told.look(0.0)
    assert told.lines == []


def test_times_are_told_as_people_say_them():
    assert [progress.duration(s) for s in (4, 59.4, 75, 3599, 7260)] == [
        "4 s",
        "59 s",
        "1 min",
        "1 h 00 min",
        "2 h 01 min",
    ]
