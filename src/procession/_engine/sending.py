"""How records get into the task ring, for the first time or again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession import _core
from procession._codec import messages
from procession._codec.buffers import size_of
from procession._codec.fingerprints import quick_fingerprint_if_of_main
from procession._codec.functions import CARRIED, Sent
from procession._codec.items import Items, joined, loads_items
from procession._codec.objects import dumps_by_value
from procession._engine.entries import CANCELLED, FAILURE, Record, Task
from procession._engine.packing import emptied, filled, is_hopeless
from procession._engine.pieces import Piece
from procession._engine.preparing import prepare
from procession.errors.memory import ArenaFull

if TYPE_CHECKING:
    from procession._engine.engine import Engine


class Sender:
    """Sends the records of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._by_value: set[int] = set()  # records whose arguments were pickled so

    def submit(
        self,
        task: Task,
        sent: Sent | None,
        args: tuple[Any, ...],
        kwds: dict[str, Any],
        tried: bytes | bool | None,
    ) -> None:
        """Send one call, step by step. `tried`: its arguments, if they are pickled already; False
        if there is something large in them."""
        payload: bytes
        engine = self._engine
        if sent is not None:
            task.kind = messages.CALL
            if isinstance(tried, bytes):
                payload = tried
            elif tried is None:
                payload = engine.pack((args, kwds), task.options)
            else:
                payload = engine.packer.pack_apart((args, kwds), task.options)
        else:
            task.kind = messages.CARRIED_CALL
            sent = CARRIED
            expected = quick_fingerprint_if_of_main(task.function)
            call = (task.function, args, kwds)
            payload = engine.pack(call if expected is None else (expected, *call), task.options)
        task.sent = sent
        task.payload = payload
        task.number = number = engine.next_number()
        if not task.options.is_plain:
            prepare(engine, task)
        called_back = task.attend
        if called_back:
            engine.with_callbacks.add(task)
        if type(payload) is bytes and len(payload) <= _core.INLINE_LIMIT:
            went = engine.channel.submit(task, engine.open, number, task.kind, *sent, payload)
            task.position = went
        else:
            task.attend = True  # who is answered lets go of what it named
            went = engine.packer.send(task)
        if not went:
            with engine.lock:
                engine.feeder.records.append(task)
        if called_back or not went:
            engine.attendant.call()
            engine.attendant.step_aside()

    def send(self, record: Record) -> bool:
        """Put a record into the ring; False if there is no room."""
        engine = self._engine
        # The answer to a large one is waited with until its block is known: under the lock.
        with engine.lock:
            if engine.is_finished:
                return False
            sent, number, kind = record.sent, record.number, record.kind
            first, end = record.first, record.end
            # No call between the question and the sending, so no interrupt: it is sent once.
            if record.block is None:
                record.position = engine.channel.submit(
                    record, engine.open, number, kind, *sent, record.payload, first, end
                )
                if not record.position:
                    return False
            if record.block:
                record.payload = emptied(record.payload)  # the block has it
        return True

    def send_waiting(self, record: Record) -> bool:
        """Put a record into the ring that has waited; False if it has to wait on. Without room for
        it in the arena it fails, if nothing is under way that makes some. Under the lock."""
        engine = self._engine
        try:
            return self.send(record)
        except MemoryError as error:
            if engine.open and isinstance(error, ArenaFull) and not is_hopeless(error):
                return False
            engine.answer(record, (FAILURE, error, 0))
            return True

    def send_by_value(self, record: Record, kind: int, error: bytes) -> None:
        """The workers do not know its function by name, or what its arguments are made of (`kind`
        says which). Runs code of the user's."""
        engine = self._engine
        try:
            if kind == messages.BY_VALUE:
                if isinstance(record, Piece):
                    record.job.publish_by_value(record)
                    self._rest_again(record)
                    return
                by_value = engine.functions.publish(record.function, by_value=True)
                if by_value is not None:
                    record.sent = by_value
            elif record.number in self._by_value:  # it was in vain
                with engine.lock:
                    record.arrive(engine, messages.ERROR, error, 0)
                return
            else:
                arguments = loads_items(self.payload_of(record))
                if record.kind & messages.KIND_MASK == messages.CARRIED_CALL:
                    arguments = arguments[-3:]  # what goes by value is not compared
                if isinstance(record, Piece) and isinstance(arguments, Items):
                    self._one_by_value(record, arguments)
                    return
                self._all_by_value(record, arguments)
        except BaseException as failure:  # unpickling exits: nobody else is here to get that
            with engine.lock:
                record.arrive(engine, FAILURE, failure, 0)
            return
        self.send_again(record)

    def _all_by_value(self, record: Record, arguments: object) -> None:
        """Pickle them once more, with what they are made of."""
        by_value = dumps_by_value(arguments)
        with self._engine.lock:
            self._by_value.add(record.number)
            if record.options.max_bytes is not None and isinstance(record, Task):
                self._engine.bytes_under_way += size_of(by_value) - size_of(record.payload)
            self._free_block(record)
            record.payload = by_value

    def _one_by_value(self, piece: Piece, items: Items) -> None:
        """The same for the item at which that came to light; what is behind it goes as it is."""
        job, item = piece.job, piece.reached
        payload, failure = b"", None
        try:
            payload = joined([dumps_by_value(items.at(item))])
        except BaseException as error:
            failure = error
        with self._engine.lock:
            if not piece.is_wanted:
                self._engine.answer(piece, (CANCELLED, None, 0))
                return
            if failure is not None:
                job.lose(piece, item, item + 1, (FAILURE, failure, 0))
            else:
                self._by_value.add(job.send_alone(piece, item, payload).number)
                piece.reached = item + 1
            if item + 1 < piece.end:
                job.send_part(piece, item + 1, piece.end)
            job.done_with(piece)

    def _rest_again(self, piece: Piece) -> None:
        """Send what is left of it."""
        with self._engine.lock:
            if not piece.is_wanted:
                self._engine.answer(piece, (CANCELLED, None, 0))
                return
            piece.job.send_part(piece, piece.reached, piece.end)
            piece.job.done_with(piece)

    def send_again(self, record: Record) -> None:
        """Send a record once more that is not answered, before all others."""
        with self._engine.lock:
            if not record.is_wanted:
                self._engine.answer(record, (CANCELLED, None, 0))
                return
            record.payload = self.payload_of(record)
            self._free_block(record)
            record.block = None
            self.send_first(record)

    def send_first(self, record: Record) -> None:
        """Send a record before all that waits for room. Under the engine's lock."""
        feeder = self._engine.feeder
        feeder.records.appendleft(record)
        feeder.feed_records()
        if feeder.records:
            self._engine.attendant.call()

    def payload_of(self, record: Record) -> bytes:
        """What it was sent with, also if that lies in a block."""
        block = record.block
        payload = record.payload
        return filled(payload, self._engine.channel.fetch(block)) if block else payload

    def free_payload(self, record: Record) -> None:
        """A record is answered: its large arguments are not needed any more."""
        self._by_value.discard(record.number)
        self._free_block(record)
        if type(record.payload) is not bytes:
            record.payload = bytes(record.payload)  # what it is made of, for people

    def _free_block(self, record: Record) -> None:
        # No call before it is taken out of the record, so no interrupt: it is freed once.
        block = record.block
        if block:
            record.block = 0
            self._engine.channel.free(block)
