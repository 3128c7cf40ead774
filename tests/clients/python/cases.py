"""What the cases of all clients share: their list, unique names, and waiting for a fact."""

import time
import uuid
from dataclasses import dataclass
from typing import Callable

ALL = []

# Milliseconds of a minute ago: older records could fall to the topic's retention.
RECENT = int(time.time()) * 1000 - 60_000


@dataclass
class Case:
    name: str
    function: Callable[[str], None]


def case(name):
    """Registers a function of the broker's address as a case."""

    def register(function):
        ALL.append(Case(name, function))
        return function

    return register


def unique(stem):
    """A name that no other case and no earlier run uses."""
    return f"{stem}-{uuid.uuid4().hex[:12]}"


def equal(found, wanted, what=""):
    if found != wanted:
        raise AssertionError(f"{what}: found {found!r}, wanted {wanted!r}")


def wait_for(fact, what, seconds=20):
    """Asks until the fact holds; the pause only spares the processor."""
    end = time.monotonic() + seconds
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)
