"""What several tests of training share."""

import pytest

from featdiff.training import resume


@pytest.fixture
def killed_at_step_30(monkeypatch):
    """Training dies right after it saved the state of step 30; the steps of all saved states, in order."""
    saves: list[int] = []
    save = resume.save_state

    def save_and_die(path, *, step, **rest):
        save(path, step=step, **rest)
        saves.append(step)
        if step == 30:
            raise KeyboardInterrupt

    monkeypatch.setattr(resume, "save_state", save_and_die)
    return saves
