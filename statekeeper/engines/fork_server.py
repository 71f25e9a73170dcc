"""Keeps the garbage collector away from what the fork server imports; loaded first by that server, and nowhere else.

What is imported stays until the end, and workers share its memory with the server for as long as neither writes to it.
A collection would write to all of it, find nothing, and take longer than the checks of a small part. So there is none
in the server, and what a worker finds when it is forked is out of its collector's sight.
"""

from __future__ import annotations

import gc
import os

gc.disable()
os.register_at_fork(before=gc.freeze, after_in_child=gc.enable)
