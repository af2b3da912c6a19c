"""A page with all that the stylesheet and the script know, served as the real ones are."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from alignd.web.chart import DAY, ChartTexts, DayMessages, Mark, chart_of, chart_svg, curve_svg
from alignd.web.headers import Kind, headers_of
from tests.lab.places import ROOT

_STATIC = ROOT / "milter/alignd/web/static"
_SHEET = Path(__file__).with_name("sheet.html")
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_LAST = 20_600
"""A day."""
_TEXTS = ChartTexts(
    title="Messages of mycompany.com",
    description="By day: what passed above the line, what was rewritten below it.",
    rewritten="rewritten",
    passed="passed",
    nothing="No messages",
    day=lambda day, *messages: f"{day}: {messages}",
    date=lambda at: f"{int(at // DAY) % 28 + 1} May 2026",
    number=lambda number: f"{number:,}",
)


@dataclass
class Site:
    """Where the sheet is, and what its form is answered."""

    url: str
    answer: tuple[int, str] = (200, "{}")
    """Status and JSON of what its form is answered when the script asks."""
    posts: list[tuple[str, bytes]] = field(default_factory=list)
    """What was accepted as an answer, and the body, of each POST."""


@contextmanager
def run_sheet() -> Iterator[Site]:
    """Serve the sheet on loopback."""
    site = Site("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = _STATIC / self.path.rpartition("/")[2]
            if self.path.startswith("/static/") and file.is_file():
                self._send(200, Kind.ASSET, _TYPES[file.suffix], file.read_bytes())
            else:
                self._send(200, Kind.PAGE, "text/html", _page())

        def do_POST(self) -> None:
            accepted = self.headers.get("Accept", "")
            body = self.rfile.read(int(self.headers["Content-Length"]))
            site.posts.append((accepted, body))
            if accepted == "application/json":
                status, answer = site.answer
                self._send(status, Kind.DATA, "application/json", answer.encode())
                return
            self.send_response(303)
            self.send_header("Location", "/?checked=1")
            self.end_headers()

        def _send(self, status: int, kind: Kind, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{content_type}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers_of(kind).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # a browser asks for all that is on a page at once

    with Server(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}/"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def _page() -> bytes:
    first, last = (_LAST - 59) * DAY, _LAST * DAY
    some = [
        DayMessages(
            first + place * DAY, 40 - place if place < 40 else 0, place * 3 if place else 0
        )
        for place in range(60)
    ]
    marks = [Mark(first + 40 * DAY, "Its SPF record names our relay."), Mark(first, "Seen.")]
    chart = chart_svg(chart_of(some, marks, first, last), _TEXTS)
    curve = curve_svg([each.rewritten + each.passed for each in some[:30]], "Messages by day")
    sheet = _SHEET.read_text()
    return sheet.replace("<!-- chart -->", chart).replace("<!-- curve -->", curve).encode()
