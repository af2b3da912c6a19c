"""Gathers what is to be known of the way back: its Postfix, keys, signer and service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from alignd.config.endpoint import Endpoint, HandedOverSocket, UnixEndpoint
from alignd.config.settings import Configuration, ReturnService
from alignd.doctor.evidence import machine, opendkim, service, tables
from alignd.doctor.evidence.postconf import PostfixError, read_postfix
from alignd.doctor.facts import Files, KeyFile, ReturnLeg
from alignd.doctor.findings import Unknown
from alignd.doctor.return_maps import asks_map
from alignd.postfix.chain import outside_chroot, read_chain
from alignd.postfix.config import PostfixConfig
from alignd.return_path.directory import KeyTrouble
from alignd.return_path.keyring import Keyring

_UNITS = ("alignd", "alignd-return")
"""The services that read the keys; users of these names, unless systemd says otherwise."""
_MAIL_OWNER = "postfix"


@dataclass(frozen=True, slots=True)
class Instance:
    """One Postfix on this machine."""

    directory: Path | None
    """None for Postfix's default."""
    config: PostfixConfig | Unknown


def read_return_leg(
    configuration: Configuration,
    keyrings: Mapping[str, Keyring | KeyTrouble],
    sending: Instance,
    directory: Path | None,
    opendkim_config: Path,
    files: Files,
) -> ReturnLeg:
    """Read it all; *directory* is that of its Postfix, which is looked for without one.

    *sending*: the Postfix of the helpdesk's mail.
    """
    options = configuration.return_path
    is_handed_over = isinstance(options.milter, HandedOverSocket)
    default = ReturnService().milter
    socket = default if isinstance(options.milter, HandedOverSocket) else options.milter
    assert not isinstance(socket, HandedOverSocket)
    chosen = _chosen(sending, directory, socket.endpoint, options.socket.endpoint)
    postfix = chosen.config
    endpoint: Endpoint = socket.endpoint
    user, queue = _MAIL_OWNER, "/"
    if isinstance(postfix, PostfixConfig):
        user, queue = postfix.value("mail_owner"), postfix.value("queue_directory")
        endpoint = outside_chroot(endpoint, postfix, None)
    state = machine.socket_state(endpoint, user)
    return ReturnLeg(
        postfix=postfix,
        directory=str(chosen.directory or ""),
        is_apart=chosen != sending,
        endpoint=endpoint,
        is_handed_over=is_handed_over,
        socket=state,
        tables=lambda names, keys: tables.look_up(names, keys, chosen.directory, queue),
        ask_map=lambda table, keys: tables.ask_map(table, keys, chosen.directory, queue, user),
        signer=opendkim.read_return_signer(opendkim_config),
        keys={path: _key_file(path, keyring) for path, keyring in keyrings.items()},
        service=service.read_status(
            options.metrics, is_running=state.answers is True, option="return.metrics"
        ),
        files=files,
    )


def _key_file(path: str, keyring: Keyring | KeyTrouble) -> KeyFile:
    barriers = (machine.barrier_to_key_file(path, f"{unit}.service", unit) for unit in _UNITS)
    return KeyFile(path, keyring, tuple(each for each in barriers if each is not None))


def _chosen(
    sending: Instance, directory: Path | None, milter: Endpoint, socket: UnixEndpoint
) -> Instance:
    """The Postfix that takes mail for return addresses."""
    if directory is not None:
        return _instance(directory)
    for instance in (sending, *_others(sending)):
        config = instance.config
        if isinstance(config, PostfixConfig) and (
            read_chain(config, milter).with_alignd or asks_map(config, socket)
        ):
            return instance
    return sending


def _others(sending: Instance) -> Iterator[Instance]:
    """The other instances that postmulti(1) knows."""
    if isinstance(sending.config, PostfixConfig):
        words = sending.config.value("multi_instance_directories").replace(",", " ").split()
        yield from (_instance(Path(word)) for word in words)


def _instance(directory: Path) -> Instance:
    try:
        return Instance(directory, read_postfix(directory))
    except PostfixError as error:
        return Instance(directory, Unknown(f"Postfix of {directory}: {error}"))
