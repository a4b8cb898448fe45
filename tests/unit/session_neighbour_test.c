/*
 * Mails shown to scanners of this test's own, over loopback: every byte of the mail and none of
 * another; one server after the other; refused, silent, dead in the middle, endless; so many at
 * once and no more; askers that go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/must.h"
#include "conf_text.h"
#include "io/listen.h"
#include "io/stream.h"
#include "session/neighbour.h"

enum {
	TIMEOUT_MS = 1000, /* the least that may be configured */
	ASKS_MOST = 64,
	MAIL_MOST = 4 * 1024 * 1024,
	REPLY_MOST = 8 * 1024 * 1024,
	ENDLESS_BYTES = 5 * 1024 * 1024,
};

/* --- a scanner */

enum mode { MODE_ANSWERS, MODE_SILENT, MODE_DEAF, MODE_DIES, MODE_ENDLESS, MODE_EARLY };

struct scanner {
	enum mode mode;
	bool spamd;
	int fd;
	uint16_t port;
	struct listener *listener;
	unsigned open, most_open, accepted, late_ms;
	char last[MAIL_MOST]; /* the last whole request */
	size_t last_bytes;
};

struct visit {
	struct scanner *scanner;
	struct stream *stream;
	struct buf request;
	struct loop_timer timer;
	bool answered;
};

static struct loop *loop;
static struct scanner one, two;

static void
visit_end(struct visit *v, bool finish)
{
	loop_timer_clear(&v->timer);
	v->scanner->open--;
	if (finish)
		stream_finish(&v->stream, 100);
	stream_free(&v->stream);
	buf_fini(&v->request);
	mem_free(v);
}

/* The score of a mail stands in it, behind "score=". */
static void
visit_answer(struct visit *v)
{
	char text[400], body[200], score[16] = "0";
	struct slice request = buf_slice(&v->request);
	struct slice at = slice_from(request, slice_find_slice(request, SLICE("score=")) + 6);
	snprintf(
		score, sizeof(score), "%.*s", SLICE_ARG(slice_first(at, slice_find(at, '\r'))));
	snprintf(body, sizeof(body),
		"{\"score\":%s,\"required_score\":15,\"action\":\"add header\"}", score);
	if (v->scanner->spamd)
		snprintf(text, sizeof(text),
			"SPAMD/1.1 0 EX_OK\r\nSpam: True ; %s / 5.0\r\n\r\n", score);
	else
		snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			strlen(body), body);
	must(stream_write(v->stream, slice_of(text)) == 0);
	visit_end(v, true);
}

/* Whole: its head, and behind it as many bytes as the head says. */
static bool
is_whole(const struct visit *v)
{
	struct slice request = buf_slice(&v->request), length;
	size_t head = slice_find_slice(request, SLICE("\r\n\r\n")) + 4;
	size_t at = slice_find_slice(request, SLICE("ontent-"));
	uint64_t bytes;
	if (head > request.n)
		return false;
	length = slice_from(request, at + strlen("ontent-length: "));
	must(slice_u64(slice_first(length, slice_find(length, '\r')), &bytes));
	must(request.n - head <= bytes); /* never more than was said */
	return request.n - head == bytes;
}

static void
on_visit_time(void *arg)
{
	struct visit *v = arg;
	if (v->scanner->mode == MODE_DEAF)
		stream_resume(v->stream); /* sees that its peer is gone */
	else
		visit_answer(v);
}

static size_t
on_visit_bytes(void *arg, struct slice in)
{
	struct visit *v = arg;
	struct scanner *s = v->scanner;
	must(buf_add(&v->request, in) == 0);
	if (s->mode == MODE_DIES) {
		must(stream_write(v->stream, SLICE("HTTP/1.1 200 OK\r\n\r\n{\"score\":1")) ==
			0);
		visit_end(v, true);
	} else if (s->mode == MODE_EARLY) {
		must(stream_write(v->stream, SLICE("HTTP/1.1 413 Too large\r\n\r\n")) == 0);
		visit_end(v, true);
	} else if (s->mode == MODE_ENDLESS && !v->answered) {
		v->answered = true;
		char *much = malloc(ENDLESS_BYTES);
		must(much != NULL);
		memset(much, 'x', ENDLESS_BYTES);
		must(stream_write(v->stream, SLICE("HTTP/1.1 200 OK\r\n\r\n{\"a\":\"")) == 0);
		must(stream_write(v->stream, (struct slice){much, ENDLESS_BYTES}) == 0);
		free(much);
	} else if (s->mode == MODE_ANSWERS && is_whole(v)) {
		struct slice request = buf_slice(&v->request);
		memcpy(s->last, request.p, request.n);
		s->last_bytes = request.n;
		loop_timer_set(&v->timer, s->late_ms);
	}
	return in.n;
}

static void
on_visit_end(void *arg)
{
	visit_end(arg, false);
}

static void
on_visit_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)why;
	(void)err;
	visit_end(arg, false);
}

static const struct stream_calls visit_calls = {
	.on_bytes = on_visit_bytes, .on_end = on_visit_end, .on_lost = on_visit_lost};

static void
on_accept(void *arg, int fd, const struct stream_addr *peer)
{
	struct scanner *s = arg;
	struct visit *v = MEM_NEW(struct visit);
	(void)peer;
	v->scanner = s;
	s->accepted++;
	s->open++;
	s->most_open = s->open > s->most_open ? s->open : s->most_open;
	buf_init(&v->request, MAIL_MOST);
	loop_timer_init(&v->timer, loop, on_visit_time, v);
	v->stream = stream_new(loop, fd, REPLY_MOST, &visit_calls, v);
	if (s->mode == MODE_DEAF) {
		stream_pause(v->stream);
		loop_timer_set(&v->timer, TIMEOUT_MS + 100);
	}
}

static void
on_accept_error(void *arg, const struct err *err)
{
	(void)arg;
	fail_msg("%s", err->text);
}

/* port 0: any. */
static void
scanner_open(struct scanner *s, uint16_t port)
{
	static const struct listen_calls calls = {on_accept, on_accept_error};
	struct stream_addr at = {.port = port};
	struct sockaddr_in bound;
	socklen_t n = sizeof(bound);
	struct err err;
	*s = (struct scanner){.mode = MODE_ANSWERS};
	must(ip_parse(SLICE("127.0.0.1"), &at.ip));
	s->fd = listen_open(&at, 50, 0, &err);
	if (s->fd < 0)
		fail_msg("%s", err.text);
	must(getsockname(s->fd, (struct sockaddr *)&bound, &n) == 0);
	s->port = ntohs(bound.sin_port);
	s->listener = listener_new(loop, s->fd, &calls, s);
}

static void
scanner_close(struct scanner *s)
{
	listener_free(&s->listener);
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* --- asks */

struct asked {
	unsigned answers;
	bool failed;
	double score;
	char why[256], action[64];
	struct spill *mail;
	struct neighbour_ask *ask;
};

static struct conf *conf;
static struct neighbours *neighbours;
static struct asked asks[ASKS_MOST];
static size_t n_open;
static bool settling;
static struct loop_timer late;
static char folder[] = "/tmp/neighbour-test-XXXXXX";
static int folder_fd = -1;

static void
on_answer(void *arg, const struct neighbour_verdict *v)
{
	struct asked *a = arg;
	a->ask = NULL;
	a->answers++;
	if (--n_open == 0 && settling)
		loop_stop(loop);
	a->failed = v->failed;
	a->score = v->score;
	snprintf(a->why, sizeof(a->why), "%.*s", SLICE_ARG(v->why));
	snprintf(a->action, sizeof(a->action), "%.*s", SLICE_ARG(v->action));
}

static void
ask_mail(size_t i, enum neighbour which, const char *envelope, struct slice mail)
{
	struct err err;
	struct asked *a = &asks[i];
	must(a->mail == NULL);
	a->mail = spill_new(folder_fd);
	must(spill_add(a->mail, mail, &err) == 0);
	n_open++;
	a->ask = neighbours_ask(neighbours, which, slice_of(envelope), a->mail, on_answer, a);
	assert_int_equal(a->answers, 0); /* never from inside */
}

static void
ask(size_t i, const char *mail)
{
	ask_mail(i, NEIGHBOUR_RSPAMD, "From: <a@example.com>\r\n", slice_of(mail));
}

static void
on_late(void *arg)
{
	loop_stop(arg);
}

static void
run_for(uint32_t ms)
{
	struct err err;
	loop_timer_set(&late, ms);
	must(loop_run(loop, &err) == 0);
}

/* Until all that was asked is answered. */
static void
settle(void)
{
	settling = true;
	if (n_open != 0)
		run_for(20000);
	settling = false;
	assert_int_equal(n_open, 0);
}

static void
expect_score(size_t i, double score)
{
	const struct asked *a = &asks[i];
	if (a->answers != 1 || a->failed || a->score != score)
		fail_msg("ask %zu: %u answers, failed %d, score %g, %s", i, a->answers,
			a->failed, a->score, a->why);
}

static void
expect_failed(size_t i, const char *why)
{
	const struct asked *a = &asks[i];
	if (a->answers != 1 || !a->failed || strstr(a->why, why) == NULL)
		fail_msg(
			"ask %zu: %u answers, failed %d, %s", i, a->answers, a->failed, a->why);
}

/* A mail is over; nothing of it may be looked at any more. */
static void
forget(size_t i)
{
	n_open -= asks[i].ask != NULL;
	neighbours_cancel(&asks[i].ask);
	spill_free(&asks[i].mail);
	asks[i] = (struct asked){0};
}

/* settings: of both filters, with %u for the port of each server. */
static void
open_all(const char *settings)
{
	char text[2000], own[1000];
	struct err err;
	loop = loop_new(&err);
	must(loop != NULL);
	loop_timer_init(&late, loop, on_late, loop);
	scanner_open(&one, 0);
	scanner_open(&two, 0);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(own, sizeof(own), settings, one.port, two.port);
#pragma GCC diagnostic pop
	snprintf(text, sizeof(text),
		"hostname \"mx.example.com\"\nlisten inbound on \"127.0.0.1:25\"\n"
		"domain \"example.com\" deliver to \"127.0.0.1:26\"\ninbound { accept }\n%s\n",
		own);
	conf = conf_text(text);
	neighbours = neighbours_new(loop, conf, false);
}

static void
close_all(void)
{
	for (size_t i = 0; i < ASKS_MOST; i++)
		forget(i);
	neighbours_free(&neighbours);
	assert_null(neighbours);
	scanner_close(&one);
	scanner_close(&two);
	run_for(250); /* the scanners see that their peers are gone */
	assert_int_equal(one.open + two.open, 0);
	conf_free(&conf);
	loop_timer_clear(&late);
	loop_free(&loop);
}

#define SERVER_ONE "filter rspamd { server \"127.0.0.1:%u\" timeout 20s }"
#define SERVER_TWO "filter rspamd { server \"127.0.0.1:%u\" then \"127.0.0.1:%u\" timeout 20s }"

static void
the_mail_as_it_came(void **state)
{
	(void)state;
	open_all(SERVER_ONE);
	ask(0, "Subject: score=7.25\r\n\r\n.\r\n..dots\r\n");
	settle();
	expect_score(0, 7.25);
	assert_string_equal(asks[0].action, "add header");
	static const char want[] = "POST /checkv2 HTTP/1.0\r\nContent-Length: 34\r\n"
				   "From: <a@example.com>\r\n\r\n"
				   "Subject: score=7.25\r\n\r\n.\r\n..dots\r\n";
	assert_int_equal(one.last_bytes, sizeof(want) - 1);
	assert_memory_equal(one.last, want, sizeof(want) - 1);
	close_all();
}

/* Out of its file, in pieces, to a scanner that does not read for a while. */
static void
a_mail_in_a_file(void **state)
{
	static char mail[3 * 1024 * 1024 + 17];
	(void)state;
	open_all(SERVER_ONE);
	for (size_t i = 0; i < sizeof(mail); i++)
		mail[i] = (char)(i * 2654435761u >> 13);
	memcpy(mail, "score=3\r", 8);
	ask_mail(0, NEIGHBOUR_RSPAMD, "", (struct slice){mail, sizeof(mail)});
	settle();
	expect_score(0, 3);
	assert_true(one.last_bytes > sizeof(mail));
	assert_memory_equal(one.last + one.last_bytes - sizeof(mail), mail, sizeof(mail));
	close_all();
	open_all("filter rspamd { server \"127.0.0.1:%u\" timeout 1s }");
	one.mode = MODE_DEAF;
	ask_mail(1, NEIGHBOUR_RSPAMD, "", (struct slice){mail, sizeof(mail)});
	settle();
	expect_failed(1, "it did not answer in time");
	close_all();
}

static void
spamd_is_asked_so(void **state)
{
	(void)state;
	open_all("filter spamassassin { server \"127.0.0.1:%u\" timeout 20s }");
	one.spamd = true;
	ask_mail(0, NEIGHBOUR_SPAMD, "Return-Path: <>\r\n",
		SLICE("Subject: score=-1.5\r\n\r\n"));
	ask(1, "of Rspamd there is none");
	settle();
	expect_score(0, -1.5);
	assert_string_equal(asks[0].action, "");
	expect_failed(1, "no server is named");
	static const char want[] = "CHECK SPAMC/1.5\r\nContent-length: 40\r\n\r\n"
				   "Return-Path: <>\r\nSubject: score=-1.5\r\n\r\n";
	assert_int_equal(one.last_bytes, sizeof(want) - 1);
	assert_memory_equal(one.last, want, sizeof(want) - 1);
	close_all();
}

static void
refused_and_passed_over(void **state)
{
	(void)state;
	open_all(SERVER_TWO);
	uint16_t port = one.port;
	scanner_close(&one);
	ask(0, "score=1\r");
	settle();
	expect_score(0, 1);
	scanner_open(&one, port); /* it is there again, and it is too early to look */
	ask(1, "score=2\r");
	settle();
	expect_score(1, 2);
	assert_int_equal(one.accepted, 0);
	scanner_close(&two); /* now it is the one that is left */
	ask(2, "score=3\r");
	settle();
	expect_score(2, 3);
	assert_int_equal(one.accepted, 1);
	ask(3, "score=4\r"); /* and answers: it is up */
	settle();
	expect_score(3, 4);
	scanner_close(&one);
	ask(4, "score=5\r");
	settle();
	expect_failed(4, "refused");
	close_all();
}

/* A server that is silent has its share of the time, and no more than one mail waits for it. */
static void
silent_and_passed_over(void **state)
{
	(void)state;
	open_all("filter rspamd { server \"127.0.0.1:%u\" then \"127.0.0.1:%u\" timeout 3s }");
	one.mode = MODE_SILENT;
	ask(0, "score=1\r");
	uint64_t before = loop_now(loop);
	settle();
	expect_score(0, 1);
	assert_true(loop_now(loop) - before >= 1450);
	ask(1, "score=2\r");
	settle();
	expect_score(1, 2);
	assert_int_equal(one.accepted, 1);
	two.mode = MODE_SILENT;
	ask(2, "score=3\r");
	settle();
	expect_failed(2, "it did not answer in time");
	close_all();
}

/* What a mail may have done to a scanner keeps no other mail from it. */
static void
dead_in_the_middle(void **state)
{
	static const struct {
		enum mode mode;
		const char *why;
	} ways[] = {{MODE_DIES, "its answer cannot be read: it ends in the middle"},
		{MODE_EARLY, "it answered HTTP/1.1 413 Too large"},
		{MODE_ENDLESS, "its answer is too long"}};
	(void)state;
	open_all(SERVER_TWO);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		one.mode = two.mode = ways[i].mode;
		ask(0, "score=1\r");
		settle();
		expect_failed(0, ways[i].why);
		forget(0);
		two.mode = MODE_ANSWERS;
		ask(0, "score=2\r");
		settle();
		expect_score(0, 2);
		forget(0);
		one.mode = MODE_ANSWERS;
		unsigned before = one.accepted;
		ask(0, "score=3\r");
		settle();
		expect_score(0, 3);
		assert_int_equal(one.accepted, before + 1);
		forget(0);
	}
	close_all();
}

/* Each has its own score, whatever the order, and the scanner never more than it may have. */
static void
many_at_once(void **state)
{
	char mail[100];
	(void)state;
	open_all("filter rspamd { server \"127.0.0.1:%u\" timeout 1m connections 3 }");
	one.late_ms = 5;
	for (size_t i = 0; i < ASKS_MOST; i++) {
		snprintf(mail, sizeof(mail), "Subject: score=%zu\r\n\r\nmail %zu\r\n", i, i);
		ask(i, mail);
	}
	settle();
	for (size_t i = 0; i < ASKS_MOST; i++)
		expect_score(i, (double)i);
	assert_int_equal(one.most_open, 3);
	assert_int_equal(one.accepted, ASKS_MOST);
	close_all();
}

/* Who waits for its turn has the same time as who is asked. */
static void
too_many_wait(void **state)
{
	(void)state;
	open_all("filter rspamd { server \"127.0.0.1:%u\" timeout 1s connections 1 }");
	one.mode = MODE_SILENT;
	ask(0, "score=0\r");
	run_for(500);
	for (size_t i = 1; i < 5; i++)
		ask(i, "score=1\r");
	settle();
	expect_failed(0, "it did not answer in time");
	for (size_t i = 1; i < 5; i++)
		assert_int_equal(asks[i].answers, 1);
	expect_failed(4, "too many mails wait for an answer");
	close_all();
}

static void
askers_that_go(void **state)
{
	(void)state;
	open_all("filter rspamd { server \"127.0.0.1:%u\" timeout 9s connections 1 }");
	one.late_ms = 400;
	ask(0, "score=0\r");
	ask(1, "score=1\r");
	ask(2, "score=2\r");
	forget(1); /* while it waits */
	run_for(150);
	assert_int_equal(one.open, 1);
	forget(0); /* while it is asked: its connection is closed, its place is free */
	settle();
	expect_score(2, 2);
	assert_int_equal(one.accepted, 2);
	ask(3, "score=3\r");
	forget(3); /* in the same turn */
	run_for(50);
	assert_int_equal(one.accepted, 2);
	close_all();
}

static void
by_a_path(void **state)
{
	struct stream_addr at = {0};
	static const struct listen_calls calls = {on_accept, on_accept_error};
	char settings[300];
	struct err err;
	(void)state;
	snprintf(at.path, sizeof(at.path), "%s/scanner.sock", folder);
	snprintf(settings, sizeof(settings), "filter rspamd { server \"unix:%s\" timeout 20s }",
		at.path);
	open_all(settings);
	ask(0, "score=1\r");
	settle();
	expect_failed(0, "scanner.sock");
	int fd = listen_open(&at, 10, 0600, &err);
	must(fd >= 0);
	struct listener *l = listener_new(loop, fd, &calls, &one);
	ask(1, "score=2\r");
	settle();
	expect_score(1, 2);
	listener_free(&l);
	close(fd);
	unlink(at.path);
	close_all();
}

static int
make_folder(void **state)
{
	(void)state;
	must(mkdtemp(folder) != NULL);
	folder_fd = open(folder, O_RDONLY | O_DIRECTORY);
	return folder_fd < 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	close(folder_fd);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_mail_as_it_came),
		cmocka_unit_test(a_mail_in_a_file),
		cmocka_unit_test(spamd_is_asked_so),
		cmocka_unit_test(refused_and_passed_over),
		cmocka_unit_test(silent_and_passed_over),
		cmocka_unit_test(dead_in_the_middle),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(too_many_wait),
		cmocka_unit_test(askers_that_go),
		cmocka_unit_test(by_a_path),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
