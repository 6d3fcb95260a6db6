"""The watcher of a training: keeps its numbers, makes previews, draws the page, tells how far it is.

What goes wrong in watching is said once, and the training goes on without it.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from featdiff.errors import UserError
from featdiff.training import progress as files
from featdiff.training.progress import Record
from featdiff.training.watched import Begun, Moment
from featdiff.watching import page, previews, trackers

RECORDS = 400  # of a whole training
STATUS_EVERY, PAGE_EVERY = 2.0, 20.0  # seconds


class Watcher:
    """Watches one training; what there is to see goes into ``folder``, and into a page of its name beside it."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic):
        self.folder, self.clock = folder, clock
        self.alive = True

    def begin(self, begun: Begun) -> None:
        """Take up what an earlier start has left, and say from where the training goes on."""
        with self._harmless():
            self.begun, batch = begun, begun.spec.training.batch
            self.folder.mkdir(parents=True, exist_ok=True)
            reached = self._reached(begun)
            self.previewer = previews.Previewer(begun) if begun.spec.training.previews else None
            run = {
                "run": begun.state.parent.name,
                "name": self.folder.name,
                "images": begun.total * batch,
                "steps": begun.total,
                "rows": self.previewer.names if self.previewer else [],
                "size": begun.description.size,
                "levels": list(self.previewer.levels) if self.previewer else [],
                "corruption": begun.spec.corruption is not None,
            }
            self.records = files.keep_until(self.folder, run, begun.step * batch)
            self.said = [*begun.words, *_resumed(begun, reached)]
            for words in self.said[len(begun.words) :]:
                print(words, file=sys.stderr)
            count = previews.count(begun) if self.previewer else 0
            self.preview_steps = _spread(begun.total, count)
            self.record_steps = _spread(begun.total, RECORDS)
            self.looked = max((seen // batch for seen in files.previews(self.folder)), default=0)
            self.recorded = int(self.records[-1]["step"]) if self.records else begun.step
            self.spent = self.records[-1].get("seconds", 0.0) if self.records else 0.0
            self.started = self.told = self.clock()
            self.last = (self.started, begun.step)
            self.drawn = self.started - PAGE_EVERY
            self.trackers = trackers.all_of(self.folder, run, begun.step)
            self._status(begun.step, {}, speed=0.0)

    def look(self, moment: Moment) -> None:
        """Keep what the training shows of itself at this moment, where it is time."""
        if not self.alive:
            return
        with self._harmless():
            now, found = self.clock(), dict(moment.numbers)
            preview = self.previewer is not None and _due(self.preview_steps, self.looked, moment.step)
            if preview:
                found |= self._preview(moment)
            if preview or set(found) - {"learning_rate"} or _due(self.record_steps, self.recorded, moment.step):
                self._record(moment, found, now)
            elif now - self.told < STATUS_EVERY:
                return
            self._status(moment.step, {"loss": _mean(moment, self.last[1])}, speed=self._speed(moment.step, now))
            if preview or now - self.drawn > PAGE_EVERY:
                self._draw(moment.step)

    def end(self) -> None:
        """The training is over, its checkpoint written."""
        if not self.alive:
            return
        with self._harmless():
            self._status(self.begun.total, {}, speed=0.0, finished=True)
            self._draw(self.begun.total)
            for tracker in self.trackers:
                tracker.finish()

    def _preview(self, moment: Moment) -> Record:
        assert self.previewer is not None
        images, found = self.previewer.look(moment.averages())
        path = files.preview(self.folder, moment.step * self.begun.spec.training.batch)
        previews.write(path, images)
        self.looked = moment.step
        for tracker in self.trackers:
            tracker.picture(previews.sheet(images), moment.step)
        return found

    def _record(self, moment: Moment, found: Record, now: float) -> None:
        batch = self.begun.spec.training.batch
        record = {"step": moment.step, "images": moment.step * batch, "loss": _mean(moment, self.recorded), **found}
        record |= {"images_per_second": self._speed(moment.step, now), "seconds": self.spent + now - self.started}
        plain = {name: float(value) if isinstance(value, float) else value for name, value in record.items()}
        files.append(self.folder, plain)
        self.records.append(plain)
        self.recorded = moment.step
        for tracker in self.trackers:
            tracker.numbers(plain, moment.step)

    def _speed(self, step: int, now: float) -> float:
        """Images a second since the last time that the status was told."""
        since, before = self.last
        return (step - before) * self.begun.spec.training.batch / max(now - since, 1e-9)

    def _status(self, step: int, numbers: Record, *, speed: float, finished: bool = False) -> None:
        batch, now = self.begun.spec.training.batch, self.clock()
        left = (self.begun.total - step) * batch / speed if speed else None
        values: dict[str, Any] = {"step": step, "steps": self.begun.total, "images": step * batch, **numbers}
        values |= {"images_per_second": speed, "seconds_left": left, "finished": finished, "said": self.said}
        files.write_json(self.folder / files.NOW, {**values, "time": time.time()})
        self.status = values
        self.told, self.last = now, (now, step)

    def _draw(self, step: int) -> None:
        page.write(self.folder, self.records, self.status)
        self.drawn = self.clock()

    def _reached(self, begun: Begun) -> int:
        """How many training images an earlier start of this very run had come to."""
        if files.read_json(self.folder / files.RUN).get("run") != begun.state.parent.name:
            return 0
        seen = [files.read_json(self.folder / files.NOW).get("images", 0)]
        return int(max([*seen, *(record["images"] for record in files.records(self.folder))]))

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        """Say what goes wrong, and watch no more."""
        try:
            yield
        except (OSError, UserError, RuntimeError, ValueError, KeyError) as error:
            self.alive = False
            print(f"the training goes on, but is watched no more: {error or type(error).__name__}", file=sys.stderr)


def _resumed(begun: Begun, reached: int) -> list[str]:
    """From which image a training goes on, from which state, and why not from a later one."""
    training = begun.spec.training
    at, total = begun.step * training.batch, begun.total * training.batch
    if not begun.step:
        lost = reached and not begun.words
        return [f"training begins anew: it had come to image {reached}, and left no state"] if lost else []
    why = "that is as far as it had come"
    if reached > at:
        why = (
            f"it had come to image {reached}, but was ended without a chance to save its state, which is kept every "
            f"{training.save_every} images (save_every)"
        )
    return [f"training goes on from image {at} of {total}, step {begun.step}, with {begun.state}: {why}"]


def _spread(total: int, count: int) -> list[int]:
    """So many steps, evenly spread over a training, the last one among them."""
    return sorted({-(-total * (k + 1) // count) for k in range(count)}) if count else []


def _due(steps: list[int], done: int, step: int) -> bool:
    """Whether one of these steps has come since ``done``."""
    return any(done < due <= step for due in steps)


def _mean(moment: Moment, since: int) -> float:
    """The mean loss of the steps after ``since``."""
    losses = moment.losses[since : moment.step] if since < moment.step else moment.losses[-1:]
    return losses.double().mean().item()
