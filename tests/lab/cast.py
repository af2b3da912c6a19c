"""Who is who in the story: hosts, addresses and mailboxes."""

from typing import Final

# The relay of the helpdesk's vendor; outgoing mail leaves from both addresses.
RELAY: Final = "smtp2.easyredmine.com"
RELAY_IPV4: Final = "192.0.2.25"
RELAY_IPV6: Final = "2001:db8::25"
RELAY_ADDRESSES: Final = (RELAY_IPV4, RELAY_IPV6)
SPF_INCLUDE: Final = "spf.mailing.easy.cz"

NOTIFICATIONS_DOMAIN: Final = "notifications.easysoftware.com"
NOTIFICATIONS: Final = "helpdesk@notifications.easysoftware.com"
BOUNCES: Final = "bounces@notifications.easysoftware.com"
VIA: Final = "via Easy Helpdesk"
"""Behind an author's name, in the notifications' From."""
SELECTOR: Final = "easy1"
"""Of the vendor's DKIM keys."""

# The helpdesk that hands its mail to the relay.
HELPDESK: Final = "mycompany.easyredmine.com"
HELPDESK_IPV4: Final = "198.51.100.6"
HELPDESK_NETWORK: Final = "198.51.100.0/24"

# Julia's mail server.
RECEIVER: Final = "mx.customer.example"
RECEIVER_IPV4: Final = "203.0.113.25"
RECEIVER_IPV6: Final = "2001:db8:25::25"
RECEIVER_DOMAIN: Final = "customer.example"

# Marky's mail server, and the host that takes what comes back to the helpdesk.
COMPANY_MX: Final = "mail.mycompany.com"
COMPANY_IPV4: Final = "203.0.113.202"
COMPANY_DOMAIN: Final = "mycompany.com"
RETURN_MX: Final = "mail.easysoftware.com"
RETURN_IPV4: Final = "203.0.113.201"

JULIA: Final = "julia@customer.example"
MARKY: Final = "marky.mark@mycompany.com"
HARRIET: Final = "harriet.happy@happycustomer.com"
