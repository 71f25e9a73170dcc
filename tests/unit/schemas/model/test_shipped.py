from __future__ import annotations

import pickle
import shutil

import pytest

from statekeeper.errors import ConfigError
from statekeeper.model.schema import ColumnRule, SchemaRef
from statekeeper.schemas.model.shipped import ShippedModel
from tests.messages import raises_message

MODEL = "from pydantic import BaseModel\nfrom words import Word\n\nclass Row(BaseModel):\n    id: int\n    name: Word\n"
BESIDE = "from typing import Annotated\nfrom pydantic import Field\nWord = Annotated[str, Field(max_length={})]\n"
REF = SchemaRef(path="models/row.py:Row")


@pytest.fixture
def base(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/row.py").write_text(MODEL)
    (tmp_path / "models/words.py").write_text(BESIDE.format(5))
    return tmp_path


def elsewhere(shipped):
    return pickle.loads(pickle.dumps(shipped))


def longest(model):
    return model.model_fields["name"].metadata[0].max_length


def test_where_the_files_are_the_model_is_theirs(base):
    shipped = elsewhere(ShippedModel.of(REF, base=base))
    assert longest(shipped.load()) == 5
    assert {name for name, _ in shipped.files} == {"row.py", "words.py"}


def test_where_they_are_missing_the_model_is_made_of_what_came_along(base):
    shipped = elsewhere(ShippedModel.of(REF, base=base))
    shutil.rmtree(base / "models")
    model = shipped.load()
    assert longest(model) == 5
    assert shipped.load() is model, "made once"


def test_files_that_are_others_there_are_not_used(base):
    shipped = elsewhere(ShippedModel.of(REF, base=base))
    (base / "models/words.py").write_text(BESIDE.format(9))
    assert longest(shipped.load()) == 5
    assert longest(ShippedModel.of(REF, base=base).load()) == 9


def test_other_declarations_need_no_files(base):
    assert ShippedModel.of(SchemaRef(), base=base).load() is None
    inline = ShippedModel.of(SchemaRef(columns={"id": ColumnRule(type="int")}), base=base)
    assert elsewhere(inline).load().model_validate({"id": 1})


def test_a_file_that_is_missing_is_told_before_anything_is_sent(base):
    with raises_message(ConfigError, "schemas.no_file"):
        ShippedModel.of(SchemaRef(path="models/none.py:Row"), base=base)
