"""How far the benchmark is, on one line of a terminal that is written over; elsewhere a line for each step."""

import os
import sys


class Progress:
    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done = 0
        self.is_terminal = sys.stderr.isatty()
        self.dim, self.plain = (
            ("\033[2m", "\033[0m") if self.is_terminal and not os.environ.get("NO_COLOR") else ("", "")
        )

    def step(self, what: str) -> None:
        self.done += 1
        self.say(f"{self.done}/{self.steps} {what}")

    def say(self, what: str) -> None:
        if self.is_terminal:
            print(f"\r\033[K{self.dim}{what}{self.plain}", end="", file=sys.stderr, flush=True)
        else:
            print(what, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
