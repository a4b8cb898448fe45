/* The resolver against a scripted server on loopback: right, wrong, cut, slow, dead. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/dns.h"
#include "io/listen.h"
#include "io/stream.h"

enum act {
	ANSWER, /* 192.0.2.<last octet of the port's server> */
	SILENT,
	SERVFAIL,
	WRONG_ID,   /* a wrong id first, then the right answer */
	WRONG_NAME, /* another question first, then the right answer */
	LOWER_CASE, /* does not keep the case */
	CUT,        /* TC over UDP, the answer over TCP */
	CUT_DEAD,   /* TC over UDP, TCP closes */
	NXDOMAIN_ACT,
	GARBAGE,
};

/* A name server with one habit. */
struct server {
	enum act act;
	int udp, tcp, asked, asked_tcp;
	uint8_t last_octet;
	struct loop_watch *watch;
	struct listener *listener;
	struct stream *stream;
	struct dns_server at;
};

static struct {
	struct loop *loop;
	struct dns *dns;
	struct server server[2];
	struct loop_timer stop;
	bool late;
	int answers, wanted;
	enum dns_status status;
	struct ip ip;
	size_t n;
	uint32_t ttl;
	bool secure;
} w;

static size_t
make_answer(struct server *s, const uint8_t *q, size_t n, uint8_t *out, bool tcp)
{
	size_t end = 12;
	while (end < n && q[end] != 0)
		end += 1 + (size_t)q[end];
	end += 5;
	assert_true(end <= n);
	memcpy(out, q, end);
	out[2] = 0x81;
	out[3] = 0xa0; /* RA, AD */
	memset(out + 6, 0, 6);
	if (s->act == SERVFAIL)
		out[3] = 0x82;
	if (s->act == NXDOMAIN_ACT)
		out[3] = 0x83;
	if (s->act == LOWER_CASE)
		for (size_t i = 12; i < end - 4; i++)
			out[i] = (uint8_t)ascii_lower((char)out[i]);
	if ((s->act == CUT || s->act == CUT_DEAD) && !tcp)
		out[2] |= 0x02;
	if (s->act == SERVFAIL || s->act == NXDOMAIN_ACT || (out[2] & 0x02) != 0)
		return end;
	static const uint8_t rr[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2};
	out[7] = 1;
	memcpy(out + end, rr, sizeof(rr));
	out[end + sizeof(rr)] = s->last_octet;
	return end + sizeof(rr) + 1;
}

static void
server_on_udp(void *arg, unsigned ready)
{
	struct server *s = arg;
	uint8_t in[600], out[700];
	struct sockaddr_storage from;
	socklen_t bytes = sizeof(from);
	(void)ready;
	ssize_t n = recvfrom(s->udp, in, sizeof(in), 0, (struct sockaddr *)&from, &bytes);
	assert_true(n > 12);
	s->asked++;
	if (s->act == SILENT)
		return;
	size_t an = make_answer(s, in, (size_t)n, out, false);
	if (s->act == WRONG_ID || s->act == WRONG_NAME) {
		size_t at = s->act == WRONG_ID ? 0 : 13;
		out[at] ^= 1;
		sendto(s->udp, out, an, 0, (struct sockaddr *)&from, bytes);
		out[at] ^= 1;
	}
	if (s->act == GARBAGE)
		an = 13;
	sendto(s->udp, out, an, 0, (struct sockaddr *)&from, bytes);
}

static size_t
server_on_tcp(void *arg, struct slice in)
{
	struct server *s = arg;
	uint8_t out[700];
	s->asked_tcp++;
	if (in.n < 14)
		return 0;
	if (s->act == CUT_DEAD) {
		stream_free(&s->stream);
		return in.n;
	}
	size_t n = make_answer(s, (const uint8_t *)in.p + 2, in.n - 2, out + 2, true);
	out[0] = 0;
	out[1] = (uint8_t)n;
	/* In two pieces: the length is split from what follows. */
	stream_write(s->stream, (struct slice){(const char *)out, 1});
	stream_write(s->stream, (struct slice){(const char *)out + 1, n + 1});
	stream_finish(&s->stream, 100);
	return in.n;
}

static void
server_on_end(void *arg)
{
	stream_free(&((struct server *)arg)->stream);
}

static void
server_on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)why;
	(void)err;
	stream_free(&((struct server *)arg)->stream);
}

static void
server_on_accept(void *arg, int fd, const struct stream_addr *peer)
{
	static const struct stream_calls calls = {
		.on_bytes = server_on_tcp, .on_end = server_on_end, .on_lost = server_on_lost};
	struct server *s = arg;
	(void)peer;
	stream_free(&s->stream);
	s->stream = stream_new(w.loop, fd, 4096, &calls, s);
}

static void
server_on_error(void *arg, const struct err *err)
{
	(void)arg;
	fail_msg("%s", err->text);
}

static void
server_open(struct server *s, enum act act, uint8_t octet)
{
	static const struct listen_calls calls = {server_on_accept, server_on_error};
	struct stream_addr a = {0};
	struct sockaddr_in in;
	socklen_t n = sizeof(in);
	struct err err;
	s->act = act;
	s->last_octet = octet;
	assert_true(ip_parse(SLICE("127.0.0.1"), &a.ip));
	s->tcp = listen_open(&a, 8, 0, &err);
	assert_true(s->tcp >= 0);
	assert_int_equal(getsockname(s->tcp, (struct sockaddr *)&in, &n), 0);
	s->udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s->udp, (struct sockaddr *)&in, n), 0);
	s->at = (struct dns_server){a.ip, ntohs(in.sin_port)};
	s->watch = loop_watch_new(w.loop, s->udp, server_on_udp, s);
	loop_watch_set(s->watch, LOOP_READ);
	s->listener = listener_new(w.loop, s->tcp, &calls, s);
}

static void
server_close(struct server *s)
{
	if (s->watch == NULL)
		return;
	loop_watch_free(&s->watch);
	listener_free(&s->listener);
	stream_free(&s->stream);
	close(s->udp);
	close(s->tcp);
}

static void
on_late(void *arg)
{
	(void)arg;
	w.late = true;
	loop_stop(w.loop);
}

static void
open_world(enum act first, int second)
{
	struct err err;
	struct dns_config config = {.n = second >= 0 ? 2 : 1};
	memset(&w, 0, sizeof(w));
	w.loop = loop_new(&err);
	loop_timer_init(&w.stop, w.loop, on_late, NULL);
	server_open(&w.server[0], first, 1);
	config.servers[0] = w.server[0].at;
	if (second >= 0) {
		server_open(&w.server[1], (enum act)second, 2);
		config.servers[1] = w.server[1].at;
	}
	w.dns = dns_open(w.loop, &config, &err);
	assert_non_null(w.dns);
}

static void
close_world(void)
{
	dns_close(&w.dns);
	server_close(&w.server[0]);
	server_close(&w.server[1]);
	loop_free(&w.loop);
}

static void
on_answer(void *arg, const struct dns_answer *answer)
{
	(void)arg;
	w.status = answer->status;
	w.n = answer->n;
	w.ttl = answer->ttl;
	w.secure = answer->secure;
	w.ip = answer->n != 0 ? answer->rr[0].ip : (struct ip){0};
	if (++w.answers == w.wanted)
		loop_stop(w.loop);
}

static void
run(uint64_t most_ms)
{
	struct err err;
	w.late = false;
	loop_timer_set(&w.stop, most_ms);
	assert_int_equal(loop_run(w.loop, &err), 0);
	loop_timer_clear(&w.stop);
}

static void
ask(const char *name, unsigned flags, uint32_t timeout_ms)
{
	w.wanted = w.answers + 1;
	struct dns_query *q =
		dns_ask(w.dns, slice_of(name), DNS_A, flags, timeout_ms, on_answer, NULL);
	assert_non_null(q);
	assert_int_equal(w.answers, w.wanted - 1); /* never from inside dns_ask */
	run(5000);
	assert_false(w.late);
}

static struct dns_counts
counts(void)
{
	struct dns_counts c;
	dns_counts(w.dns, &c);
	return c;
}

static void
an_answer_comes_and_is_kept(void **state)
{
	(void)state;
	open_world(ANSWER, -1);
	ask("Mail.Example", 0, 1000);
	assert_int_equal(w.status, DNS_OK);
	assert_int_equal(w.ip.bytes[3], 1);
	assert_int_equal(w.ttl, 60);
	assert_true(w.secure); /* AD from loopback */
	ask("mail.example.", 0, 1000);
	assert_int_equal(w.status, DNS_OK);
	assert_int_equal(w.server[0].asked, 1);
	assert_int_equal(counts().cached, 1);
	close_world();
}

static void
what_was_not_asked_is_thrown_away(void **state)
{
	static const enum act acts[] = {WRONG_ID, WRONG_NAME};
	(void)state;
	for (size_t i = 0; i < 2; i++) {
		open_world(acts[i], -1);
		ask("mail.example", 0, 1000);
		assert_int_equal(w.status, DNS_OK);
		assert_int_equal(w.server[0].asked, 1);
		assert_int_equal(counts().wrong, 1);
		close_world();
	}
}

static void
a_server_that_loses_the_case_is_still_heard(void **state)
{
	(void)state;
	open_world(LOWER_CASE, -1);
	ask("a-name-long-enough-that-chance-does-not-help.example", 0, 4000);
	assert_int_equal(w.status, DNS_OK);
	assert_int_equal(w.server[0].asked, 2);
	close_world();
}

static void
cut_answers_are_fetched_by_tcp(void **state)
{
	(void)state;
	open_world(CUT, -1);
	ask("mail.example", 0, 1000);
	assert_int_equal(w.status, DNS_OK);
	assert_true(w.server[0].asked_tcp > 0);
	assert_int_equal(counts().tcp, 1);
	close_world();
}

static void
a_silent_server_gives_way_to_the_next(void **state)
{
	(void)state;
	open_world(SILENT, ANSWER);
	ask("mail.example", 0, 4000);
	assert_int_equal(w.status, DNS_OK);
	assert_int_equal(w.ip.bytes[3], 2);
	for (int i = 0; i < 4; i++) {
		char name[40];
		snprintf(name, sizeof(name), "n%d.example", i);
		ask(name, 0, 4000);
		assert_int_equal(w.status, DNS_OK);
	}
	/* After three losses it is passed over. */
	assert_int_equal(w.server[0].asked, 3);
	close_world();
}

static void
failures_end_in_time(void **state)
{
	static const struct {
		enum act first;
		int second;
		const char *name;
		uint32_t timeout_ms;
		enum dns_status status;
	} rows[] = {
		{SILENT, -1, "a.example", 100, DNS_FAIL},
		{SERVFAIL, -1, "a.example", 1000, DNS_FAIL},
		{SERVFAIL, ANSWER, "a.example", 1000, DNS_OK},
		{CUT_DEAD, -1, "a.example", 300, DNS_FAIL},
		{GARBAGE, -1, "a.example", 100, DNS_FAIL},
		{NXDOMAIN_ACT, -1, "a.example", 1000, DNS_NXDOMAIN},
		{ANSWER, -1, "", 1000, DNS_NXDOMAIN},
		{ANSWER, -1, "a..b", 1000, DNS_NXDOMAIN},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		open_world(rows[i].first, rows[i].second);
		ask(rows[i].name, 0, rows[i].timeout_ms);
		if (w.status != rows[i].status)
			fail_msg("row %zu: %s", i, dns_status_text(w.status));
		close_world();
	}
}

static void
nobody_there_is_noticed_at_once(void **state)
{
	(void)state;
	open_world(ANSWER, ANSWER);
	/* The kernel answers for the closed port by ICMP. */
	loop_watch_free(&w.server[0].watch);
	close(w.server[0].udp);
	w.server[0].udp = -1;
	ask("mail.example", 0, 700);
	assert_int_equal(w.status, DNS_OK);
	assert_int_equal(w.ip.bytes[3], 2);
	listener_free(&w.server[0].listener);
	close(w.server[0].tcp);
	close_world();
}

static void
cancelled_questions_say_nothing(void **state)
{
	/* longer than any turn of the loop on a busy machine: a question that is over is no
	 * longer the asker's to cancel */
	enum { LIFE_MS = 2000 };
	struct dns_query *q[3];
	(void)state;
	open_world(SILENT, -1);
	for (int i = 0; i < 3; i++)
		q[i] = dns_ask(w.dns, SLICE("mail.example"), DNS_A, i == 2 ? DNS_SECURE : 0,
			LIFE_MS, on_answer, NULL);
	dns_cancel(&q[0]); /* before it was sent */
	run(10);
	dns_cancel(&q[1]);
	dns_cancel(&q[2]);
	dns_cancel(&q[2]);
	run(LIFE_MS + 100); /* past the time at which they would have failed */
	assert_int_equal(w.answers, 0);
	dns_ask(w.dns, SLICE("mail.example"), DNS_A, 0, 5000, on_answer, NULL);
	run(10);
	close_world(); /* one in flight */
	assert_int_equal(w.answers, 0);
}

/* libunbound gives no callback for a dead server; the time is ours. */
static void
secure_questions_have_a_deadline(void **state)
{
	(void)state;
	open_world(SILENT, -1);
	ask("_25._tcp.mail.example", DNS_SECURE, 200);
	assert_int_equal(w.status, DNS_FAIL);
	assert_int_equal(counts().validated, 1);
	assert_true(w.server[0].asked > 0);
	close_world();
}

static void
the_cache_forgets_the_oldest(void **state)
{
	struct err err;
	(void)state;
	open_world(ANSWER, -1);
	struct dns_config config = {
		.servers = {w.server[0].at}, .n = 1, .cache_max = 2, .insecure = true};
	dns_close(&w.dns);
	w.dns = dns_open(w.loop, &config, &err);
	ask("a.example", 0, 1000);
	assert_false(w.secure); /* `insecure` is told so */
	ask("b.example", 0, 1000);
	ask("a.example", 0, 1000); /* used again */
	ask("c.example", 0, 1000); /* b goes */
	assert_int_equal(w.server[0].asked, 3);
	ask("a.example", 0, 1000);
	assert_int_equal(w.server[0].asked, 3);
	ask("b.example", 0, 1000);
	assert_int_equal(w.server[0].asked, 4);
	close_world();
}

/* As ldns-keygen and BIND write them: tabs, and a comment behind. */
static void
anchors_may_have_tabs(void **state)
{
	static const char *const texts[] = {
		".\tIN\tDNSKEY\t257 3 13 GR33U7RT ;{id = 1586 (ksk), size = 256b}\n",
		"; comment\n. 3600 IN ds 20326 8 2 00\n"};
	struct err err;
	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		char path[] = "/tmp/io_dns_test.XXXXXX";
		open_world(ANSWER, -1);
		int fd = mkstemp(path);
		assert_true(fd >= 0 && write(fd, texts[i], strlen(texts[i])) > 0);
		close(fd);
		struct dns_config config = {
			.servers = {w.server[0].at}, .n = 1, .trust_file = path};
		struct dns *d = dns_open(w.loop, &config, &err);
		assert_non_null(d);
		dns_close(&d);
		unlink(path);
		close_world();
	}
}

static void
anchors_must_be_anchors(void **state)
{
	char path[] = "/tmp/io_dns_test.XXXXXX";
	struct err err;
	(void)state;
	open_world(ANSWER, -1);
	int fd = mkstemp(path);
	assert_true(fd >= 0 && write(fd, "hello\n", 6) == 6);
	close(fd);
	struct dns_config config = {.servers = {w.server[0].at}, .n = 1, .trust_file = path};
	assert_null(dns_open(w.loop, &config, &err));
	assert_non_null(strstr(err.text, path));
	unlink(path);
	assert_null(dns_open(w.loop, &config, &err));
	assert_int_equal(err.code, ENOENT);
	close_world();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_comes_and_is_kept),
		cmocka_unit_test(what_was_not_asked_is_thrown_away),
		cmocka_unit_test(a_server_that_loses_the_case_is_still_heard),
		cmocka_unit_test(cut_answers_are_fetched_by_tcp),
		cmocka_unit_test(a_silent_server_gives_way_to_the_next),
		cmocka_unit_test(failures_end_in_time),
		cmocka_unit_test(nobody_there_is_noticed_at_once),
		cmocka_unit_test(cancelled_questions_say_nothing),
		cmocka_unit_test(secure_questions_have_a_deadline),
		cmocka_unit_test(the_cache_forgets_the_oldest),
		cmocka_unit_test(anchors_must_be_anchors),
		cmocka_unit_test(anchors_may_have_tabs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
