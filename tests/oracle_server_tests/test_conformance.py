"""The server's messages have the form of a real database's: both are decoded by one decoder and compared.

The captures are not part of this project; ORACLE_WIRE_CAPTURES names their folder where there is one.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.oracle_server import OracleServer
from tests.oracle_server.wire import calls
from tests.oracle_server_tests.decoding import Message, Session, read_cassette, read_dump

FOLDER = os.environ.get("ORACLE_WIRE_CAPTURES", "")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="ORACLE_WIRE_CAPTURES names no folder of captures of a real database"
)
CAPTURES = Path(FOLDER)


@pytest.fixture(scope="module", params=["frames", "pipelines"])
def both(request):
    name = {"frames": "fetch_df_session.txt", "pipelines": "pipeline_session.txt"}[request.param]
    theirs = Session().decode(read_dump((CAPTURES / name).read_text()))
    with OracleServer.start(users={"PYTHONTEST": "pw"}) as server:
        script = Path(__file__).with_name("recorded_session.py")
        ran = subprocess.run(
            [sys.executable, script, request.param, "pythontest", "pw", server.dsn],
            env=os.environ | {"PYO_DEBUG_PACKETS": "1"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    return theirs, Session().decode(read_dump(ran.stdout))


def of_kind(messages: list[Message], kind: str, function: int | None = None) -> list[Message]:
    return [m for m in messages if m.kind == kind and function in (None, m.function)]


def shape(message: Message) -> tuple[str, int, tuple[str, ...]]:
    return message.kind, message.function, tuple(message.fields)


def test_every_kind_of_message_of_the_real_session_is_sent_in_the_same_form(both):
    theirs, ours = both
    missing = {shape(message) for message in theirs} - {shape(message) for message in ours}
    always = {one for one in missing if one[0] == "15" and not of_kind(ours, "15")}
    assert missing <= always, "a bit vector where every column is sent may be left out"


def test_bit_vectors_count_the_columns_that_they_send(both):
    vectors = [message.fields for messages in both for message in of_kind(messages, "15")]
    assert vectors
    assert all(all(fields.values()) for fields in vectors)


def test_columns_are_described_as_the_real_database_does(both):
    theirs, ours = both
    for real in of_kind(theirs, "10"):
        assert real.fields in [message.fields for message in of_kind(ours, "10")]


def test_rows_have_the_same_bytes(both):
    theirs, ours = both
    rows = [tuple(m.fields["values"]) for m in of_kind(ours, "07")]
    for real in of_kind(theirs, "07"):
        assert tuple(real.fields["values"]) in rows


def test_calls_end_as_they_do_there(both):
    theirs, ours = both
    for message in of_kind(theirs, "04"):
        if message.fields["code"] == 1403 or message.fields["code"] == 0:
            wanted = {key: message.fields[key] for key in ("code", "short code", "rows", "batch errors")}
            same = [{key: m.fields[key] for key in wanted} for m in of_kind(ours, "04")]
            assert wanted in same
        else:
            assert message.fields["text"] in [m.fields.get("text") for m in of_kind(ours, "04")]
    assert all(m.fields["ends a line"] for m in of_kind(ours, "04") if "text" in m.fields)


def test_handshake_and_logon_agree(both):
    theirs, ours = both
    accepts = [of_kind(messages, "packet 2")[0].fields for messages in both]
    assert accepts[0] == accepts[1]
    real, own = (of_kind(messages, "01")[0].fields for messages in both)
    higher = real.pop("field version"), own.pop("field version")  # a client takes the lower of its own and this
    assert higher >= (24, 24)
    assert real == own
    served = {1, 2, 8, 11, 12, 23, 24, 96, 100, 101, 102, 112, 113, 180, 181, 182, 183, 208, 231, 252}
    assert served <= of_kind(theirs, "02")[0].fields["types"] & of_kind(ours, "02")[0].fields["types"]
    for function in (calls.LOGON_START, calls.LOGON_PROOF):
        real, own = (of_kind(messages, "08", function)[0].fields["pairs"] for messages in both)
        assert set(own) <= set(real)
        secret = {"AUTH_SESSKEY", "AUTH_VFR_DATA", "AUTH_PBKDF2_CSK_SALT", "AUTH_SVR_RESPONSE"} & set(real)
        assert {key: own[key] for key in secret} == {key: real[key] for key in secret}
    said = [
        [(m.fields["kind"], [key for *_, key in m.fields["entries"]]) for m in of_kind(messages, "17")]
        for messages in both
    ]
    assert said[0] == said[1]


def test_a_resend_and_an_older_accept_have_the_real_form():
    theirs = read_cassette(CAPTURES / "xe21-connect.tns-cassette")
    accepted = Session().decode(theirs)
    with OracleServer.start(users={"PYTHONTEST": "pw"}, release=21) as server:
        script = Path(__file__).with_name("recorded_session.py")
        ran = subprocess.run(
            [sys.executable, script, "frames", "pythontest", "pw", server.dsn],
            env=os.environ | {"PYO_DEBUG_PACKETS": "1"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    ours = read_dump(ran.stdout)
    connecting = Session().decode([packet for packet in ours if packet.kind != 6])
    for kind in ("packet 11", "packet 2"):
        assert of_kind(accepted, kind)[0].fields == of_kind(connecting, kind)[0].fields


def test_lob_calls_are_answered_in_the_real_form():
    session = Session(field_version=24, logged_on=True)
    theirs = session.decode(read_cassette(CAPTURES / "free23-lob.tns-cassette"))
    with OracleServer.start(users={"PYTHONTEST": "pw"}) as server:
        script = Path(__file__).with_name("recorded_session.py")
        ran = subprocess.run(
            [sys.executable, script, "frames", "pythontest", "pw", server.dsn],
            env=os.environ | {"PYO_DEBUG_PACKETS": "1"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    ours = Session().decode(read_dump(ran.stdout))
    assert {shape(message) for message in theirs} <= {shape(message) for message in ours}
    sizes = [[m.fields["locator bytes"] for m in of_kind(messages, "08", calls.LOB)] for messages in (theirs, ours)]
    assert set(sizes[0]) == set(sizes[1])
