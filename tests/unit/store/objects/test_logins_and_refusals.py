"""The `storage:` section: who logs in, how objects are encrypted; and what a refused request says to do."""

from __future__ import annotations

import errno
import json
import pickle
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import boto3
import obstore
import pytest

from statekeeper.config.loader import pipeline_of
from statekeeper.config.sections.output import WritesKind
from statekeeper.config.sections.storage import StorageConfig, remember_storage
from statekeeper.config.sections.stores import place_of
from statekeeper.errors import ConfigError, StorageError
from statekeeper.store.objects.disk import ObjectStoreDisk
from statekeeper.store.objects.errors import store_errors
from statekeeper.store.registry import writing_disk
from statekeeper.store.versions import ABSENT, VersionConflict
from tests.gcs_server import GoogleRules
from tests.messages import raises_message, says
from tests.object_servers import SECRET, running

SECRETS = ("secret_access_key", "session_token", "account_key", "sas_token", "client_secret", "service_account_key")


def options(**storage):
    return StorageConfig.model_validate_json(json.dumps({"retry_timeout": "2s", **storage}))


class Proxy:
    """A server that answers `refuse` (or nothing: then a GET finds no object, and all else succeeds); it counts."""

    def __init__(self):
        self.refuse, self.requests = [], []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_any(self):
                self.rfile.read(int(self.headers.get("content-length") or 0))
                proxy.requests.append((self.command, self.path, dict(self.headers)))
                status, code = proxy.refuse.pop(0) if proxy.refuse else (200, "")
                body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode() if code else b""
                self.send_response(status)
                for name, value in (("Content-Length", str(len(body))), ("ETag", '"1"')):
                    self.send_header(name, value)
                self.send_header("Last-Modified", "Tue, 06 Jan 2026 00:00:00 GMT")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any  # noqa: N815 - names of the base class

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, daemon=True).start()

    def disk(self, **storage):
        endpoint = f"http://127.0.0.1:{self.server.server_port}"
        login = {"access_key_id": "key", "secret_access_key": SECRET, "region": "us-east-1"}
        return ObjectStoreDisk(Path("/s3:/lake/team"), options(endpoint=endpoint, **{**login, **storage}))


@pytest.fixture
def proxy():
    proxy = Proxy()
    yield proxy
    proxy.server.shutdown()
    proxy.server.server_close()


@pytest.fixture(scope="module")
def moto():
    with running("moto") as server:
        yield server


def refused(proxy, ask, *answers):
    """The error of a request that is refused so."""
    proxy.refuse[:] = answers
    with pytest.raises(OSError) as error:  # noqa: PT011 - what it says is what the caller asserts
        ask(proxy.disk())
    assert SECRET not in f"{error.value} {error.value.hint} {error.value.__cause__!r}"
    return error.value


def put(disk):
    disk.replace(disk.base_path / "a", b"x", ABSENT, role="t")


@pytest.mark.parametrize("answer", [(503, "SlowDown"), (429, "TooManyRequests"), (500, "InternalError"), (408, "")])
def test_throttling_and_failures_of_a_while_are_asked_again(proxy, answer):
    proxy.refuse[:] = [answer] * 3
    put(proxy.disk())
    assert len(proxy.requests) == 4


def test_throttling_that_lasts_is_an_error_that_may_pass(proxy):
    error = refused(proxy, put, *[(503, "SlowDown")] * 500)
    assert error.errno == errno.EIO
    assert says(error.strerror, "objects.too_many_requests")
    assert len(proxy.requests) < 30  # the waits have grown


def test_a_conflict_with_a_write_under_way_is_no_object(proxy, monkeypatch):
    monkeypatch.setattr("statekeeper.store.objects.errors._CONFLICT_WAITS", (0, 0))
    proxy.refuse[:] = [(409, "ConditionalRequestConflict")] * 2
    put(proxy.disk())
    assert [method for method, _, _ in proxy.requests] == ["PUT"] * 3
    proxy.refuse[:] = [(412, "PreconditionFailed"), (404, "NoSuchKey")]
    with pytest.raises(VersionConflict):
        put(proxy.disk())


@pytest.mark.parametrize(
    ("answer", "name", "hint"),
    [
        ((403, "RequestTimeTooSkewed"), "objects.clock", "timedatectl"),
        ((403, "SignatureDoesNotMatch"), "objects.wrong_secret", "storage.secret_access_key"),
        ((403, "InvalidAccessKeyId"), "objects.unknown_key", "storage.access_key_id"),
        ((400, "ExpiredToken"), "objects.expired", "get new ones"),
        ((404, "NoSuchBucket"), "objects.no_bucket", "output.base_path"),
        ((301, "PermanentRedirect"), "objects.other_region", "storage.region"),
        ((400, "AuthorizationHeaderMalformed"), "objects.other_region", "storage.region"),
        ((400, "KMS.NotFoundException"), "objects.kms_key", "storage.kms_key"),
        ((403, "AuthenticationFailed"), "objects.azure_login", "timedatectl"),
        ((403, "AuthorizationFailure"), "objects.azure_firewall", "storage.account_key"),
    ],
)
def test_a_refusal_names_its_cause_and_what_to_do(proxy, answer, name, hint):
    error = refused(proxy, put, answer)
    assert error.errno == errno.EACCES
    assert says(error.strerror, name)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("ask", "permission"),
    [
        (put, "s3:PutObject on the objects"),
        (lambda disk: disk.read(disk.base_path / "deleted"), "s3:GetObject on the objects, and s3:ListBucket"),
        (lambda disk: disk.names(disk.base_path), "s3:ListBucket on the bucket"),
        (lambda disk: disk.unlink(disk.base_path / "a", role="t"), "s3:DeleteObject"),
        (lambda disk: disk._delete(["a", "b"]), "s3:DeleteObject"),
    ],
)
def test_a_denied_request_says_which_permission_to_grant(proxy, ask, permission):
    error = refused(proxy, ask, (403, "AccessDenied"))
    assert permission in error.hint
    assert says(error.hint, "objects.roles_elsewhere")


@pytest.fixture
def s3(moto):
    """boto3's client, which makes buckets of all kinds."""
    login = {"aws_access_key_id": "key", "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=moto.address, **login)


def writing(moto, bucket):
    base_path = place_of(f"s3://{bucket}/team")
    remember_storage(base_path, options(**{**moto.storage, "retry_timeout": "2s"}))
    return writing_disk(base_path, WritesKind.AUTO)


def test_a_store_that_lets_nothing_be_removed_is_refused_before_a_run(moto, s3):
    s3.create_bucket(Bucket="kept")
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::kept/*"}
    s3.put_bucket_policy(Bucket="kept", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    with pytest.raises(StorageError) as error:
        writing(moto, "kept")
    assert "s3:DeleteObject" in error.value.hint


@pytest.mark.parametrize("bucket", ["versioned", "locked"])
def test_a_bucket_that_keeps_old_versions_works_like_any_other(moto, s3, bucket):
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=bucket == "locked")
    if bucket == "versioned":
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    disk = writing(moto, bucket)
    path = disk.base_path / "folder" / "a"
    disk.write_new(path, b"1", role="t")
    disk.replace(path, b"2", disk.version(path), role="t")
    assert disk.read(path) == b"2"
    disk.remove_folder(path.parent, role="t")
    assert not list(disk.listed(path.parent))
    assert len(s3.list_object_versions(Bucket=bucket, Prefix="team/folder/a")["Versions"]) == 2


class TestGoogle:
    def test_conditions_name_the_generation(self):
        server = GoogleRules()
        server.restart()
        try:
            disk = ObjectStoreDisk(place_of("gs://lake/team"), options(**{**server.storage, "retry_timeout": "2s"}))
            path = disk.base_path / "a"
            first = disk.replace(path, b"1", ABSENT, role="t")
            disk.replace(path, b"2", first, role="t")
            disk.copy(path, disk.base_path / "b", size=1, role="t")
            disk.copy_over(path, disk.base_path / "b", size=1, role="t")
            told = [
                (method, key, headers.get("x-goog-if-generation-match"), headers.get("x-goog-copy-source"))
                for method, key, headers in server.told.requests
            ]
            assert told == [
                ("PUT", "team/a", "0", None),
                ("PUT", "team/a", first, None),
                ("PUT", "team/b", "0", "lake/team%2Fa"),
                ("PUT", "team/b", None, "lake/team%2Fa"),
            ]
        finally:
            server.kill()

    def test_a_key_file_starts_at_the_root_and_an_unreadable_one_is_named(self, tmp_path):
        pipeline = shop("gs://lake/team", tmp_path, service_account_file="keys/lake.json")
        assert pipeline.storage.service_account_file == str(tmp_path / "keys/lake.json")
        with pytest.raises(StorageError) as error:
            writing_disk(pipeline.base_path, WritesKind.AUTO)
        assert says(error.value.message, "objects.service_account")
        assert "storage.service_account_file" in error.value.hint


def test_encryption_goes_with_every_new_object(proxy):
    disk = proxy.disk(encryption="sse-kms", kms_key="arn:aws:kms:eu-central-1:1:key/k", bucket_key=True)
    put(disk)
    with store_errors():
        obstore.copy(disk._client, "a", "b")
    for _, _, headers in proxy.requests:
        asked = {name.lower(): value for name, value in headers.items() if "encryption" in name.lower()}
        assert asked == {
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:eu-central-1:1:key/k",
            "x-amz-server-side-encryption-bucket-key-enabled": "true",
        }
    put(proxy.disk(encryption="sse-s3"))
    assert "x-amz-checksum-sha256" in proxy.requests[-1][2]  # what S3 asks for where a bucket has a default retention
    assert proxy.requests[-1][2]["x-amz-server-side-encryption"] == "AES256"


class TestAwsLogins:
    def test_a_profile_logs_in_and_an_unknown_one_is_named(self, proxy, tmp_path, monkeypatch):
        (tmp_path / "config").write_text("[profile lake]\nregion = eu-west-3\n")
        (tmp_path / "credentials").write_text(
            f"[lake]\naws_access_key_id = KEYOFLAKE\naws_secret_access_key = {SECRET}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
        login = {"access_key_id": None, "secret_access_key": None, "region": None}
        put(proxy.disk(**login, profile="lake"))
        assert "Credential=KEYOFLAKE/" in proxy.requests[0][2]["authorization"]
        assert "/eu-west-3/s3/" in proxy.requests[0][2]["authorization"]
        with raises_message(OSError, "objects.profile", profile="nobody"):
            put(proxy.disk(**login, profile="nobody"))

    def test_a_role_is_assumed_and_its_credentials_are_used(self, proxy, moto, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto.address)
        put(proxy.disk(role="arn:aws:iam::123456789012:role/lake"))
        headers = proxy.requests[0][2]
        assert "x-amz-security-token" in headers
        assert "Credential=key/" not in headers["authorization"]

    def test_a_role_that_cannot_be_assumed_is_named(self, proxy, monkeypatch):
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{proxy.server.server_port}")
        error = refused_login(proxy, (403, "AccessDenied"), role="arn:aws:iam::123456789012:role/lake")
        assert says(error.strerror, "objects.role")
        assert "sts:AssumeRole" in error.hint

    def test_without_boto3_the_error_says_what_to_install(self, proxy, monkeypatch):
        monkeypatch.setitem(sys.modules, "boto3", None)
        with raises_message(OSError, "objects.boto3") as error:
            put(proxy.disk(role="arn:aws:iam::123456789012:role/other"))
        assert error.value.hint == "pip install boto3"


def refused_login(proxy, answer, **storage):
    proxy.refuse[:] = [answer]
    with pytest.raises(OSError) as error:  # noqa: PT011 - what it says is what the caller asserts
        put(proxy.disk(**storage))
    return error.value


def test_a_missing_or_broken_option_of_azure_is_named(monkeypatch):
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    with raises_message(OSError, "objects.option", key="account_name"):
        put(ObjectStoreDisk(place_of("az://lake/team"), options()))
    with raises_message(OSError, "objects.option", key="account_key"):
        put(ObjectStoreDisk(place_of("az://lake/team"), options(account_name="lake", account_key="no base64!")))


def shop(base_path, root, **storage):
    return pipeline_of(
        {
            "sources": {"shop": {"type": "duckdb", "path": "shop.duckdb"}},
            "output": {"base_path": base_path},
            "storage": storage,
            "tables": [{"table_name": "t", "columns": {"id": {"type": "int"}}}],
        },
        root=root,
    )


@pytest.mark.parametrize(
    ("base_path", "storage", "name"),
    [
        ("s3://lake/x", {"access_key_id": "key"}, "objects.beside"),
        ("s3://lake/x", {"access_key_id": "k", "secret_access_key": SECRET, "profile": "p"}, "objects.one_login"),
        ("s3://lake/x", {"kms_key": "k"}, "objects.beside"),
        ("az://lake/x", {"tenant_id": "t", "client_id": "c"}, "objects.beside"),
        ("az://lake/x", {"account_key": SECRET, "sas_token": SECRET}, "objects.one_login"),
        ("gs://lake/x", {"service_account_file": "f", "service_account_key": SECRET}, "objects.one_login"),
    ],
)
def test_half_a_login_and_two_logins_are_refused(base_path, storage, name, tmp_path):
    with raises_message(ConfigError, name) as error:
        shop(base_path, tmp_path, **storage)
    assert SECRET not in error.value.message


@pytest.mark.parametrize("key", SECRETS)
def test_no_secret_is_in_a_repr_or_a_dump(key):
    others = {
        "session_token": {"access_key_id": "k", "secret_access_key": "s"},
        "secret_access_key": {"access_key_id": "k"},
    }
    others["client_secret"] = {"tenant_id": "t", "client_id": "c"}
    storage = options(**{**others.get(key, {}), key: SECRET})
    disk = ObjectStoreDisk(Path("/s3:/lake/team"), storage)
    assert SECRET not in f"{storage} {storage!r} {disk!r} {storage.model_dump_json()} {storage.model_dump()}"
    assert pickle.loads(pickle.dumps(disk)) == disk
