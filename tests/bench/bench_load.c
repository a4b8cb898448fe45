/*
 * A closed loop of SMTP clients: each of the sessions sends its next mail when the last is
 * answered, one command at a time, as most clients do where the server is near. Mail i goes
 * to bob@example.com, with DOMAINS to r<i>@d<i % DOMAINS>.example.com. Writes a line a mail:
 * its SHA-256, the last reply's code, V for a virus; prints the seconds from the first
 * connection to the last answer, and the clock at the first.
 *
 *	bench_load -o FILE [-a ADDRESS] [-s FIRST-SOURCE] [-c SESSIONS] [-k MAILS-A-CONNECTION]
 *	    [-n MAILS] [-b BYTES] [-d SENDERS] [-v VIRUS-EVERY] [-K KEY] [-t SECONDS-AT-MOST]
 *	    [-r SEED] [-D DOMAINS]
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench_mail.h"

enum { REPLY_BYTES = 4096, COMMAND_BYTES = 256, EVENTS = 64 };

enum step { STEP_GREETING, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_DOT, STEP_QUIT };

struct session {
	int fd;
	enum step step;
	size_t mail, end; /* the next mail, and where the connection's share ends */
	char reply[REPLY_BYTES];
	size_t n;
	char command[COMMAND_BYTES];
	struct slice out;
};

static struct bench_plan plan = {
	.mails = 1000, .bytes = 4096, .per_connection = 50, .senders = 1};
static const char *address = "192.0.2.25", *source = "192.0.2.64", *out_path;
static unsigned sessions = 20, limit_s = 120, domains;
static struct bench_mail *mails;
static int *codes;
static struct session *all;
static size_t next_mail, answered;
static int poll_fd;
static double began_at;

static double
clock_s(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
now_s(void)
{
	return clock_s(CLOCK_MONOTONIC);
}

static void
watch(struct session *s, int how, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = s};
	if (epoll_ctl(poll_fd, how, s->fd, &e) < 0)
		err(1, "epoll_ctl");
}

/* A new connection for the next share of mails; false: there are none left. */
static bool
begin(struct session *s)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(25)},
			   from = {.sin_family = AF_INET};
	int one = 1;
	if (next_mail == plan.mails)
		return false;
	s->mail = next_mail;
	s->end = next_mail + plan.per_connection;
	if (s->end > plan.mails)
		s->end = plan.mails;
	next_mail = s->end;
	s->step = STEP_GREETING;
	s->n = 0;
	s->out = SLICE_NONE;
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
		inet_pton(AF_INET, source, &from.sin_addr) != 1)
		errx(64, "not an IPv4 address: %s or %s", address, source);
	from.sin_addr.s_addr = htonl(ntohl(from.sin_addr.s_addr) + mails[s->mail].sender);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0 || setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
		setsockopt(s->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0 ||
		bind(s->fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
		connect(s->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(1, "connect %s to %s", source, address);
	watch(s, EPOLL_CTL_ADD, EPOLLIN);
	return true;
}

/* What was not answered on a connection that broke counts as code 0. */
static void
end(struct session *s)
{
	close(s->fd);
	s->fd = -1;
	answered += s->end - s->mail;
	s->mail = s->end;
}

static void
flush(struct session *s)
{
	ssize_t n = send(s->fd, s->out.p, s->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		s->out = slice_from(s->out, (size_t)n);
	if (s->out.n != 0)
		watch(s, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void __attribute__((format(printf, 3, 4)))
send_text(struct session *s, enum step step, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int n = vsnprintf(s->command, sizeof(s->command), format, args);
	va_end(args);
	s->step = step;
	s->out = (struct slice){s->command, (size_t)n};
	flush(s);
}

static void
next_step(struct session *s, int code)
{
	unsigned sender = s->mail < s->end ? mails[s->mail].sender : 0;
	bool good = code >= 200 && code < 400, wait_mail = s->step == STEP_EHLO;
	if (s->step == STEP_GREETING && good) {
		send_text(s, STEP_EHLO, "EHLO s%u.senders.example\r\n", sender);
		return;
	}
	if (s->step == STEP_DOT || !good) {
		codes[s->mail++] = code;
		answered++;
		wait_mail = true;
	}
	if (wait_mail && (s->mail == s->end || s->step < STEP_EHLO || code == 421)) {
		send_text(s, STEP_QUIT, "QUIT\r\n");
	} else if (wait_mail && !good && s->step != STEP_DOT) {
		/* No step but the dot is ever refused here: the rest would be no measurement.
		 */
		send_text(s, STEP_QUIT, "QUIT\r\n");
	} else if (wait_mail) {
		sender = mails[s->mail].sender;
		send_text(s, STEP_MAIL, "MAIL FROM:<alice@s%u.senders.example>\r\n", sender);
	} else if (s->step == STEP_MAIL && domains != 0) {
		send_text(s, STEP_RCPT, "RCPT TO:<r%zu@d%zu.example.com>\r\n", s->mail,
			s->mail % domains);
	} else if (s->step == STEP_MAIL) {
		send_text(s, STEP_RCPT, "RCPT TO:<bob@example.com>\r\n");
	} else if (s->step == STEP_RCPT) {
		send_text(s, STEP_DATA, "DATA\r\n");
	} else {
		s->step = STEP_DOT;
		s->out = mails[s->mail].wire;
		flush(s);
	}
}

/* The code of a reply that is complete, else 0. No command is sent before its reply is read. */
static int
reply_code(struct session *s)
{
	struct slice rest = {s->reply, s->n}, line;
	while (slice_cut(rest, '\n', &line, &rest))
		if (line.n >= 4 && line.p[3] == ' ') {
			s->n = 0;
			return (int)strtol(line.p, NULL, 10);
		}
	return 0;
}

static void
serve(struct session *s, uint32_t events)
{
	if ((events & EPOLLOUT) != 0) {
		watch(s, EPOLL_CTL_MOD, EPOLLIN);
		flush(s);
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0)
		return;
	ssize_t n = recv(s->fd, s->reply + s->n, sizeof(s->reply) - s->n, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	s->n += n > 0 ? (size_t)n : 0;
	int code = n > 0 ? reply_code(s) : 0;
	if (n <= 0 || (code != 0 && s->step == STEP_QUIT)) {
		end(s);
		begin(s);
	} else if (code != 0) {
		next_step(s, code);
	}
}

static double
run(void)
{
	all = mem_array(sessions, sizeof(*all));
	struct epoll_event ready[EVENTS];
	double first = now_s();
	began_at = clock_s(CLOCK_REALTIME);
	for (unsigned i = 0; i < sessions; i++)
		begin(&all[i]);
	while (answered < plan.mails && now_s() - first < limit_s) {
		int n = epoll_wait(poll_fd, ready, EVENTS, 1000);
		for (int i = 0; i < n; i++)
			serve(ready[i].data.ptr, ready[i].events);
	}
	return now_s() - first;
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

static void
options(int argc, char **argv)
{
	for (int o; (o = getopt(argc, argv, "a:s:c:k:n:b:d:r:v:K:o:t:D:")) != -1;)
		switch (o) {
		case 'a': address = optarg; break;
		case 's': source = optarg; break;
		case 'c': sessions = (unsigned)number(optarg); break;
		case 'k': plan.per_connection = number(optarg); break;
		case 'n': plan.mails = number(optarg); break;
		case 'b': plan.bytes = number(optarg); break;
		case 'd': plan.senders = (unsigned)number(optarg); break;
		case 'r': plan.seed = number(optarg); break;
		case 'v': plan.virus_every = (unsigned)number(optarg); break;
		case 'K': plan.key_path = optarg; break;
		case 'o': out_path = optarg; break;
		case 'D': domains = (unsigned)number(optarg); break;
		case 't': limit_s = (unsigned)number(optarg); break;
		default: exit(64);
		}
	if (out_path == NULL || optind != argc || plan.per_connection == 0 || plan.senders == 0)
		errx(64, "usage: bench_load -o FILE ...; see bench_load.c");
}

int
main(int argc, char **argv)
{
	options(argc, argv);
	mails = bench_mail_all(&plan);
	codes = mem_array(plan.mails, sizeof(*codes));
	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (poll_fd < 0)
		err(1, "epoll_create1");
	double seconds = run();
	printf("%.6f %.6f\n", seconds, began_at);
	FILE *out = fopen(out_path, "we");
	if (out == NULL)
		err(1, "%s", out_path);
	for (size_t i = 0; i < plan.mails; i++)
		fprintf(out, "%s %d %c\n", mails[i].hash, codes[i], mails[i].virus ? 'V' : '-');
	return fclose(out) == 0 ? 0 : 1;
}
