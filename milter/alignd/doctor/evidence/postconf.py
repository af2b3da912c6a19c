"""Reads Postfix's configuration with postconf(1), without changing it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from alignd.postfix.config import PostfixConfig, read_services, version_number

PARAMETERS = (
    "canonical_classes",
    "canonical_maps",
    "cleanup_service_name",
    "compatibility_level",
    "content_filter",
    "default_process_limit",
    "default_transport",
    "disable_mime_output_conversion",
    "force_mime_input_conversion",
    "inet_interfaces",
    "inet_protocols",
    "internal_mail_filter_classes",
    "mail_owner",
    "masquerade_classes",
    "masquerade_domains",
    "masquerade_exceptions",
    "milter_command_timeout",
    "milter_connect_timeout",
    "milter_content_timeout",
    "milter_default_action",
    "milter_header_checks",
    "milter_macro_defaults",
    "milter_protocol",
    "multi_instance_directories",
    "mydestination",
    "myhostname",
    "myorigin",
    "non_smtpd_milters",
    "notify_classes",
    "queue_directory",
    "receive_override_options",
    "recipient_canonical_maps",
    "recipient_delimiter",
    "relay_domains",
    "relayhost",
    "sender_canonical_classes",
    "sender_canonical_maps",
    "sender_dependent_default_transport_maps",
    "sender_dependent_relayhost_maps",
    "smtp_bind_address",
    "smtp_bind_address6",
    "smtp_body_checks",
    "smtp_connection_cache_on_demand",
    "smtp_fallback_relay",
    "smtp_generic_maps",
    "smtp_header_checks",
    "smtp_helo_name",
    "smtp_line_length_limit",
    "smtp_mime_header_checks",
    "smtp_nested_header_checks",
    "smtp_send_xforward_command",
    "smtpd_authorized_xforward_hosts",
    "smtpd_milter_maps",
    "smtpd_milters",
    "smtpd_proxy_filter",
    "transport_maps",
    "virtual_alias_domains",
    "virtual_alias_maps",
    "virtual_mailbox_domains",
)
"""The parameters to query."""
_SYSTEM = ("/usr/sbin", "/usr/local/sbin")
"""Where postconf usually is; the PATH of many users lacks these directories."""
_TIMEOUT = 20.0  # seconds
_NO_CHROOT_SINCE = 1  # the compatibility_level, postconf(5)


class PostfixError(RuntimeError):
    """Postfix's configuration cannot be read; the message says why."""


def read_postfix(directory: Path | None) -> PostfixConfig:
    """Read the configuration in *directory*; by default, the system's.

    Raises:
        PostfixError: there is no postconf, or it cannot read the configuration.
    """
    parameters = _values(_postconf(directory, "-x", *PARAMETERS))
    parameters["myorigin"] = _read_where_named(parameters.get("myorigin", ""))
    level = version_number(parameters.get("compatibility_level", ""))
    fields, options = _postconf(directory, "-F"), _postconf(directory, "-P", "-x")
    return PostfixConfig(
        version=_postconf(None, "-d", "-h", "mail_version").strip(),
        parameters=parameters,
        written=frozenset(_values(_postconf(directory, "-n"))),
        services=read_services(fields, options, chroot_by_default=level < (_NO_CHROOT_SINCE,)),
    )


def program(name: str) -> str:
    """The path of a program of Postfix.

    Raises:
        PostfixError: it is not there.
    """
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM)))
    if found is None:
        raise PostfixError(f"there is no {name}: is Postfix installed on this machine?")
    return found


def _read_where_named(value: str) -> str:
    """The first line of the file that *value* names, postconf(5), myorigin; else *value*."""
    if not value.startswith("/"):
        return value
    try:
        return (Path(value).read_text(errors="replace").split() or [value])[0]
    except OSError:
        return value


def _values(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _postconf(directory: Path | None, *arguments: str) -> str:
    where = ["-c", str(directory)] if directory else []
    postconf = program("postconf")
    try:
        done = subprocess.run(  # noqa: S603
            [postconf, *where, *arguments],
            capture_output=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except OSError as error:
        raise PostfixError(f"postconf: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise PostfixError(f"postconf did not answer within {_TIMEOUT:.0f} s") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise PostfixError(said[-1].removeprefix(f"{postconf}: fatal: "))
    return done.stdout.decode(errors="replace")
