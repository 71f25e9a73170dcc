"""Keeps the garbage collector away from what the fork server imports; loaded first by that server, and nowhere else.

What is imported stays until the end, and workers share its memory with the server for as long as neither writes to it.
A collection would write to all of it, find nothing, and take longer than the checks of a small part. So there is none
in the server, and what a worker finds when it is forked is out of its collector's sight.

For the same reason the server ends at once: taking Arrow and the drivers down piece by piece would keep whoever reads
our output to its end waiting. (A worker ends so, too, by multiprocessing's own doing, and never comes to this.)
"""

from __future__ import annotations

import atexit
import gc
import os

gc.disable()
atexit.register(os._exit, 0)
os.register_at_fork(before=gc.freeze, after_in_child=gc.enable)
