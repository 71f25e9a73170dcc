"""Clock: system change numbers and the times at which they were current."""

import bisect
import datetime as dt
import threading

from tests.oracle_server.database.errors import OracleError

FIRST_SCN = 2_271_000


class Clock:
    """Hands out SCNs, one lock for all; knows which SCN was current at a time."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.error = 0
        """Seconds by which the host's clock is ahead of the true time, or behind it if negative."""
        self._scns = [FIRST_SCN]
        self._times = [dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)]  # so that there is a past to ask for
        self._stands_at: dt.datetime | None = None

    def stand_at(self, moment: dt.datetime | None) -> None:
        """From now on the clock stands at this time; None lets it go on, and be right."""
        self._stands_at = moment

    @property
    def scn(self) -> int:
        return self._scns[-1]

    def tick(self, by: int = 1) -> int:
        """A new current SCN."""
        with self.lock:
            self._scns.append(self.scn + by)
            self._times.append(max(self._right_time(), self._times[-1]))
            return self.scn

    def turn_back(self, scn: int) -> None:
        """Forget what came after this SCN: a standby that lags."""
        with self.lock:
            at = bisect.bisect_right(self._scns, scn)
            del self._scns[at:], self._times[at:]

    def now(self) -> dt.datetime:
        """The host's time in UTC, which may be wrong."""
        return self._right_time() + dt.timedelta(seconds=self.error)

    def _right_time(self) -> dt.datetime:
        """The time of SCNs: they go on whatever the host's clock shows."""
        return self._stands_at or dt.datetime.now(dt.UTC)

    def scn_at(self, moment: dt.datetime) -> int:
        """The SCN that was current then; ORA-08180 for the future and before the beginning."""
        with self.lock:
            at = bisect.bisect_right(self._times, moment) - 1
            if at < 0 or moment > self._right_time() + dt.timedelta(seconds=3):
                raise OracleError(8180)
            return self._scns[at]

    def time_of(self, scn: int) -> dt.datetime:
        with self.lock:
            at = bisect.bisect_right(self._scns, scn) - 1
            if at < 0 or scn > self.scn:
                raise OracleError(8181)
            return self._times[at]
