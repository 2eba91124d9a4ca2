"""A log file: everything that a command tells, a line each, with the time."""

from __future__ import annotations

import contextlib
import sys
from datetime import datetime
from pathlib import Path
from typing import TextIO

from boundmesh import __version__
from boundmesh.errors import BoundmeshError

NAME_WIDTH = 12


class Log:
    """Appends lines to a text file, each with the local time and a name in a column of its own.

    The file can be read while the command runs. A disk that is full ends the log, not the command.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, name: str, text: str) -> None:
        """Append one line, or several that begin alike where `text` has line breaks."""
        if self._file.closed:
            return
        time = datetime.now().astimezone().isoformat(timespec="milliseconds")
        lines = text.splitlines() or [""]
        try:
            self._file.writelines(
                f"{time}  {name:<{NAME_WIDTH}} {line}".rstrip() + "\n" for line in lines
            )
            self._file.flush()
        except OSError as error:
            self.close()
            reason = error.strerror or error
            print(f"warning      the log ends here: {reason}", file=sys.stderr)

    def close(self) -> None:
        """Close the file; what is written afterwards is dropped."""
        # What a full disk did not take is still buffered, and fails once more.
        with contextlib.suppress(OSError):
            self._file.close()


def open_log(path: Path) -> Log:
    """Open a log for appending, and write the version and the command into it.

    Raises BoundmeshError where the file cannot be written.
    """
    try:
        # It stays open until the command ends.
        file = path.open("a", encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BoundmeshError(f"--log: cannot write {path}: {reason}") from None
    log = Log(file)
    log.write("boundmesh", f"{__version__}, Python {sys.version.split()[0]}")
    log.write("command", " ".join(sys.argv))
    return log
