import pytest

from gateway.files.headers import content_disposition, safe_media_type


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.csv", "attachment; filename=\"a.csv\"; filename*=UTF-8''a.csv"),
        ("größe 1.csv", "attachment; filename=\"gr__e 1.csv\"; filename*=UTF-8''gr%C3%B6%C3%9Fe%201.csv"),
        ("../../etc/passwd", "attachment; filename=\"_.._etc_passwd\"; filename*=UTF-8''_.._etc_passwd"),
        (
            'a"; filename=x.exe',
            "attachment; filename=\"a_; filename=x.exe\"; filename*=UTF-8''a_%3B%20filename%3Dx.exe",
        ),
        (
            "a\r\nSet-Cookie: x",
            "attachment; filename=\"a__Set-Cookie_ x\"; filename*=UTF-8''a__Set-Cookie_%20x",
        ),
        ("", "attachment; filename=\"file\"; filename*=UTF-8''file"),
        ("...", "attachment; filename=\"file\"; filename*=UTF-8''file"),
        ("\ud800", "attachment; filename=\"_\"; filename*=UTF-8''%3F"),
    ],
)
def test_a_name_cannot_leave_its_header(name: str, header: str):
    assert content_disposition(name) == header
    header.encode("latin-1")


def test_a_long_name_is_cut():
    assert len(content_disposition("a" * 10_000)) < 400


@pytest.mark.parametrize("media_type", ["text/csv", "image/svg+xml", "application/vnd.ms-excel"])
def test_a_media_type_is_passed_on(media_type: str):
    assert safe_media_type(media_type) == media_type


@pytest.mark.parametrize(
    "media_type", ["", "text", "text/html\r\nX: y", "text/csv; charset=x", "a/" + "b" * 200]
)
def test_what_is_no_media_type_becomes_bytes(media_type: str):
    assert safe_media_type(media_type) == "application/octet-stream"
