"""The record of every letter, however it is read, is the one that `alignd domain` advises."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignd.advice.alternatives import Advice, advise
from alignd.advice.publication import Kind, Publication
from alignd.advice.report_request import ReportRequest, advise_reports
from alignd.config.domain_lists import SuffixList
from alignd.config.file import parse_configuration
from alignd.config.signer import load_signer
from alignd.judgement.reasons import Reason
from alignd.judgement.review import Reviewer, make_reviewer
from alignd.languages.language import Language
from alignd.letter.hosting import UNKNOWN_HOSTING, Hosting, find_hosting
from alignd.letter.hosts import HOSTS
from alignd.letter.layout.mailto import MAX_MAILTO
from alignd.letter.letter import Letter, NoLetter, letter
from alignd.letter.reasons import say_reason
from alignd.mail.domain import Domain
from alignd.mail.mailbox import Mailbox
from alignd.resolver.zone import Zone
from tests.lab.places import CASES
from tests.lab.settings import configuration, world
from tests.support.customers import SHARED, customers
from tests.support.languages import TEXTS
from tests.support.letters import Entered, in_html, in_mailto, in_message, in_text

DELEGATE = '[dkim]\ndelegate = { selector = "easy1", target = "easy1.dkim.easy.cz" }\n'
KEY = next(
    line
    for line in (CASES / "signer-delegated-selector.case").read_text().splitlines()
    if line.startswith("easy1.dkim.easy.cz.")
)
NOVEMBER = 1795856400.0
HOST_BY_NAME = {host.name: host for host in HOSTS}
SUFFIXES = SuffixList()
LINK = "https://alignd.easysoftware.com/s/abcdefghijklmnop?language=da"
MARKY = Mailbox("agent", Domain("mycompany.com"))
ADVISED = 'mycompany.com. TXT "v=spf1 ip4:198.51.100.1 -all"\nmycompany.com. NS ns.example.\n'


@cache
def reviewer(changes: str = DELEGATE) -> Reviewer:
    settings = parse_configuration(configuration(changes), "test")
    return make_reviewer(settings, load_signer(settings.dkim), lambda: 0.0, SUFFIXES)


@cache
def advice_for(zone: str, author: Mailbox = MARKY, changes: str = DELEGATE) -> Advice:
    return advise(reviewer(changes), author, Zone.parse(world(f"{zone}{KEY}\n")))


def written(
    advice: Advice,
    language: Language = Language.EN,
    hosting: Hosting = UNKNOWN_HOSTING,
    *,
    number: int = 1,
    link: str = "",
) -> Letter:
    made = letter(advice, TEXTS[language], hosting, looked_at=NOVEMBER, number=number, link=link)
    assert isinstance(made, Letter)
    return made


def hosting_at(name: str, zone: str = "mycompany.com") -> Hosting:
    """A zone at the host of that name; at none whose habits are known for an empty one."""
    host = HOST_BY_NAME.get(name)
    return Hosting(Domain(zone), ("ns.example",), host)


def readings(made: Letter, language: Language) -> Iterator[Entered]:
    texts = TEXTS[language]
    yield in_text(made.text, texts)
    yield in_html(made.html, texts)
    yield from in_message(made.message, texts)
    if "%0D%0ATTL" in made.mailto:
        yield in_mailto(made.mailto, texts)


def advices() -> Iterator[Advice]:
    """What is advised to customers with all kinds of DNS."""
    each = list(customers(each=2))
    zone = Zone.parse(world(f"{KEY}\n{SHARED}{''.join(customer.zone for customer in each)}"))
    for customer in each:
        yield advise(reviewer(), Mailbox("agent", Domain(customer.domain)), zone)


def test_the_record_of_every_letter_is_the_one_that_is_advised() -> None:
    languages, hosts, letters = cycle(Language), cycle([*HOSTS, None]), 0
    for advice in advices():
        for number, alternative in enumerate(advice.alternatives, start=1):
            language, name = next(languages), alternative.publication.name
            zone = Domain(name.removeprefix("*.").rpartition("._domainkey.")[2])
            hosting = Hosting(zone, ("ns.example",), next(hosts))
            made = written(advice, language, hosting, number=number, link=LINK)
            publication = alternative.publication
            expected = (publication.kind.value, publication.name, publication.value)
            for entered in readings(made, language):
                assert entered.published(zone.name) == expected
            letters += 1
    assert letters > 50


@pytest.mark.parametrize("number", [1, 2], ids=["spf", "dkim"])
@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
@pytest.mark.parametrize("host", ["", *HOST_BY_NAME])
def test_every_form_has_the_same_record(host: str, language: Language, number: int) -> None:
    advice = advice_for(ADVISED)
    publication = advice.alternatives[number - 1].publication

    made = written(advice, language, hosting_at(host), number=number, link=LINK)

    assert len(made.mailto) <= MAX_MAILTO
    entered = list(readings(made, language))
    assert len(entered) == 5
    assert len(set(entered)) == 1
    assert entered[0].published("mycompany.com") == (
        publication.kind.value,
        publication.name,
        publication.value,
    )


@pytest.mark.parametrize(
    ("host", "number", "name", "value"),
    [
        ("STRATO", 1, "", "v=spf1 ip4:198.51.100.1 include:spf.mailing.easy.cz -all"),
        ("IONOS", 1, "@", "v=spf1 ip4:198.51.100.1 include:spf.mailing.easy.cz -all"),
        ("", 1, "mycompany.com", "v=spf1 ip4:198.51.100.1 include:spf.mailing.easy.cz -all"),
        ("Loopia", 1, "@", '"v=spf1 ip4:198.51.100.1 include:spf.mailing.easy.cz -all"'),
        ("IONOS", 2, "easy1._domainkey", "easy1.dkim.easy.cz"),
        ("Hetzner", 2, "easy1._domainkey", "easy1.dkim.easy.cz."),
        ("", 2, "easy1._domainkey.mycompany.com", "easy1.dkim.easy.cz"),
    ],
)
def test_the_record_is_written_as_the_host_wants_it(
    host: str, number: int, name: str, value: str
) -> None:
    made = written(advice_for(ADVISED), Language.EN, hosting_at(host), number=number)

    entered = in_text(made.text, TEXTS[Language.EN])
    assert (entered.name, entered.value) == (name, value)


def flat(made: Letter) -> str:
    return " ".join(made.text.split())


@pytest.mark.parametrize(
    ("host", "number", "said"),
    [
        ("", 1, "Only one record of a name may begin with “v=spf1”"),
        ("", 1, "mycompany.com.mycompany.com"),
        ("", 1, "without quotation marks around it, unless the form asks"),
        ("", 1, "many want “@”, some an empty field"),
        ("", 2, "then enter easy1._domainkey, and else the whole name"),
        ("", 2, "If the form offers to proxy the record, switch that off."),
        ("", 2, "lets us sign this mail with DKIM in the name of mycompany.com. Your SPF"),
        ("", 2, "Please tell us once the record is there: we then switch the signature on."),
        ("Cloudflare", 2, "At Cloudflare, switch the proxy off"),
        ("Loopia", 1, "Loopia wants the value in quotation marks"),
        ("Hetzner", 2, "The value ends in a dot"),
        ("Hetzner", 1, "Enter the value without quotation marks around it. "),
        ("WEDOS", 1, "https://kb.wedos.com/cs/dns/wedos-dns/wedos-dns-zaznamy-domeny/"),
        ("STRATO", 1, "Name (the field “Präfix”): (leave it empty"),
        ("IONOS", 1, "The way through the menus: Domains & SSL > DNS"),
    ],
)
def test_a_trap_is_told_where_it_waits(host: str, number: int, said: str) -> None:
    made = written(advice_for(ADVISED), Language.EN, hosting_at(host), number=number)

    assert said in flat(made)


@pytest.mark.parametrize(("host", "number"), [("IONOS", 1), ("Cloudflare", 1), ("IONOS", 2)])
def test_a_trap_is_not_told_where_there_is_none(host: str, number: int) -> None:
    made = written(advice_for(ADVISED), Language.EN, hosting_at(host), number=number)

    assert "proxy" not in made.text
    assert ("v=spf1" in made.text) == (number == 1)


def test_a_long_value_is_told_with_its_strings_and_its_end() -> None:
    terms = " ".join(f"ip4:198.51.100.{n}" for n in range(20))
    cuts = (f"v=spf1 {terms} -all"[:250], f"v=spf1 {terms} -all"[250:])
    advice = advice_for(f'mycompany.com. TXT "{cuts[0]}" "{cuts[1]}"\n')

    made = written(advice)

    publication = advice.alternatives[0].publication
    assert len(publication.value) > 255
    assert all(f"\n    {string}\n" in made.text for string in publication.quoted_strings)
    assert f"ends in “{publication.value[-20:]}”" in flat(made)
    assert f"has {len(publication.value)} characters" in flat(made)


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        pytest.param(
            ADVISED,
            "It takes the place of this record. Change that one, and do not add a second: "
            "v=spf1 ip4:198.51.100.1 -all",
            id="one",
        ),
        pytest.param(
            f'{ADVISED}mycompany.com. TXT "v=spf1 a -all"\n',
            "It takes the place of these 2 records. Delete them",
            id="two",
        ),
        pytest.param(
            f'{ADVISED}mycompany.com. TXT "hello"\n',
            "There is another TXT record with this name",
            id="one-beside",
        ),
        pytest.param(
            'mycompany.com. TXT "v=spf1 ip4:198.51.100.1 nonsense -all"\n',
            "they are: nonsense It ends in “~all”, so that nobody",
            id="repaired-and-softened",
        ),
        pytest.param(
            "mycompany.com. A 198.51.100.1\n",
            "has no SPF record that names our mail server",
            id="none-why",
        ),
        pytest.param(
            "mycompany.com. A 198.51.100.1\n",
            "“?all” at its end leaves all your other mail as it is",
            id="none-before",
        ),
        pytest.param(
            'mycompany.com. TXT "v=spf1 ip4:192.0.2.25 -all"\n',
            "names some addresses of our mail server, but not all",
            id="partly",
        ),
        pytest.param(
            ADVISED,
            "with their names from an address at our domain notifications.easysoftware.com.",
            id="what-happens",
        ),
        pytest.param(ADVISED, "on 28 November 2026 with the DNS of mycompany.com", id="date"),
        pytest.param(ADVISED, "with all 2 addresses of our mail server", id="addresses"),
        pytest.param(ADVISED, "nslookup -type=TXT mycompany.com", id="how-to-see"),
    ],
)
def test_what_the_letter_says(zone: str, said: str) -> None:
    assert said in flat(written(advice_for(zone)))


def test_mail_that_is_left_alone_is_not_called_rewritten() -> None:
    for changes in ("[rules]\ndry_run = true\n", '[rules]\nrewrite_on = "enforced"\n'):
        made = written(advice_for(ADVISED, changes=changes))

        assert "from your agents' own addresses at mycompany.com. The servers of" in flat(made)
        assert "notifications.easysoftware.com" not in made.text


@pytest.mark.parametrize(
    ("zone", "author", "number", "why"),
    [
        pytest.param(
            'mycompany.com. TXT "v=spf1 include:spf.mailing.easy.cz -all"\n',
            *(MARKY, 1, NoLetter.PASSES),
            id="passes",
        ),
        pytest.param(
            "", Mailbox("a", Domain("gmail.com")), 1, NoLetter.FREEMAIL, id="mailbox-provider"
        ),
        pytest.param(ADVISED, MARKY, 3, NoLetter.NO_SUCH_RECORD, id="number"),
        pytest.param(
            "; SERVFAIL mycompany.com\n; SERVFAIL _dmarc.mycompany.com\n",
            *(MARKY, 1, NoLetter.UNKNOWN),
            id="unknown",
        ),
    ],
)
def test_where_there_is_nothing_to_ask_there_is_no_letter(
    zone: str, author: Mailbox, number: int, why: NoLetter
) -> None:
    advice = advice_for(zone, author)

    made = letter(advice, TEXTS[Language.EN], UNKNOWN_HOSTING, looked_at=NOVEMBER, number=number)

    assert made is why


@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.value)
def test_every_reason_can_be_said(reason: Reason, language: Language) -> None:
    said = say_reason(reason, "mycompany.com", TEXTS[language], None)

    assert said.endswith(".")
    assert "{" not in said


HOSTILE = (
    "</pre><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\x1b[2J\u202e\r\nBcc: everybody@example\n\n<b>",
    "{domain}{0.__class__}",
    "&lt;b&gt; %0D%0A",
)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def hostile_advice(text: str) -> Advice:
    """Advice with *text* as a record that is replaced."""
    advice = advice_for(ADVISED)
    (first, *others) = advice.alternatives
    publication = replace(first.publication, replaces=(f"v=spf1 {text}".encode(),))
    return replace(advice, alternatives=(replace(first, publication=publication), *others))


@given(text=st.sampled_from(HOSTILE) | st.text(), nameserver=st.sampled_from(HOSTILE) | st.text())
def test_hostile_records_and_nameservers_are_shown_and_do_nothing(
    text: str, nameserver: str
) -> None:
    advice = hostile_advice(text)
    hosting = Hosting(Domain("mycompany.com"), (nameserver,), None)

    made = written(advice, hosting=hosting, link='https://x/?a="><script>')

    tags = _Tags()
    tags.feed(made.html)
    allowed = {"html", "head", "meta", "title", "body", "p", "br", "a", "h2", "table", "tr", "th"}
    assert tags.seen <= allowed | {"td", "code", "small", "pre", "ul", "li"}
    assert tags.attributes <= {"lang", "charset", "style", "href", "scope"}
    assert all(line.isprintable() for line in made.text.split("\n"))
    assert made.message.count(b"\r\nBcc:") == 0
    assert len(made.mailto) <= MAX_MAILTO
    assert made.mailto.isascii()
    assert set(made.mailto) & set(' <>"\r\n') == set()
    for entered in readings(made, Language.EN):
        assert entered.value == advice.alternatives[0].publication.value


@pytest.mark.parametrize("language", Language, ids=lambda language: language.value)
@pytest.mark.parametrize("link", ["", LINK], ids=["no-link", "link"])
@pytest.mark.parametrize("terms", [1, 10, 40, 400])
def test_a_link_has_the_whole_record_or_none_of_it(
    terms: int, link: str, language: Language
) -> None:
    value = " ".join(["v=spf1", *(f"ip4:198.51.{n // 250}.{n % 250}" for n in range(terms))])
    long_name = ".".join(["a" * 60] * 4)
    advice = advice_for(ADVISED, Mailbox("agent", Domain("mycompany.com")))
    first = replace(
        advice.alternatives[0],
        publication=Publication(long_name, Domain(long_name), Kind.TXT, f"{value} -all", (b"x",)),
    )
    advice = replace(
        advice,
        alternatives=(first,),
        author=Mailbox("agent", Domain(long_name)),
    )

    made = written(advice, language, Hosting(Domain(long_name)), link=link)

    assert len(made.mailto) <= MAX_MAILTO
    if "%0D%0ATTL" in made.mailto:
        assert in_mailto(made.mailto, TEXTS[language]).value == f"{value} -all"
    else:
        assert "v%3Dspf1" not in made.mailto
        assert terms > 1
    assert ("%2Fs%2F" in made.mailto) == bool(link)


def test_the_same_letter_is_the_same_message() -> None:
    assert written(advice_for(ADVISED)).message == written(advice_for(ADVISED)).message


def test_the_host_is_found_for_the_name_of_the_record() -> None:
    zone = Zone.parse(world(f"{ADVISED}_domainkey.mycompany.com. NS amy.ns.cloudflare.com.\n"))
    publications = [each.publication for each in advice_for(ADVISED).alternatives]

    spf, dkim = (find_hosting(publication.answers, zone) for publication in publications)

    assert spf.zone == Domain("mycompany.com")
    assert dkim.zone == Domain("_domainkey.mycompany.com")
    made = written(advice_for(ADVISED), hosting=dkim, number=2)
    assert in_text(made.text, TEXTS[Language.EN]).name == "easy1"


@pytest.mark.parametrize("language", Language)
def test_reports_are_asked_for_at_the_end_and_only_where_they_can_come(
    language: Language,
) -> None:
    dmarc = '_dmarc.mycompany.com. TXT "v=DMARC1; p=reject"\n'
    allowed = 'mycompany.com._report._dmarc.easysoftware.com. TXT "v=DMARC1"\n'
    record = "v=DMARC1; p=reject; rua=mailto:dmarc@easysoftware.com"

    plain, forbidden, asked = (
        with_reports(ADVISED + dmarc + zone, language, wanted=wanted)
        for zone, wanted in (("", False), ("", True), (allowed, True))
    )

    assert plain.text == forbidden.text
    assert f"\n    {record}\n" in asked.text
    assert record in asked.html
    assert asked.mailto == plain.mailto
    before, _, after = asked.text.partition(f"\n    {record}\n")
    assert after == f"\n{plain.text.splitlines()[-1]}\n"
    assert plain.text.startswith(before.rsplit("\n\n", 2)[0])


def with_reports(zone: str, language: Language, *, wanted: bool) -> Letter:
    found = advise_reports(
        MARKY.domain,
        Mailbox("dmarc", Domain("easysoftware.com")),
        Zone.parse(zone),
        SUFFIXES,
    )
    assert isinstance(found, ReportRequest)
    made = letter(
        advice_for(zone),
        TEXTS[language],
        UNKNOWN_HOSTING,
        looked_at=NOVEMBER,
        reports=found if wanted else None,
    )
    assert isinstance(made, Letter)
    return made
