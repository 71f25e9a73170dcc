"""Every way to reach a database and to log in that the configuration has, each with a session of the real driver.

What needs the libraries of an Oracle Client (thick mode, and external authentication with it) can only be asked for.
"""

from __future__ import annotations

import datetime as dt
import gc
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from statekeeper.api import StatefulDataExtractor
from statekeeper.errors import LoginRefused, SourceUnreachable, StatekeeperError
from statekeeper.model.table import Relation
from statekeeper.sources.protocol import SourceSession
from statekeeper.sources.registry import open_session
from tests.messages import says
from tests.oracle.pipelines import READER, Lake, source_at
from tests.oracle_server import OracleServer

WALLET_PASSWORD = "wallet-secret"
TODAY = dt.datetime.now(dt.UTC)


def filled(server: OracleServer) -> OracleServer:
    """A server with a table, its owner, and a user who reads it."""
    server.create_user(READER["user"], READER["password"], "all")
    server.create_table("SALES", "ORDERS", [("ID", "NUMBER(9)")], [(1,), (2,)])
    return server


@pytest.fixture(scope="module")
def server():
    with OracleServer.start(users={"SALES": "sales-secret"}) as server:
        yield filled(server)


def opened(**keys: object) -> SourceSession:
    """A session with a source, opened from its configuration."""
    return open_session(source_at(**keys))


def seen_by(server: OracleServer, **keys: object) -> dict[str, object]:
    """The server's facts about the session of a source, after it has read the table's columns."""
    with closing(opened(**keys)) as session:
        (column,) = session.describe(Relation(schema_name="SALES", table_name="ORDERS"))
        assert column.database_type == "NUMBER(9)"
        (found,) = server.sessions()
        return found


def refusal(kind: type[StatekeeperError], **keys: object) -> str:
    with pytest.raises(kind) as caught:
        opened(**keys)
    return f"{caught.value.code}: {caught.value.message} | {caught.value.hint}"


def descriptor(server: OracleServer, *, protocol: str = "tcp", security: str = "") -> str:
    address = f"(ADDRESS=(PROTOCOL={protocol})(HOST={server.host})(PORT={server.port}))"
    dead = f"(ADDRESS=(PROTOCOL={protocol})(HOST={server.host})(PORT=1))"
    return f"(DESCRIPTION=(ADDRESS_LIST={dead}{address})(CONNECT_DATA=(SERVICE_NAME={server.service})){security})"


@pytest.fixture
def ways(server, tmp_path):
    """Each way to name the database."""
    place = {"host": server.host, "port": server.port}
    (tmp_path / "tnsnames.ora").write_text(f"SALESDB, OTHER =\n  {descriptor(server)}\n")
    return {
        "service": {**place, "service": server.service},
        "sid": {**place, "sid": "TESTDB"},
        "EZConnect": {"dsn": server.dsn},
        "EZConnect with parameters": {"dsn": f"tcp://{server.dsn}?transport_connect_timeout=5&retry_count=1"},
        "descriptor": {"dsn": descriptor(server)},
        "alias": {"dsn": "salesdb", "config_dir": str(tmp_path)},
    }


@pytest.mark.parametrize(
    "way", ["service", "sid", "EZConnect", "EZConnect with parameters", "descriptor", "alias"]
)  # fmt: skip
def test_a_session_can_be_opened_by_each_way_to_name_the_database(server, ways, way):
    seen = seen_by(server, **ways[way])
    assert (seen["user"], seen["proxy_user"], seen["module"]) == ("READER", None, "statekeeper")


def test_a_missing_file_is_reported_with_the_folder_that_was_searched(server, tmp_path):
    place = {"host": server.host, "port": server.port}
    assert says(refusal(SourceUnreachable, **place, service="NOPE"), "oracle.check_service")
    assert says(refusal(SourceUnreachable, **place, sid="NOPE"), "oracle.check_sid")
    (tmp_path / "tnsnames.ora").write_text("")
    assert "config_dir" in refusal(SourceUnreachable, dsn="salesdb", config_dir=str(tmp_path))
    assert "tnsnames.ora" in refusal(SourceUnreachable, dsn="salesdb", config_dir=str(tmp_path / "nowhere"))


@pytest.mark.parametrize("keys", [{"proxy_user": "sales"}, {"user": "reader[sales]"}], ids=["key", "brackets"])
def test_a_proxy_user_reads_as_the_user_it_acts_for(server, keys):
    place = {"dsn": server.dsn, **keys}
    server.revoke("CONNECT THROUGH READER", "SALES")
    said = refusal(LoginRefused, **place)
    assert "ORA-28150" in said
    assert "ALTER USER sales GRANT CONNECT THROUGH" in said
    server.grant("CONNECT THROUGH READER", "SALES")
    seen = seen_by(server, **place)
    assert (seen["user"], seen["proxy_user"]) == ("SALES", "READER")
    with closing(opened(**place)) as session:  # no schema: the client's own
        assert [one.name for one in session.describe(Relation(table_name="ORDERS"))] == ["ID"]


# --- TLS


@dataclass(frozen=True)
class Authority:
    """A certificate authority for this test."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def new(cls, folder: Path, name: str = "statekeeper tests") -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = _certificate(subject, subject, key).add_extension(x509.BasicConstraints(True, None), critical=True)
        return cls(folder, key, made.sign(key, hashes.SHA256()))

    @property
    def file(self) -> Path:
        path = self.folder / "ca.pem"
        path.write_bytes(_pem(self.certificate))
        return path

    def issued(self, file: str, common_name: str, *, host: str | None = None, password: str | None = None) -> Path:
        """A file with a new key, its certificate and the authority's; the key is encrypted if there is a password."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        made = _certificate(subject, self.certificate.subject, key)
        if host is not None:
            names = x509.SubjectAlternativeName([x509.DNSName(host)])
            made = made.add_extension(names, critical=False)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        signed = made.add_extension(usage, critical=False).sign(self.key, hashes.SHA256())
        seal = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, seal)
        path = self.folder / file
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(secret + _pem(signed) + _pem(self.certificate))
        return path


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:  # fmt: skip
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(TODAY - dt.timedelta(days=1))
        .not_valid_after(TODAY + dt.timedelta(days=2))
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.new(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(authority):
    """A server that speaks TLS only, as `localhost`, with clients whose certificate the authority signed."""
    certificate = authority.issued("server.pem", "oracle.example.com", host="localhost")
    with OracleServer.start(users={"SALES": "s"}, tls=[certificate, authority.file]) as server:
        server.host = "localhost"
        yield filled(server)


@pytest.fixture(scope="module")
def wallet(authority):
    authority.issued("wallet/ewallet.pem", "reader", password=WALLET_PASSWORD)
    return {"wallet_location": str(authority.folder / "wallet"), "wallet_password": WALLET_PASSWORD}


def test_tcps_with_a_wallet_works_by_host_descriptor_and_alias(secure, wallet, tmp_path):
    place = {"host": secure.host, "port": secure.port, "service": secure.service, "protocol": "tcps"}
    (tmp_path / "tnsnames.ora").write_text(f"salesdb = {descriptor(secure, protocol='tcps')}\n")
    for way in (
        place,
        {"dsn": f"tcps://{secure.dsn}"},
        {"dsn": descriptor(secure, protocol="tcps")},
        {"dsn": "salesdb", "config_dir": str(tmp_path)},
    ):
        assert seen_by(secure, **way, **wallet)["user"] == "READER"


def test_the_servers_certificate_must_match_its_host_or_the_configured_name(secure, wallet, authority):
    name = {"dsn": f"tcps://127.0.0.1:{secure.port}/{secure.service}", **wallet}
    said = refusal(SourceUnreachable, **name)
    assert "DPY-6006" in said
    assert says(said, "oracle.host_as_in_the_certificate")
    other = refusal(SourceUnreachable, **name, ssl_server_cert_dn="CN=other.example.com")
    assert "DPY-6002" in other
    assert "ssl_server_cert_dn" in other
    assert seen_by(secure, **name, ssl_server_dn_match=False)["user"] == "READER"
    assert seen_by(secure, **name, ssl_server_cert_dn="CN=oracle.example.com")["user"] == "READER"
    security = "(SECURITY=(SSL_SERVER_DN_MATCH=off))"
    by_text = descriptor(secure, protocol="tcps", security=security).replace(secure.host, "127.0.0.1")
    assert seen_by(secure, **{**name, "dsn": by_text})["user"] == "READER"


def test_an_unusable_wallet_is_reported(secure, wallet, tmp_path):
    place = {"dsn": f"tcps://{secure.dsn}"}
    assert "DPY-2018" in (said := refusal(SourceUnreachable, **place, wallet_location=str(tmp_path)))
    assert "ewallet.pem" in said
    stranger = Authority.new(tmp_path, "somebody else")
    stranger.issued("ewallet.pem", "reader")
    said = refusal(SourceUnreachable, **place, wallet_location=str(tmp_path))
    assert "certificate verify failed" in said.lower()
    assert "wallet_location" in said.partition(" | ")[2]
    for password in ("not-the-wallet's", None):
        said = refusal(SourceUnreachable, **place, **{**wallet, "wallet_password": password})
        assert "ewallet.pem" in said
        assert says(said, "oracle.check_the_wallet_password")
        assert "not-the-wallet's" not in said


def test_a_run_over_tls_ends_complete_and_reveals_no_wallet_password(secure, wallet, tmp_path):
    lake = Lake(tmp_path, secure)
    lake.configure({"schema_name": "SALES", "table_name": "ORDERS"}, source={"protocol": "tcps", **wallet})
    ran = lake.command("run", "ora.yml", "--date", "2026-01-06", "--no-progress")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert sorted(lake.published("ORDERS").column("ID").to_pylist()) == [1, 2]
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "ora.yml"]
    assert written
    assert not [path for path in written if WALLET_PASSWORD.encode() in path.read_bytes()]


# --- thick mode


@pytest.mark.parametrize(
    "keys", [{}, {"external_auth": True, "user": None, "password": None}], ids=["user", "external"]
)
def test_thick_mode_loads_the_libraries_from_the_configured_folder(server, tmp_path, keys):
    lake = Lake(tmp_path, server)
    folder = tmp_path / "instantclient"
    folder.mkdir()
    lake.configure(
        {"schema_name": "SALES", "table_name": "ORDERS"},
        source={"thick_mode": True, "client_lib_dir": str(folder), **keys},
    )
    logons = len(server.logons())
    ran = lake.command("run", "ora.yml", "--date", "2026-01-06", "--no-progress")
    said = " ".join((ran.stdout + ran.stderr).split())
    assert ran.returncode == 4, said
    assert "DPI-1047" in said
    assert f"{folder}/libclntsh.so" in said
    assert says(said, "oracle.install_the_client")
    assert len(server.logons()) == logons


# --- warnings at a successful login, and the session's settings


def test_a_password_that_expires_soon_is_a_warning_of_the_run_once(server, tmp_path, caplog):
    server.create_user("LATE", "late-secret", "all")
    server.alter_user("LATE", grace_days=7)
    server.create_table("SALES", "LINES", [("ID", "NUMBER(9)")], [(1,)])
    lake = Lake(tmp_path, server)
    tables = [{"schema_name": "SALES", "table_name": name} for name in ("ORDERS", "LINES")]
    lake.configure(*tables, source={"user": "late", "password": "late-secret"})
    extractor = StatefulDataExtractor.from_config(tmp_path / "ora.yml", date="2026-01-06")
    with caplog.at_level("WARNING", "statekeeper"):
        assert extractor.run().exit_code == 0
    said = [record.getMessage() for record in caplog.records if "ORA-28002" in record.getMessage()]
    assert len(said) == 1
    assert "expire within 7 days" in said[0]
    assert "ALTER USER late IDENTIFIED BY" in said[0]


def test_timestamps_are_in_the_gregorian_calendar_whatever_the_databases_default(server, tmp_path):
    moment = dt.datetime(2026, 3, 29, 1, 30, 15, 123456)  # noqa: DTZ001 - a wall clock
    server.create_table("SALES", "MOMENTS", [("AT", "TIMESTAMP(9)")], [(moment,)])
    server.set(settings={"NLS_CALENDAR": "Thai Buddha"})
    try:
        lake = Lake(tmp_path, server)
        lake.configure({"schema_name": "SALES", "table_name": "MOMENTS"}, source={"fractional_seconds": "us"})
        assert lake.run().exit_code == 0
    finally:
        server.set(settings={})
    assert lake.published("MOMENTS").column("AT").to_pylist() == [moment]


@pytest.mark.parametrize(
    ("keys", "seconds"),
    [({}, 120), ({"expire_time": 5}, 300), ({"expire_time": 0}, None), ({"dsn": "(EXPIRE_TIME=3)"}, 180)],
)
def test_tcp_keepalive_is_set(server, keys, seconds):
    if "dsn" in keys:
        keys = {"dsn": descriptor(server).replace("(DESCRIPTION=", f"(DESCRIPTION={keys['dsn']}")}
    else:
        keys = {"host": server.host, "port": server.port, "service": server.service, **keys}
    with closing(opened(**keys)):
        (found,) = [
            one for one in gc.get_objects()
            if type(one) is socket.socket and one.fileno() >= 0 and one.getpeername()[1] == server.port
        ]  # fmt: skip
        assert bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) is (seconds is not None)
        if seconds is not None:
            assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == seconds
