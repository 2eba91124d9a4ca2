"""What can be wrong with what a user asks for; every message says what was met and what to do."""


class BoundmeshError(Exception):
    """The user's input or machine is at fault; shown as one message, without a traceback."""


class ReadError(BoundmeshError):
    """A file that is missing, damaged, or not the network it should be."""


class PropertyError(BoundmeshError):
    """A property that cannot be read, or that does not fit its network."""


class UnsupportedError(BoundmeshError):
    """A network or property that is well formed but outside of what boundmesh can bound."""


class DeviceError(BoundmeshError):
    """A device that is absent, or whose memory does not suffice."""
