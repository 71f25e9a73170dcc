"""A disk that the process dies over, at a chosen rename."""

from __future__ import annotations

from statekeeper.store.files.disk import LocalDisk


class Died(BaseException):
    """The process dies here."""


class DyingDisk(LocalDisk):
    """Dies at the first rename of the kind `role`."""

    def __init__(self, role):
        self.role = role

    def rename(self, source, dest, *, role):
        if role == self.role:
            raise Died
        super().rename(source, dest, role=role)

    def exchange(self, first, second, *, role):
        if role == self.role:
            raise Died
        return super().exchange(first, second, role=role)
