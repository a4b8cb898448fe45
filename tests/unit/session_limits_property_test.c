/*
 * Limits over random sessions: several at a time through one gate each, with questions answered
 * late and in any order, clients that change their mind or vanish, next hops that refuse.
 * Beside them a model of the keeper that counts. At the end exactly what was taken by a 2xx is
 * counted, for each key; at no time more than the limit; and a session has one reservation open
 * at most, never for a mail or recipient that another rule had decided without it.
 *
 * POSTERN_SESSIONS sets the count (4,000), POSTERN_SEED the first seed (1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/must.h"
#include "conf_text.h"
#include "random.h"
#include "session/gate.h"
#include "setting.h"

enum { SESSIONS = 4000, AT_ONCE = 6, KEYS_MOST = 64, OPEN_MOST = 400, LINES_MOST = 40 };

#define CONF                                                                             \
	"hostname \"mx.example.com\"\nspool \"/var/spool/postern\"\n"                    \
	"listen inbound on \"127.0.0.1:2525\"\n"                                         \
	"domain \"example.com\" deliver to \"127.0.0.1:2526\"\n"                         \
	"inbound {\n"                                                                    \
	"reject if recipient is \"no@example.com\"\n"                                    \
	"defer if sender is \"free@example.net\" and recipient is \"put@example.com\"\n" \
	"defer if sender is not \"free@example.net\" and (rate sender > 3/day or "       \
	"quota client > 7/month)\n"                                                      \
	"defer if rate recipient > 4/day\n"                                              \
	"defer if quota sender.domain > 9 recipients/day and sender is not "             \
	"\"free@example.net\"\n"                                                         \
	"reject if recipient is \"late@example.com\" and size > 10\n"                    \
	"discard if sender is \"drop@example.net\"\n"                                    \
	"reject if virus\n"                                                              \
	"accept\n}\n"

static const char *const senders[] = {"ann@example.net", "free@example.net", "bob@example.org",
	"drop@example.net", "bad@example.net", ""};
static const char *const rcpts[] = {"a@example.com", "B+x@example.com", "b@example.com",
	"no@example.com", "late@example.com", "put@example.com"};

static uint64_t random_state;

static unsigned
below(unsigned n)
{
	return (unsigned)random_below(&random_state, n);
}

static bool
chance(unsigned percent)
{
	return below(100) < percent;
}

/* --- the keeper's model */

struct counter {
	char key[STATE_KEY_MOST + 1];
	uint64_t limit, used, expected; /* by the client's count of what it heard 250 to */
};

static struct counter counters[KEYS_MOST];
static size_t n_counters;

static struct counter *
counter_of(struct slice key, uint64_t limit)
{
	for (size_t i = 0; i < n_counters; i++)
		if (slice_eq(slice_of(counters[i].key), key))
			return &counters[i];
	assert_true(n_counters < KEYS_MOST && key.n <= STATE_KEY_MOST);
	struct counter *c = &counters[n_counters++];
	memset(c, 0, sizeof(*c));
	memcpy(c->key, key.p, key.n);
	c->limit = limit;
	return c;
}

static bool
take(const struct state_op *op)
{
	struct counter *c = counter_of(op->key, op->limit);
	assert_int_equal(c->limit, op->limit);
	if (c->used == c->limit)
		return false;
	c->used++;
	return true;
}

/* --- sessions */

struct asked {
	struct session *session;
	struct questions *scope;
	struct question *question;
	bool used;
};

struct session {
	struct gate *gate;
	struct asked asked[OPEN_MOST];
	size_t n_asked;
	char script[LINES_MOST][120];
	size_t n_lines, line, at; /* the line under way; of it are in: at */
	const char *client, *sender, *rcpts[LINES_MOST];
	size_t n_rcpts;
	bool greeted;
};

struct lab {
	struct conf *conf;
	struct arena *arena;
	struct gate_config config;
	uint64_t sessions, mails, taken, over, asked, given, skipped;
};

static struct lab lab;

/* As session/ask_state.c does: the scope ends, what is not kept goes back. */
static void
asked_end(void *arg)
{
	struct asked *a = arg;
	const struct question *q = a->question;
	a->used = false;
	if (q == NULL || q->kind != QUESTION_STATE || q->state != QUESTION_ANSWERED ||
		!q->answer.yes)
		return;
	struct counter *c = counter_of(q->op.key, q->op.limit);
	if (q->kept)
		return;
	assert_true(c->used > 0);
	c->used--;
	lab.given++;
}

static void
ask(struct session *s, struct question *q, struct questions *scope)
{
	assert_true(s->n_asked < OPEN_MOST);
	struct asked *a = &s->asked[s->n_asked++];
	if (q->kind == QUESTION_STATE) {
		assert_false(slice_starts(q->op.key, SLICE("recipient no@")));
		assert_false(slice_starts(q->op.key, SLICE("sender free@")));
		assert_int_equal(q->op.n, 1);
		lab.asked++;
	}
	*a = (struct asked){s, scope, q, true};
	q->state = QUESTION_ASKED;
	arena_defer(scope->arena, asked_end, a);
}

static bool
is_open_state(const struct asked *a)
{
	return a->used && a->question->kind == QUESTION_STATE &&
	       a->question->state == QUESTION_ASKED;
}

static void
skipped(struct asked *a)
{
	question_skip_state(a->scope, a->question);
	a->used = false;
	a->question = NULL;
	lab.skipped++;
}

static void
answer(struct asked *a)
{
	struct question *q = a->question;
	if (q->kind == QUESTION_SCAN) {
		bool bad = chance(20);
		question_answer_scan(a->scope, q,
			&(struct scan_report){.status = bad ? SCAN_INFECTED : SCAN_CLEAN});
		return;
	}
	assert_int_equal(q->kind, QUESTION_STATE);
	struct state_answer state = {.status = chance(3) ? STATE_FAILED : STATE_OK};
	if (state.status == STATE_OK)
		state.yes = take(&q->op);
	lab.over += !state.yes;
	question_answer_state(a->scope, q, &state);
	for (size_t i = 0; i < a->session->n_asked && !state.yes; i++)
		if (is_open_state(&a->session->asked[i]))
			skipped(&a->session->asked[i]);
}

/* As the keeper does: what is asked with another, in the order of the rules. */
static struct asked *
first_open(struct session *s)
{
	struct asked *first = NULL;
	for (size_t i = 0; i < s->n_asked; i++)
		if (is_open_state(&s->asked[i]) &&
			(first == NULL || s->asked[i].question->order < first->question->order))
			first = &s->asked[i];
	return first;
}

static void
answer_some(struct session *s)
{
	bool any = false;
	for (size_t i = 0; i < s->n_asked; i++) {
		struct asked *a = &s->asked[i];
		if (!a->used || a->question->state != QUESTION_ASKED || !chance(60))
			continue;
		answer(is_open_state(a) ? first_open(s) : a);
		any = true;
	}
	if (any)
		gate_answered(s->gate);
}

static void
carry(struct session *s)
{
	struct gate_transfer *t = gate_transfer(s->gate);
	unsigned way = below(10);
	enum relay_fate fate = way < 7 ? RELAY_TAKEN : way < 9 ? RELAY_DEFERRED : RELAY_REFUSED;
	struct smtp_reply r = smtp_reply_of(way < 7   ? "250 2.0.0 ok"
					    : way < 9 ? "451 4.3.0 later"
						      : "554 5.3.0 no");
	t->reply = r;
	for (size_t i = 0; i < t->mail.n_rcpts; i++) {
		t->mail.rcpts[i].fate = fate;
		t->mail.rcpts[i].reply = r;
		t->mail.rcpts[i].phase = SMTP_CL_DOT;
	}
	lab.taken += way < 7;
	gate_transferred(s->gate);
}

/* --- what the client heard */

static void
expect(const char *what, const char *who, const char *limit, uint64_t n)
{
	char key[200];
	int used = snprintf(key, sizeof(key), "%s %s %s", what, who, limit);
	struct counter *c = counter_of((struct slice){key, (size_t)used}, n);
	c->expected++;
}

static const char *
canonical(const char *rcpt)
{
	return rcpt[0] == 'B' ? "b@example.com" : rcpt;
}

/* The mail was taken: what the rules count of it. */
static void
expect_mail(const struct session *s)
{
	bool null = s->sender[0] == '\0', is_free = strcmp(s->sender, "free@example.net") == 0;
	const char *at = strchr(s->sender, '@');
	if (!is_free) {
		expect(null ? "client" : "sender", null ? s->client : s->sender, "3/day", 3);
		expect("client", s->client, "7/month", 7);
	}
	for (size_t i = 0; i < s->n_rcpts; i++) {
		if (strcmp(s->rcpts[i], "late@example.com") == 0)
			continue; /* refused with the data */
		expect("recipient", canonical(s->rcpts[i]), "4/day", 4);
		if (!is_free)
			expect(null ? "client" : "sender.domain", null ? s->client : at + 1,
				"9 recipients/day", 9);
	}
}

/* The address of a line is one of the test's own words. */
static const char *
word_of(const char *line, const char *const *words, size_t n)
{
	struct slice path = slice_of(line);
	path = slice_from(path, slice_find(path, '<') + 1);
	path = slice_first(path, slice_find(path, '>'));
	for (size_t i = 0; i < n; i++)
		if (slice_eq(path, slice_of(words[i])))
			return words[i];
	must(false && "a word");
	return NULL;
}

/* The reply to the line under way; a client without a 354 sends RSET in place of the mail. */
static void
hears(struct session *s, struct slice reply)
{
	bool yes = slice_starts(reply, SLICE("250 "));
	if (!s->greeted) {
		s->greeted = true;
		return;
	}
	assert_true(s->line < s->n_lines);
	const char *line = s->script[s->line];
	if (strncmp(line, "MAIL", 4) == 0) {
		s->sender = word_of(line, senders, 6);
		s->n_rcpts = 0;
	} else if (strncmp(line, "RCPT", 4) == 0 && yes) {
		s->rcpts[s->n_rcpts++] = word_of(line, rcpts, 6);
	} else if (strncmp(line, "From", 4) == 0 && yes) {
		expect_mail(s);
	} else if (strncmp(line, "DATA", 4) == 0 && !slice_starts(reply, SLICE("354"))) {
		snprintf(s->script[s->line + 1], sizeof(s->script[0]), "RSET\r\n");
	}
	s->line++;
	s->at = 0;
}

static void
hear_all(struct session *s)
{
	struct slice out = gate_output(s->gate), line, rest = out;
	while (slice_cut(rest, '\n', &line, &rest))
		hears(s, line);
	assert_int_equal(rest.n, 0);
	gate_written(s->gate, out.n);
}

static void
service(struct session *s)
{
	struct questions *scope;
	struct question *q;
	while ((q = gate_question(s->gate, &scope)) != NULL)
		ask(s, q, scope);
	while (gate_wants(s->gate) == GATE_WANT_TRANSFER) {
		carry(s);
		while ((q = gate_question(s->gate, &scope)) != NULL)
			ask(s, q, scope);
	}
	hear_all(s);
}

static void
add_line(struct session *s, const char *verb, const char *path)
{
	assert_true(s->n_lines < LINES_MOST);
	snprintf(s->script[s->n_lines++], sizeof(s->script[0]), "%s%s%s%s\r\n", verb,
		path != NULL ? "<" : "", path != NULL ? path : "", path != NULL ? ">" : "");
}

static void
add_mail(struct session *s)
{
	add_line(s, "MAIL FROM:", senders[below(6)]);
	for (unsigned i = 1 + below(3); i > 0; i--)
		add_line(s, "RCPT TO:", rcpts[below(6)]);
	if (chance(15)) {
		add_line(s, "RSET", NULL);
		return;
	}
	add_line(s, "DATA", NULL);
	add_line(s,
		"From: a@example.net\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\n\r\nhi\r\n.",
		NULL);
	lab.mails++;
}

static void
begin(struct session *s)
{
	static unsigned number;
	struct gate_client client = {.port = 1};
	char id[16];
	memset(s, 0, sizeof(*s));
	s->client = chance(50) ? "192.0.2.1" : "192.0.2.2";
	assert_true(ip_parse(slice_of(s->client), &client.ip));
	snprintf(id, sizeof(id), "s%u", ++number);
	s->gate = gate_new(&lab.config, &client, id, (int64_t)1800000000 * 1000);
	add_line(s, "HELO client.example", NULL);
	for (unsigned i = 1 + below(4); i > 0; i--)
		add_mail(s);
	lab.sessions++;
}

/* False: it is over, whatever was under way. */
static bool
step(struct session *s)
{
	answer_some(s);
	service(s);
	if (chance(1) || s->line == s->n_lines) {
		bool waits = false;
		for (size_t i = 0; i < s->n_asked; i++)
			waits = waits || s->asked[i].used;
		if (s->line < s->n_lines || !waits || chance(10))
			gate_free(&s->gate);
		return s->gate != NULL;
	}
	struct slice rest = slice_from(slice_of(s->script[s->line]), s->at);
	if (s->greeted && rest.n != 0)
		s->at += gate_feed(s->gate, slice_first(rest, 1 + below(60)));
	service(s);
	return true;
}

static void
check_counters(bool all_over)
{
	for (size_t i = 0; i < n_counters; i++) {
		const struct counter *c = &counters[i];
		assert_true(c->used <= c->limit);
		if (all_over && c->used != c->expected)
			fail_msg("%s: %llu are counted, %llu were accepted", c->key,
				(unsigned long long)c->used, (unsigned long long)c->expected);
	}
}

/* A day of so many sessions; then another one, since all limits are used up by evening. */
static void
run_day(struct session *all, uint64_t sessions)
{
	memset(counters, 0, sizeof(counters));
	n_counters = 0;
	for (uint64_t left = sessions, open = 0; left > 0 || open > 0;) {
		open = 0;
		for (size_t i = 0; i < AT_ONCE; i++) {
			if (all[i].gate == NULL && left > 0) {
				begin(&all[i]);
				left--;
			}
			if (all[i].gate != NULL && step(&all[i]))
				open++;
		}
		check_counters(false);
	}
	check_counters(true);
}

static void
test_what_is_accepted_is_counted(void **state)
{
	static struct session all[AT_ONCE];
	struct conf_report report;
	uint64_t sessions = setting("POSTERN_SESSIONS", SESSIONS);
	(void)state;
	lab = (struct lab){.conf = conf_text(CONF), .arena = arena_new(8 << 20)};
	conf_report_init(&report);
	lab.config = (struct gate_config){
		.conf = lab.conf, .listener = &lab.conf->listeners[0], .spill_dir = -1};
	lab.config.policy = policy_compile(lab.conf, INBOUND, facts_all(), lab.arena, &report);
	if (lab.config.policy == NULL)
		fail_msg("%.*s", SLICE_ARG(conf_report_text(&report, lab.arena)));
	conf_report_fini(&report);
	for (uint64_t seed = setting("POSTERN_SEED", 1); lab.sessions < sessions; seed++) {
		random_state = seed;
		run_day(all, 8);
	}
	print_message(
		"%llu sessions, %llu mails begun, %llu carried on; %llu reservations, %llu "
		"refused, %llu given back\n",
		(unsigned long long)lab.sessions, (unsigned long long)lab.mails,
		(unsigned long long)lab.taken, (unsigned long long)lab.asked,
		(unsigned long long)lab.over, (unsigned long long)lab.given);
	assert_true(lab.taken > sessions / 4 && lab.over > sessions / 20 &&
		    lab.given > sessions / 10);
	conf_free(&lab.conf);
	arena_free(&lab.arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_accepted_is_counted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
