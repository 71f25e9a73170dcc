import errno
import io
from pathlib import Path

import click
import pytest

from statekeeper.cli.invocation import explain
from statekeeper.errors import ConfigError, Interrupted, LockHeld, LoginRefused, PlanError, StatekeeperError
from statekeeper.logs import Redactor


def _explain(error: BaseException, **environ: str) -> tuple[int, str]:
    stream = io.StringIO()
    code = explain(error, stream=stream, redactor=Redactor(["tiger-secret"]), environ=environ)
    return code, stream.getvalue()


def _raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("kind", "code"), [(PlanError, 1), (ConfigError, 2), (LockHeld, 3), (LoginRefused, 4), (Interrupted, 130)]
)
def test_error_of_ours_is_a_line_a_hint_and_its_exit_code(kind: type[StatekeeperError], code: int) -> None:
    assert _explain(kind("it broke", hint="mend it")) == (code, "error: it broke\nhint: mend it\n")
    assert _explain(kind("it broke")) == (code, "error: it broke\n")


def test_unforeseen_exception_is_a_line_and_a_file_with_the_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".statekeeper").mkdir()
    (tmp_path / "below").mkdir()
    (tmp_path / ".statekeeper" / "last-error.txt").symlink_to(tmp_path / "target")
    monkeypatch.chdir(tmp_path / "below")
    code, text = _explain(_raised(ZeroDivisionError("by tiger-secret")))
    assert code == 1
    kept = tmp_path / ".statekeeper" / "last-error.txt"
    assert text == (
        f"error: this is a defect of statekeeper: ZeroDivisionError: by ***\nhint: the traceback is in {kept}\n"
    )
    assert "Traceback" in kept.read_text()
    assert "tiger-secret" not in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in kept.parent.iterdir()] == ["last-error.txt"]
    assert not (tmp_path / "target").exists()  # a link is replaced, and not followed


def test_a_traceback_marks_no_folder_as_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _, text = _explain(_raised(ZeroDivisionError("x")))
    (kept,) = tmp_path.iterdir()
    assert (kept.suffix, kept.stat().st_mode & 0o777) == (".txt", 0o600)
    assert str(kept) in text


def test_traceback_goes_elsewhere_where_the_directory_takes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".statekeeper").write_text("a file, where a folder is wanted")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _, text = _explain(_raised(ZeroDivisionError("x")))
    (kept,) = tmp_path.glob("statekeeper-error-*.txt")
    assert str(kept) in text


def test_debug_prints_the_traceback_without_secrets() -> None:
    code, text = _explain(_raised(PlanError("tiger-secret")), STATEKEEPER_DEBUG="1")
    assert code == 1
    assert "Traceback" in text
    assert text.endswith("error: ***\n")
    assert "tiger-secret" not in text


def test_interruption_is_130_and_usage_is_2() -> None:
    assert _explain(KeyboardInterrupt()) == (130, "interrupted\n")
    assert _explain(click.UsageError("no such option"))[0] == 2


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "ran out of memory"),
        (OSError(errno.EIO, "Input/output error", "/lake/x"), "cannot use /lake/x: Input/output error (EIO)"),
    ],
)
def test_what_the_system_refuses_is_no_defect(error, said):
    stream = io.StringIO()
    assert explain(error, stream=stream, redactor=Redactor(()), environ={}) == 1
    assert said in stream.getvalue()
    assert "hint: " in stream.getvalue()
    assert "defect" not in stream.getvalue()
