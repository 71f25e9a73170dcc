import oracledb
import pytest

from tests.oracle_server import OracleServer


@pytest.fixture(scope="module")
def server():
    with OracleServer.start(users={"APP": "app secret"}) as started:
        yield started


@pytest.fixture
def connection(server):
    with oracledb.connect(**server.credentials) as opened:
        yield opened


@pytest.fixture(autouse=True)
def clean(request):
    yield
    if "server" in request.fixturenames:
        running = request.getfixturevalue("server")
        running.clear_faults()
        running.session_limit(None)


@pytest.fixture
def cursor(connection):
    with connection.cursor() as opened:
        yield opened
