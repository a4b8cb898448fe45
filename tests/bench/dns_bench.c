/*
 * What a DNS question costs a process of ours: 10,000 distinct names, cold, of the types that a
 * mail asks for, ten at a time, against a name server of one process in a network namespace of
 * its own. Both ways are run in turn, five rounds each: the stub, and libunbound (DNS_SECURE).
 * Printed is the median CPU time, user and kernel, of the asking process alone.
 *
 * Every answer is compared with what was asked; one wrong answer fails the run.
 */
#include <err.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/dns.h"
#include "io/loop.h"

enum { NAMES = 10000, AT_ONCE = 10, ROUNDS = 5, PORT = 53, TEXT_BYTES = 200 };

static const enum dns_type types[] = {DNS_A, DNS_TXT, DNS_MX, DNS_PTR};

static struct {
	struct loop *loop;
	struct dns *dns;
	unsigned flags, asked, answered;
} w;

static void
enter_namespace(void)
{
	int flags = CLONE_NEWNET | (geteuid() != 0 ? CLONE_NEWUSER : 0);
	if (unshare(flags) < 0)
		err(77, "SKIPPED: no network namespace");
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		err(1, "loopback");
	close(fd);
}

static size_t
put_rr(uint8_t *p, unsigned type, const void *rdata, size_t bytes)
{
	const uint8_t head[] = {0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 14, 16,
		(uint8_t)(bytes >> 8), (uint8_t)bytes};
	memcpy(p, head, sizeof(head));
	memcpy(p + sizeof(head), rdata, bytes);
	return sizeof(head) + bytes;
}

/* The record says which name was asked: the digits of its first label come back. */
static size_t
put_answer(const uint8_t *question, unsigned type, uint8_t *p)
{
	uint8_t rdata[1 + TEXT_BYTES] = {TEXT_BYTES};
	const uint8_t *digits = question + 2; /* behind the length and "n" */
	unsigned n = 0;
	for (int i = 0; i < 5; i++)
		n = n * 10 + (unsigned)(digits[i] - '0');
	switch (type) {
	case DNS_A: {
		const uint8_t ip[] = {10, 0, (uint8_t)(n >> 8), (uint8_t)n};
		return put_rr(p, type, ip, sizeof(ip));
	}
	case DNS_TXT:
		memset(rdata + 1, ' ', TEXT_BYTES);
		memcpy(rdata + 1, digits, 5);
		return put_rr(p, type, rdata, sizeof(rdata));
	default: {
		size_t skip = type == DNS_MX ? 2 : 0;
		uint8_t name[2 + 8] = {0};
		name[skip] = 5;
		memcpy(name + skip + 1, digits, 5);
		return put_rr(p, type, name, skip + 7);
	}
	}
}

static void
serve(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		err(1, "name server");
	for (;;) {
		uint8_t p[1500];
		struct sockaddr_storage from;
		socklen_t bytes = sizeof(from);
		ssize_t n = recvfrom(fd, p, 512, 0, (struct sockaddr *)&from, &bytes);
		size_t end = 12;
		while (n > 0 && end < (size_t)n && p[end] != 0)
			end += 1 + (size_t)p[end];
		if (n < 0 || end + 5 > (size_t)n)
			continue;
		unsigned type = p[end + 2];
		end += 5;
		p[2] = 0x81;
		p[3] = 0x80;
		memset(p + 6, 0, 6);
		if (end > 30) { /* one of ours, not a question of libunbound's own */
			p[7] = 1;
			end += put_answer(p + 12, type, p + end);
		}
		sendto(fd, p, end, 0, (struct sockaddr *)&from, bytes);
	}
}

static void ask_next(void);

static bool
is_answer_for(const struct dns_answer *answer, unsigned i)
{
	char digits[6];
	snprintf(digits, sizeof(digits), "%05u", i);
	if (answer->status != DNS_OK || answer->n != 1)
		return false;
	const struct dns_rr *rr = &answer->rr[0];
	if (types[i % 4] == DNS_A)
		return (unsigned)(rr->ip.bytes[2] << 8 | rr->ip.bytes[3]) == i;
	return slice_starts(rr->text, slice_of(digits));
}

static void
on_answer(void *arg, const struct dns_answer *answer)
{
	unsigned i = (unsigned)(uintptr_t)arg;
	if (!is_answer_for(answer, i))
		errx(1, "question %u: wrong answer (%s)", i, dns_status_text(answer->status));
	if (++w.answered == NAMES)
		loop_stop(w.loop);
	else
		ask_next();
}

static void
ask_next(void)
{
	char name[60];
	if (w.asked == NAMES)
		return;
	unsigned i = w.asked++;
	snprintf(name, sizeof(name), "n%05u.mail.sender-%u.example", i, i % 977);
	dns_ask(w.dns, slice_of(name), types[i % 4], w.flags, 0, on_answer,
		(void *)(uintptr_t)i);
}

static double
cpu_us(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* One round in a process of its own, so that nothing is warm; microseconds a question. */
static double
run_round(unsigned flags, const char *anchor)
{
	int p[2];
	double us = 0;
	if (pipe(p) < 0)
		err(1, "pipe");
	pid_t pid = fork();
	if (pid == 0) {
		struct err e;
		struct dns_config config = {
			.n = 1, .servers = {{.port = PORT}}, .trust_file = anchor};
		ip_parse(SLICE("127.0.0.1"), &config.servers[0].ip);
		w.flags = flags;
		w.loop = loop_new(&e);
		w.dns = dns_open(w.loop, &config, &e);
		if (w.dns == NULL)
			errx(1, "%s", e.text);
		double began = cpu_us();
		for (int i = 0; i < AT_ONCE; i++)
			ask_next();
		if (loop_run(w.loop, &e) < 0)
			errx(1, "%s", e.text);
		us = (cpu_us() - began) / NAMES;
		_exit(write(p[1], &us, sizeof(us)) == (ssize_t)sizeof(us) ? 0 : 1);
	}
	close(p[1]);
	ssize_t n = read(p[0], &us, sizeof(us));
	close(p[0]);
	int status;
	if (pid < 0 || n != (ssize_t)sizeof(us) || waitpid(pid, &status, 0) != pid ||
		status != 0)
		errx(1, "a round failed");
	return us;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* An anchor for a name that is never asked: libunbound works as it would, and validates
 * nothing. */
static void
make_anchor(char *path)
{
	static const char text[] =
		"unused.invalid. IN DS 1 8 2 "
		"E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n";
	int fd = mkstemp(path);
	if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
		err(1, "%s", path);
	close(fd);
}

int
main(void)
{
	char anchor[] = "/tmp/dns_bench.XXXXXX";
	double stub[ROUNDS], unbound[ROUNDS];
	enter_namespace();
	make_anchor(anchor);
	pid_t server = fork();
	if (server == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve();
	}
	usleep(100000);
	for (int i = 0; i < ROUNDS; i++) {
		stub[i] = run_round(0, anchor);
		unbound[i] = run_round(DNS_SECURE, anchor);
	}
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	unlink(anchor);
	qsort(stub, ROUNDS, sizeof(stub[0]), compare);
	qsort(unbound, ROUNDS, sizeof(unbound[0]), compare);
	printf("dns stub\t%.1f us\tCPU of one cold question, UDP to a resolver (%.1f to "
	       "%.1f)\n",
		stub[ROUNDS / 2], stub[0], stub[ROUNDS - 1]);
	printf("dns libunbound\t%.1f us\tCPU of one cold question, libunbound in the process "
	       "(%.1f to %.1f)\n",
		unbound[ROUNDS / 2], unbound[0], unbound[ROUNDS - 1]);
	return 0;
}
