"""Formats: Oracle's format models for dates and numbers, as far as extraction tools use them."""

import re
from decimal import Decimal

import numpy as np

from tests.oracle_server.database.errors import OracleError
from tests.oracle_server.database.values import rounded
from tests.oracle_server.wire.scalars import EXACT

_ELEMENT = re.compile(
    r'"[^"]*"|SYYYY|YYYY|YYY|YY|RRRR|RR|MONTH|MON|MM|DDD|DD|DAY|DY|HH24|HH12|HH|MI|SSSSS|SS|FF[1-9]?|TZH|TZM|TZR|AM|PM|'
    r"J|Q|IW|WW|D|FM|X|.",
    re.IGNORECASE | re.DOTALL,
)
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
LONG_MONTHS = (
    "JANUARY", "FEBRUARY", "MARCH", "APRIL", "MAY", "JUNE", "JULY", "AUGUST", "SEPTEMBER", "OCTOBER", "NOVEMBER",
    "DECEMBER",
)  # fmt: skip
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
JULIAN_OF_1970 = 2440588
ERAS = {"GREGORIAN": 0, "THAI BUDDHA": 543}
"""By NLS_CALENDAR, the years between its own and the common era."""


def format_moment(nanos: int | None, minutes: int | None, model: str, era: int = 0) -> str | None:
    """TO_CHAR of a date or timestamp: nanoseconds since 1970 in UTC, the offset in minutes, and the calendar's era."""
    if nanos is None:
        return None
    offset = minutes or 0
    seconds, fraction = divmod(nanos + offset * 60 * 10**9, 10**9)
    days, second = divmod(seconds, 86400)
    day = np.datetime64(int(days), "D")
    year = int(day.astype("datetime64[Y]").astype(np.int64)) + 1970
    month = int(day.astype("datetime64[M]").astype(np.int64)) % 12 + 1
    of_month = int((day - day.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64)) + 1
    of_year = int((day - day.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)) + 1
    shown = (year - 1 if year <= 0 else year) + era
    hours, sign = second // 3600, "-" if offset < 0 else "+"
    zone_hours, zone_minutes = f"{sign}{abs(offset) // 60:02}", f"{abs(offset) % 60:02}"
    weekday = DAYS[(int(days) + 3) % 7]
    names = {
        "MON": MONTHS[month - 1], "MONTH": LONG_MONTHS[month - 1].ljust(9), "DAY": weekday.ljust(9), "DY": weekday[:3],
    }  # fmt: skip
    written = {
        "SYYYY": f"{'-' if shown < 0 else ' '}{abs(shown):04}", "YYYY": f"{abs(shown):04}", "RRRR": f"{abs(shown):04}",
        "YYY": f"{abs(shown):04}"[-3:], "YY": f"{abs(shown):04}"[-2:], "RR": f"{abs(shown):04}"[-2:],
        "MM": f"{month:02}", "DD": f"{of_month:02}", "DDD": f"{of_year:03}", "D": str((int(days) + 4) % 7 + 1),
        "HH24": f"{hours:02}", "HH": f"{(hours + 11) % 12 + 1:02}", "HH12": f"{(hours + 11) % 12 + 1:02}",
        "AM": "PM" if hours >= 12 else "AM", "PM": "PM" if hours >= 12 else "AM", "MI": f"{second // 60 % 60:02}",
        "SS": f"{second % 60:02}", "SSSSS": f"{second:05}", "J": str(int(days) + JULIAN_OF_1970),
        "Q": str((month + 2) // 3), "WW": f"{(of_year + 6) // 7:02}", "TZH": zone_hours, "TZM": zone_minutes,
        "TZR": f"{zone_hours}:{zone_minutes}", "X": ".", "FM": "",
    }  # fmt: skip
    out = []
    for part in _ELEMENT.findall(model):
        upper = part.upper()
        if upper in names:
            out.append(_cased(part, names[upper]))
        elif upper.startswith("FF"):
            out.append(f"{fraction:09}"[: int(upper[2:] or 6)])
        else:
            out.append(written.get(upper, part.strip('"')))
    return "".join(out)


def _cased(like: str, word: str) -> str:
    return word if like.isupper() else word.lower() if like.islower() else word.capitalize()


def parse_moment(text: str | None, model: str) -> tuple[int, int] | None:
    """TO_DATE and TO_TIMESTAMP: nanoseconds in UTC and the offset in minutes."""
    if not text:
        return None
    found = {"year": 1970, "month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0, "nanos": 0}
    at, half, sign, zone = 0, None, 1, [0, 0, 1]
    for part in _ELEMENT.findall(model):
        upper = part.upper()
        widths = {
            "SYYYY": (5, "year"), "YYYY": (4, "year"), "RRRR": (4, "year"), "MM": (2, "month"), "DD": (2, "day"),
            "HH24": (2, "hour"), "HH": (2, "hour"), "HH12": (2, "hour"), "MI": (2, "minute"), "SS": (2, "second"),
        }  # fmt: skip
        if upper in widths:
            width, name = widths[upper]
            match = re.match(rf"\s*([+-]?)(\d{{1,{width}}})", text[at:])
            if not match:
                raise OracleError(1843, text=f"not a valid date: {text!r} for {model!r}")
            if match[1] == "-":
                sign = -1
            found[name] = int(match[2])
            at += match.end()
        elif upper in ("YY", "RR"):
            found["year"] = 2000 + int(text[at : at + 2])
            at += 2
        elif upper == "MON":
            found["month"] = MONTHS.index(text[at : at + 3].upper()) + 1
            at += 3
        elif upper.startswith("FF"):
            match = re.match(r"\d{0,9}", text[at:])
            assert match
            found["nanos"] = int(match[0].ljust(9, "0"))
            at += match.end()
        elif upper == "TZH":
            match = re.match(r"\s*([+-]?)(\d{1,2})", text[at:])
            if match:
                zone[2] = -1 if match[1] == "-" else 1
                zone[0] = int(match[2])
                at += match.end()
        elif upper == "TZM":
            zone[1] = int(text[at : at + 2] or 0)
            at += 2
        elif upper in ("AM", "PM"):
            half = text[at : at + 2].upper()
            at += 2
        elif upper != "FM":
            literal = part[1:-1] if part.startswith('"') else part
            at += len(literal) if at < len(text) else 0
    if half:
        found["hour"] = found["hour"] % 12 + (12 if half == "PM" else 0)
    year = sign * found["year"]
    year += 1 if year < 0 else 0
    months = (year - 1970) * 12 + found["month"] - 1
    day = np.datetime64(months, "M").astype("datetime64[D]").astype(np.int64) + found["day"] - 1
    offset = zone[2] * (zone[0] * 60 + zone[1])
    seconds = int(day) * 86400 + found["hour"] * 3600 + found["minute"] * 60 + found["second"] - offset * 60
    return seconds * 10**9 + found["nanos"], offset


def plain(value: Decimal) -> str:
    """A number as TO_CHAR without a model writes it: no zero before the point, no exponent up to forty digits."""
    text = format(value.normalize(EXACT), "f") if value else "0"
    if len(text.replace("-", "").replace(".", "").lstrip("0")) > 40 or len(text) > 42:
        digits = value.normalize(EXACT).as_tuple()
        head = "".join(map(str, digits.digits))
        shown = head[0] + ("." + head[1:] if len(head) > 1 else "")
        return f"{'-' if digits.sign else ''}{shown}E{value.adjusted():+03}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def format_number(value: Decimal | None, model: str) -> str | None:
    """TO_CHAR of a number with a model: digits 9 and 0, a point, groups, FM, TM9, and EEEE."""
    if value is None:
        return None
    upper = model.upper()
    if upper.startswith("TM"):
        return plain(value)
    trim = upper.startswith("FM")
    body = upper.removeprefix("FM")
    signed = body.startswith("S") or body.endswith("S")
    body = body.strip("S")
    if "EEEE" in body:
        digits = body.split(".")[1].replace("EEEE", "").count("9") if "." in body else 0
        return f"{value:.{digits}E}"
    point = "D" if "D" in body else "."
    whole, _, fraction = body.partition(point)
    decimals = sum(fraction.count(sign) for sign in "90")
    shown = rounded(value, decimals)
    text = f"{shown.copy_abs():.{decimals}f}"
    left, _, right = text.partition(".")
    places = sum(whole.count(sign) for sign in "90")
    least = len(whole.replace(",", "").replace("G", "")) - whole.replace(",", "").replace("G", "").find("0")
    least = least if "0" in whole else (0 if decimals else 1)
    left = left.lstrip("0").rjust(least, "0") if least else left.lstrip("0")
    if len(left) > places:
        return "#" * (len(body) + 1)
    if "," in whole or "G" in whole:
        left = re.sub(r"(?<=\d)(?=(\d{3})+$)", ",", left)
    if trim:
        right = right.rstrip("0") if "0" not in fraction else right
    sign = "-" if shown < 0 else "+" if signed else ""
    out = sign + left + ("." + right if fraction else "")
    return out if trim else out.rjust(len(body) + 1)
