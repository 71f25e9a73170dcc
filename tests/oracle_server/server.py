"""Server: sockets, one thread per client, and the conversation on each."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import traceback
from typing import Any

import duckdb

from tests.oracle_server import statements
from tests.oracle_server.cursors import Cursor, open_rows, oracle_error, translate
from tests.oracle_server.database.database import Database
from tests.oracle_server.database.errors import OracleError, unsupported
from tests.oracle_server.database.users import User, account_name
from tests.oracle_server.faults import Fault
from tests.oracle_server.lobs import Lobs
from tests.oracle_server.log import Served
from tests.oracle_server.rows import Lie
from tests.oracle_server.session import Session
from tests.oracle_server.wire import answers, calls, handshake, packets
from tests.oracle_server.wire.answers import Outcome
from tests.oracle_server.wire.calls import Call, CallReader
from tests.oracle_server.wire.handshake import Agreement, ConnectRequest
from tests.oracle_server.wire.logon import Verifier
from tests.oracle_server.wire.packets import ConnectionEndedError, InterruptedCallError, PacketStream
from tests.oracle_server.wire.primitives import Reader, sb

ENDS_SESSION = {28, 2392, 2396, 3113, 3114, 3135, 1012}
LISTENER_CODES = range(12500, 12600)


class Listener:
    """Accepts clients for one database."""

    def __init__(self, database: Database, host: str = "127.0.0.1", port: int = 0) -> None:
        self.database = database
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


class Connection:
    """One client."""

    def __init__(self, database: Database, sock: socket.socket) -> None:
        self.database = database
        self.packets = PacketStream(sock)
        self.agreement = Agreement(database.release)
        self.session: Session | None = None
        self.reader = Reader(more=self.packets.receive_data)
        self.calls = CallReader(self.reader, field_version=0)
        self.lobs = Lobs()
        self.cursors: dict[int, Cursor] = {}
        self._cursors_made = 0
        self._sequence = 0
        self._in_pipeline = False

    def run(self) -> None:
        try:
            if self._connect() and self._negotiate_and_log_on():
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
            self.database.sessions.pop(self.session.number, None)
        with contextlib.suppress(OSError):
            self.packets.sock.shutdown(socket.SHUT_RDWR)
        self.packets.sock.close()

    # --- before the session

    def _connect(self) -> bool:
        release = self.database.release
        for attempt in range(2):
            kind, body = self.packets.receive()
            if kind != packets.CONNECT:
                return False
            request = ConnectRequest.decode(body)
            text = request.text
            if request.text_follows:
                text = self.packets.receive_data().decode(errors="replace")
            if release.asks_to_resend and attempt == 0:
                self.packets.send(packets.RESEND, b"")
                continue
            break
        if (code := self._refusal(text)) is not None:
            self.packets.send(packets.REFUSE, handshake.refuse(code))
            return False
        version = min(request.version, release.protocol)
        self.agreement.protocol = version
        self.agreement.end_of_response = version >= 319 and bool(release.accept_flags & handshake.HAS_END_OF_RESPONSE)
        self.packets.sdu = max(512, min(request.sdu, 2_097_152))
        self.packets.send(packets.ACCEPT, handshake.accept(release, request.version, self.packets.sdu))
        self.packets.large = version >= 315
        return True

    def _refusal(self, text: str) -> int | None:
        service, sid = ConnectRequest.named(text, "SERVICE_NAME"), ConnectRequest.named(text, "SID")
        if service is not None and service.upper() != self.database.service.upper():
            return 12514
        if service is None and sid is not None and sid.upper() != self.database.name.upper():
            return 12505
        faults = self.database.faults
        waits = any(fault.kind == "refuse_login" and fault.code in LISTENER_CODES for fault in faults.waiting())
        listener = faults.take({"refuse_login"}, "listener", {}) if waits else []
        if listener:
            return listener[0].code
        limit = self.database.users.session_limit
        if limit is not None and len(self.database.sessions) >= limit and self.database.limit_code in LISTENER_CODES:
            return self.database.limit_code
        return None

    def _negotiate_and_log_on(self) -> bool:
        """Messages 01, 02 and the first logon call, one by one or all in message 22; then the proof."""
        parts: list[bytes | memoryview] = []
        fast = False
        while True:
            message = self.reader.byte()
            if message == 0x22:
                self.reader.take(3)
                fast = True
            elif message == 1:
                handshake.read_protocol_request(self.reader)
                parts.append(handshake.protocol_answer(self.database.release))
                if fast:
                    self.reader.take(6)
                else:
                    self._respond(parts)
                    parts = []
            elif message == 2:
                parts.append(handshake.answer_data_types(self.reader, self.agreement))
                self.calls.field_version = self.agreement.field_version
                if not fast:
                    self._respond(parts)
                    parts = []
            elif message == calls.FUNCTION:
                call = self.calls.head(token_expected=False)
                self._sequence += 1
                self.calls.logon(call)
                return self._log_on(call, parts)
            else:
                raise ValueError(f"message {message} before the logon")

    def _log_on(self, call: Call, parts: list[bytes | memoryview]) -> bool:
        name = account_name(call.user)
        proxy, _, client = call.user.partition("[")
        if client:
            name, proxied = account_name(proxy), account_name(client.rstrip("]"))
        else:
            proxied = None
        user = self.database.users.by_name.get(name)
        verifier = Verifier(user.password if user else "\x00no such user")
        parts.append(answers.pairs(verifier.challenge()))
        parts.append(answers.closing(Outcome(), self._sequence, self.agreement))
        start = call.pairs
        self._respond(parts)
        if self.reader.byte() != calls.FUNCTION:
            return False
        second = self.calls.head()
        self._sequence += 1
        self.calls.logon(second)
        proxied = second.pairs.get("PROXY_CLIENT_NAME", proxied)
        proof = verifier.proof(second.pairs)
        code = self._logon_error(user, proved=proof is not None)
        entry = {"user": name, "error": code, "program": start.get("AUTH_PROGRAM_NM", "")}
        self.database.log.logons.append(entry)
        if code or user is None or proof is None:
            text = str(OracleError(code or 1017))
            self._respond([answers.closing(Outcome(code or 1017, text), self._sequence, self.agreement)])
            return False
        if proxied:
            user = self.database.users.by_name.get(account_name(proxied), user)
        session = self._new_session(user, name if proxied else None, start, second.pairs)
        release = self.database.release
        said = {
            "AUTH_VERSION_STRING": "- test server", "AUTH_VERSION_SQL": "26", "AUTH_XACTION_TRAITS": "3",
            "AUTH_VERSION_NO": str(release.version_number), "AUTH_VERSION_STATUS": "0", "AUTH_CAPABILITY_TABLE": "",
            "AUTH_DBNAME": self.database.container, "AUTH_DB_ID\x00": str(self.database.dbid),
            "AUTH_USER_ID": str(user.number), "AUTH_SESSION_ID": str(session.number),
            "AUTH_SERIAL_NUM": str(session.serial), "AUTH_INSTANCE_NO": "1",
            "AUTH_SERVER_PID": str(40_000 + session.number),
            "AUTH_SC_SERVER_HOST": "testserver", "AUTH_SC_DBUNIQUE_NAME": self.database.name,
            "AUTH_SC_INSTANCE_NAME": self.database.name, "AUTH_SC_SERVICE_NAME": self.database.service,
            "AUTH_INSTANCENAME": self.database.name, "AUTH_SVR_RESPONSE": proof, "AUTH_MAX_OPEN_CURSORS": "300",
            "AUTH_MAX_IDEN_LENGTH": "128",
        }  # fmt: skip
        body = answers.pairs([(key, value, 0) for key, value in said.items()])
        state = answers.session_state(session.number, session.serial) if release.major >= 23 else b""
        self._respond([body, state, answers.closing(Outcome(), self._sequence, self.agreement)])
        return True

    def _logon_error(self, user: User | None, *, proved: bool) -> int:
        for fault in self.database.faults.take({"refuse_login"}, "logon", {"user": user.name if user else None}):
            return fault.code
        if user is not None and user.locked:
            return 28000
        if user is None or not proved:
            if user is not None:
                user.failed_logons += 1
            return 1017
        if user.expired:
            return 28001
        sessions = list(self.database.sessions.values())
        limit = self.database.users.session_limit
        if limit is not None and len(sessions) >= limit:
            return self.database.limit_code
        if user.session_limit is not None and sum(s.user is user for s in sessions) >= user.session_limit:
            return 2391
        return 0

    def _new_session(self, user: User, proxy: str | None, start: dict[str, str], pairs: dict[str, str]) -> Session:
        session = Session(self.database, user, *self.database.new_session_number())
        session.proxy_user = proxy
        session.program, session.machine = start.get("AUTH_PROGRAM_NM", ""), start.get("AUTH_MACHINE", "")
        session.os_user, session.process = start.get("AUTH_SID", ""), start.get("AUTH_PID", "")
        session.module = session.program or None
        alter = pairs.get("AUTH_ALTER_SESSION", "").rstrip("\x00")
        if alter:
            statements.run(session, alter, "ALTER", [])
        self.session = session
        self.database.sessions[session.number] = session
        self.database.log.most_sessions = max(self.database.log.most_sessions, len(self.database.sessions))
        return session

    # --- the session's calls

    def _respond(self, parts: list[bytes | memoryview]) -> None:
        if self.agreement.end_of_response and (self.agreement.marked_responses or self.session is None):
            parts.append(answers.END)
        self.packets.send_data(parts, end_of_response=self.agreement.end_of_response)

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
                self._respond(parts)
                return False
        except Exception as reason:  # noqa: BLE001  (a defect of this server: the client is told, not left waiting)
            traceback.print_exc()
            parts.append(self._failure(unsupported(f"this statement ({type(reason).__name__}: {reason})"), call))
        self._respond(parts)
        return call.function != calls.LOGOFF

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
            open_rows(self.session, cursor, self.lobs, lies)
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
        done = feed.is_done and cursor.fail_after is None
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
    from tests.oracle_server.values_out import encode_out
    from tests.oracle_server.wire.primitives import ub

    count = len(call.bind_forms)
    directions = bytes(16 if place in effect.out else 32 for place in range(count))
    vector = b"\x0b\x05" + ub(count % 256) + ub(count // 256) + ub(0) + ub(0) + ub(0) + ub(0) + directions
    if not effect.out:
        return [vector]
    row = b"".join(encode_out(call.bind_forms[place], value) + sb(0) for place, value in sorted(effect.out.items()))
    return [vector, b"\x07" + row]
