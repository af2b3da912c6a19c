"""Names everybody in the story: hosts, addresses and mailboxes."""

from __future__ import annotations

from typing import Final

NAMESERVER: Final = "192.0.2.53"

# The relay of the helpdesk's vendor; outgoing mail leaves from both addresses.
RELAY: Final = "smtp2.easyredmine.com"
RELAY_IPV4: Final = "192.0.2.25"
RELAY_IPV6: Final = "2001:db8::25"
SPF_INCLUDE: Final = "spf.mailing.easy.cz"

# Two listeners of the relay: with alignd, and as it would be without.
PORT_WITH_ALIGND: Final = 25
PORT_WITHOUT_ALIGND: Final = 2525

NOTIFICATIONS_DOMAIN: Final = "notifications.easysoftware.com"
NOTIFICATIONS_ADDRESS: Final = "helpdesk@notifications.easysoftware.com"
NOTIFICATIONS_BOUNCES: Final = "bounces@notifications.easysoftware.com"

HELPDESK: Final = "mycompany.easyredmine.com"
HELPDESK_IPV4: Final = "198.51.100.6"
HELPDESK_NETWORK: Final = "198.51.100.0/24"

RECEIVER: Final = "mx.customer.example"
RECEIVER_IPV4: Final = "203.0.113.25"
RECEIVER_DOMAIN: Final = "customer.example"

JULIA: Final = "julia@customer.example"
MARKY: Final = "marky.mark@mycompany.com"
HARRIET: Final = "harriet.happy@happycustomer.com"

# Every daemon of the demo sits at one of these: OpenDMARC and others ignore 127.0.0.1.
ADDRESSES: Final = (NAMESERVER, RELAY_IPV4, RELAY_IPV6, HELPDESK_IPV4, RECEIVER_IPV4)
