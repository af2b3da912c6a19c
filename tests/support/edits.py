"""The header of a message once planned edits are carried out."""

from alignd.mail.message import HeaderEdit, HeaderField, compare


def apply_edits(
    header: tuple[HeaderField, ...], edits: tuple[HeaderEdit, ...]
) -> tuple[HeaderField, ...]:
    return tuple(after for _, after in compare(header, edits) if after is not None)
