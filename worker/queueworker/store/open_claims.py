"""How many jobs of each claim this worker still owes an answer for. Pure."""

from collections import Counter
from collections.abc import Iterable


class OpenClaims:
    """Counts per token; shared by all stores of one worker process.

    A claim row may be deleted only when every job of it is settled in the database: a row closed
    too early would leave jobs that no rescue finds. So counts fall after a successful write.
    """

    def __init__(self) -> None:
        self._open: Counter[int] = Counter()

    def tokens(self) -> list[int]:
        """Give the tokens of all claims that are not closed."""
        return list(self._open)

    def opened(self, token: int, count: int) -> None:
        """Note a new claim of `count` jobs."""
        self._open[token] = count

    def parted(self, token: int, new: int | None, count: int) -> None:
        """Note that so many jobs of a claim now stand in a claim of their own, or are lost."""
        self._open[token] -= count
        if new is not None:
            self._open[new] = count

    def forget(self, token: int) -> None:
        """Forget a claim: nobody here will settle its jobs."""
        self._open.pop(token, None)

    def closing(self, tokens: Iterable[int]) -> list[int]:
        """Give the tokens that have nothing left once these jobs (one token each) are settled."""
        settled = Counter(tokens)
        waiting = [token for token, count in self._open.items() if count <= 0]
        return waiting + [
            token for token, count in settled.items() if 0 < self._open[token] <= count
        ]

    def settled(self, tokens: Iterable[int], closed: Iterable[int]) -> None:
        """Note a successful write of these jobs, which deleted the claims `closed`."""
        for token, count in Counter(tokens).items():
            if token in self._open:
                self._open[token] -= count
        for token in closed:
            self._open.pop(token, None)

    def __len__(self) -> int:
        return len(self._open)
