"""Telling that memory ran out from any other error."""


def memory_wanted(error: BaseException) -> str:
    """What was said when memory ran out; empty for any other error."""
    text = str(error)
    is_torch = isinstance(error, RuntimeError) and ("allocate memory" in text or "out of memory" in text)
    return text.splitlines()[0][-120:] or "no details" if is_torch or isinstance(error, MemoryError) else ""


class OutOfMemoryError(Exception):
    """A pack did not fit."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted
