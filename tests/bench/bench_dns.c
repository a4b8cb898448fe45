/*
 * A name server that is always as slow: every question for TXT is answered with the same record
 * after so many milliseconds, any other at once with nothing. However many questions wait, it
 * adds no time of its own that would be measured as the gateway's.
 *
 *	bench_dns ADDRESS MILLISECONDS TEXT
 */
#include <arpa/inet.h>
#include <err.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { PORT = 53, WAITING_MOST = 65536, QUESTION_MOST = 300, HEAD = 12, TYPE_TXT = 16 };
enum { ANSWER_MOST = 600, TEXT_MOST = 255, TTL_S = 60 };

struct waiting {
	struct sockaddr_in from;
	double due_s;
	size_t n;
	unsigned char question[QUESTION_MOST];
};

static struct waiting queue[WAITING_MOST];
static size_t first, count;
static const char *text;
static double delay_s;
static int fd;

static double
now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Where the one question ends; 0: it is none. */
static size_t
question_end(const unsigned char *p, size_t n)
{
	size_t at = HEAD;
	while (at < n && p[at] != 0 && p[at] < 64)
		at += p[at] + 1u;
	return at + 5 <= n && p[at] == 0 ? at + 5 : 0;
}

static void
answer(const struct waiting *w)
{
	unsigned char out[ANSWER_MOST];
	size_t end = question_end(w->question, w->n), bytes = strlen(text);
	bool is_txt = w->question[end - 3] == TYPE_TXT;
	memcpy(out, w->question, end);
	out[2] = 0x81; /* an answer, recursion desired; and available */
	out[3] = 0x80;
	memset(out + 4, 0, 8);
	out[5] = 1;
	out[7] = is_txt;
	if (is_txt) {
		const unsigned char head[] = {0xc0, HEAD, 0, TYPE_TXT, 0, 1, 0, 0, 0, TTL_S, 0,
			(unsigned char)(bytes + 1), (unsigned char)bytes};
		memcpy(out + end, head, sizeof(head));
		end += sizeof(head);
		memcpy(out + end, text, bytes);
		end += bytes;
	}
	/* What is lost is asked again, as in life. */
	(void)sendto(fd, out, end, 0, (const struct sockaddr *)&w->from, sizeof(w->from));
}

static void
take(void)
{
	struct waiting *w = &queue[(first + count) % WAITING_MOST];
	socklen_t length = sizeof(w->from);
	ssize_t n = recvfrom(fd, w->question, sizeof(w->question), MSG_DONTWAIT,
		(struct sockaddr *)&w->from, &length);
	if (n < HEAD)
		return;
	w->n = (size_t)n;
	size_t end = question_end(w->question, w->n);
	if (end == 0)
		return;
	w->due_s = now_s() + delay_s;
	if (w->question[end - 3] != TYPE_TXT)
		answer(w);
	else if (count < WAITING_MOST - 1)
		count++;
}

int
main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	if (argc != 4 || inet_pton(AF_INET, argv[1], &at.sin_addr) != 1 ||
		strlen(argv[3]) > TEXT_MOST - 1)
		errx(64, "usage: bench_dns ADDRESS MILLISECONDS TEXT");
	delay_s = strtod(argv[2], NULL) / 1e3;
	text = argv[3];
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		err(1, "%s", argv[1]);
	for (;;) {
		double left_s = count != 0 ? queue[first].due_s - now_s() : 60;
		struct pollfd p = {.fd = fd, .events = POLLIN};
		if (left_s > 0 && poll(&p, 1, (int)(left_s * 1e3) + 1) > 0)
			take();
		for (; count != 0 && queue[first].due_s <= now_s(); count--) {
			answer(&queue[first]);
			first = (first + 1) % WAITING_MOST;
		}
	}
}
