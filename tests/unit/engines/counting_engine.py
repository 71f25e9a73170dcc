"""An engine that records its jobs."""

from __future__ import annotations

from statekeeper.engines.inline import InlineEngine


class CountingEngine(InlineEngine):
    """`done` has the name of every job's function, in order."""

    def __init__(self):
        super().__init__(memory_limit="100MB")
        self.done = []

    async def run(self, job):
        self.done.append(job.work.__name__)
        return await super().run(job)
