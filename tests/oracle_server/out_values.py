"""Values that a PL/SQL block gives back, in the type that the client bound."""

from decimal import Decimal
from typing import Any

from tests.oracle_server.database.values import exact
from tests.oracle_server.wire import scalars, types
from tests.oracle_server.wire.primitives import clr
from tests.oracle_server.wire.types import BindForm


def encode_out(form: BindForm, value: Any) -> bytes:
    """One OUT bind."""
    if value is None:
        return b"\x00"
    match form.kind:
        case types.NUMBER | types.BINARY_INTEGER:
            return clr(scalars.encode_number(exact(value)))
        case types.DATE | types.TIMESTAMP | types.TIMESTAMP_TZ | types.TIMESTAMP_LTZ:
            return clr(scalars.encode_timestamp(value))
        case types.BINARY_DOUBLE:
            return clr(scalars.encode_double(float(value)))
        case types.RAW:
            return clr(bytes(value))
        case _:
            text = format(value, "f") if isinstance(value, Decimal) else str(value)
            return clr(text.encode("utf-16-be" if form.form == types.NATIONAL_FORM else "utf-8"))
