/*
 * Connections that stay idle: each says EHLO, with -T after STARTTLS again, and then nothing.
 *Prints their number when all stand; holds them until its input ends. Fails if one was refused.
 *
 *	bench_idle [-T] ADDRESS FIRST-SOURCE SOURCES CONNECTIONS
 */
#include <arpa/inet.h>
#include <err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"

enum { REPLY_BYTES = 4096, ANSWER_S = 20, PORT = 25 };

static SSL_CTX *context; /* NULL: in clear */
static SSL **held;       /* one for each connection with TLS */

static int
connect_from(const char *to_text, const char *from_text, unsigned offset)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)},
			   from = {.sin_family = AF_INET};
	struct timeval limit = {.tv_sec = ANSWER_S};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (inet_pton(AF_INET, to_text, &to.sin_addr) != 1 ||
		inet_pton(AF_INET, from_text, &from.sin_addr) != 1)
		errx(64, "not an IPv4 address: %s or %s", to_text, from_text);
	from.sin_addr.s_addr = htonl(ntohl(from.sin_addr.s_addr) + offset);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) < 0 ||
		bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
		connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(1, "connect from %s + %u", from_text, offset);
	return fd;
}

/* Sends a command (NULL: none, the greeting is due) and reads one whole reply. */
static void
expect(int fd, SSL *tls, const char *command, const char *code)
{
	char reply[REPLY_BYTES];
	size_t n = 0;
	if (command != NULL) {
		int length = (int)strlen(command);
		int sent = tls != NULL ? SSL_write(tls, command, length)
				       : (int)write(fd, command, (size_t)length);
		if (sent != length)
			errx(1, "%s: cannot be sent", command);
	}
	for (char *last = NULL; last == NULL || last[3] != ' ' || reply[n - 1] != '\n';) {
		size_t room = sizeof(reply) - 1 - n;
		ssize_t got = tls != NULL ? SSL_read(tls, reply + n, (int)room)
					  : read(fd, reply + n, room);
		if (got <= 0)
			errx(1, "no answer to %s",
				command != NULL ? command : "the connection");
		n += (size_t)got;
		reply[n] = '\0';
		last = reply;
		for (char *p = reply; (p = strchr(p, '\n')) != NULL && p[1] != '\0'; p++)
			last = p + 1;
	}
	if (strncmp(reply, code, 3) != 0)
		errx(1, "%s: %s", command != NULL ? command : "connection", reply);
}

/* NULL: it is in clear. */
static SSL *
open_one(const char *to, const char *from, unsigned offset)
{
	int fd = connect_from(to, from, offset);
	expect(fd, NULL, NULL, "220");
	expect(fd, NULL, "EHLO idle.example\r\n", "250");
	if (context == NULL)
		return NULL;
	expect(fd, NULL, "STARTTLS\r\n", "220");
	SSL *tls = SSL_new(context);
	if (tls == NULL || SSL_set_fd(tls, fd) != 1 || SSL_connect(tls) != 1)
		errx(1, "TLS handshake");
	expect(fd, tls, "EHLO idle.example\r\n", "250");
	return tls;
}

int
main(int argc, char **argv)
{
	int first = argc > 1 && strcmp(argv[1], "-T") == 0 ? 2 : 1;
	if (argc - first != 4)
		errx(64, "usage: bench_idle [-T] ADDRESS FIRST-SOURCE SOURCES CONNECTIONS");
	if (first == 2 && (context = SSL_CTX_new(TLS_client_method())) == NULL)
		errx(1, "OpenSSL");
	unsigned long sources = strtoul(argv[first + 2], NULL, 10),
		      n = strtoul(argv[first + 3], NULL, 10);
	struct rlimit files = {n + 64, n + 64};
	if (sources == 0 || setrlimit(RLIMIT_NOFILE, &files) < 0)
		err(1, "%lu descriptors", n);
	held = mem_array(n + 1, sizeof(*held));
	for (unsigned long i = 0; i < n; i++)
		held[i] = open_one(argv[first], argv[first + 1], (unsigned)(i % sources));
	printf("%lu\n", n);
	fflush(stdout);
	char byte;
	return read(0, &byte, 1) == 0 ? 0 : 1;
}
