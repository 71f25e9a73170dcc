"""Greeting: the exchange before there is a session: connect or refuse, negotiate, log on."""

from __future__ import annotations

import socket

from tests.oracle_server import statements
from tests.oracle_server.database.database import Database
from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.users import User, account_name
from tests.oracle_server.session import Session
from tests.oracle_server.wire import answers, calls, handshake, packets
from tests.oracle_server.wire.answers import Outcome
from tests.oracle_server.wire.calls import Call, CallReader
from tests.oracle_server.wire.handshake import Agreement, ConnectRequest
from tests.oracle_server.wire.logon import Verifier
from tests.oracle_server.wire.packets import PacketStream
from tests.oracle_server.wire.primitives import Reader

LISTENER_CODES = range(12500, 12600)


class Greeting:
    """One client, until it has a session."""

    def __init__(self, database: Database, sock: socket.socket) -> None:
        self.database = database
        self.packets = PacketStream(sock, database.log.traffic)
        self.agreement = Agreement(database.release)
        self.session: Session | None = None
        self.reader = Reader(more=self.packets.receive_data)
        self.calls = CallReader(self.reader, field_version=0)
        self._sequence = 0

    def connect(self) -> bool:
        """CONNECT and its answer; False where it was refused."""
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
        self.packets.large = version >= handshake.LARGE_PACKETS
        return True

    def _refusal(self, text: str) -> int | None:
        service, sid = ConnectRequest.named(text, "SERVICE_NAME"), ConnectRequest.named(text, "SID")
        if service is not None and service.upper() != self.database.service.upper():
            return 12514
        if service is None and sid is not None and sid.upper() != self.database.name.upper():
            return 12505
        for fault in self.database.faults.take({"refuse_login"}, "listener", {}, codes=LISTENER_CODES):
            return fault.code
        limit = self.database.users.session_limit
        if limit is not None and len(self.database.sessions) >= limit and self.database.limit_code in LISTENER_CODES:
            return self.database.limit_code
        return None

    def negotiate_and_log_on(self) -> bool:
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
        proxied = second.pairs.get("PROXY_CLIENT_NAME")
        proof = verifier.proof(second.pairs)
        client = self.database.users.by_name.get(account_name(proxied)) if proxied else None
        code = self._logon_error(user, proved=proof is not None)
        if not code and proxied and (client is None or f"CONNECT THROUGH {name}" not in client.privileges):
            code = 28150
        entry = {"user": name, "error": code, "program": start.get("AUTH_PROGRAM_NM", "")}
        self.database.log.logons.append(entry)
        if code or user is None or proof is None:
            text = str(OracleError(code or 1017))
            self._respond([answers.closing(Outcome(code or 1017, text), self._sequence, self.agreement)])
            return False
        try:
            session = self._new_session(client or user, name if client else None, start, second.pairs)
        except OracleError as error:  # what the client's environment asks of its session, such as an unknown time zone
            entry["error"] = 604
            text = f"ORA-00604: error occurred at recursive SQL level 1\n{error}"
            self._respond([answers.closing(Outcome(604, text), self._sequence, self.agreement)])
            return False
        release = self.database.release
        said = {
            "AUTH_VERSION_STRING": "- test server", "AUTH_VERSION_SQL": "26", "AUTH_XACTION_TRAITS": "3",
            "AUTH_VERSION_NO": str(release.version_number), "AUTH_VERSION_STATUS": "0", "AUTH_CAPABILITY_TABLE": "",
            "AUTH_DBNAME": self.database.container or self.database.name, "AUTH_DB_ID\x00": str(self.database.dbid),
            "AUTH_USER_ID": str(user.number), "AUTH_SESSION_ID": str(session.number),
            "AUTH_SERIAL_NUM": str(session.serial), "AUTH_INSTANCE_NO": "1",
            "AUTH_SERVER_PID": str(40_000 + session.number),
            "AUTH_SC_SERVER_HOST": "testserver", "AUTH_SC_DBUNIQUE_NAME": self.database.name,
            "AUTH_SC_INSTANCE_NAME": self.database.name, "AUTH_SC_SERVICE_NAME": self.database.service,
            "AUTH_INSTANCENAME": self.database.name, "AUTH_SVR_RESPONSE": proof, "AUTH_MAX_OPEN_CURSORS": "300",
            "AUTH_MAX_IDEN_LENGTH": str(self.database.identifier_bytes),
        }  # fmt: skip
        body = answers.pairs([(key, value, 0) for key, value in said.items()])
        state = answers.session_state(session.number, session.serial, release)
        warnings = []
        if user.grace_days is not None:
            text = f"ORA-28002: the password will expire within {user.grace_days} days"
            warnings.append(answers.warning(28002, text))
        self._respond([body, state, *warnings, answers.closing(Outcome(), self._sequence, self.agreement)])
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

    def _respond(self, parts: list[bytes | memoryview]) -> None:
        if self.agreement.marked_responses or (self.agreement.end_of_response and self.session is None):
            parts.append(answers.END)
        self.packets.send_data(parts, end_of_response=self.agreement.end_of_response)
