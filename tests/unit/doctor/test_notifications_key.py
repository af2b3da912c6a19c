"""Findings about the key of the notifications domain, which all rewritten mail may rest on."""

import pytest
from cryptography.hazmat.primitives.serialization import PublicFormat

from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.doctor.dns.relay import examine_notifications
from alignd.doctor.findings import FindingId
from alignd.resolver.zone import Zone
from tests.lab import cast
from tests.lab.settings import configuration, world
from tests.support.signing import new_key, public_key, txt

SIGNS = f"""\
[dkim]
signs = [{{ domain = "{cast.NOTIFICATIONS_DOMAIN}", selector = "own" }}]
"""
OWNER = f"own._domainkey.{cast.NOTIFICATIONS_DOMAIN}."
KEY = new_key()


@pytest.mark.parametrize(
    ("form", "is_found"),
    [
        pytest.param(PublicFormat.SubjectPublicKeyInfo, False, id="a-key"),
        pytest.param(PublicFormat.PKCS1, True, id="the-bare-key-of-openssl-RSAPublicKey_out"),
    ],
)
def test_a_key_that_receivers_do_not_take_is_found(form: PublicFormat, is_found: bool) -> None:
    config = parse_configuration(configuration(SIGNS), "test")
    zone = Zone.parse(world(txt(OWNER, f"v=DKIM1; k=rsa; p={public_key(KEY, form)}")))

    report = examine_notifications(config, load_signer(config.dkim), lambda: zone, SuffixList())

    ids = {each.id for each in report.findings}
    assert (FindingId.NOTIFICATIONS_KEY_UNUSABLE in ids) == is_found
    assert any("PKCS#1" in each.what for each in report.findings) == is_found
