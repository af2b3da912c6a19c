/*
 * load: the MTA's side of the milter protocol, as Postfix 3.7 speaks it, as fast as it goes.
 *
 * Each of CONNECTIONS threads plays one SMTP session after another: connect, negotiate, one
 * message of 3 kB with 16 header fields, quit. Like Postfix (src/milter/milter8.c) it reads and
 * writes through buffers of 4096 octets, flushes when it waits for an answer, sends a macro packet
 * before every event, and keeps to the negotiated flags. Every answer is checked; it stops
 * after MESSAGES messages or SECONDS seconds, and prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 4096, ANSWER = 65536, BODY = 2048, PATIENCE = 30 /* seconds for an answer */ };
enum { MAX_CONNECTIONS = 1000, MAX_PROBLEM = 160 };

/* SMFIP_*: the event is not asked for, the reply is not given, values keep their leading blank. */
enum {
    NO_CONNECT = 0x1, NO_HELO = 0x2, NO_MAIL = 0x4, NO_RCPT = 0x8, NO_BODY = 0x10,
    NO_HEADER = 0x20, NO_EOH = 0x40, NR_HEADER = 0x80, NO_DATA = 0x200, NR_CONNECT = 0x1000,
    NR_HELO = 0x2000, NR_MAIL = 0x4000, NR_RCPT = 0x8000, NR_DATA = 0x10000, NR_EOH = 0x40000,
    NR_BODY = 0x80000, LEADING_BLANK = 0x100000
};

struct plan {
    const char *socket;
    long messages;
    double seconds;
    long domains;
    long edits; /* how many changes every third message gets; -1: do not look */
    long fields; /* header fields besides those of every message */
    long recipients;
};

struct session {
    int fd;
    size_t length; /* of what is to be sent */
    size_t taken, received; /* of what has come */
    uint32_t flags;
    char queue_id[sizeof "i" + sizeof "4bQx2K1fZ9z"];
    char buffer[BUFFER];
    char incoming[BUFFER];
    char answer[ANSWER];
};

static struct plan plan;
static atomic_long next_number, done, wrong;
static long first_id;
static atomic_uint flags;
static atomic_bool is_over;
static pthread_mutex_t first_problem = PTHREAD_MUTEX_INITIALIZER;
static char problem[MAX_PROBLEM];
static char body[BODY];

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double) time.tv_sec + (double) time.tv_nsec / 1e9;
}

__attribute__((format(printf, 1, 2))) static bool complain(const char *format, ...)
{
    va_list arguments;

    pthread_mutex_lock(&first_problem);
    if (problem[0] == '\0') {
        va_start(arguments, format);
        vsnprintf(problem, sizeof problem, format, arguments);
        va_end(arguments);
    }
    pthread_mutex_unlock(&first_problem);
    return false;
}

static bool flush(struct session *session)
{
    size_t sent = 0;

    while (sent < session->length) {
        ssize_t count = send(session->fd, session->buffer + sent, session->length - sent,
            MSG_NOSIGNAL);
        if (count < 0)
            return complain("cannot write: %s", strerror(errno));
        sent += (size_t) count;
    }
    session->length = 0;
    return true;
}

static bool put(struct session *session, const void *data, size_t length)
{
    const char *next = data;

    while (length > 0) {
        size_t room = BUFFER - session->length;
        size_t count = length < room ? length : room;
        memcpy(session->buffer + session->length, next, count);
        session->length += count;
        next += count;
        length -= count;
        if (session->length == BUFFER && !flush(session))
            return false;
    }
    return true;
}

static bool packet(struct session *session, char letter, const void *data, size_t length)
{
    uint32_t size = htonl((uint32_t) length + 1);

    return put(session, &size, sizeof size) && put(session, &letter, 1)
        && put(session, data, length);
}

static bool fill(struct session *session)
{
    struct pollfd readable = {.fd = session->fd, .events = POLLIN};

    if (poll(&readable, 1, PATIENCE * 1000) <= 0)
        return complain("no answer in %d s", PATIENCE);
    ssize_t count = recv(session->fd, session->incoming, BUFFER, 0);
    if (count <= 0)
        return complain("the milter has hung up");
    session->taken = 0;
    session->received = (size_t) count;
    return true;
}

static bool take(struct session *session, void *where, size_t length)
{
    char *next = where;

    while (length > 0) {
        if (session->taken == session->received && !fill(session))
            return false;
        size_t count = session->received - session->taken;
        if (count > length)
            count = length;
        memcpy(next, session->incoming + session->taken, count);
        session->taken += count;
        next += count;
        length -= count;
    }
    return true;
}

/* Read one packet: its letter is the first octet of the answer. */
static bool receive(struct session *session, uint32_t *length)
{
    if (!flush(session) || !take(session, length, sizeof *length))
        return false;
    *length = ntohl(*length);
    if (*length == 0 || *length > ANSWER)
        return complain("an answer of %u octets", *length);
    return take(session, session->answer, *length);
}

/* Read answers up to the one that ends an event, and count the changes on the way. */
static bool hear(struct session *session, const char *event, long *changes)
{
    uint32_t length;

    for (;;) {
        if (!receive(session, &length))
            return false;
        switch (session->answer[0]) {
        case 'c':
        case 'a':
            return true;
        case 'p':
            break;
        case 'h': case 'i': case 'm': case 'e': case '+': case '-': case 'b':
            ++*changes;
            break;
        default:
            return complain("%s was answered with '%c'", event, session->answer[0]);
        }
    }
}

struct event {
    char letter;
    uint32_t unasked;
    uint32_t unanswered;
    const char *name;
};

static const struct event CONNECT = {'C', NO_CONNECT, NR_CONNECT, "connect"};
static const struct event HELO = {'H', NO_HELO, NR_HELO, "helo"};
static const struct event MAIL = {'M', NO_MAIL, NR_MAIL, "mail"};
static const struct event RCPT = {'R', NO_RCPT, NR_RCPT, "rcpt"};
static const struct event DATA = {'T', NO_DATA, NR_DATA, "data"};
static const struct event HEADER = {'L', NO_HEADER, NR_HEADER, "header"};
static const struct event EOH = {'N', NO_EOH, NR_EOH, "end of header"};
static const struct event BODY_CHUNK = {'B', NO_BODY, NR_BODY, "body"};
static const struct event END = {'E', 0, 0, "end of message"};

static bool tell(struct session *session, const struct event *event, const char *macros,
    size_t macros_length, const void *data, size_t length, long *changes)
{
    char with_event[256] = {event->letter};

    memcpy(with_event + 1, macros, macros_length);
    /* Postfix sends the macros of an event that is not asked for, too. */
    if (!packet(session, 'D', with_event, macros_length + 1))
        return false;
    if (session->flags & event->unasked)
        return true;
    if (!packet(session, event->letter, data, length))
        return false;
    return (session->flags & event->unanswered) || hear(session, event->name, changes);
}

#define MACROS(text) text, sizeof text
#define QUEUE_ID session->queue_id, sizeof session->queue_id

static bool negotiate(struct session *session)
{
    uint32_t offer[3] = {htonl(6), htonl(0x1FF), htonl(0x1FFFFF)}, length, agreed[3];

    if (!packet(session, 'O', offer, sizeof offer) || !receive(session, &length))
        return false;
    if (session->answer[0] != 'O' || length < 1 + sizeof agreed)
        return complain("the negotiation was answered with '%c'", session->answer[0]);
    memcpy(agreed, session->answer + 1, sizeof agreed);
    session->flags = ntohl(agreed[2]);
    atomic_store(&flags, session->flags);
    return true;
}

static bool field(struct session *session, const char *name, const char *value)
{
    char data[1024];
    long none = 0;
    const char *blank = session->flags & LEADING_BLANK ? " " : "";
    int length = snprintf(data, sizeof data, "%s%c%s%s", name, '\0', blank, value);

    return tell(session, &HEADER, QUEUE_ID, data, (size_t) length + 1, &none);
}

static bool header(struct session *session, const char *address, long number)
{
    static const char *const REST[][2] = {
        {"Received", "from redmine.example (redmine.example [192.0.2.7])\n\tby smtp2.easyredmine.com"
            " (Postfix) with ESMTPSA id 4bQx2K1fZ9z\n\tfor <julia@customer.example>;"
            " Mon, 2 Nov 2026 10:00:00 +0100 (CET)"},
        {"Date", "Mon, 02 Nov 2026 10:00:00 +0100"},
        {"To", "Julia Customer <julia@customer.example>"},
        {"In-Reply-To", "<redmine.issue-4711.20261101090000.1@customer.example>"},
        {"References", "<redmine.issue-4711.20261101090000.1@customer.example>\n"
            " <redmine.journal-99.20261102090000.2@helpdesk.example>"},
        {"Subject", "Re: [Helpdesk - Ticket #4711] The printer is on fire again"},
        {"MIME-Version", "1.0"},
        {"Content-Type", "multipart/alternative;\n boundary=\"--==_mimepart_6726_1\""},
        {"Content-Transfer-Encoding", "7bit"},
        {"X-Mailer", "Redmine"},
        {"X-Redmine-Host", "mycompany.easyredmine.com"},
        {"X-Redmine-Project", "helpdesk"},
        {"X-Auto-Response-Suppress", "All"},
        {"List-Id", "<helpdesk.mycompany.easyredmine.com>"},
    };
    char from[256], message_id[256], filler[64];

    snprintf(from, sizeof from, "Marky Mark <%s>", address);
    snprintf(message_id, sizeof message_id, "<%ld.bench@helpdesk.example>", number);
    if (!field(session, "From", from) || !field(session, "Message-ID", message_id))
        return false;
    for (size_t at = 0; at < sizeof REST / sizeof *REST; at++)
        if (!field(session, REST[at][0], REST[at][1]))
            return false;
    for (long at = 0; at < plan.fields; at++) {
        snprintf(filler, sizeof filler, "X-Filler-%ld", at);
        if (!field(session, filler, "which nobody asks for"))
            return false;
    }
    return true;
}

/* Each message has its own, also in another run: a second one with the same is a retry. */
static void set_queue_id(struct session *session, long number)
{
    unsigned long id = (unsigned long) (first_id + number) & 0xFFFFFFFFFFF;

    snprintf(session->queue_id, sizeof session->queue_id, "i%c%011lX", '\0', id);
}

static bool message(struct session *session, long number)
{
    /* A third of the domains has not authorised the relay. */
    bool unaligned = number % plan.domains % 3 == 0;
    char address[128], sender[256], recipient[64];
    long changes = 0, early = 0;

    set_queue_id(session, number);
    snprintf(address, sizeof address, "agent@%s%ld.authors.example",
        unaligned ? "unaligned" : "aligned", number % plan.domains);
    int length = snprintf(sender, sizeof sender, "<%s>", address);
    if (!tell(session, &MAIL, MACROS("{mail_addr}\0agent"), sender, (size_t) length + 1, &early))
        return false;
    for (long at = 0; at < plan.recipients; at++) {
        length = snprintf(recipient, sizeof recipient, "<julia%ld@customer.example>", at);
        if (!tell(session, &RCPT, QUEUE_ID, recipient, (size_t) length + 1, &early))
            return false;
    }
    if (!tell(session, &DATA, QUEUE_ID, "", 0, &early) || !header(session, address, number)
        || !tell(session, &EOH, QUEUE_ID, "", 0, &early)
        || !tell(session, &BODY_CHUNK, QUEUE_ID, body, BODY, &early)
        || !tell(session, &END, QUEUE_ID, "", 0, &changes))
        return false;
    if (early > 0)
        return complain("a change before the end of the message");
    if (plan.edits >= 0 && changes != (unaligned ? plan.edits : 0))
        return complain("%ld changes of mail from %s", changes, address);
    return true;
}

static int open_socket(void)
{
    const char *rest = strchr(plan.socket, ':');
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_local = strncmp(plan.socket, "unix:", 5) == 0;
    int fd = socket(is_local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int failed;

    if (is_local) {
        snprintf(local.sun_path, sizeof local.sun_path, "%s", rest + 1);
        failed = connect(fd, (struct sockaddr *) &local, sizeof local);
    } else {
        inet.sin_port = htons((uint16_t) atoi(rest + 1));
        failed = connect(fd, (struct sockaddr *) &inet, sizeof inet);
    }
    if (failed) {
        complain("cannot connect: %s", strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static bool play(long number)
{
    /* The client is at 192.0.2.7: milters leave loopback alone. */
    static const char CLIENT[] = "redmine.example\0" "4" "\x9c\x40" "192.0.2.7";
    static const char NAME[] = "redmine.example";
    struct session session; /* not set to zeros: most of it is buffers */
    long early = 0;

    session.fd = open_socket();
    session.length = session.taken = session.received = 0;
    session.flags = 0;
    if (session.fd < 0)
        return false;
    bool right = negotiate(&session)
        && tell(&session, &CONNECT, MACROS("j\0smtp2.easyredmine.com"), CLIENT, sizeof CLIENT,
            &early)
        && tell(&session, &HELO, MACROS("{tls_version}\0TLSv1.3"), NAME, sizeof NAME, &early)
        && message(&session, number)
        && packet(&session, 'Q', "", 0) && flush(&session);
    close(session.fd);
    return right;
}

static void *work(void *nothing)
{
    (void) nothing;
    while (!atomic_load(&is_over)) {
        long number = atomic_fetch_add(&next_number, 1);
        if (number >= plan.messages)
            break;
        if (!play(number))
            atomic_fetch_add(&wrong, 1);
        atomic_fetch_add(&done, 1);
    }
    return NULL;
}

static void *watch(void *deadline)
{
    while (!atomic_load(&is_over) && now() < *(double *) deadline)
        usleep(5000);
    atomic_store(&is_over, true);
    return NULL;
}

int main(int count, char **arguments)
{
    pthread_t threads[MAX_CONNECTIONS], watcher;

    if (count != 9) {
        fprintf(stderr, "usage: load SOCKET CONNECTIONS MESSAGES SECONDS DOMAINS EDITS"
            " FIELDS RECIPIENTS\n");
        return 64;
    }
    long connections = atol(arguments[2]);
    plan = (struct plan) {arguments[1], atol(arguments[3]), atof(arguments[4]), atol(arguments[5]),
        atol(arguments[6]), atol(arguments[7]), atol(arguments[8])};
    if (connections < 1 || connections > MAX_CONNECTIONS || plan.domains < 1)
        return 64;
    memset(body, 'x', BODY);
    double started = now(), deadline = started + plan.seconds;
    first_id = (long) (started * 1e6);
    pthread_create(&watcher, NULL, watch, &deadline);
    for (long at = 0; at < connections; at++)
        if (pthread_create(&threads[at], NULL, work, NULL) != 0)
            return 71;
    for (long at = 0; at < connections; at++)
        pthread_join(threads[at], NULL);
    double seconds = now() - started;
    atomic_store(&is_over, true);
    pthread_join(watcher, NULL);
    printf("{\"messages\": %ld, \"seconds\": %.6f, \"wrong\": %ld, \"problem\": \"%s\","
        " \"flags\": %u}\n",
        atomic_load(&done), seconds, atomic_load(&wrong), problem, atomic_load(&flags));
    return 0;
}
