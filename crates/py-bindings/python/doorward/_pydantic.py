"""Claims in models of pydantic and in answers of FastAPI: written as a JSON object, never read from one."""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic_core import PydanticCustomError, SchemaSerializer, core_schema

from . import Claims


def _refuse(value: object) -> NoReturn:
    raise PydanticCustomError("doorward_claims", "only a doorward.Verifier makes Claims; send the token instead")


_WRITTEN = core_schema.plain_serializer_function_ser_schema(
    Claims.to_dict, return_schema=core_schema.dict_schema(core_schema.str_schema(), core_schema.any_schema())
)
_SCHEMA = core_schema.json_or_python_schema(
    json_schema=core_schema.no_info_plain_validator_function(_refuse),
    python_schema=core_schema.is_instance_schema(Claims),
    serialization=_WRITTEN,
)

serializer = SchemaSerializer(_SCHEMA)
"""Writes claims that stand anywhere in a value, like ``{"user": claims}``."""


def schema() -> core_schema.CoreSchema:
    """The schema of claims: an instance, written as the object that :meth:`Claims.to_dict` returns."""
    return _SCHEMA


def json_schema() -> dict[str, Any]:
    """The JSON Schema of what is written."""
    return {"title": "Claims", "type": "object", "description": "The claims of a verified token (RFC 7519 §4)", "additionalProperties": True}
