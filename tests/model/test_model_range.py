"""Items of a chunk: begun, run, kept, taken back, doomed (core/claim.md).

One worker runs the items of one claim and answers them; its parent takes some back, dooms the
worker in one item, kills it if that item is what it runs, and buries it if it died. At the end each
item was delivered, or is known to be the one that its worker died in, or was taken back, or was
certainly not run: one of these, once. How the claim came to be is test_model_claim.py's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

import pytest

from tests.model.explore import STEP, Condition, Steps, Violation, World, explore

ANY = -1
WORKER = "worker"
PARENT = "parent"

Asking: TypeAlias = Generator[Condition | None, None, bool]
Beginning: TypeAlias = Generator[Condition | None, None, int | None]


class Items(World):
    """A worker and its parent.

    `begun` and `end` are one word, the range; so are `done`, the first item in the area and
    whether anything lies there.

    Args:
        items: how many there are.
        aim: the item that the parent dooms the worker in, or ANY; None: it does not.
        keep: so many items stay when it takes some back; None: it does not.
        flush: the area is sent after so many items.
        looks_behind: the worker looks whether it is doomed after it has begun an item.
        undoes: a doomed worker takes back what it has begun.
        announces_first: the parent dooms before it looks.
        fences: with a fence between the two.
        by_exchange: items are taken back by an exchange.
        keeps_first: an outcome is in the area before it is counted.
        sends_first: what is flushed is sent before it is struck off.
        corrects: who buries knows that the doomed one went on to no other item.
        looks_at_end: the worker looks whether it is doomed when it has cleared its claim.
        fences_at_end: with a fence between the two.
    """

    def __init__(
        self,
        *,
        items: int = 3,
        aim: int | None = None,
        keep: int | None = None,
        flush: int = 2,
        looks_behind: bool = True,
        undoes: bool = True,
        announces_first: bool = True,
        fences: bool = True,
        by_exchange: bool = True,
        keeps_first: bool = True,
        sends_first: bool = True,
        corrects: bool = True,
        looks_at_end: bool = True,
        fences_at_end: bool = True,
    ) -> None:
        super().__init__(
            claimed=1,
            range=(0, items),
            done=(0, 0),
            doomed=0,
            **{f"area_{item}": 0 for item in range(items)},
            sent=(),
            ran=(),
            taken=(),
            found=(),
            guilty=None,
            left=(),
            next_task=0,
        )
        self.items = items
        self.aim = aim
        self.keep = keep
        self.flush_after = flush
        self.looks_behind = looks_behind
        self.undoes = undoes
        self.announces_first = announces_first
        self.fences = fences
        self.by_exchange = by_exchange
        self.keeps_first = keeps_first
        self.sends_first = sends_first
        self.corrects = corrects
        self.looks_at_end = looks_at_end
        self.fences_at_end = fences_at_end
        self.add(WORKER, self.work(), mortal=True)
        self.add(PARENT, self.command())

    def pair(self, who: str, word: str) -> tuple[int, int]:
        """Read a word that holds two numbers."""
        value = self.load(who, word)
        assert isinstance(value, tuple)
        assert len(value) == 2
        one, other = value
        assert isinstance(one, int)
        assert isinstance(other, int)
        return one, other

    def items_in(self, word: str) -> tuple[int, ...]:
        """A word that holds items."""
        value = self.words[word]
        assert isinstance(value, tuple)
        return tuple(item for item in value if isinstance(item, int))

    def note_items(self, word: str, items: range) -> None:
        """Add to a word that holds items."""
        self.note(word, (*self.items_in(word), *items))

    # ---- the worker ----

    def change_begun(self, step: int) -> Beginning:
        """Begin the next item (1) or undo that (-1): what was begun before; None: none is left."""
        while True:
            yield STEP
            begun, end = self.pair(WORKER, "range")
            if step > 0 and begun >= end:
                return None
            yield STEP
            if self.exchange(WORKER, "range", (begun, end), (begun + step, end)):
                return begun

    def is_pardoned(self) -> bool:
        """What a parked worker waits for."""
        return self.words["doomed"] == 0

    def begin(self) -> Beginning:
        """pcn_claim_begin() and, if that says so, pcn_claim_park(): the item, or None."""
        while True:
            if not self.looks_behind:
                yield STEP
                if self.load(WORKER, "doomed"):
                    yield self.is_pardoned
                    continue
            item = yield from self.change_begun(1)
            if item is None:
                return None
            yield STEP
            if not self.looks_behind or not self.load(WORKER, "doomed"):
                return item
            if self.undoes:
                yield from self.change_begun(-1)
            yield self.is_pardoned

    def send(self, first: int, item: int) -> None:
        """Publish the outcomes of [first, item)."""
        self.fence(WORKER)
        self.note_items("sent", range(first, item))

    def work(self) -> Steps:
        """Run all that is claimed, and answer it."""
        first = item = 0
        while (begun := (yield from self.begin())) is not None:
            yield STEP
            self.note_items("ran", range(begun, begun + 1))
            item = begun + 1
            for keeps in (self.keeps_first, not self.keeps_first):
                yield STEP
                if keeps:
                    self.store(WORKER, f"area_{begun}", 1)
                else:
                    self.store(WORKER, "done", (item, first), release=True)
            if item - first == self.flush_after:
                for sends in (self.sends_first, not self.sends_first):
                    yield STEP
                    if sends:
                        self.send(first, item)
                    else:
                        self.store(WORKER, "done", (item, item), release=True)
                first = item
        yield STEP
        self.send(first, item)
        yield STEP
        self.store(WORKER, "claimed", 0)
        if self.fences_at_end:
            self.fence(WORKER)
        yield STEP
        if self.looks_at_end and self.load(WORKER, "doomed"):
            yield self.is_pardoned
        yield STEP
        self.note("next_task", 1)

    # ---- the parent ----

    def take_back(self, keep: int) -> Steps:
        """pcn_claim_take_back()."""
        while True:
            yield STEP
            begun, end = self.pair(PARENT, "range")
            if end - begun <= keep:
                return
            yield STEP
            after = (begun, begun + keep)
            if not self.by_exchange:
                self.store(PARENT, "range", after)
                self.fence(PARENT)
            elif not self.exchange(PARENT, "range", (begun, end), after):
                continue
            self.note_items("taken", range(begun + keep, end))
            return

    def is_at(self, item: int) -> Asking:
        """Whether the worker runs this item."""
        yield STEP
        claimed = self.number(PARENT, "claimed")
        yield STEP
        done = self.pair(PARENT, "done")[0]
        yield STEP
        begun = self.pair(PARENT, "range")[0]
        return claimed == 1 and (item == ANY or (begun == item + 1 and done == item))

    def doom(self, item: int) -> Asking:
        """pcn_claim_doom()."""
        at_it = True
        for announces in (self.announces_first, not self.announces_first):
            if announces:
                yield STEP
                self.store(PARENT, "doomed", 1)
                if self.fences:
                    self.fence(PARENT)
            else:
                at_it = yield from self.is_at(item)
        if not at_it:
            yield STEP
            self.store(PARENT, "doomed", 0)
        return at_it

    def kill(self, item: int) -> None:
        """Of all that it was going to run it has come to nothing else."""
        if WORKER in self.dead:
            return
        beyond = [ran for ran in self.items_in("ran") if ran > item != ANY]
        assert not beyond, f"killed in item {beyond[-1]}"
        assert not self.words["next_task"], "killed in another task"
        self.die(WORKER)

    def command(self) -> Steps:
        """Take back, doom and kill; bury what died."""
        if self.keep is not None:
            yield from self.take_back(self.keep)
        if self.aim is not None and (yield from self.doom(self.aim)):
            yield STEP
            self.kill(self.aim)
        yield lambda: WORKER in self.dead
        yield STEP
        if not self.number(PARENT, "claimed"):
            return
        done, first = self.pair(PARENT, "done")
        begun, end = self.pair(PARENT, "range")
        if self.corrects and self.load(PARENT, "doomed") and self.aim not in (None, ANY):
            begun = done if begun > (self.aim or 0) + 1 else begun
        for item in range(first, done):
            assert self.words[f"area_{item}"], f"the outcome of item {item} is not there"
        self.note_items("found", range(first, done))
        self.note("guilty", begun - 1 if begun > done else None)
        self.note_items("left", range(begun, end))

    def finish(self) -> None:
        assert WORKER in self.dead or self.ended(WORKER), "the worker waits for ever"
        for item in range(self.items):
            delivered = item in self.items_in("sent") or item in self.items_in("found")
            runs = self.items_in("ran").count(item)
            ends = [
                *(["delivered"] if delivered else []),
                *(["blamed"] if self.words["guilty"] == item and not delivered else []),
                *(["taken back"] if item in self.items_in("taken") else []),
                *(["left"] if item in self.items_in("left") else []),
            ]
            assert len(ends) == 1, f"item {item} is {' and '.join(ends) or 'lost'}"
            assert runs <= 1, f"item {item} was run twice"
            assert runs or ends not in (["delivered"],), f"item {item} was not run"
            assert not runs or ends in (["delivered"], ["blamed"]), f"item {item} was run"
            if ends == ["blamed"] and self.words["doomed"] and self.aim != ANY:
                assert item == self.aim, f"item {item} is blamed for item {self.aim}"


def test_each_item_ends_once() -> None:
    assert explore(Items, deaths=1) > 50


def test_items_are_taken_back_while_others_are_begun() -> None:
    assert explore(lambda: Items(keep=0), deaths=1) > 300
    assert explore(lambda: Items(keep=1), deaths=1) > 300


def test_a_doom_hits_its_item_or_nothing() -> None:
    for aim in (ANY, 0, 1, 2):
        assert explore(lambda aim=aim: Items(aim=aim), deaths=1) > 300  # type: ignore[misc]


def test_all_of_it_together() -> None:
    assert explore(lambda: Items(aim=0, keep=1), deaths=1) > 1000


def test_a_worker_must_look_behind_what_it_has_begun() -> None:
    with pytest.raises(Violation, match=r"killed in item 1"):
        explore(lambda: Items(aim=0, looks_behind=False))


def test_a_worker_must_look_when_it_has_cleared_its_claim() -> None:
    with pytest.raises(Violation, match=r"killed in another task"):
        explore(lambda: Items(items=1, aim=0, looks_at_end=False))
    with pytest.raises(Violation, match=r"killed in another task"):
        explore(lambda: Items(items=1, aim=ANY, fences_at_end=False))


def test_a_doomed_worker_must_undo_what_it_has_begun() -> None:
    with pytest.raises(Violation, match=r"item 1 was not run"):
        explore(lambda: Items(aim=0, undoes=False))


def test_the_parent_must_announce_before_it_looks() -> None:
    with pytest.raises(Violation, match=r"killed in"):
        explore(lambda: Items(aim=0, announces_first=False))


def test_the_announcement_must_be_visible_before_it_looks() -> None:
    with pytest.raises(Violation, match=r"killed in"):
        explore(lambda: Items(aim=0, fences=False))


def test_what_was_begun_and_not_undone_must_not_be_blamed() -> None:
    with pytest.raises(Violation, match=r"item 1 is blamed for item 0"):
        explore(lambda: Items(aim=0, corrects=False))


def test_items_must_be_taken_back_by_an_exchange() -> None:
    with pytest.raises(Violation, match=r"item \d (is .*taken back|was run)"):
        explore(lambda: Items(keep=1, by_exchange=False))


def test_an_outcome_must_be_there_before_it_is_counted() -> None:
    with pytest.raises(Violation, match=r"the outcome of item \d is not there"):
        explore(lambda: Items(keeps_first=False), deaths=1)


def test_what_is_flushed_must_be_sent_before_it_is_struck_off() -> None:
    with pytest.raises(Violation, match=r"item 0 is lost"):
        explore(lambda: Items(sends_first=False), deaths=1)
