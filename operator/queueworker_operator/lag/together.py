"""Calls that come side by side go to the database in one statement: one round trip, one commit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Together(Generic[Question, Answer]):
    """Asks for all that was asked since the last statement began, at most `most` at once, in order.

    An error of `ask_all` is the error of each call that it was to answer.
    """

    def __init__(
        self, ask_all: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]], *, most: int
    ) -> None:
        self._ask_all = ask_all
        self._most = most
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """Give the answer to one of them."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._run())
        return await answer

    async def close(self) -> None:
        """Ask no more; who still waits is cancelled."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
            self._asking = None
        _give_up(self._waiting)
        self._waiting = []

    async def _run(self) -> None:
        """Go on while anybody waits: a task of its own, so that no caller's end ends the others."""
        try:
            while self._waiting:
                some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                await self._answer([(asked, by) for asked, by in some if not by.done()])
        finally:
            self._asking = None

    async def _answer(self, some: Sequence[tuple[Question, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._ask_all([asked for asked, _ in some]) if some else ()
        except Exception as exc:  # noqa: BLE001 -- each caller is told
            for _, by in some:
                if not by.done():
                    by.set_exception(exc)
        else:
            for (_, by), answer in zip(some, answers, strict=True):
                if not by.done():
                    by.set_result(answer)
        finally:
            _give_up(some)


def _give_up(some: Sequence[tuple[Question, asyncio.Future[Answer]]]) -> None:
    for _, by in some:
        by.cancel()  # nothing where it has its answer
