"""The filter that stands for R2: what it refuses, and what it lets through."""

import pytest

from tests.blobs.strict import MIN_PART_BYTES, Head, Uploads, complaint, parse_head

GOOD = {
    "X-Amz-Credential": "KEY/20261121/auto/s3/aws4_request",
    "X-Amz-Expires": "3600",
    "X-Amz-SignedHeaders": "content-length;content-type;host;if-none-match",
    "X-Amz-Signature": "0" * 64,
}


def presigned(method: str = "PUT", headers: dict[str, str] | None = None, **changed: str) -> Head:
    query = {**GOOD, **{f"X-Amz-{name}": value for name, value in changed.items()}}
    target = "/bucket/key?" + "&".join(f"{name}={value}" for name, value in query.items())
    return Head(method, target, {"content-length": "5", **(headers or {})})


def test_what_r2_takes_goes_through() -> None:
    auth = "AWS4-HMAC-SHA256 Credential=KEY/20261121/auto/s3/aws4_request, SignedHeaders=host, Signature=0"
    for head in (
        presigned(),
        presigned("GET", SignedHeaders="host"),
        Head("GET", "/bucket/key", {"authorization": auth}),
        Head("PUT", "/bucket/key", {"authorization": auth, "content-length": "5", "x-amz-acl": "private"}),
        Head("OPTIONS", "/bucket/key", {}),
    ):
        assert complaint(head) is None


@pytest.mark.parametrize(
    "head",
    [
        presigned("POST"),
        presigned(SignedHeaders="host"),
        presigned(SignedHeaders="content-type;host;if-none-match"),
        presigned(SignedHeaders="content-length;host;if-none-match"),
        presigned(SignedHeaders="content-length;content-type;host"),
        presigned(Expires="604801"),
        presigned(Expires="0"),
        presigned(Credential="KEY/20261121/eu-central-1/s3/aws4_request"),
        presigned(headers={"x-amz-acl": "public-read"}),
        presigned(headers={"x-amz-tagging": "a=b"}),
        presigned(headers={"x-amz-trailer": "x-amz-checksum-crc32"}),
        presigned(headers={"content-encoding": "aws-chunked"}),
        presigned(headers={"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}),
        Head("POST", "/bucket", {"content-type": "multipart/form-data; boundary=x"}),
        Head("PUT", "/bucket/key", {"transfer-encoding": "chunked"}),
        Head("GET", "/b/k", {"authorization": "Credential=KEY/20261121/eu-central-1/s3/aws4_request"}),
    ],
)
def test_what_r2_refuses_does_not(head: Head) -> None:
    assert complaint(head) is not None


@pytest.mark.parametrize(
    ("sizes", "is_taken"),
    [
        ([3], True),
        ([MIN_PART_BYTES, 3], True),
        ([MIN_PART_BYTES, MIN_PART_BYTES], True),
        ([MIN_PART_BYTES, MIN_PART_BYTES + 1, 3], False),
        ([3, 3], False),
    ],
)
def test_parts_are_of_one_size(sizes: list[int], is_taken: bool) -> None:
    uploads = Uploads()
    for number, size in enumerate(sizes, 1):
        uploads.note(Head("PUT", f"/b/k?uploadId=u&partNumber={number}", {"content-length": str(size)}))
    assert (uploads.complaint(Head("POST", "/b/k?uploadId=u", {})) is None) is is_taken


def test_a_head_is_read() -> None:
    head = parse_head(b"PUT /b/k?a=1 HTTP/1.1\r\nHost: x:1\r\nContent-Length: 5\r\n\r\n")
    assert (head.method, head.query, head.headers) == (
        "PUT",
        {"a": "1"},
        {"host": "x:1", "content-length": "5"},
    )
