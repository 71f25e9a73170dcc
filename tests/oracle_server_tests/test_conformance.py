"""The server's messages have the form of a real database's: both are decoded by one decoder and compared.

The captures are not part of this project; ORACLE_WIRE_CAPTURES names their folder where there is one. Each file of it
is compared: a whole session with one of the same statements, single messages and packets with those of such a session,
and a lone request by sending the very same bytes to the server.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.oracle_server import OracleServer
from tests.oracle_server.database import types
from tests.oracle_server.wire import calls
from tests.oracle_server.wire.calls import Call
from tests.oracle_server_tests.decoding import Message, Packet, Session, read_cassette, read_dump
from tests.oracle_server_tests.replay import answered

FOLDER = os.environ.get("ORACLE_WIRE_CAPTURES", "")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="ORACLE_WIRE_CAPTURES names no folder of captures of a real database"
)
CAPTURES = Path(FOLDER)
EXPLAINING = (".md", ".meta.txt", ".manifest")
ACCEPT_HEAD = bytes((0, 0, 0, 0, 2, 0, 0, 0))

# What has to be equal, by kind of message. Where nothing is named, only that there is such a message with such fields.
FORMS: dict[str, tuple[str, ...]] = {
    "packet 1": (),
    "packet 2": ("version", "options", "data length", "offset is the end", "flags", "accept flags", "length"),
    "packet 11": ("body",),
    "packet 12": ("body",),
    "01": ("version", "capabilities", "charset", "flags", "national", "32K strings", "logon types", "big chunks"),
    "02": (),
    "04": ("status", "code", "short code", "rows", "batch errors", "text", "ends a line"),
    "06": ("flags", "columns"),
    "07": ("values",),
    "08": ("secrets", "numbers", "scn", "locator bytes", "charset", "flags"),
    "09": ("status", "sequence"),
    "0e": (),
    "10": ("head", "mark", "columns", "date", "tail", "key"),
    "15": ("count is right", "bytes"),
    "17": ("kind", "keywords"),
    "1d": (),
    "21": ("token is that of the call",),
}
DIRECT_PATH = (128, 129, 130)
TYPE_ATTRIBUTES = "oracle_23ai_all_type_attrs_tstz.txt"
SERVED_TYPES = {1, 2, 8, 11, 12, 23, 24, 96, 100, 101, 102, 112, 113, 180, 181, 182, 183, 208, 231}


@dataclass(frozen=True)
class Capture:
    """A file, and what of ours it is compared with: a session of a script with a release, or the answer to itself."""

    file: str
    release: int
    script: str | None = "frames"
    call: int | None = None
    """The call that a single message answers; 0 is none."""
    field_version: int = 0
    unserved: tuple[int, ...] = ()
    """Calls of the capture that the test server does not know, which are left out with their answers."""

    @property
    def packets(self) -> list[Packet]:
        """The file's packets; empty for the messages of an answer."""
        path = CAPTURES / self.file
        if path.suffix == ".txt":
            return without(read_dump(path.read_text()), self.unserved)
        if path.suffix == ".tns-cassette":
            return read_cassette(path)
        raw = bytes.fromhex(path.read_text())
        if self.file.endswith("_packet.hex"):
            return [Packet(False, raw)]
        if self.file.endswith("_accept_payload.hex"):
            return [Packet(False, (len(raw) + 8).to_bytes(2, "big") + ACCEPT_HEAD[2:] + raw)]
        return []

    def theirs(self) -> list[Message]:
        session = Session(release=self.release, field_version=self.field_version, logged_on=self.field_version > 0)
        if self.call is None:
            return session.decode(self.packets)
        session.answer(bytes.fromhex((CAPTURES / self.file).read_text()), Call(self.call))
        return session.messages

    def ours(self) -> list[Message]:
        session = Session(release=self.release, field_version=0 if self.script else self.field_version)
        if self.script is not None:
            return session.decode(read_dump(recorded(self.script, self.release)))
        session.logged_on = True
        requests = [packet for packet in self.packets if packet.sent]
        return session.decode(answered(requests, release=self.release, field_version=self.field_version))


ALL = (
    Capture("fetch_df_session.txt", 23),
    Capture("pipeline_session.txt", 23, "pipelines"),
    Capture("dpl_session.txt", 23, "counts", unserved=DIRECT_PATH),
    Capture("dbobject_session.txt", 23, unserved=(calls.EXECUTE,)),  # all bind objects or cursors
    Capture("free23-connect.tns-cassette", 23),
    Capture("free23-lob.tns-cassette", 23, field_version=24),
    Capture("free23-postauth.tns-cassette", 23, None, field_version=24),
    Capture("free23_accept_payload.hex", 23),
    Capture("xe21-connect.tns-cassette", 21),
    Capture("xe21-postauth.tns-cassette", 21, None, field_version=16),
    Capture("xe18-connect.tns-cassette", 18),
    Capture("xe18-lob.tns-cassette", 18, field_version=11),
    Capture("xe18-postauth.tns-cassette", 18, None, field_version=11),
    Capture("xe11-connect.tns-cassette", 11, "refused"),
    Capture("pre23ai_xe11_accept_payload.hex", 11, "refused"),
    Capture("pre23ai_resend_packet.hex", 18),
    Capture("pre23ai_xe18_accept_payload.hex", 18),
    Capture("pre23ai_xe18_protocol_negotiation_response.hex", 18, call=0),
    Capture("pre23ai_xe18_data_types_response.hex", 18, call=0),
    Capture("pre23ai_xe18_auth_phase_one_response.hex", 18, call=calls.LOGON_START, field_version=11),
    Capture("pre23ai_xe18_auth_phase_two_response.hex", 18, call=calls.LOGON_PROOF, field_version=11),
)


def without(session: list[Packet], functions: tuple[int, ...]) -> list[Packet]:
    """A session without the requests of these functions, and without what answers them."""
    kept, keeps = [], True
    for packet in session:
        if packet.sent:
            keeps = not (packet.raw[10:11] == bytes((calls.FUNCTION,)) and packet.raw[11] in functions)
        if keeps:
            kept.append(packet)
    return kept


_DUMPS: dict[tuple[str, int], str] = {}


def recorded(script: str, release: int) -> str:
    """The packets of a session of the driver with the server, as the driver prints them; once for all tests."""
    if (script, release) not in _DUMPS:
        with OracleServer.start(users={"PYTHONTEST": "pw"}, release=release) as server:
            path = Path(__file__).with_name("recorded_session.py")
            ran = subprocess.run(
                [sys.executable, path, script, "pythontest", "pw", server.dsn],
                env=os.environ | {"PYO_DEBUG_PACKETS": "1"},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        _DUMPS[script, release] = ran.stdout
    return _DUMPS[script, release]


def of_kind(messages: list[Message], kind: str, function: int | None = None) -> list[Message]:
    return [m for m in messages if m.kind == kind and function in (None, m.function)]


def form(message: Message) -> dict[str, Any]:
    """The part of a message that does not depend on the moment, the data or the secrets of one session."""
    equal = {name: message.fields[name] for name in FORMS[message.kind] if name in message.fields}
    if message.fields.get("code") not in (None, 0, 1403):
        equal = {"text": equal["text"], "ends a line": equal["ends a line"]}
    return equal | {"fields": tuple(message.fields)}


def test_every_capture_is_compared():
    files = {path.name for path in CAPTURES.iterdir() if not path.name.endswith(EXPLAINING)}
    assert files == {capture.file for capture in ALL} | {TYPE_ATTRIBUTES}


def test_precisions_of_times_and_intervals_are_those_of_a_real_dictionary():
    lines = (CAPTURES / TYPE_ATTRIBUTES).read_text().splitlines()
    told = [line.split("|")[5:] for line in lines if line.startswith("ATTR|")]
    assert told
    for name, *numbers in told:
        precision, scale = (None if number == "NULL" else int(number) for number in numbers)
        own = types.parse(declaration(name, precision, scale)).in_dictionary()
        assert own["DATA_PRECISION"] == precision
        assert own["DATA_SCALE"] == (scale or 0)  # of years and months a table's columns say 0, attributes nothing
        defaults = {"TIMESTAMP": (None, 6), "INTERVAL DAY": (2, 6), "INTERVAL YEAR": (2, None)}
        if (precision, scale) == next((given for start, given in defaults.items() if name.startswith(start))):
            assert types.parse(declaration(name, None, None)).in_dictionary() == own


def declaration(attribute: str, precision: int | None, scale: int | None) -> str:
    """A column of an attribute's type, as DDL declares it."""
    leading = "" if precision is None else f"({precision})"
    trailing = "" if scale is None else f"({scale})"
    if attribute.startswith("TIMESTAMP"):
        return attribute.replace("TIMESTAMP", f"TIMESTAMP{trailing}").replace(" TZ", " TIME ZONE")
    first, last = attribute.removeprefix("INTERVAL ").split(" TO ")
    return f"INTERVAL {first}{leading} TO {last}{trailing}"


@pytest.fixture(scope="module", params=ALL, ids=lambda capture: capture.file)
def both(request):
    return request.param.theirs(), request.param.ours()


def test_every_message_of_the_real_database_is_sent_in_the_same_form(both):
    theirs, ours = both
    assert theirs
    for message in theirs:
        function = message.function if message.kind == "08" else None  # the others answer any call alike
        assert form(message) in [form(one) for one in of_kind(ours, message.kind, function)], message


def test_types_and_the_pairs_of_a_logon_are_those_of_a_real_one(both):
    theirs, ours = both
    for real in of_kind(theirs, "02"):
        (own,) = of_kind(ours, "02")
        assert real.fields["types"] & own.fields["types"] >= SERVED_TYPES
    for function in (calls.LOGON_START, calls.LOGON_PROOF):
        for real in of_kind(theirs, "08", function):
            (own,) = of_kind(ours, "08", function)
            assert own.fields["pairs"] <= real.fields["pairs"]


def test_the_field_version_is_as_high_as_the_real_ones(both):
    theirs, ours = both
    for real in of_kind(theirs, "01"):
        (own,) = of_kind(ours, "01")
        known = min(real.fields["field version"], 24)  # a client takes the lower of its own and this
        assert own.fields["field version"] == known


def test_bit_vectors_count_the_columns_that_they_send(both):
    vectors = [message.fields for messages in both for message in of_kind(messages, "15")]
    assert all(all(fields.values()) for fields in vectors)
