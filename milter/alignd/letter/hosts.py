"""The DNS hosts that letters know: the large ones, and those of Denmark, Czechia and Germany.

What a host's form wants is told as its own help page has it, or the page of somebody who sends
his customers there; where neither says it, the letter uses general words.
"""

from __future__ import annotations

from datetime import date

from alignd.letter.dns_host import ApexName, DnsHost, Habit

_AT, _EMPTY, _UNKNOWN = ApexName.AT, ApexName.EMPTY, ApexName.UNKNOWN
_LOOKED_AT = date(2026, 11, 28)
_QUOTES = frozenset({Habit.WANTS_QUOTES})
_FINAL_DOT = frozenset({Habit.WANTS_FINAL_DOT})

HOSTS = (
    DnsHost(
        "Active 24",
        ("active24.cz", "active24.com", "active24.sk"),
        _AT,
        "https://faq.active24.com/cz/866013-Nastaven%C3%AD-DNS-z%C3%A1znam%C5%AF-A-AAAA-MX-CNAME-TXT",
        _LOOKED_AT,
    ),
    DnsHost(
        "ALL-INKL.COM",
        ("kasserver.com",),
        _EMPTY,
        "https://all-inkl.com/en/support/tutorials/provider-change/setup/dns/"
        "how-to-add-an-spf-record_482.html",
        _LOOKED_AT,
        "Name",
        "Data",
        "KAS > Tools > DNS Settings",
    ),
    DnsHost(
        "Amazon Route 53",
        ("awsdns-*.com", "awsdns-*.net", "awsdns-*.org", "awsdns-*.co.uk"),
        _EMPTY,
        "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html",
        _LOOKED_AT,
        "Record name",
        "Value",
        habits=_QUOTES,
    ),
    DnsHost(
        "Azure DNS",
        ("azure-dns.com", "azure-dns.net", "azure-dns.org", "azure-dns.info"),
        _AT,
        "https://learn.microsoft.com/en-us/azure/dns/dns-zones-records",
        _LOOKED_AT,
        "Name",
        "Value",
    ),
    DnsHost(
        "Cloudflare",
        ("ns.cloudflare.com",),
        _AT,
        "https://developers.cloudflare.com/dns/manage-dns-records/reference/dns-record-types/",
        _LOOKED_AT,
        "Name",
        menu="DNS > Records",
        habits=frozenset({Habit.PROXIES}),
    ),
    DnsHost(
        "Combell",
        ("combell.net", "combell.com"),
        _UNKNOWN,
        "https://support.combell.com/en/what-is-an-spf-record-how-do-i-create-it/77",
        _LOOKED_AT,
    ),
    DnsHost(
        "CZECHIA.COM",
        ("czechia.com",),
        _AT,
        "https://napoveda.czechia.com/clanek/dns-manazer/",
        _LOOKED_AT,
        "Jméno",
        "Text",
        "DNS manažer",
        _FINAL_DOT,
    ),
    DnsHost(
        "DanDomain",
        ("dandomain.dk", "scannet.dk", "wannafind.dk"),
        _UNKNOWN,
        "https://support.dandomain.dk/domaener/dns-url-alias-cname-mx-o-lign/"
        "dns-records-oversigt-samt-beskrivelse/",
        _LOOKED_AT,
    ),
    DnsHost(
        "FORPSI",
        ("forpsi.net", "forpsi.cz", "forpsi.it"),
        _UNKNOWN,
        "https://support.forpsi.com/kb/a4183/nastaveni-dns-zaznamu.aspx",
        _LOOKED_AT,
        menu="Domény > Editace DNS záznamů",
    ),
    DnsHost(
        "Gandi",
        ("gandi.net",),
        _AT,
        "",
        _LOOKED_AT,
        "Name",
        habits=_FINAL_DOT,
    ),
    DnsHost(
        "GoDaddy",
        ("domaincontrol.com",),
        _AT,
        "https://www.godaddy.com/help/add-an-spf-record-19218",
        _LOOKED_AT,
        "Name",
        "Value",
        "Domain Portfolio > DNS",
    ),
    # Squarespace took over the domains of Google Domains, with nameservers of Cloud DNS.
    DnsHost("Google Cloud DNS / Squarespace", ("googledomains.com",), _UNKNOWN, "", _LOOKED_AT),
    DnsHost("GratisDNS", ("gratisdns.dk",), _UNKNOWN, "", _LOOKED_AT),
    DnsHost(
        "Hetzner",
        (
            *("hetzner.com", "hetzner.de", "your-server.de", "first-ns.de"),
            *("second-ns.com", "second-ns.de"),
        ),
        _AT,
        "https://docs.hetzner.com/networking/dns/faq/records",
        _LOOKED_AT,
        "Name",
        "Value",
        habits=_FINAL_DOT,
    ),
    DnsHost(
        "INWX",
        ("inwx.de", "inwx.com", "inwx.eu", "inwx.net"),
        _UNKNOWN,
        "https://kb.inwx.com/de-de/3-nameserver",
        _LOOKED_AT,
    ),
    DnsHost(
        "IONOS",
        ("ui-dns.com", "ui-dns.de", "ui-dns.org", "ui-dns.biz"),
        _AT,
        "https://www.ionos.com/help/domains/"
        "configuring-mail-servers-and-other-related-records/using-an-spf-record-to-prevent-spam/",
        _LOOKED_AT,
        value_field="Value",
        menu="Domains & SSL > DNS",
    ),
    DnsHost(
        "Loopia",
        ("loopia.se", "loopia.com"),
        _AT,
        "https://support.loopia.com/wiki/spf/",
        _LOOKED_AT,
        value_field="Data",
        menu="Domain and web > Domain properties > DNS editor",
        habits=_QUOTES,
    ),
    DnsHost(
        "Namecheap",
        ("registrar-servers.com",),
        _AT,
        "",
        _LOOKED_AT,
        "Host",
        menu="Domain List > Manage > Advanced DNS",
    ),
    DnsHost(
        "netcup",
        ("netcup.net",),
        _AT,
        "https://www.netcup.com/en/helpcenter/documentation/web-hosting/webhosting-dns",
        _LOOKED_AT,
        "Host",
        "Destination",
        "Domains > DNS",
    ),
    DnsHost(
        "one.com",
        ("one.com", "b-one-dns.net"),
        _EMPTY,
        "https://help.one.com/hc/en-us/articles/115005595945",
        _LOOKED_AT,
        menu="DNS settings > DNS records",
    ),
    DnsHost(
        "OVHcloud",
        ("ovh.net", "ovh.ca", "anycast.me"),
        _UNKNOWN,
        "https://docs.ovhcloud.com/en/guides/web-cloud/domains/dns-zone-records",
        _LOOKED_AT,
    ),
    DnsHost(
        "Simply.com",
        ("simply.com", "unoeuro.com"),
        _UNKNOWN,
        "https://www.simply.com/dk/support/faq/mail/136/",
        _LOOKED_AT,
    ),
    DnsHost("Squarespace", ("squarespacedns.com",), _UNKNOWN, "", _LOOKED_AT, "Host", "Data"),
    DnsHost(
        "STRATO",
        ("rzone.de",),
        _EMPTY,
        "https://www.strato.de/faq/domains/was-ist-der-txt-record-und-wie-kann-ich-ihn-verwenden/",
        _LOOKED_AT,
        "Präfix",
        "Wert",
        "Domains > Domainverwaltung > verwalten > DNS",
    ),
    DnsHost("Subreg", ("subreg.cz", "gransy.com"), _UNKNOWN, "", _LOOKED_AT),
    DnsHost(
        "TransIP",
        ("transip.net", "transip.nl", "transip.eu"),
        _AT,
        "https://www.transip.eu/knowledgebase/dns/426-setting-an-spf-record",
        _LOOKED_AT,
        "Name",
        "Value",
    ),
    DnsHost("united-domains", ("udag.de", "udag.net", "udag.org"), _UNKNOWN, "", _LOOKED_AT),
    DnsHost(
        "Webglobe",
        ("webglobe.cz", "webglobe.com", "webglobe.sk"),
        _AT,
        "https://www.webglobe.cz/poradna/jak-nastavit-spf-zaznamy",
        _LOOKED_AT,
        menu="Domény > DNS > DNS záznamy",
    ),
    DnsHost(
        "WEDOS",
        ("wedos.net", "wedos.com", "wedos.eu", "wedos.cz"),
        _EMPTY,
        "https://kb.wedos.com/cs/dns/wedos-dns/wedos-dns-zaznamy-domeny/",
        _LOOKED_AT,
        menu="DNS > záznamy",
    ),
)
