"""A real S3 server on a socket, and a meddler in front of it that counts, cuts and spoils what it passes on."""

from __future__ import annotations

import http.client
import threading
import urllib.parse
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "parts-of-the-line"

Spoil = Callable[[bytes], bytes]
"""An object's bytes to those that are sent instead."""


class Objects:
    """The server and the meddler; `endpoint` is the meddler's address.

    fetched: how often each object's content was asked for. spoilt: by object, what is done to each next answer; an
    entry is used up. refused: objects that answer 403. checksums: whether answers carry one, as not every store does.
    """

    def __init__(self) -> None:
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        self.address = self._server.get_host_and_port()
        self.fetched: Counter[str] = Counter()
        self.spoilt: dict[str, list[Spoil]] = {}
        self.refused: set[str] = set()
        self.checksums = True
        self._proxy = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._proxy.daemon_threads = True
        self._thread = threading.Thread(target=self._proxy.serve_forever, name="meddler", daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._proxy.server_port}"
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=f"http://{self.address[0]}:{self.address[1]}",
            aws_access_key_id="somebody",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket=BUCKET)

    def close(self) -> None:
        """Stops both."""
        self.client.close()
        self._proxy.shutdown()
        self._proxy.server_close()
        self._thread.join()
        self._server.stop()

    def upload(self, folder: Path, prefix: str) -> str:
        """Puts a folder's files below a prefix; gives s3://BUCKET/PREFIX."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return f"s3://{BUCKET}/{prefix}"

    def put(self, key: str, content: bytes) -> None:
        """One object."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete(self, key: str) -> None:
        """One object less."""
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def spoil(self, key: str, how: Spoil, times: int) -> None:
        """The next answers with this object's content are others."""
        self.spoilt[key] = [how] * times


def _handler(objects: Objects) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            place = urllib.parse.urlsplit(self.path)
            key = urllib.parse.unquote(place.path).removeprefix(f"/{BUCKET}/")
            content = self.command == "GET" and not place.query.startswith("list-type") and key != place.path
            if content:
                objects.fetched[key] += 1
            connection = http.client.HTTPConnection(*objects.address, timeout=20)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection.request(self.command, self.path, body=body, headers=dict(self.headers))
            answer = connection.getresponse()
            sent, status, headers = answer.read(), answer.status, answer.getheaders()
            if content and objects.spoilt.get(key):
                sent = objects.spoilt[key].pop()(sent)
            if key in objects.refused:
                # Without the object's headers, its checksum among them: the client would hold the refusal against it.
                status, headers = 403, [("Content-Type", "application/xml")]
                sent = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            self.send_response(status)
            for name, value in headers:
                if name.lower().startswith("x-amz-checksum") and not objects.checksums:
                    continue
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(sent))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(sent)
            connection.close()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing: tests look at the counters."""

    return Handler
