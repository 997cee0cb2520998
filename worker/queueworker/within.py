"""Wait for something, but not longer."""

import asyncio
from collections.abc import Awaitable


async def within(longest_s: float, wait: Awaitable[object]) -> bool:
    """Wait for `wait`, at most so long; give whether it came in time. It is cancelled otherwise."""
    try:
        async with asyncio.timeout(longest_s):
            await wait
    except TimeoutError:
        return False
    return True
