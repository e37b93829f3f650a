"""What a command says, and where: its result on standard output, all else on standard error."""

import json
import math
import sys
from dataclasses import dataclass
from typing import Any

from harness.support.version import __version__


@dataclass(frozen=True)
class Output:
    """How one command was asked to speak.

    `quiet` leaves nothing on standard error but errors. With `as_json` standard output holds one object:
    `{"command": …, "harness": its version, "exit_code": …, "result": …}`; the result is the command's own. What is
    missing is null, and an infinite number the text "inf" or "-inf". A request that is refused (exit code 2) leaves
    standard output empty.
    """

    command: str
    quiet: bool = False
    as_json: bool = False

    def say(self, text: str = "") -> None:
        """A part of the result, for a person; with `as_json` `finish` gives all of it."""
        if not self.as_json:
            print(text, flush=True)

    def tell(self, line: str) -> None:
        """A part of a result that takes minutes, for a person, as it comes; with `as_json` it is a note."""
        (self.note if self.as_json else self.say)(line)

    def note(self, line: str) -> None:
        """What is no result: where files are, what is being done."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    def finish(self, result: Any, code: int = 0) -> int:
        """With `as_json` write the object; gives the exit code `code`."""
        if self.as_json:
            whole = {"command": self.command, "harness": __version__, "exit_code": code, "result": result}
            print(json.dumps(plain(whole), indent=1, ensure_ascii=False, allow_nan=False))
        return code


def plain(value: Any) -> Any:
    """A value in the types of JSON: NumPy's numbers, paths and tuples among what is turned into them."""
    if hasattr(value, "item"):  # a number of NumPy
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else str(value)
