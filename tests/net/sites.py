"""Sites on loopback, good and bad, and a certificate for one."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import http.server
import random
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "site.test"
"""The host of which the certificate is."""

DRIP = 0.02
"""Seconds between two bytes of what comes slowly."""


class Site(http.server.BaseHTTPRequestHandler):
    """Redirects, large, slow, broken and good answers."""

    location = b""
    """Where `/anywhere` redirects to."""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/good":
                self._answer(200, b"x" * 500)
            case "/large":
                self._answer(200, b"x" * 5_000)
            case "/large-unannounced":
                self._send(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 5_000)
            case "/large-in-chunks":
                self._send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5_000)
            case "/short":
                self._send(b"HTTP/1.0 200 OK\r\nContent-Length: 900\r\n\r\nxxx")
            case "/short-in-chunks":
                self._send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxxx\r\n")
            case "/slow":
                self._drip(b"HTTP/1.0 200 OK\r\nContent-Length: 900\r\n\r\n" + b"x" * 900)
            case "/slow-chunks":
                self._drip(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200 + b"0\r\n\r\n"
                )
            case "/slow-headers":
                self._drip(b"HTTP/1.0 200 OK\r\nX-Filler: " + b"x" * 900 + b"\r\nContent-Length: 0\r\n\r\n")
            case "/continue":
                self._drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 40 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            case "/long-head":
                self._send(b"HTTP/1.0 200 OK\r\n" + b"X-Filler: x\r\n" * 50_000 + b"\r\n")
            case "/long-trailer":
                head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
                self._send(head + b"X-Filler: x\r\n" * 50_000 + b"\r\n")
            case "/no-http":
                self._send(b"220 mail.test ESMTP\r\n")
            case "/raw-deflate":
                deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
                body = deflater.compress(b"x" * 500) + deflater.flush()
                self._answer(200, body, Content_Encoding="deflate")
            case "/gzip":
                self._answer(200, gzip.compress(b"x" * 500), Content_Encoding="gzip")
            case "/deflate":
                self._answer(200, zlib.compress(b"x" * 500), Content_Encoding="Deflate")
            case "/twice":
                self._answer(200, zlib.compress(gzip.compress(b"x" * 500)), Content_Encoding="gzip, deflate")
            case "/identity":
                self._answer(200, b"x" * 500, Content_Encoding="identity")
            case "/often":
                self._answer(200, b"x" * 500, Content_Encoding=", ".join(["gzip"] * 3))
            case "/gzip-in-parts":
                self._answer(200, gzip.compress(b"x" * 500) + gzip.compress(b"y"), Content_Encoding="gzip")
            case "/no-gzip":
                self._answer(200, b"x" * 500, Content_Encoding="gzip")
            case "/half-gzip":
                self._answer(200, gzip.compress(random.randbytes(500))[:300], Content_Encoding="gzip")
            case "/gzip-bomb":
                self._answer(200, gzip.compress(bytes(900_000)), Content_Encoding="gzip")
            case "/brotli":
                self._answer(200, b"x" * 500, Content_Encoding="br")
            case "/head":
                self._answer(200, b"".join(b"%s: %s\n" % (n.encode(), v.encode()) for n, v in self.headers.items()))
            case "/%C3%BC%20b.png" | "/%C3%BC%20%E4%BD%A0.png":
                self._answer(200, self.path.encode())
            case "/nowhere":
                self._answer(302, b"", Location="http://[")
            case "/anywhere":
                self._send(b"HTTP/1.0 302 Found\r\nLocation: " + type(self).location + b"\r\n\r\n")
            case "/missing":
                self._answer(404, b"")
            case "/nothing":
                self._answer(302, b"")
            case "/loop":
                self._answer(302, b"", Location="/loop")
            case "/once":
                self._answer(302, b"", Location="/good?token=1")
            case "/cookie":
                self._answer(302, b"", Location="/head", Set_Cookie="session=1; Path=/")
            case "/endless":
                with contextlib.suppress(OSError):
                    self.wfile.write(b"HTTP/1.0 302 Found\r\nLocation: /good\r\n\r\n")
                    while True:
                        self.wfile.write(b"x" * 100_000)
            case path if path.startswith("/times/"):
                times = int(path.removeprefix("/times/"))
                self._answer(302, b"", Location=f"/times/{times - 1}" if times > 1 else "/good")
            case path if path.startswith("/to/"):
                self._answer(302, b"", Location=self.path.removeprefix("/to/"))

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    def _drip(self, data: bytes) -> None:
        drip(self.connection, data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """Over TLS with a context; `seen` has the host name of each handshake."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Site)
        self.seen: list[str | None] = []
        if context is not None:
            context.sni_callback = lambda _, name, __: self.seen.append(name)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that ends a handshake, or does not wait for an answer, is none."""


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """A site while the block lasts."""
    server = Server(context)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def drip(connection: socket.socket, data: bytes) -> None:
    """Sends a byte now and then, until the other side has gone."""
    with contextlib.suppress(OSError):
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(DRIP)


@contextlib.contextmanager
def accepting(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port of loopback at which each connection is handed to `talk`, one after the other."""

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as connection:
                    talk(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def be_silent(connection: socket.socket) -> None:
    """Says nothing until the other side goes."""
    while connection.recv(1_000):
        pass


def drip_handshake(connection: socket.socket) -> None:
    """A TLS record of a handshake that comes a byte at a time."""
    drip(connection, b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(1_000))


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS contexts of a server that is NAME, and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "site.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    return server, ssl.create_default_context(cafile=str(pem))
