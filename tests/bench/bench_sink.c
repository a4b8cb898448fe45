/*
 * The protected server of the benchmarks: takes every mail and writes one line of fixed length
 *for each, before its reply to the dot: the SHA-256 of the mail without the header fields that
 *gateways add, and which results these fields hold.
 *
 *	bench_sink ADDRESS PORT FILE
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "bench_mail.h"

enum { INPUT_FIRST = 16384, INPUT_MOST = 64 << 20, EVENTS = 64 };

struct client {
	int fd;
	bool data; /* between 354 and the dot */
	char *in;
	size_t n, room, searched;
};

static int record_fd;
static struct bench_hash *hash;

/* Fields that none of the benchmarks' mails has when it is sent. */
static bool
is_added(struct slice field)
{
	static const char *const names[] = {"Received:", "Return-Path:", "Received-SPF:",
		"Authentication-Results:", "X-Virus-Scanned:", "X-Virus-Status:"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (slice_starts_nocase(field, slice_of(names[i])))
			return true;
	return false;
}

/* The first header field with its continuation lines; empty: the header is over. */
static struct slice
first_field(struct slice text)
{
	size_t n = 0;
	while (n < text.n && !slice_starts(text, SLICE("\r\n"))) {
		n += slice_find(slice_from(text, n), '\n') + 1;
		if (n >= text.n || (text.p[n] != ' ' && text.p[n] != '\t'))
			break;
	}
	return slice_first(text, n);
}

static void
note_results(struct slice field, char marks[5])
{
	static const char *const words[] = {
		"spf=pass", "dkim=pass", "dmarc=pass", "X-Virus-Scanned:"};
	for (size_t i = 0; i < 4; i++)
		if (slice_find_slice(field, slice_of(words[i])) < field.n)
			marks[i] = "sdmv"[i];
}

/* Takes the doubled dots out, in place. */
static struct slice
unstuff(char *text, size_t n)
{
	size_t out = 0;
	for (size_t i = 0; i < n; i++)
		if (text[i] != '.' || (i != 0 && text[i - 1] != '\n'))
			text[out++] = text[i];
		else if (++i < n)
			text[out++] = text[i];
	return (struct slice){text, out};
}

static void
record(struct slice mail)
{
	char hex[BENCH_HASH_BYTES], marks[5] = "----", line[128];
	for (struct slice f; (f = first_field(mail)).n != 0; mail = slice_from(mail, f.n))
		if (is_added(f))
			note_results(f, marks);
		else
			bench_hash_add(hash, f);
	bench_hash_add(hash, mail);
	bench_hash_end(hash, hex);
	int n = snprintf(line, sizeof(line), "%s %s\n", hex, marks);
	if (write(record_fd, line, (size_t)n) != n)
		err(1, "write");
}

static void
say(const struct client *c, const char *text)
{
	/* Replies are short and the peer reads: a full socket here is a broken peer. */
	(void)!write(c->fd, text, strlen(text));
}

static void
take(struct client *c, size_t n)
{
	memmove(c->in, c->in + n, c->n - n);
	c->n -= n;
	c->searched = 0;
}

/* One command line; false: the client is gone. */
static bool
command(struct client *c, struct slice line)
{
	if (slice_starts_nocase(line, SLICE("EHLO")))
		say(c, "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 100000000\r\n"
		       "250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n");
	else if (slice_starts_nocase(line, SLICE("DATA"))) {
		say(c, "354 go on\r\n");
		c->data = true;
	} else if (slice_starts_nocase(line, SLICE("QUIT"))) {
		say(c, "221 2.0.0 bye\r\n");
		return false;
	} else
		say(c, "250 2.0.0 fine\r\n");
	return true;
}

/* What is complete of the input; false: the client is gone. */
static bool
advance(struct client *c)
{
	while (c->n != 0) {
		struct slice in = {c->in, c->n};
		if (!c->data) {
			size_t end = slice_find(in, '\n');
			if (end == in.n)
				return true;
			if (!command(c, slice_first(in, end)))
				return false;
			take(c, end + 1);
			continue;
		}
		if (slice_starts(in, SLICE(".\r\n"))) {
			record(SLICE_NONE);
			take(c, 3);
		} else {
			struct slice rest = slice_from(in, c->searched);
			size_t at = slice_find_slice(rest, SLICE("\r\n.\r\n"));
			if (at == rest.n) {
				c->searched = in.n > 4 ? in.n - 4 : 0;
				return true;
			}
			size_t end = c->searched + at + 2;
			/* The bytes behind the dot stay where they are: only the mail shrinks.
			 */
			record(unstuff(c->in, end));
			take(c, end + 3);
		}
		c->data = false;
		say(c, "250 2.0.0 taken\r\n");
	}
	return true;
}

static bool
receive(struct client *c)
{
	if (c->n == c->room) {
		if (c->room >= INPUT_MOST)
			return false;
		c->room *= 2;
		c->in = mem_resize(c->in, c->room);
	}
	ssize_t n = read(c->fd, c->in + c->n, c->room - c->n);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	c->n += (size_t)n;
	return advance(c);
}

static void
accept_client(int poll_fd, int listener)
{
	int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	struct client *c = MEM_NEW(struct client);
	c->fd = fd;
	c->room = INPUT_FIRST;
	c->in = mem_new(c->room);
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
	if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
		err(1, "epoll_ctl");
	say(c, "220 sink.example ESMTP\r\n");
}

static int
listen_at(const char *address, const char *port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || inet_pton(AF_INET, address, &at.sin_addr) != 1 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
		bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1024) < 0)
		err(1, "%s port %s", address, port);
	return fd;
}

int
main(int argc, char **argv)
{
	if (argc != 4)
		errx(64, "usage: bench_sink ADDRESS PORT FILE");
	signal(SIGPIPE, SIG_IGN);
	hash = bench_hash_new();
	record_fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int listener = listen_at(argv[1], argv[2]), poll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ready[EVENTS], e = {.events = EPOLLIN};
	if (record_fd < 0 || poll_fd < 0 || epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &e) < 0)
		err(1, "%s", argv[3]);
	for (;;) {
		int n = epoll_wait(poll_fd, ready, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			struct client *c = ready[i].data.ptr;
			if (c == NULL) {
				accept_client(poll_fd, listener);
			} else if (!receive(c)) {
				close(c->fd);
				mem_free(c->in);
				mem_free(c);
			}
		}
	}
}
