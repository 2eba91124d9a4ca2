"""The errors that bad input raises. Every message names what was met and what to do about it."""


class BoundmeshError(Exception):
    """The user's input or machine is at fault. It is shown as one message, without a traceback.

    `excerpt` shows the place in a file: a line of it, and a caret below. It may be empty.
    """

    def __init__(self, message: str = "", excerpt: str = "") -> None:
        super().__init__(message)
        self.excerpt = excerpt


class ReadError(BoundmeshError):
    """A file is missing or damaged, or is not the network that it should be."""


class PropertyError(BoundmeshError):
    """A property cannot be read, or does not fit its network."""


class UnsupportedError(BoundmeshError):
    """A network or property is well formed, but boundmesh cannot bound it."""


class DeviceError(BoundmeshError):
    """A device is absent, or its memory does not suffice."""


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read, without a number and the path, such as "it is a folder"."""
    if isinstance(error, IsADirectoryError):
        return "it is a folder; expected a file"
    return (isinstance(error, OSError) and error.strerror) or str(error)
