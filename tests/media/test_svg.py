"""server.media.svg: what may stay in an SVG, and that nothing else does."""

import base64
import re
import zlib
from time import process_time

import pytest
from PIL import Image

from server.media.base import MOST_SVG_BYTES
from tests.media import corpus
from tests.media.corpus import svg
from tests.media.table import Table

DOT = corpus.encode(Image.new("1", (1, 1)), "PNG")
DRAWING = svg(
    '<defs><linearGradient id="g"><stop offset="0" stop-color="#f00"/></linearGradient>'
    "<style>.a{fill:url(#g)} @media print{.a{fill:none}}</style></defs>"
    '<g transform="rotate(3)" class="a"><path d="M0 0L10 10z" style="stroke:#000;fill:url(#g)"/>'
    '<use href="#g" x="1"/><text xml:space="preserve">a <tspan>b</tspan><tspan>c</tspan> &lt;d&gt; ü</text>'
    f'<image href="data:image/png;base64,{base64.b64encode(DOT).decode()}" width="5" height="5"/></g>',
    'width="10mm" height="20px" viewBox="0 0 10 20"',
)

ATTACKS = {
    "a script": "<script>alert(1)</script>",
    "a script under a prefix": '<s:script xmlns:s="http://www.w3.org/2000/svg">alert(1)</s:script>',
    "a script of HTML": '<script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script>',
    "an event": '<rect onload="alert(1)"/>',
    "an event in capitals": '<rect onLoad="alert(1)" ONCLICK="alert(1)"/>',
    "HTML": '<foreignObject><body xmlns="http://www.w3.org/1999/xhtml" onload="alert(1)"/></foreignObject>',
    "an iframe": '<iframe xmlns="http://www.w3.org/1999/xhtml" src="javascript:alert(1)"/>',
    "a link that runs": '<a xlink:href="javascript:alert(1)"><text>x</text></a>',
    "a link that runs, hidden": '<a href="java&#10;script:alert(1)"><text>x</text></a>',
    "a link away": '<a href="https://evil.example/"><text>x</text></a>',
    "an image from elsewhere": '<image href="https://evil.example/x.png"/>',
    "an image from here": '<image href="/api/v1/rooms"/>',
    "an image without a scheme": '<image xlink:href="//evil.example/x.png"/>',
    "a page in an image": '<image href="data:text/html;base64,PHNjcmlwdD4="/>',
    "an SVG in an image": '<image href="data:image/svg+xml;base64,PHN2Zy8+"/>',
    "a drawing from elsewhere": '<use href="https://evil.example/x.svg#a"/>',
    "a drawing in an address": '<use href="data:image/svg+xml,&lt;svg id=&quot;x&quot;/&gt;#x"/>',
    "a style sheet from elsewhere": '<style>@import "https://evil.example/x.css"; .a{fill:red}</style>',
    "a style sheet from elsewhere, hidden": "<style>@im\\70ort 'https://evil.example/x.css';</style>",
    "an address in a style sheet": "<style>.a{fill:url(https://evil.example/x)}</style>",
    "an address in a style sheet, hidden": "<style>.a{fill:u/**/rl(https://evil.example/x)}</style>",
    "an address in quotes": "<style>.a{background:image-set('https://evil.example/x' 1x)}</style>",
    "an address in an attribute": """<rect style="fill:url( 'https://evil.example/x' )"/>""",
    "an address without a scheme": '<rect mask="url(//evil.example/x)" style="fill:url(/api/v1/rooms)"/>',
    "a font from elsewhere": "<style>@font-face{font-family:a;src:url(https://evil.example/x)}</style>",
    "an expression": '<rect style="width:expression(alert(1))"/>',
    "a binding": '<rect style="-moz-binding:url(https://evil.example/x)"/>',
    "an animation of a link": '<a id="a"><set attributeName="href" to="javascript:alert(1)"/></a>',
    "an animation of an old link": '<a><set attributeName="xlink:href" to="javascript:alert(1)"/></a>',
    "an animation of an event": '<rect><set attributeName="onclick" to="alert(1)"/></rect>',
    "a filter's image": '<filter id="f"><feImage href="https://evil.example/x.png"/></filter>',
    "a base": '<g xml:base="https://evil.example/"><image href="x.png"/></g>',
    "a handler": '<handler xmlns:ev="http://www.w3.org/2001/xml-events" ev:event="load">alert(1)</handler>',
    "metadata": f"<metadata>{corpus.SECRET.decode()}</metadata>",
    "a remark": f"<!-- {corpus.SECRET.decode()} -->",
    "an instruction": '<?xml-stylesheet href="https://evil.example/x.css"?>',
    "an editor's own": f'<g xmlns:i="http://inkscape.org/" i:path="{corpus.SECRET.decode()}"/>',
    "data of an attribute": f'<g data-where="{corpus.SECRET.decode()}"/>',
}

REMAINS = re.compile(
    rb"script|alert|evil|/api/|foreignObject|<handler|data:(?!image/png)|@import|[^-\w]on\w+=|<!--|<\?|inkscape|"
    + re.escape(corpus.SECRET),
    re.IGNORECASE,
)


def test_a_drawing_stays_a_drawing(table: Table) -> None:
    """Sanitised it has the same parts, text and blanks; only its attributes are in another order."""
    verdict, clean = table.clean(DRAWING)
    assert (verdict.content_type, verdict.width, verdict.height) == ("image/svg+xml", 38, 20)
    assert (verdict.frames, verdict.color) == (1, None)
    for part in (
        b'<linearGradient id="g"><stop offset="0" stop-color="#f00"/></linearGradient>',
        b"<style>.a{fill:url(#g)} @media print{.a{fill:none}}</style>",
        b'style="stroke:#000;fill:url(#g)"',
        '<text xml:space="preserve">a <tspan>b</tspan><tspan>c</tspan> &lt;d&gt; ü</text>'.encode(),
        b'href="data:image/png;base64,' + base64.b64encode(DOT),
        b'<use href="#g" x="1"/>',
    ):
        assert part in clean


@pytest.mark.parametrize("name", ATTACKS)
def test_what_runs_or_refers_elsewhere_goes(table: Table, name: str) -> None:
    _, clean = table.clean(svg(f'<rect width="1"/>{ATTACKS[name]}<path d="M0 0"/>'))
    assert REMAINS.search(clean) is None
    assert clean.startswith(b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="1"/>')
    assert clean.endswith(b'<path d="M0 0"/></svg>')


def test_all_at_once(table: Table) -> None:
    _, clean = table.clean(svg("".join(ATTACKS.values())))
    assert REMAINS.search(clean) is None


def test_an_event_on_the_outermost_element_goes(table: Table) -> None:
    assert table.clean(svg("", 'onload="alert(1)"'))[1] == b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ('width="30" height="40"', (30, 40)),
        ('viewBox="0 0 640 480"', (640, 480)),
        ('width="100%" height="100%" viewBox="0,0,6.4,4.8"', (6, 5)),
        ('width="1in" height="2.54cm"', (96, 96)),
        ('width="0" height="0"', (None, None)),
        ('width="1e9" height="5"', (None, None)),
        ("", (None, None)),
    ],
)
def test_the_size(table: Table, size: str, expected: tuple[int | None, int | None]) -> None:
    verdict, _ = table.clean(svg("", size))
    assert (verdict.width, verdict.height) == expected


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
REPEATS = "".join(f'<g id="g{n}">{f"<use href={chr(34)}#g{n - 1}{chr(34)}/>" * 10}</g>' for n in range(1, 10))


@pytest.mark.parametrize(
    "data",
    [
        f'<!DOCTYPE svg [<!ENTITY l0 "ha">{LAUGHS}]><svg xmlns="http://www.w3.org/2000/svg">&l9;</svg>'.encode(),
        b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>',
        b'<!DOCTYPE svg SYSTEM "x.dtd"><svg xmlns="http://www.w3.org/2000/svg">&x;</svg>',
        svg("<rect>"),
        svg("") + b"<html/>",
        svg("") + b"PK\x03\x04",
        b"<svg><rect/></svg>",
        b'<svg xmlns="http://www.w3.org/1999/xhtml"/>',
        svg("<g>" * 300 + "</g>" * 300),
        svg("<g/>" * 260_000),
        svg("<g " + " ".join(f'a{n}="1"' for n in range(1000)) + "/>"),
        svg(f'<g id="g0"><path d="M0 0"/></g>{REPEATS}'),
        svg("".join(f'<g id="g{n}"><use href="#g{n - 1}"/></g>' for n in range(100, 0, -1))),
        svg("<text>\x00</text>"),
        b'<svg xmlns="http://www.w3.org/2000/svg"><text>\xff\xfe</text></svg>',
    ],
    ids=lambda data: data[:40] if len(data) < 100 else f"{data[:40]}...{len(data)}",
)
def test_what_can_not_be_made_safe_is_refused(table: Table, data: bytes) -> None:
    assert table.refuse(data).code == "svg_refused"


def test_a_drawing_of_itself_is_no_bomb(table: Table) -> None:
    """Browsers draw nothing for a circle."""
    table.clean(svg('<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>'))


@pytest.mark.parametrize(
    "attribute",
    [
        f'transform="{"url(" * 100_000}"',
        f'transform="url({" " * 1_000_000}"',
        f'width="1{" " * 1_000_000}x" height="1"',
        f'style="{"/*" * 500_000}"',
        f'viewBox="{" ," * 500_000}"',
    ],
    ids=lambda attribute: attribute[:20],
)
def test_no_value_takes_for_ever(table: Table, attribute: str) -> None:
    began = process_time()
    table.clean(svg("<rect/>", attribute))
    assert process_time() - began < 2


def test_packed_and_huge_ones_are_refused(table: Table) -> None:
    packer = zlib.compressobj(wbits=31)
    assert table.refuse(packer.compress(DRAWING) + packer.flush(), "image/svg+xml").status == 415
    huge = svg("<path d='" + "M0 0" * (MOST_SVG_BYTES // 4) + "'/>")
    assert table.refuse(huge).code == "asset_too_large"


@pytest.mark.parametrize("cut", range(0, len(DRAWING), 37))
def test_one_that_is_cut_off_is_refused(table: Table, cut: int) -> None:
    assert table.refuse(DRAWING[:cut]).code in ("svg_refused", "asset_type_refused")
