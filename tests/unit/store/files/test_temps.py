"""Names of temporary files, and which are swept."""

from __future__ import annotations

import subprocess
import sys

import pytest

from statekeeper.store.files.disk import LocalDisk
from statekeeper.store.files.temps import is_abandoned, older_than, process_token, sweep_temps, temp_file, temps_in


def test_temp_is_in_the_folder_of_its_document(tmp_path):
    assert temp_file(tmp_path / "a_state.json", "7") == tmp_path / ".a_state.json.7.tmp"


@pytest.mark.parametrize("token", ["", "a.b", "../x", "a b"])
def test_token_that_no_sweep_would_know_is_refused(tmp_path, token):
    with pytest.raises(ValueError, match="token"):
        temp_file(tmp_path / "x", token)


def test_sweep_spares_other_documents_and_younger_epochs(tmp_path):
    for name in (".a_state.json.1.tmp", ".a_state.json.2.tmp", ".a_state.json.b.tmp", ".ab_state.json.1.tmp", "a.tmp"):
        (tmp_path / name).touch()
    sweep_temps(LocalDisk(), tmp_path, {"a_state.json"}, older_than(2))
    assert temps_in(LocalDisk(), tmp_path) == [("a_state.json", "2"), ("a_state.json", "b"), ("ab_state.json", "1")]
    sweep_temps(LocalDisk(), tmp_path, {"a_state.json"})
    assert LocalDisk().names(tmp_path) == [".ab_state.json.1.tmp", "a.tmp"]


def test_sweep_of_a_missing_folder_does_nothing(tmp_path):
    sweep_temps(LocalDisk(), tmp_path / "absent", {"x"})


def test_token_is_abandoned_once_its_process_is_gone():
    code = "from statekeeper.store.files.temps import process_token; print(process_token(), flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    token = child.stdout.readline().strip()
    assert not is_abandoned(token)
    child.communicate("\n")
    assert is_abandoned(token)


def test_own_and_foreign_tokens_are_not_abandoned():
    assert not is_abandoned(process_token())
    assert not is_abandoned("deadbeef-999999-1")
    assert not is_abandoned("0")
