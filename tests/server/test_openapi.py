"""The OpenAPI document: complete, valid, and the same as what is served."""

import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import ValidationError
from starlette.routing import Route

from server.app import all_operations
from server.openapi import build_document
from server.registry import Body
from server.text import LINE_PATTERN, REMARK_PATTERN, SEARCH_PATTERN
from tests.server.edge import open_edge


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return build_document(all_operations(), "1.2.3")


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, one) for path, methods in document["paths"].items() for method, one in methods.items()
    ]


async def test_every_route_of_the_api_is_declared(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        served = {route.path for route in edge.app.routes if isinstance(route, Route)}
        declared = set((await edge.http.get("/api/v1/openapi.json")).json()["paths"])
    pages = {"/", "/r/{room_id}", "/l/{token}", "/i/{token}", "/signin/{token}", "/mailbox", "/admin"}
    pages |= {"/account", "/static/{name:path}", "/fonts/{name:path}", "/{name}"}
    assert {path.replace(":path}", "}") for path in served - pages} == declared
    assert pages <= served


def test_every_operation_is_told(document: dict[str, Any]) -> None:
    names = [one["operationId"] for _, _, one in operations(document)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in document["tags"]}
    for path, method, one in operations(document):
        assert one["summary"], path
        assert one["description"], path
        assert set(one["tags"]) <= tags
        declared = {parameter["name"] for parameter in one["parameters"] if parameter["in"] == "path"}
        assert declared == set(re.findall(r"{(\w+)}", path)), path
        assert {"422", "500", "503"} <= set(one["responses"]), path
        if one["security"]:
            assert "401" in one["responses"]
        if one["security"] and method not in ("get", "head"):
            assert "403" in one["responses"]
        if method == "get":
            assert "requestBody" not in one
        if "requestBody" in one:
            assert {"413", "415"} <= set(one["responses"])


def test_every_error_is_a_problem_with_its_codes(document: dict[str, Any]) -> None:
    for _, _, one in operations(document):
        for status, response in one["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"]
                assert re.match(r"- `[a-z_]+`: [A-Z]", response["description"])
            assert response["headers"]["X-Request-ID"]["required"]


def test_every_schema_is_sound(document: dict[str, Any]) -> None:
    text = str(document)
    assert "$defs" not in text
    for name, schema in document["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid(schema), name
        assert schema["description"], name
        if "properties" in schema:
            assert schema["additionalProperties"] is False, name
    for reference in re.findall(r"'\$ref': '([^']+)'", text):
        assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def test_a_whole_number_may_be_written_as_json_writes_it(document: dict[str, Any]) -> None:
    """1.0 is an integer to JSON Schema, and to who has no other numbers; the document says its range."""
    seen = 0
    for model in Body.__subclasses__():
        for name, schema in model.model_json_schema()["properties"].items():
            if "integer" in str(schema):
                assert "'minimum'" in str(schema), (model, name)
                assert "'maximum'" in str(schema), (model, name)
                value = "[1.0]" if schema.get("type") == "array" else "1.0"
                with pytest.raises(ValidationError) as refused:
                    model.model_validate_json(f'{{"{name}": {value}, "unknown": 0}}')
                assert "int_type" not in [one["type"] for one in refused.value.errors()], (model, name)
                seen += 1
    assert seen >= 6


@pytest.mark.parametrize("pattern", [LINE_PATTERN, REMARK_PATTERN, SEARCH_PATTERN])
def test_text_patterns_mean_the_same_to_others(pattern: str) -> None:
    """What we accept is what the schema says, also to those who read it with another engine."""
    ours = re.compile(pattern.removesuffix("$") + r"\Z")
    theirs = jsonschema_rs.validator_for({"type": "string", "pattern": pattern})
    for code in [*range(0x250), *range(0x2000, 0x2100), 0x3000, 0x3164, 0xFEFF, 0xFFA0, 0x1F3A8]:
        for text in (chr(code), f"a{chr(code)}", f"{chr(code)} "):
            assert bool(ours.match(text)) == theirs.is_valid(text), (hex(code), text)


async def test_the_docs_page_needs_nothing_else(tmp_path: Path, empty_database: Path) -> None:
    async with open_edge(tmp_path, empty_database) as edge:
        page = await edge.http.get("/api/v1/docs")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert not re.search(r"https?://|<style|\sstyle=|\son\w+=", page.text)
        assert re.findall(r"<script[^>]*>(.*?)</script>", page.text, re.S) == [""]
        for address in re.findall(r'(?:src|href)="(/[^"#]+)"', page.text):
            part = await edge.http.get(address)
            assert part.status_code == 200, address
            assert "://" not in part.text or address.endswith("openapi.json")
        assert (await edge.http.get("/api/v1/docs/other.js")).status_code == 404
