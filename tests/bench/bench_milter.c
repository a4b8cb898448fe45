/*
 * Sessions of an MTA by the milter protocol, version 6: so many at once, each with mail after
 * mail, as Postfix speaks it: one connection for each client, steps left out and answers not
 * awaited as negotiated. Judges every answer: a clean mail must be accepted with an
 * Authentication-Results that holds each WORD, a virus refused for good. Its last line is
 *
 *	seconds S accepted N refused N deferred N broken N wrong N slowest MS
 *
 * -H opens all sessions first, says "ready" and goes on after a line of input; -m says "mark"
 * when so many mails are answered and none is under way, and goes on after a line. Mails are
 * those of bench_mail.h, DIFFERENT-MAILS of them again and again (usage below).
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <libmilter/mfapi.h>
#include <libmilter/mfdef.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "bench_mail.h"

enum { EVENTS = 64, CHUNK = 65535, WORDS_MOST = 8, MARKS_MOST = 8, SPARE_FILES = 64 };
enum { OUT_MOST = 64 << 20, PACKET_MOST = 1 << 20, HEAD_BYTES = 5 };

/* In the order of a session; READY: between mails. */
enum step {
	STEP_NEGOTIATE,
	STEP_CONNECT,
	STEP_HELO,
	STEP_READY,
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
	STEP_HEADER,
	STEP_HEADER_END,
	STEP_BODY,
	STEP_END,
};

static const struct {
	uint32_t not_sent, not_answered;
} agreed_as[] = {
	[STEP_CONNECT] = {SMFIP_NOCONNECT, SMFIP_NR_CONN},
	[STEP_HELO] = {SMFIP_NOHELO, SMFIP_NR_HELO},
	[STEP_MAIL] = {SMFIP_NOMAIL, SMFIP_NR_MAIL},
	[STEP_RCPT] = {SMFIP_NORCPT, SMFIP_NR_RCPT},
	[STEP_DATA] = {SMFIP_NODATA, SMFIP_NR_DATA},
	[STEP_HEADER] = {SMFIP_NOHDRS, SMFIP_NR_HDR},
	[STEP_HEADER_END] = {SMFIP_NOEOH, SMFIP_NR_EOH},
	[STEP_BODY] = {SMFIP_NOBODY, SMFIP_NR_BODY},
	[STEP_END] = {0, 0},
};

struct field {
	struct slice name, value;
};

/* A mail as the MTA has it: header cut into fields, dots single. */
struct mail {
	struct field *fields;
	size_t n_fields;
	struct slice body;
};

struct session {
	int fd;
	enum step step;
	uint32_t agreed;
	size_t mail, end; /* the next mail, and where the session's share ends */
	size_t at;        /* of the step: the next field, or byte of the body */
	unsigned words;   /* bits: which were seen in this mail's new fields */
	double began_s;
	struct buf out, in;
	bool writing;
};

static struct bench_plan plan = {
	.mails = 1000, .bytes = 4096, .per_connection = 20, .senders = 1};
static const char *address = "192.0.2.25", *port = "8891", *path, *source = "192.0.2.64";
static const char *words[WORDS_MOST];
static unsigned n_words, sessions = 20, limit_s = 600;
static size_t marks[MARKS_MOST], n_marks, next_mark, total;
static bool hold, paused;
static struct bench_mail *wires;
static struct mail *mails;
static struct session *all;
static size_t next_mail, answered, under_way, ready;
static size_t accepted, refused, deferred, broken, wrong;
static double slowest_s;
static int poll_fd;

static double
now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- mails */

static struct slice
unstuffed(struct slice wire)
{
	char *out = mem_new(wire.n);
	size_t n = 0;
	for (size_t i = 0; i + 3 < wire.n; i++) {
		if (wire.p[i] == '.' && (i == 0 || wire.p[i - 1] == '\n'))
			i++;
		out[n++] = wire.p[i];
	}
	return (struct slice){out, n};
}

/* A value's line ends are LF without CR, as Sendmail and Postfix send them. */
static struct slice
value_of(struct slice raw)
{
	char *out = mem_new(raw.n);
	size_t n = 0;
	for (size_t i = 0; i < raw.n; i++)
		if (raw.p[i] != '\r')
			out[n++] = raw.p[i];
	return (struct slice){out, n};
}

static void
cut_mail(struct slice text, struct mail *m)
{
	while (text.n != 0 && !slice_starts(text, SLICE("\r\n"))) {
		struct slice rest = text, line, raw;
		do
			slice_cut(rest, '\n', &line, &rest);
		while (rest.n != 0 && (rest.p[0] == ' ' || rest.p[0] == '\t'));
		raw = slice_first(text, text.n - rest.n - 2);
		m->fields = mem_resize(m->fields, (m->n_fields + 1) * sizeof(*m->fields));
		struct field *f = &m->fields[m->n_fields++];
		slice_cut(raw, ':', &f->name, &f->value);
		f->value = value_of(f->value);
		text = rest;
	}
	m->body = slice_from(text, 2);
}

static void
make_mails(void)
{
	wires = bench_mail_all(&plan);
	mails = mem_array(plan.mails, sizeof(*mails));
	for (size_t i = 0; i < plan.mails; i++)
		cut_mail(unstuffed(wires[i].wire), &mails[i]);
}

/* --- packets */

static void
put(struct session *s, struct slice piece)
{
	if (buf_add(&s->out, piece) < 0)
		errx(1, "a session has more than %d bytes to send", OUT_MOST);
}

static void
put_head(struct session *s, char command, size_t bytes)
{
	uint32_t n = htonl((uint32_t)bytes + 1);
	put(s, (struct slice){(const char *)&n, sizeof(n)});
	put(s, (struct slice){&command, 1});
}

/* text: each word of it with the NUL that ends it. */
static void
put_packet(struct session *s, char command, struct slice text)
{
	put_head(s, command, text.n);
	put(s, text);
}

static void __attribute__((format(printf, 3, 4)))
put_text(struct session *s, char command, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	int n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* '|' stands for NUL, which no format can hold. */
	for (int i = 0; i < n; i++)
		text[i] = text[i] == '|' ? '\0' : text[i];
	put_packet(s, command, (struct slice){text, (size_t)n});
}

static void
put_negotiate(struct session *s)
{
	uint32_t words_out[3] = {
		htonl(SMFI_PROT_VERSION), htonl(SMFI_CURR_ACTS), htonl(SMFI_CURR_PROT)};
	put_packet(s, SMFIC_OPTNEG, (struct slice){(const char *)words_out, sizeof(words_out)});
}

static unsigned
sender_of(const struct session *s)
{
	return wires[s->mail % plan.mails].sender;
}

static void
put_connect(struct session *s)
{
	char ip[INET_ADDRSTRLEN];
	struct in_addr a;
	unsigned sender = sender_of(s);
	uint16_t from = htons(40000);
	inet_pton(AF_INET, source, &a);
	a.s_addr = htonl(ntohl(a.s_addr) + sender);
	inet_ntop(AF_INET, &a, ip, sizeof(ip));
	put_text(s, SMFIC_MACRO, "Cj|mx.example.com|{daemon_name}|mx.example.com|v|load|");
	char name[64], *end = ip + strlen(ip) + 1;
	int n = snprintf(name, sizeof(name), "s%u.senders.example", sender) + 1;
	put_head(s, SMFIC_CONNECT, (size_t)n + 3 + (size_t)(end - ip));
	put(s, (struct slice){name, (size_t)n});
	put(s, SLICE("4"));
	put(s, (struct slice){(const char *)&from, sizeof(from)});
	put(s, (struct slice){ip, (size_t)(end - ip)});
}

static void
put_field(struct session *s, const struct field *f)
{
	struct slice value = f->value;
	if ((s->agreed & SMFIP_HDR_LEADSPC) == 0 && slice_starts(value, SLICE(" ")))
		value = slice_from(value, 1);
	put_head(s, SMFIC_HEADER, f->name.n + value.n + 2);
	put(s, f->name);
	put(s, (struct slice){"", 1});
	put(s, value);
	put(s, (struct slice){"", 1});
}

/* Sends one packet of the step; false: the step has no more. */
static bool
put_step(struct session *s)
{
	const struct mail *m = &mails[s->mail % plan.mails];
	struct slice body;
	if (s->step != STEP_HEADER && s->step != STEP_BODY && s->at++ != 0)
		return false;
	switch (s->step) {
	case STEP_NEGOTIATE: put_negotiate(s); break;
	case STEP_CONNECT: put_connect(s); break;
	case STEP_HELO: put_text(s, SMFIC_HELO, "s%u.senders.example|", sender_of(s)); break;
	case STEP_READY: return false;
	case STEP_MAIL:
		put_text(s, SMFIC_MACRO, "M{mail_addr}|alice@s%u.senders.example|",
			sender_of(s));
		put_text(s, SMFIC_MAIL, "<alice@s%u.senders.example>|", sender_of(s));
		break;
	case STEP_RCPT:
		put_text(s, SMFIC_MACRO, "R{rcpt_addr}|bob@example.com|");
		put_text(s, SMFIC_RCPT, "<bob@example.com>|");
		break;
	case STEP_DATA:
		put_text(s, SMFIC_MACRO, "Ti|%08zX|", s->mail);
		put_packet(s, SMFIC_DATA, SLICE_NONE);
		break;
	case STEP_HEADER:
		if (s->at == m->n_fields)
			return false;
		put_field(s, &m->fields[s->at++]);
		break;
	case STEP_HEADER_END: put_packet(s, SMFIC_EOH, SLICE_NONE); break;
	case STEP_BODY:
		body = slice_first(slice_from(m->body, s->at), CHUNK);
		if (body.n == 0)
			return false;
		put_packet(s, SMFIC_BODY, body);
		s->at += body.n;
		break;
	case STEP_END:
		put_text(s, SMFIC_MACRO, "Ei|%08zX|", s->mail);
		put_packet(s, SMFIC_BODYEOB, SLICE_NONE);
		break;
	}
	return true;
}

/* --- sessions */

static void
watch(struct session *s, int how, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = s};
	if (epoll_ctl(poll_fd, how, s->fd, &e) < 0)
		err(1, "epoll_ctl");
}

static void
flush(struct session *s)
{
	struct slice out = buf_slice(&s->out);
	ssize_t n = out.n != 0 ? send(s->fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
	if (n > 0)
		buf_consume(&s->out, (size_t)n);
	bool left = buf_slice(&s->out).n != 0;
	if (left != s->writing)
		watch(s, EPOLL_CTL_MOD, left ? EPOLLIN | EPOLLOUT : EPOLLIN);
	s->writing = left;
}

static void
start_mail(struct session *s)
{
	s->step = STEP_MAIL;
	s->at = 0;
	s->words = 0;
	s->began_s = now_s();
	under_way++;
}

/* Sends what may be sent until an answer is due, a mail may not begin, or all is said. */
static void
advance(struct session *s)
{
	for (;;) {
		bool sent = (s->agreed & agreed_as[s->step].not_sent) == 0 && put_step(s);
		if (sent && (s->agreed & agreed_as[s->step].not_answered) == 0)
			break;
		if (sent)
			continue;
		if (s->step == STEP_END)
			break;
		if (s->step == STEP_READY) {
			if (hold || paused)
				break;
			start_mail(s);
			continue;
		}
		s->step++;
		s->at = 0;
		ready += s->step == STEP_READY;
	}
	flush(s);
}

static int
connected(void)
{
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	struct sockaddr_in to = {.sin_family = AF_INET};
	int one = 1,
	    fd = socket(path != NULL ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err(1, "socket");
	if (path != NULL) {
		snprintf(local.sun_path, sizeof(local.sun_path), "%s", path);
		if (connect(fd, (struct sockaddr *)&local, sizeof(local)) < 0)
			err(1, "connect %s", path);
		return fd;
	}
	to.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
		connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(1, "connect %s port %s", address, port);
	return fd;
}

/* A new session for the next share of mails; false: there are none left. */
static bool
begin(struct session *s)
{
	if (next_mail == total)
		return false;
	s->mail = next_mail;
	s->end = next_mail + plan.per_connection < total ? next_mail + plan.per_connection
							 : total;
	next_mail = s->end;
	s->step = STEP_NEGOTIATE;
	s->agreed = 0;
	s->at = 0;
	s->writing = false;
	buf_init(&s->out, OUT_MOST);
	buf_init(&s->in, PACKET_MOST);
	s->fd = connected();
	watch(s, EPOLL_CTL_ADD, EPOLLIN);
	advance(s);
	return true;
}

static void
leave(struct session *s)
{
	put_packet(s, SMFIC_QUIT, SLICE_NONE);
	flush(s);
	close(s->fd);
	s->fd = -1;
	buf_fini(&s->out);
	buf_fini(&s->in);
	begin(s);
}

/* code: what the SMTP client would be told; 0: the filter did not say. */
static void
mail_over(struct session *s, unsigned code)
{
	bool virus = wires[s->mail % plan.mails].virus, right;
	double took = now_s() - s->began_s;
	slowest_s = took > slowest_s ? took : slowest_s;
	if (code == 250)
		right = !virus && s->words == (1u << n_words) - 1;
	else
		right = virus && code / 100 == 5;
	accepted += code == 250;
	refused += code / 100 == 5;
	deferred += code / 100 == 4;
	broken += code == 0;
	wrong += !right;
	answered++;
	under_way--;
	s->mail++;
	s->step = STEP_READY;
	s->at = 0;
	if (next_mark < n_marks && answered + under_way >= marks[next_mark])
		paused = true;
	if (code == 0 || s->mail == s->end)
		leave(s);
	else
		advance(s);
}

static void
gone(struct session *s)
{
	if (s->step < STEP_MAIL)
		errx(1, "the filter ended a session before its first mail");
	size_t left = s->end - s->mail - 1;
	answered += left;
	broken += left;
	wrong += left;
	s->end = s->mail + 1;
	mail_over(s, 0);
}

/* --- answers */

static void
note_field(struct session *s, struct slice text)
{
	struct slice name, value;
	slice_cut(text, '\0', &name, &value);
	if (!slice_eq_nocase(name, SLICE("Authentication-Results")))
		return;
	for (unsigned i = 0; i < n_words; i++)
		if (slice_find_slice(value, slice_of(words[i])) < value.n)
			s->words |= 1u << i;
}

static unsigned
reply_code(struct slice text)
{
	uint64_t code = 0;
	return slice_u64(slice_first(text, 3), &code) && code >= 400 && code < 600
		       ? (unsigned)code
		       : 0;
}

static void
negotiated(struct session *s, struct slice data)
{
	uint32_t word[3];
	if (data.n < sizeof(word))
		errx(1, "the filter's answer to the negotiation is short");
	memcpy(word, data.p, sizeof(word));
	s->agreed = ntohl(word[2]);
	if ((s->agreed & ~(uint32_t)SMFI_CURR_PROT) != 0)
		errx(1, "the filter asks for steps that were not offered: %08x", s->agreed);
	s->step = STEP_CONNECT;
	s->at = 0;
	advance(s);
}

/* A final answer: the mail's, or that of a step before it. */
static void
decided(struct session *s, unsigned code)
{
	if (s->step < STEP_MAIL)
		errx(1, "the filter refused a session: %u", code);
	if (s->step != STEP_END)
		put_packet(s, SMFIC_ABORT, SLICE_NONE);
	mail_over(s, code);
}

static void
answer(struct session *s, char kind, struct slice data)
{
	switch (kind) {
	case SMFIR_PROGRESS: return;
	case SMFIR_INSHEADER: note_field(s, slice_from(data, 4)); return;
	case SMFIR_ADDHEADER: note_field(s, data); return;
	case SMFIR_CHGHEADER:
	case SMFIR_ADDRCPT:
	case SMFIR_DELRCPT: return;
	case SMFIC_OPTNEG: negotiated(s, data); return;
	case SMFIR_REPLYCODE: decided(s, reply_code(data)); return;
	case SMFIR_REJECT: decided(s, 550); return;
	case SMFIR_TEMPFAIL: decided(s, 451); return;
	case SMFIR_DISCARD: decided(s, 0); return;
	case SMFIR_ACCEPT: decided(s, 250); return;
	case SMFIR_SKIP: s->at = mails[s->mail % plan.mails].body.n; break;
	case SMFIR_CONTINUE: break;
	default: errx(1, "an answer that is none: 0x%02x", (unsigned char)kind);
	}
	if (s->step == STEP_END)
		mail_over(s, 250);
	else
		advance(s);
}

/* Every whole packet that has come. */
static void
take(struct session *s)
{
	int fd = s->fd;
	uint32_t bytes;
	for (;;) {
		struct slice in = buf_slice(&s->in);
		if (in.n < HEAD_BYTES)
			return;
		memcpy(&bytes, in.p, sizeof(bytes));
		bytes = ntohl(bytes);
		if (bytes == 0 || bytes > PACKET_MOST - HEAD_BYTES)
			errx(1, "a packet of %u bytes", bytes);
		if (in.n < sizeof(bytes) + bytes)
			return;
		char *copy = mem_new(bytes);
		memcpy(copy, in.p + sizeof(bytes), bytes);
		buf_consume(&s->in, sizeof(bytes) + bytes);
		answer(s, copy[0], (struct slice){copy + 1, bytes - 1});
		mem_free(copy);
		/* Another session has this place now. */
		if (s->fd != fd || s->step == STEP_NEGOTIATE)
			return;
	}
}

static void
serve(struct session *s, uint32_t events)
{
	char *room;
	if (s->fd < 0)
		return;
	if ((events & EPOLLOUT) != 0)
		flush(s);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return;
	if ((room = buf_reserve(&s->in, 4096)) == NULL)
		errx(1, "more than %d bytes of answers", PACKET_MOST);
	ssize_t n = recv(s->fd, room, 4096, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		gone(s);
		return;
	}
	buf_commit(&s->in, (size_t)n);
	take(s);
}

/* --- the run */

static void
say(const char *word, size_t n)
{
	char line[16];
	printf("%s %zu\n", word, n);
	fflush(stdout);
	if (fgets(line, sizeof(line), stdin) == NULL)
		exit(1);
}

static void
go_on(void)
{
	hold = paused = false;
	for (unsigned i = 0; i < sessions; i++)
		if (all[i].fd >= 0 && all[i].step == STEP_READY)
			advance(&all[i]);
}

static double
run(void)
{
	struct epoll_event events[EVENTS];
	double first = now_s(), waited = 0;
	all = mem_array(sessions, sizeof(*all));
	for (unsigned i = 0; i < sessions; i++)
		all[i].fd = -1;
	for (unsigned i = 0; i < sessions; i++)
		begin(&all[i]);
	while (answered < total && now_s() - first < limit_s) {
		double stop = now_s();
		if (hold && ready == sessions) {
			say("ready", ready);
			first = now_s();
			go_on();
		} else if (paused && under_way == 0) {
			say("mark", answered);
			next_mark++;
			waited += now_s() - stop;
			go_on();
		}
		int n = epoll_wait(poll_fd, events, EVENTS, 1000);
		for (int i = 0; i < n; i++)
			serve(events[i].data.ptr, events[i].events);
	}
	return now_s() - first - waited;
}

static size_t
number(const char *text)
{
	char *rest;
	unsigned long n = strtoul(text, &rest, 10);
	if (*rest != '\0' || n > 100000000)
		errx(64, "not a number: %s", text);
	return n;
}

static const char usage[] =
	"usage: bench_milter [-a ADDRESS] [-p PORT | -u PATH] [-c SESSIONS] [-k "
	"MAILS-A-SESSION]\n"
	"    [-n MAILS] [-D DIFFERENT-MAILS] [-b BYTES] [-d SENDERS] [-s FIRST-SOURCE]\n"
	"    [-v VIRUS-EVERY] [-K KEY] [-x WORD]... [-H] [-m MAILS]... [-t SECONDS-AT-MOST]";

static void
option(int o)
{
	switch (o) {
	case 'a': address = optarg; break;
	case 'p': port = optarg; break;
	case 'u': path = optarg; break;
	case 's': source = optarg; break;
	case 'c': sessions = (unsigned)number(optarg); break;
	case 'k': plan.per_connection = number(optarg); break;
	case 'n': total = number(optarg); break;
	case 'D': plan.mails = number(optarg); break;
	case 'b': plan.bytes = number(optarg); break;
	case 'd': plan.senders = (unsigned)number(optarg); break;
	case 'v': plan.virus_every = (unsigned)number(optarg); break;
	case 'K': plan.key_path = optarg; break;
	case 't': limit_s = (unsigned)number(optarg); break;
	case 'H': hold = true; break;
	case 'x':
		if (n_words == WORDS_MOST)
			errx(64, "%s", usage);
		words[n_words++] = optarg;
		break;
	case 'm':
		if (n_marks == MARKS_MOST)
			errx(64, "%s", usage);
		marks[n_marks++] = number(optarg);
		break;
	default: errx(64, "%s", usage);
	}
}

int
main(int argc, char **argv)
{
	for (int o; (o = getopt(argc, argv, "a:p:u:s:c:k:n:D:b:d:v:K:t:Hx:m:")) != -1;)
		option(o);
	total = total != 0 ? total : plan.mails;
	plan.mails = plan.mails < total ? plan.mails : total;
	/* A session's mails are of one sender, so a share never wraps to another one's. */
	if (optind != argc || plan.per_connection == 0 || plan.senders == 0 || sessions == 0 ||
		(plan.mails != total && plan.mails % plan.per_connection != 0))
		errx(64, "%s", usage);
	struct rlimit files = {sessions + SPARE_FILES, sessions + SPARE_FILES};
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		err(1, "%u descriptors", sessions);
	make_mails();
	if ((poll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		err(1, "epoll_create1");
	double seconds = run();
	printf("seconds %.3f accepted %zu refused %zu deferred %zu broken %zu wrong %zu "
	       "slowest %.0f\n",
		seconds, accepted, refused, deferred, broken + total - answered,
		wrong + total - answered, slowest_s * 1e3);
	return 0;
}
