"""Random models and random rows for them: columns of every kind, with aliases, validators, defaults and config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)

from tests.unit.schemas.random_columns import KINDS, ROWS, Column, one_in


def even(value: Any) -> bool:
    return bool(value is None or len(repr(value)) % 2 == 0)


def not_even(value: Any) -> Any:
    if not even(value):
        raise ValueError("odd")
    return value


def as_given(value: Any) -> Any:
    return value


def _around(value: Any, handler: Callable[[Any], Any]) -> Any:
    return not_even(handler(value))


def _rescued(value: Any, handler: Callable[[Any], Any]) -> Any:
    try:
        return handler(value)
    except ValueError:
        return not_even(value)


def _with_info(value: Any, info: ValidationInfo) -> Any:
    if len(info.data) % 2 and not even(value):
        raise ValueError(f"odd after {len(info.data)}")
    return value


VALIDATORS = (
    AfterValidator(not_even),
    AfterValidator(_with_info),
    BeforeValidator(as_given),
    BeforeValidator(not_even),
    WrapValidator(_around),
    WrapValidator(_rescued),
    PlainValidator(not_even),
)
VALIDATORS_OF_ANY = VALIDATORS[:-1]
OWN = frozenset({"int", "member", "uuid", "union", "named"})
"""Kinds whose values need their type: where a PlainValidator takes its place, the column delivers others by itself."""


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Plain(BaseModel):
    _seen: int = PrivateAttr(0)


class Computed(BaseModel):
    model_config = ConfigDict(frozen=True, use_enum_values=True, extra="ignore")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def label(self) -> str:
        return "row"


class Short(BaseModel):
    model_config = ConfigDict(str_max_length=3, allow_inf_nan=False, populate_by_name=True)


class Stripped(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True, str_min_length=1, str_to_upper=True)


class Upper(BaseModel):
    model_config = ConfigDict(alias_generator=str.upper, loc_by_alias=False)


class Python(BaseModel):
    model_config = ConfigDict(regex_engine="python-re", hide_input_in_errors=True)


class Hooked(BaseModel):
    def model_post_init(self, _: Any) -> None:
        if len(repr(self)) % 3 == 0:
            raise ValueError("of three")


BASES = (Strict, Strict, Strict, Plain, Computed, Short, Stripped, Upper)
RARE_BASES = (Python, Hooked)


def _checked_after(self: Any) -> Any:
    if len(repr(self)) % 3 == 0:
        raise ValueError("of three")
    return self


def _checked_before(cls: Any, values: Any) -> Any:
    if len(repr(values)) % 3 == 0:
        raise ValueError("of three")
    return values


def _field_checked(cls: Any, value: Any) -> Any:
    return not_even(value)


def _field_checked_with_info(cls: Any, value: Any, info: ValidationInfo) -> Any:
    return _with_info(value, info)


@dataclass(frozen=True)
class Table:
    """A model, the columns under the table's own names, and the rows as pydantic has them, keyed as the model wants."""

    model: type[BaseModel]
    columns: dict[str, Column]
    rows: tuple[dict[str, Any], ...]
    nulls: dict[str, frozenset[int]]
    keys: dict[str, str]
    """By column, the name that pydantic's errors give its field."""

    def stored(self, column: str) -> list[Any]:
        """A column's values as the file has them."""
        values = self.columns[column].stored
        return [None if index in self.nulls[column] else value for index, value in enumerate(values)]


def table(random: Random, kind: str) -> Table:
    """A random model with a first column of this kind, and a few others; and rows for it."""
    base = random.choice(RARE_BASES) if one_in(30, random) else random.choice(BASES)
    good = frozenset(random.sample(range(ROWS), ROWS // 2))
    kinds = [kind, *(random.choice(tuple(KINDS)) for _ in range(random.choice((0, 1, 1, 2, 3))))]
    columns: dict[str, Column] = {}
    fields: dict[str, Any] = {}
    keys: dict[str, str] = {}
    names: dict[str, str] = {}
    for index, each in enumerate(kinds):
        name = f"{each}_{index}"
        column = mended(random, KINDS[each](random), good)
        annotation = column.annotation
        if base is Python:
            annotation = usable_in(base, annotation, column)
        if one_in(16, random):
            annotation = Annotated[annotation, random.choice(VALIDATORS_OF_ANY if each in OWN else VALIDATORS)]
        if one_in(3, random):
            annotation = annotation | None
        at, key, alias = _names(random, name, base)
        columns[at] = column
        default = {"default": None, "exclude": True} if one_in(4, random) else {}
        fields[name] = (annotation, Field(**alias, **default))
        keys[at], names[at] = key, name
    model = _model(random, base, fields)
    nulls = {at: frozenset(random.sample(range(ROWS), random.choice((0, 0, 0, 1)))) for at in columns}
    rows = tuple(
        {keys[at]: None if index in nulls[at] else column.values[index] for at, column in columns.items()}
        for index in range(ROWS)
    )
    by_error = {at: names[at] if base is Upper else keys[at] for at in columns}
    return Table(model, columns, rows, nulls, by_error)


def mended(random: Random, column: Column, good: frozenset[int]) -> Column:
    """The column with values that its type accepts, where it accepts any of them, in the rows that are to be good."""
    adapter = TypeAdapter(column.annotation)

    def is_accepted(value: Any) -> bool:
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError:
            return False
        return True

    accepted = [index for index, value in enumerate(column.values) if is_accepted(value)]
    if not accepted:
        return column
    taken = [random.choice(accepted) if index in good and index not in accepted else index for index in range(ROWS)]
    values, stored = (tuple(one[index] for index in taken) for one in (column.values, column.stored))
    return replace(column, values=values, stored=stored)


def usable_in(base: type[BaseModel], annotation: Any, column: Column) -> Any:
    """Python's own engine refuses some of Rust's patterns."""
    try:
        create_model("Try", __base__=base, field=(annotation, ...))
    except Exception:  # noqa: BLE001 - re.error, or pydantic's words for it
        return str if column.read_type == "string" else annotation
    return annotation


def _names(random: Random, name: str, base: type[BaseModel]) -> tuple[str, str, dict[str, Any]]:
    """The column's name, the key of the row, and the field's alias."""
    if base is Upper:
        return random.choice((name.upper(), name, name.title())), name.upper(), {}
    way = random.randrange(9) - 5
    if way == 0:
        key = f"My {name}"
        return random.choice((key, key.upper())), key, {"alias": key}
    if way == 1:
        first, second = f"{name} first", f"{name} second"
        choices = AliasChoices(first, AliasPath("nested", 0), second)
        key = random.choice((first, second))
        return random.choice((key, key.upper())), key, {"validation_alias": choices}
    if way == 2 and base is Short:
        return name.upper(), name, {"alias": f"My {name}"}
    return random.choice((name, name, name.upper())), name, {}


def _model(random: Random, base: type[BaseModel], fields: dict[str, Any]) -> type[BaseModel]:
    validators: dict[str, Any] = {}
    way = random.randrange(60) - 40
    name = random.choice(tuple(fields))
    if way == 0:
        validators["check"] = model_validator(mode="after")(_checked_after)
    elif way == 1:
        validators["check"] = model_validator(mode="before")(classmethod(_checked_before))
    elif way == 2:
        validators["check"] = field_validator(name)(classmethod(_field_checked))
    elif way == 3:
        validators["check"] = field_validator(name)(classmethod(_field_checked_with_info))
    elif way == 4:
        validators["check"] = field_validator(*fields, mode="before")(classmethod(_field_checked))
    inherited = random.randint(0, len(fields) - 1)
    pairs = list(fields.items())
    parent = create_model("Parent", __base__=base, **dict(pairs[:inherited])) if inherited else base
    return create_model("Row", __base__=parent, __validators__=validators, **dict(pairs[inherited:]))
