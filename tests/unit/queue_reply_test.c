/*
 * What the client hears after the data, from what became of all recipients (queue/reply.c):
 * whose words are quoted, with which codes, and that no 5yz and no 421 of a remote is repeated
 * where it would say too much.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue/keeper_priv.h"

struct reply_case {
	const char *name;
	enum queue_end end;
	uint32_t delivered, refused, waiting, kept;
	const char *theirs; /* NULL: nobody has said anything */
	bool ours;          /* the words are our own */
	enum failure_phase at;
	const char *line; /* "CODE ENHANCED text" */
};

static const struct reply_case cases[] = {
	{"delivered", QUEUE_DELIVERED, 1, 0, 0, 0, "250 2.6.0 queued as 4711", false,
		FAILURE_AT_DOT, "250 2.6.0 Delivered (id.1): queued as 4711"},
	{"delivered without a code", QUEUE_DELIVERED, 2, 0, 0, 0, "250 ok", false,
		FAILURE_AT_DOT, "250 2.0.0 Delivered (id.1): ok"},
	{"refused at RCPT", QUEUE_REFUSED, 0, 1, 0, 0, "551 5.1.6 has moved", false,
		FAILURE_AT_RCPT,
		"551 5.1.6 The destination refuses the recipient (id.1): has moved"},
	{"refused at the dot", QUEUE_REFUSED, 0, 3, 0, 0, "554 spam", false, FAILURE_AT_DOT,
		"554 5.3.0 The destination refuses the mail (id.1): spam"},
	{"521 would end the session", QUEUE_REFUSED, 0, 1, 0, 0, "521 5.2.1 no mail here",
		false, FAILURE_AT_RCPT,
		"550 5.2.1 The destination refuses the recipient (id.1): no mail here"},
	{"refused by the DNS", QUEUE_REFUSED, 0, 1, 0, 0, "556 5.1.10 null MX", true,
		FAILURE_AT_DNS, "556 5.1.10 This mail cannot be delivered (id.1): null MX"},
	{"refused, in no words", QUEUE_REFUSED, 0, 1, 0, 0, NULL, false, FAILURE_AT_DOT,
		"554 5.3.0 The destination refuses the mail (id.1)"},
	{"given back", QUEUE_PUT_OFF, 0, 0, 1, 0, "452 4.2.2 full", false, FAILURE_AT_RCPT,
		"451 4.2.2 The next hop does not take it now (id.1): full"},
	{"given back with a 421", QUEUE_PUT_OFF, 0, 1, 1, 0, "421 4.3.2 bye", false,
		FAILURE_AT_MAIL, "451 4.3.2 The next hop does not take it now (id.1): bye"},
	{"given back with a listing", QUEUE_PUT_OFF, 0, 0, 1, 0, "554 5.7.1 listed", false,
		FAILURE_AT_RCPT, "451 4.4.1 The next hop does not take it now (id.1): listed"},
	{"all wait", QUEUE_QUEUED, 0, 0, 7, 0, NULL, false, FAILURE_AT_DOT,
		"250 2.0.0 Queued (id.1)"},
	{"held", QUEUE_QUEUED, 0, 0, 0, 1, NULL, false, FAILURE_AT_DOT,
		"250 2.0.0 Accepted (id.1)"},
	{"of each", QUEUE_QUEUED, 4, 3, 2, 1, NULL, false, FAILURE_AT_DOT,
		"250 2.0.0 Accepted (id.1): 4 delivered, 3 refused, 3 queued"},
	{"full", QUEUE_FULL, 0, 0, 1, 0, NULL, false, FAILURE_AT_DOT,
		"452 4.3.1 Insufficient system storage, try again later"},
	{"failed", QUEUE_FAILED, 0, 0, 1, 0, NULL, false, FAILURE_AT_DOT,
		"451 4.3.0 The mail cannot be stored now, try again later"},
};

static void
test_replies(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct reply_case *c = &cases[i];
		struct arena *a = arena_new(64 * 1024);
		struct stored_rcpt_note note = {.at = c->at, .from_hop = !c->ours};
		struct smtp_reply r;
		if (c->theirs != NULL)
			note.reply = smtp_reply_of(c->theirs);
		struct reply_count count = {.delivered = c->delivered,
			.refused = c->refused,
			.waiting = c->waiting,
			.kept = c->kept,
			.worst = &note,
			.best = &note,
			.later = &note};
		reply_make(&count, "id.1", c->end, a, &r);
		struct slice line = smtp_reply_line(&r, a);
		if (!slice_eq(line, slice_of(c->line)))
			fail_msg("%s: %.*s", c->name, SLICE_ARG(line));
		arena_free(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_replies)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
