/*
 * The order of commands (SRV-04): every sequence of four out of sixteen verbs through the
 * server machine and through a model that is written without its table; the replies and whether
 * a transaction is open must be the same after each step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "smtp_driver.h"

enum {
	EHLO,
	HELO,
	MAIL,
	RCPT,
	DATA,
	BDAT,
	RSET,
	NOOP,
	QUIT,
	VRFY,
	EXPN,
	HELP,
	STLS,
	AUTH,
	ETRN,
	TURN,
	VERBS
};

static const char *const lines[VERBS] = {"EHLO x\r\n", "HELO x\r\n", "MAIL FROM:<a@b>\r\n",
	"RCPT TO:<c@d>\r\n", "DATA\r\n", "BDAT 5 LAST\r\n", "RSET\r\n", "NOOP\r\n", "QUIT\r\n",
	"VRFY x\r\n", "EXPN x\r\n", "HELP\r\n", "STARTTLS\r\n", "AUTH PLAIN AAAA\r\n",
	"ETRN x\r\n", "TURN\r\n"};

/* What RFC 5321 and SRV-04 ask for, written down without tables. */
struct model {
	int hello; /* 0 none, 1 HELO, 2 EHLO */
	bool mail, rcpt, tls, authenticated, closed;
};

/* What the driver says to MAIL, RCPT, DATA and the mail. */
struct policy {
	const char *mail, *rcpt, *data, *end;
};

static int
model_data(struct model *m, const struct policy *p)
{
	bool mail = m->mail, rcpt = m->rcpt;
	m->mail = m->rcpt = false;
	if (!mail)
		return 503;
	if (!rcpt)
		return 554;
	return p->data != NULL ? 451 : p->end != NULL ? 550 : 250;
}

static int
model_hello(struct model *m, int hello)
{
	m->hello = hello;
	m->mail = m->rcpt = false;
	return 250;
}

static int
model_tls_or_auth(struct model *m, int verb)
{
	if (m->hello == 0 || m->mail)
		return 503;
	if (verb == STLS ? m->tls : m->authenticated)
		return 503;
	if (m->hello == 1)
		return 502;
	if (verb == AUTH) {
		m->authenticated = true;
		return 235;
	}
	*m = (struct model){.tls = true};
	return 220;
}

static int
model_step(struct model *m, int verb, const struct policy *p)
{
	bool again = m->mail;
	switch (verb) {
	case EHLO: return model_hello(m, 2);
	case HELO: return model_hello(m, 1);
	case MAIL:
		m->rcpt = false;
		m->mail = m->hello != 0 && !again && p->mail == NULL;
		return m->hello == 0 || again ? 503 : p->mail != NULL ? 450 : 250;
	case RCPT:
		m->rcpt |= m->mail && p->rcpt == NULL;
		return !m->mail ? 503 : p->rcpt != NULL ? 550 : 250;
	case DATA: return model_data(m, p);
	case RSET: m->mail = m->rcpt = false; return 250;
	case NOOP: return 250;
	case VRFY: return 252;
	case HELP: return 214;
	case STLS:
	case AUTH: return model_tls_or_auth(m, verb);
	case QUIT:
	case BDAT:
		m->closed = true;
		m->mail = false;
		return verb == QUIT ? 221 : 502;
	default: return 502;
	}
}

static void
try_sequence(const int *verbs, bool greeted, const struct policy *p)
{
	struct driver d;
	struct model m = {0};
	driver_start(&d);
	d.replies[SMTP_EV_MAIL] = p->mail;
	d.replies[SMTP_EV_RCPT] = p->rcpt;
	d.replies[SMTP_EV_DATA] = p->data;
	d.replies[SMTP_EV_BODY_END] = p->end;
	if (greeted) {
		give(&d, slice_of(lines[EHLO]));
		model_step(&m, EHLO, p);
	}
	for (int i = 0; i < 4 && !m.closed; i++) {
		buf_clear(&d.out);
		give(&d, slice_of(lines[verbs[i]]));
		if (smtp_server_in_data(d.s)) {
			buf_clear(&d.out);
			give(&d, SLICE("x\r\n.\r\n"));
		}
		int want = model_step(&m, verbs[i], p);
		struct slice out = buf_slice(&d.out);
		uint64_t got = 0;
		slice_u64(slice_first(out, 3), &got);
		bool open = d.seen[SMTP_EV_MAIL] - d.seen[SMTP_EV_RESET] == 1;
		if (got != (uint64_t)want || open != m.mail ||
			(d.seen[SMTP_EV_CLOSE] > 0) != m.closed)
			fail_msg("%d %d %d %d, step %d: %.*s, wanted %d; transaction %d, "
				 "wanted %d",
				verbs[0], verbs[1], verbs[2], verbs[3], i, SLICE_ARG(out), want,
				open, m.mail);
	}
	driver_fini(&d);
}

/* All sequences of 4 out of 16 verbs, before and after EHLO, under five kinds of driver. */
static void
test_every_sequence(void **state)
{
	(void)state;
	static const struct policy policies[] = {
		{NULL, NULL, NULL, NULL},
		{"450 4.0.0 no", NULL, NULL, NULL},
		{NULL, "550 5.0.0 no", NULL, NULL},
		{NULL, NULL, "451 4.0.0 no", NULL},
		{NULL, NULL, NULL, "550 5.0.0 no"},
	};
	int count = 0;
	for (size_t p = 0; p < sizeof(policies) / sizeof(policies[0]); p++) {
		for (int n = 0; n < VERBS * VERBS * VERBS * VERBS; n++) {
			int verbs[4] = {n >> 12, n >> 8 & 15, n >> 4 & 15, n & 15};
			try_sequence(verbs, true, &policies[p]);
			count++;
			if (p > 0)
				continue;
			try_sequence(verbs, false, &policies[p]);
			count++;
		}
	}
	print_message("%d sequences agree with the model\n", count);
	assert_int_equal(count, 6 * 65536);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_sequence),
	};
	return cmocka_run_group_tests_name("smtp_order", tests, NULL, NULL);
}
