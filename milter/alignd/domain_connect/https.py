"""Gets a document over HTTPS from a host that a stranger's DNS names.

Each step is guarded, so that nobody makes this machine reach into its own network: the addresses
are looked up once, checked, and the connection is made to the one that was checked.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException

from urllib3.connection import HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from alignd.domain_connect.address_check import is_public
from alignd.domain_connect.fetch import SUCCESS, Fetched, FetchFailed
from alignd.domain_connect.url import HTTPS_PORT, UrlPrefix
from alignd.ledger.notify.time_limit import cut_after
from alignd.mail.ip_address import IpAddress, parse_ip_address
from alignd.mail.printable import printable
from alignd.mailauth.dns import Lookup, LookupFailed, RecordType

PATIENCE = 6.0
"""Seconds for one document, from the connection on; a TLS handshake may take as long again."""
MAX_DOCUMENT = 65_536
"""Octets; the settings of the large hosts have 1,000 at most."""
_MAX_ADDRESSES = 3  # that are tried
_MAX_SHOWN = 160  # characters of an error
_REDIRECTION = range(300, 400)


class GuardedHttps:
    """Implements `Fetch`."""

    def __init__(
        self,
        lookups: Callable[[], Lookup],
        agent: str,
        context: ssl.SSLContext,
        *,
        may_connect: Callable[[IpAddress], bool] = is_public,
        ports: frozenset[int] = frozenset({HTTPS_PORT}),
        patience: float = PATIENCE,
    ) -> None:
        """*lookups* makes the DNS of one document; *agent* is who asks (User-Agent).

        *context* verifies the servers. *may_connect* checks each address, and *ports* are those
        that may be asked: on others, a stranger could have services probed.
        """
        self._lookups = lookups
        self._agent = agent
        self._context = context
        self._may_connect = may_connect
        self._ports = ports
        self._patience = patience

    def __call__(self, prefix: UrlPrefix, path: str) -> Fetched | FetchFailed:
        """Get it once; a redirection is not followed."""
        if prefix.port not in self._ports:
            return FetchFailed(f"port {prefix.port} of {prefix.host} is not asked")
        addresses = self._addresses(prefix)
        if isinstance(addresses, FetchFailed):
            return addresses
        deadline = time.monotonic() + self._patience
        failure = FetchFailed(f"{prefix.host}: no answer within {self._patience:g} s")
        for number, address in enumerate(addresses):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            # One that is silent leaves time for the next.
            seconds = left if number == len(addresses) - 1 else left / 2
            try:
                return self._get(prefix, path, address, seconds, deadline)
            except (NewConnectionError, ConnectTimeoutError) as error:
                failure = self._failure(prefix, error)
            except (HTTPError, HTTPException, OSError, ValueError) as error:
                return self._failure(prefix, error)
        return failure

    def _addresses(self, prefix: UrlPrefix) -> tuple[IpAddress, ...] | FetchFailed:
        """The addresses of the host, all of which may be connected to."""
        lookup, host = self._lookups(), prefix.host.name
        found: list[IpAddress] = []
        failures = []
        for record_type in (RecordType.A, RecordType.AAAA):
            answer = lookup.look_up(host, record_type)
            if isinstance(answer, LookupFailed):
                failures.append(answer.reason)
                continue
            found += [parse_ip_address(each) for each in answer.records if isinstance(each, str)]
        refused = next((each for each in found if not self._may_connect(each)), None)
        if refused is not None:
            return FetchFailed(f"{host} has the address {refused}, which is not asked")
        if not found:
            reason = f"DNS: {failures[0]}" if failures else "no address"
            return FetchFailed(f"{host}: {reason}")
        return tuple(found[:_MAX_ADDRESSES])

    def _get(
        self, prefix: UrlPrefix, path: str, address: IpAddress, seconds: float, deadline: float
    ) -> Fetched | FetchFailed:
        connection = HTTPSConnection(
            str(address),
            prefix.port,
            timeout=seconds,
            cert_reqs="CERT_REQUIRED",
            ssl_context=self._context,
            server_hostname=prefix.host.name,
        )
        headers = {
            "Host": prefix.authority,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": self._agent,
        }
        with closing(connection):
            connection.connect()
            with cut_after(max(0.0, deadline - time.monotonic()), connection.sock):
                connection.request(
                    "GET", f"{prefix.path}{path}", headers=headers, preload_content=False
                )
                response = connection.getresponse()
                if response.status not in SUCCESS:
                    return _without_body(prefix, response.status)
                body = response.read(MAX_DOCUMENT + 1, decode_content=False)
        if len(body) > MAX_DOCUMENT:
            return FetchFailed(f"{prefix.host} answered more than {MAX_DOCUMENT} octets")
        return Fetched(response.status, body)

    def _failure(self, prefix: UrlPrefix, error: Exception) -> FetchFailed:
        # A refused connection is a timeout to urllib3.
        is_late = isinstance(error, TimeoutError | HTTPTimeoutError)
        if is_late and not isinstance(error, NewConnectionError):
            return FetchFailed(f"{prefix.host}: no answer within {self._patience:g} s")
        text = " ".join(str(error).split()) or type(error).__name__
        return FetchFailed(f"{prefix.host}: {printable(text)[:_MAX_SHOWN]}")


def _without_body(prefix: UrlPrefix, status: int) -> Fetched | FetchFailed:
    if status in _REDIRECTION:
        return FetchFailed(f"{prefix.host} answered {status}, a redirection: it is not followed")
    return Fetched(status)
