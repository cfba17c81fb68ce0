"""Who may ask: the browser of whoever started the server, and no other page, program or machine."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
MOST_BYTES = 32 << 20  # of a request, which may bring a photo


class Guard:
    """Lets a request through that names this server as its host, comes from no other page, and has the token.

    The token comes in the address that was printed, and from then on in a cookie.
    """

    def __init__(self, app: ASGIApp, *, token: str, port: int) -> None:
        self.app = app
        self.token = token
        self.cookie = f"gankit-{port}"  # cookies of one host are shared by its ports
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1]
        refusal = self._refusal(scope["method"], headers, given)
        if refusal:
            await PlainTextResponse(refusal, 403)(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                out = MutableHeaders(scope=message)
                for name, value in {"content-security-policy": POLICY, "cache-control": "no-store", **HEADERS}.items():
                    out.setdefault(name, value)
                if given:
                    out.append("set-cookie", f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict")
            await send(message)

        await self.app(scope, receive, answer)

    def _refusal(self, method: str, headers: Headers, given: str) -> str | None:
        """Why a request is refused; None where it is not."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if host not in self.hosts or len(headers.getlist("host")) != 1:
            return "This server answers to 127.0.0.1 and localhost alone."
        if origin is not None and origin != f"http://{host}":
            return "Another page asked for this."
        if method not in ("GET", "HEAD") and origin is None:
            return "Changes are made from the page alone."
        if not (self._is_token(given) or self._is_token(self._from_cookie(headers))):
            return "Open the address that `gankit ui` printed: it holds a token."
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:12]) > MOST_BYTES or "transfer-encoding" in headers:
            return "The request is too large."
        return None

    def _is_token(self, word: str) -> bool:
        return secrets.compare_digest(word.encode("utf-8", "surrogateescape"), self.token.encode())

    def _from_cookie(self, headers: Headers) -> str:
        return cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
