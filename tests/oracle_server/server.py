"""Server: sockets, one thread per client, and the conversation on each."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import traceback
from typing import Any

import duckdb

from tests.oracle_server import statements
from tests.oracle_server.cursors import Cursor, oracle_error, translate, undecided_rows
from tests.oracle_server.database.database import Database
from tests.oracle_server.database.errors import OracleError, unsupported
from tests.oracle_server.faults import Fault
from tests.oracle_server.greeting import Greeting
from tests.oracle_server.lobs import Lobs
from tests.oracle_server.log import Served
from tests.oracle_server.out_values import encode_out
from tests.oracle_server.rows import Lie
from tests.oracle_server.wire import answers, calls, packets
from tests.oracle_server.wire.answers import Outcome
from tests.oracle_server.wire.calls import Call
from tests.oracle_server.wire.packets import ConnectionEndedError, InterruptedCallError
from tests.oracle_server.wire.primitives import sb, ub

ENDS_SESSION = {28, 2392, 2396, 3113, 3114, 3135, 1012}


class Listener:
    """Accepts clients for one database; with `tls`, those that speak it."""

    def __init__(
        self, database: Database, host: str = "127.0.0.1", port: int = 0, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.database = database
        self._tls = tls
        self._socket = socket.create_server((host, port), backlog=128)
        self.host, self.port = host, self._socket.getsockname()[1]
        self.connections: set[Connection] = set()

    def serve_forever(self) -> None:
        while True:
            try:
                sock, _ = self._socket.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:  # the handshake waits for the first read, on the client's own thread
                sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            connection = Connection(self.database, sock)
            self.connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.run()
        finally:
            self.connections.discard(connection)

    def close(self) -> None:
        self._socket.close()


class Connection(Greeting):
    """One client with its session."""

    def __init__(self, database: Database, sock: socket.socket) -> None:
        super().__init__(database, sock)
        self.lobs = Lobs(made_flags=database.release.made_lob_flags)
        self.cursors: dict[int, Cursor] = {}
        self._cursors_made = 0
        self._in_pipeline = False
        self._logged_off = False

    def run(self) -> None:
        try:
            if self.connect() and self.negotiate_and_log_on():
                while self._answer_next():
                    pass
        except (ConnectionEndedError, EOFError, ValueError):
            pass
        except InterruptedCallError:
            with contextlib.suppress(ConnectionEndedError):
                self.packets.answer_break()
        finally:
            self._leave()

    def _leave(self) -> None:
        if self.session is not None:
            self.session.rollback()
            number, linger = self.session.number, 0.0 if self._logged_off else self.database.linger
            if linger:  # as a real server, which finds out late that a client is gone
                threading.Timer(linger, self.database.sessions.pop, (number, None)).start()
            else:
                self.database.sessions.pop(number, None)
        with contextlib.suppress(OSError):
            self.packets.sock.shutdown(socket.SHUT_RDWR)
        self.packets.sock.close()

    # --- the session's calls

    def _answer_next(self) -> bool:
        """Read one request and answer it; False ends the connection."""
        assert self.session is not None
        try:
            call = self._next_call()
        except InterruptedCallError:  # the client could not use what it got, and wants a clean line
            self.packets.answer_break()
            self._respond([self._failure(OracleError(1013))])
            return True
        if call is None:
            return True
        self._sequence = (self._sequence + 1) % 65536
        parts: list[bytes | memoryview] = [answers.token(call.token)] if call.token else []
        try:
            self.session.check_alive()
            parts += self._answer(call)
            self.packets.check_for_break()
        except InterruptedCallError:
            self.packets.answer_break()
            parts = [self._failure(OracleError(1013))]
        except duckdb.Error as reason:
            parts.append(self._failure(oracle_error(reason)))
        except (ConnectionEndedError, EOFError):
            raise
        except OracleError as error:
            parts.append(self._failure(error, call))
            if error.code in ENDS_SESSION:
                self._reply(call, parts)
                return False
        except OverflowError as reason:
            parts.append(self._failure(OracleError(1426, text=f"numeric overflow ({reason})"), call))
        except Exception as reason:  # noqa: BLE001  (a defect of this server: the client is told, not left waiting)
            traceback.print_exc()
            parts.append(self._failure(unsupported(f"this statement ({type(reason).__name__}: {reason})"), call))
        self._reply(call, parts)
        return call.function != calls.LOGOFF

    def _reply(self, call: Call, parts: list[bytes | memoryview]) -> None:
        cursor = self.cursors.get(call.cursor)
        if cursor is not None and cursor.served is not None:
            cursor.served.round_trips += 1
        self._respond(parts)

    def _next_call(self) -> Call | None:
        """The next call, after its piggybacks; None for one that wants no answer."""
        message = self.reader.byte()
        while message == calls.PIGGYBACK:
            self._heed(self.calls.piggyback())
            message = self.reader.byte()
        if message not in (calls.FUNCTION, calls.ONE_WAY):
            raise ValueError(f"message {message} where a call was expected")
        call = self.calls.call()
        return call if message == calls.FUNCTION else None

    def _failure(self, error: OracleError, call: Call | None = None) -> bytes:
        if call is not None and self._in_pipeline and call.token:
            self.packets.send_marker(packets.BREAK)
        cursor = self.cursors.get(call.cursor) if call is not None else None
        if cursor is not None and cursor.served is not None:
            cursor.served.error = error.code
        assert self.session is not None
        outcome = Outcome(error.code, str(error), transaction_open=self.session.is_dirty)
        return answers.closing(outcome, self._sequence, self.agreement)

    def _heed(self, said: calls.Piggyback) -> None:
        assert self.session is not None
        match said.function:
            case calls.CLOSE_CURSORS:
                for number in said.values["cursors"]:
                    self.cursors.pop(number, None)
            case calls.END_TO_END:
                for name, value in said.values.items():
                    if name != "dbop":
                        setattr(self.session, name, value)
            case calls.SET_SCHEMA:
                self.session.current_schema = said.values["schema"]
            case calls.PIPELINE_BEGIN:
                self._in_pipeline = True

    def _answer(self, call: Call) -> list[bytes | memoryview]:
        assert self.session is not None
        match call.function:
            case calls.EXECUTE:
                return self._execute(call)
            case calls.REEXECUTE | calls.REEXECUTE_FETCH:
                return self._reexecute(call)
            case calls.FETCH:
                return self._fetch(call)
            case calls.LOB:
                data, parameters = self.lobs.operate(call.lob)
                return [answers.lob_data(data), b"\x08" + parameters, self._closing(Outcome())]
            case calls.COMMIT:
                self.session.commit()
            case calls.ROLLBACK:
                self.session.rollback()
            case calls.PIPELINE_END:
                self._in_pipeline = False
            case calls.LOGOFF:
                self._logged_off = True
                self.session.rollback()
                self.database.sessions.pop(self.session.number, None)  # before the answer: who comes next finds room
        return [answers.status(self._sequence, transaction_open=self.session.is_dirty)]

    def _closing(self, outcome: Outcome) -> bytes:
        return answers.closing(outcome, self._sequence, self.agreement)

    def _execute(self, call: Call) -> list[bytes | memoryview]:
        if call.sql is not None:
            self._cursors_made += 1
            cursor = Cursor(self._cursors_made, call.sql)
            self.cursors[cursor.number] = cursor
            call.cursor = cursor.number
        else:
            found = self.cursors.get(call.cursor)
            if found is None:
                raise OracleError(1001)
            cursor = found
        if call.defines:
            cursor.defines = call.defines
        if call.bind_forms:
            cursor.bind_forms = call.bind_forms
            self.calls.bind_forms_of[cursor.number] = call.bind_forms
        describe = call.sql is not None or cursor.query is None
        if cursor.is_query:
            if not call.defines or cursor.query is None:
                self._start(cursor, call)
            return self._rows_of(cursor, call, describe=describe)
        return self._run(cursor, call)

    def _reexecute(self, call: Call) -> list[bytes | memoryview]:
        cursor = self.cursors.get(call.cursor)
        if cursor is None:
            raise OracleError(1001)
        if not cursor.is_query:
            if cursor.in_places is not None:
                call.bind_forms, count = cursor.bind_forms, len(cursor.bind_forms)
                given = [dict(zip(cursor.in_places, row, strict=True)) for row in call.binds or [[]]]
                call.binds = [[row.get(place) for place in range(count)] for row in given]
            return self._run(cursor, call)
        self._start(cursor, call)
        call.options |= calls.DO_FETCH if call.function == calls.REEXECUTE_FETCH else 0
        return self._rows_of(cursor, call, describe=False)

    def _log(self, cursor: Cursor, binds: list[Any]) -> Served:
        session = self.session
        assert session is not None
        cursor.served = self.database.log.add(
            Served(session.number, session.user.name, session.module, session.action, cursor.sql, binds)
        )
        cursor.served.parallel = session.parallel
        return cursor.served

    def _faults(self, cursor: Cursor, kinds: set[str]) -> list[Fault]:
        assert self.session is not None
        return self.database.faults.take(kinds, cursor.sql, self.session.attributes)

    def _start(self, cursor: Cursor, call: Call) -> None:
        """Translate a query with its binds; its rows begin with the first that is asked for."""
        assert self.session is not None
        binds = [self.lobs.value(value) for value in call.binds[0]] if call.binds else []
        self._log(cursor, binds)
        cursor.feed, cursor.drop_after, cursor.fail_after, cursor.delay = None, None, None, 0.0
        self._set_off(cursor)
        translate(self.session, cursor, binds)

    def _set_off(self, cursor: Cursor) -> None:
        """The faults that this statement meets before it does anything; later ones are noted in the cursor."""
        for fault in self._faults(cursor, {"delay", "drop", "error"}):
            if fault.kind == "delay":
                cursor.delay = fault.seconds if fault.each_fetch else 0.0
                self.packets.check_for_break(fault.seconds)
            elif fault.kind == "drop":
                if fault.after_rows is None:
                    raise ConnectionEndedError("a fault")
                cursor.drop_after = fault.after_rows
            elif fault.after_rows is None:
                raise OracleError(fault.code)
            else:
                cursor.fail_after = (fault.after_rows, fault.code)

    def _rows_of(self, cursor: Cursor, call: Call, *, describe: bool) -> list[bytes | memoryview]:
        assert cursor.query is not None
        assert self.session is not None
        parts: list[bytes | memoryview] = [answers.describe(cursor.forms, self.agreement)] if describe else []
        scn = self.database.clock.scn
        waits = cursor.needs_define and not cursor.defines
        outcome = Outcome(cursor=cursor.number, statement_kind=3, transaction_open=self.session.is_dirty)
        if call.options & calls.DESCRIBE_ONLY or waits or not call.options & calls.DO_FETCH:
            return [*parts, answers.return_parameters(scn, cursor.number), self._closing(outcome)]
        served, outcome = self._take(cursor, call.rows)
        return [*parts, *served, answers.return_parameters(scn, cursor.number), self._closing(outcome)]

    def _fetch(self, call: Call) -> list[bytes | memoryview]:
        cursor = self.cursors.get(call.cursor)
        if cursor is None or cursor.query is None:
            raise OracleError(1001)
        if cursor.delay:
            self.packets.check_for_break(cursor.delay)
        served, outcome = self._take(cursor, call.rows)
        return [*served, self._closing(outcome)]

    def _take(self, cursor: Cursor, wanted: int) -> tuple[list[bytes | memoryview], Outcome]:
        assert cursor.query is not None
        assert self.session is not None
        if cursor.scn is not None and cursor.scn < self.database.tables.oldest_snapshot:
            raise OracleError(1555)
        if cursor.feed is None:
            lies = [
                Lie(fault.row, fault.kind == "repeat_row") for fault in self._faults(cursor, {"omit_row", "repeat_row"})
            ]
            garbled = {fault.column for fault in self._faults(cursor, {"garble"})}
            undecided_rows(self.session, cursor, self.lobs, lies, garbled)
        feed = cursor.feed
        assert feed is not None
        if cursor.fail_after is not None and feed.served + wanted > cursor.fail_after[0]:
            if feed.served >= cursor.fail_after[0]:
                raise OracleError(cursor.fail_after[1])
            wanted = cursor.fail_after[0] - feed.served
        allowed = wanted if cursor.drop_after is None else min(wanted, cursor.drop_after - feed.served)
        pieces, count = feed.take(allowed)
        header = answers.row_header(len(cursor.query.columns), wanted)
        if cursor.drop_after is not None and feed.served >= cursor.drop_after:
            self.packets.send_data([header, *pieces], end_of_response=False)
            raise ConnectionEndedError("a fault")
        assert cursor.served is not None
        cursor.served.rows = feed.served
        done = feed.is_done and (cursor.fail_after is None or feed.served < cursor.fail_after[0])
        cursor.served.finished = done
        parts: list[bytes | memoryview] = [header, *pieces] if count else []
        outcome = Outcome(
            1403 if done else 0, str(OracleError(1403)) if done else "", feed.served, cursor.number,
            statement_kind=3, transaction_open=self.session.is_dirty,
        )  # fmt: skip
        return parts, outcome

    def _run(self, cursor: Cursor, call: Call) -> list[bytes | memoryview]:
        session = self.session
        assert session is not None
        rows = [[self.lobs.value(value) for value in row] for row in call.binds]
        served = self._log(cursor, rows[0] if len(rows) == 1 else rows)
        self._set_off(cursor)
        if call.options & calls.DESCRIBE_ONLY:
            return [
                answers.return_parameters(self.database.clock.scn, cursor.number),
                self._closing(Outcome(cursor=cursor.number)),
            ]
        text, binds = cursor.text, rows
        if cursor.kind == 47:
            text, binds = _unique_binds(cursor, rows)
        effect = statements.run(session, text, cursor.verb, binds)
        if call.commits:
            session.commit()
        served.rows, served.finished = effect.rows, True
        counts = effect.row_counts if call.wants_row_counts else None
        parts: list[bytes | memoryview] = []
        if cursor.kind == 47 and call.bind_forms:
            parts += _out_values(call, effect)
            cursor.in_places = [place for place in range(len(call.bind_forms)) if place not in effect.out]
            self.calls.bind_forms_of[cursor.number] = [call.bind_forms[place] for place in cursor.in_places]
        parts.append(answers.return_parameters(self.database.clock.scn, cursor.number, counts))
        outcome = Outcome(0, "", effect.rows, cursor.number, 0, cursor.kind, session.is_dirty)
        return [*parts, self._closing(outcome)]


def _unique_binds(cursor: Cursor, rows: list[list[Any]]) -> tuple[str, list[list[Any]]]:
    """PL/SQL binds each name once; its places are renumbered to that."""
    order = list(dict.fromkeys(cursor.bind_names))
    places = {number: order.index(name) for number, name in enumerate(cursor.bind_names)}
    return re.sub(r":b(\d+)\b", lambda found: f":b{places[int(found[1])]}", cursor.text), rows


def _out_values(call: Call, effect: statements.Effect) -> list[bytes]:
    """Message 0B, which says the direction of each bind, and a row of what comes back."""
    count = len(call.bind_forms)
    directions = bytes(16 if place in effect.out else 32 for place in range(count))
    vector = b"\x0b\x05" + ub(count % 256) + ub(count // 256) + ub(0) + ub(0) + ub(0) + ub(0) + directions
    if not effect.out:
        return [vector]
    row = b"".join(encode_out(call.bind_forms[place], value) + sb(0) for place, value in sorted(effect.out.items()))
    return [vector, b"\x07" + row]
