/*
 * The milter's gate alone, events in and answers out: what is asked of an MTA for which rules,
 * which rules judge whose mail, the header put together as it came (MLT-05), edits by place and
 * in their order (MLT-04), and macros that never come (MLT-07).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf_text.h"
#include "session/milter_forms.h"
#include "session/milter_gate.h"

#define HEAD                                                                     \
	"hostname \"mx.example.com\"\n"                                          \
	"listen milter on \"inet:8891@127.0.0.1\" outbound from { 10.0.0.0/8 } " \
	"outbound authenticated\n"                                               \
	"domain \"example.com\"\n"                                               \
	"sign \"example.com\" selector \"s\" key \"/etc/hostname\"\n"

struct world {
	struct conf *conf;
	struct arena *arena;
	struct milter_gate_config config;
	struct sign_key keys[1];
	struct milter_gate *gate;
};

static void
open_world(struct world *w, const char *inbound, const char *outbound)
{
	char text[4096];
	struct conf_report report;
	snprintf(text, sizeof(text), HEAD "inbound {\n%s\n}\noutbound {\n%s\n}\n", inbound,
		outbound);
	*w = (struct world){.conf = conf_text(text), .arena = arena_new(16 << 20)};
	conf_report_init(&report);
	w->config.listener = &w->conf->listeners[0];
	for (int d = INBOUND; d <= OUTBOUND; d++) {
		w->config.side[d] = (struct gate_config){.conf = w->conf,
			.listener = w->config.listener,
			.direction = (enum direction)d,
			.spill_dir = -1,
			.keys = w->keys};
		w->config.side[d].policy = policy_compile(
			w->conf, (enum direction)d, facts_all(), w->arena, &report);
		assert_non_null(w->config.side[d].policy);
	}
	conf_report_fini(&report);
	w->gate = milter_gate_new(&w->config, "unit", 1800000000000);
}

static void
close_world(struct world *w)
{
	milter_gate_free(&w->gate);
	conf_free(&w->conf);
	arena_free(&w->arena);
}

/* --- what is asked for */

static void
test_wants(void **state)
{
	(void)state;
	static const struct {
		const char *inbound, *outbound;
		uint32_t on, off; /* steps that are asked for, and that are not */
		uint32_t can, may;
	} rows[] = {
		{"accept", "accept", MILTER_NO_BODY | MILTER_NO_DATA, MILTER_NR_BODY, 0x11, 0},
		{"reject if spf is fail\naccept", "accept", MILTER_NO_BODY, 0, 0x11, 0},
		{"reject if tls\naccept", "accept", MILTER_NO_BODY, 0, 0x11, 0},
		{"reject if recipients is \"a@example.com\"\naccept", "accept", MILTER_NO_BODY,
			MILTER_NO_DATA, 0x11, 0},
		{"reject if dkim is fail\naccept", "accept", MILTER_SKIP_BODY,
			MILTER_NO_BODY | MILTER_NR_BODY, 0x11, 0},
		{"reject if dkim is fail\naccept", "sign\naccept", MILTER_NR_BODY,
			MILTER_NO_BODY, 0x11, 0},
		{"redirect to \"a@example.com\"\naccept", "accept", MILTER_NO_BODY, 0, 0x1d, 0},
		{"accept", "copy to \"a@example.com\"\naccept", MILTER_NO_BODY, 0, 0x15, 0},
		{"try copy to \"a@example.com\"\naccept", "accept", MILTER_NO_BODY, 0, 0x11, 0},
		{"accept", "quarantine if helo is \"a\"\naccept", MILTER_NO_BODY, 0, 0x11,
			0x20},
		{"try quarantine if helo is \"a\"\naccept", "accept", MILTER_NO_BODY, 0, 0x11,
			0},
	};
	const uint32_t always = MILTER_NO_UNKNOWN | MILTER_NR_CONNECT | MILTER_NR_HELO |
				MILTER_NR_HEADERS | MILTER_HEADER_SPACE | MILTER_NR_MAIL;
	const uint32_t never = MILTER_NO_CONNECT | MILTER_NO_HELO | MILTER_NO_MAIL |
			       MILTER_NO_RCPT | MILTER_NO_HEADERS | MILTER_NR_RCPT |
			       MILTER_NR_DATA;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;
		struct milter_wants wants;
		open_world(&w, rows[i].inbound, rows[i].outbound);
		milter_gate_wants_of(&w.config, &wants);
		if ((wants.steps & (rows[i].on | always)) != (rows[i].on | always) ||
			(wants.steps & (rows[i].off | never)) != 0 ||
			wants.can != rows[i].can || wants.may != rows[i].may)
			fail_msg("row %zu: steps %x, can %x, may %x", i, wants.steps, wants.can,
				wants.may);
		close_world(&w);
	}
}

/* --- events */

static const struct milter_answer *
tell(struct world *w, struct milter_event ev)
{
	static struct milter_answer answer;
	struct questions *scope;
	milter_gate_settled(w->gate);
	milter_gate_event(w->gate, &ev);
	assert_null(milter_gate_question(w->gate, &scope)); /* no rule here asks anything */
	return milter_gate_answer(w->gate, &answer) ? &answer : NULL;
}

static void
connect_from(struct world *w, const char *ip)
{
	struct milter_event ev = {.type = MILTER_EV_CONNECT, .name = SLICE("client.example")};
	if (ip != NULL)
		assert_true(ip_parse(slice_of(ip), &ev.ip));
	assert_int_equal(tell(w, ev)->verdict, MILTER_CONTINUE);
}

static const struct milter_answer *
path(struct world *w, enum milter_event_type type, const char *text, const char *user)
{
	struct slice arg = slice_of(text);
	struct milter_macro macro = {SLICE("auth_authen"), slice_of(user)};
	struct milter_event ev = {.type = type,
		.args = &arg,
		.n_args = 1,
		.macros = &macro,
		.n_macros = user != NULL,
		.has_macros = user != NULL};
	return tell(w, ev);
}

static void
header(struct world *w, const char *name, const char *value, bool has_space)
{
	assert_int_equal(tell(w, (struct milter_event){.type = MILTER_EV_HEADER,
					 .name = slice_of(name),
					 .value = slice_of(value),
					 .has_space = has_space})
				 ->verdict,
		MILTER_CONTINUE);
}

static void
begin_mail(struct world *w)
{
	connect_from(w, "192.0.2.1");
	assert_int_equal(
		path(w, MILTER_EV_MAIL, "<a@example.net>", NULL)->verdict, MILTER_CONTINUE);
	assert_int_equal(
		path(w, MILTER_EV_RCPT, "<b@example.com>", NULL)->verdict, MILTER_CONTINUE);
}

static const struct milter_answer *
end(struct world *w)
{
	return tell(w, (struct milter_event){.type = MILTER_EV_END});
}

/* Whose mail is judged by which block: the block says its name. */
static void
test_direction(void **state)
{
	(void)state;
	static const struct {
		const char *ip, *user, *want;
	} rows[] = {
		{"192.0.2.1", NULL, "in"},
		{"10.1.2.3", NULL, "out"},
		{"192.0.2.1", "ann", "out"},
		{"192.0.2.1", "", "in"},
		{NULL, NULL, "in"}, /* a local program is 127.0.0.1, which is not listed */
		{"2001:db8::1", NULL, "in"},
	};
	struct world w;
	open_world(&w, "reject with \"550 5.7.1 in\"", "reject with \"550 5.7.1 out\"");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		connect_from(&w, rows[i].ip);
		(void)path(&w, MILTER_EV_MAIL, "<a@example.net>", rows[i].user);
		const struct milter_answer *a =
			path(&w, MILTER_EV_RCPT, "<b@example.com>", NULL);
		assert_int_equal(a->verdict, MILTER_REPLY);
		assert_int_equal(a->reply.code, 550);
		assert_true(slice_eq(a->reply.text, slice_of(rows[i].want)));
		assert_null(tell(&w, (struct milter_event){.type = MILTER_EV_NEXT}));
	}
	close_world(&w);
}

/* MLT-05: whatever an MTA makes of folds and the space behind the colon, the mail is as it
 * came.
 */
static void
test_header(void **state)
{
	(void)state;
	static const struct {
		const char *name, *value;
		bool has_space;
		const char *want;
	} rows[] = {
		{"Subject", "a", false, "Subject: a\r\n"},
		{"Subject", " a", true, "Subject: a\r\n"},
		{"Subject", "a", true, "Subject:a\r\n"},
		{"Subject", "  a", true, "Subject:  a\r\n"},
		{"Subject", "", true, "Subject:\r\n"},
		{"Subject", "", false, "Subject:\r\n"},
		{"Subject", "a\n\tb\n c", false, "Subject: a\r\n\tb\r\n c\r\n"},
		{"Subject", "a\r\n\tb", false, "Subject: a\r\n\tb\r\n"},
		{"Subject", "a\n\nb", false, "Subject: a\r\n \r\n b\r\n"},
		{"Subject", "a\nX-No: b", false, "Subject: a\r\n X-No: b\r\n"},
		{"Subject", "a\n", false, "Subject: a\r\n \r\n"},
		{"Subject", "\xc3\xa4\xff", false, "Subject: \xc3\xa4\xff\r\n"},
	};
	struct world w;
	open_world(&w, "accept", "accept");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice bytes;
		begin_mail(&w);
		header(&w, rows[i].name, rows[i].value, rows[i].has_space);
		assert_int_equal(tell(&w, (struct milter_event){.type = MILTER_EV_HEADER,
						  .name = SLICE("From"),
						  .value = SLICE("a@example.net")})
					 ->verdict,
			MILTER_CONTINUE);
		header(&w, "Date", "Fri, 15 Jan 2027 08:00:00 +0000", false);
		assert_int_equal(end(&w)->verdict, MILTER_CONTINUE);
		assert_true(spill_memory(pipeline_spill(milter_gate_pipeline(w.gate)), &bytes));
		struct slice want =
			arena_printf(w.arena, "%sFrom: a@example.net\r\nDate: %s\r\n\r\n",
				rows[i].want, "Fri, 15 Jan 2027 08:00:00 +0000");
		if (!slice_eq(bytes, want))
			fail_msg("row %zu: %.*s", i, SLICE_ARG(bytes));
		assert_null(tell(&w, (struct milter_event){.type = MILTER_EV_NEXT}));
	}
	close_world(&w);
}

static void
edit_text(const struct milter_answer *a, char *out, size_t room)
{
	static const char *const words[] = {"insert", "delete", "add", "remove", "keep"};
	size_t n = 0;
	out[0] = '\0';
	for (size_t i = 0; i < a->n_edits; i++) {
		const struct milter_edit *e = &a->edits[i];
		n += (size_t)snprintf(out + n, room - n, "%s %u %.*s|%.*s\n", words[e->kind],
			e->index, SLICE_ARG(e->name), SLICE_ARG(e->value));
		assert_true(n < room);
	}
}

/* Deletions from the last to the first, then ours from the lowest to the top, then recipients.
 */
static void
test_edits(void **state)
{
	(void)state;
	struct world w;
	char got[2048];
	open_world(&w,
		"tag \"X-A: 1\"\ntag \"X-B: 2\"\nremove header \"X-C\"\n"
		"redirect to \"r@example.com\"\ncopy to \"c@example.com\"\naccept",
		"accept");
	for (int space = 0; space < 2; space++) {
		milter_gate_agreed(w.gate,
			&(struct milter_offer){.steps = space ? MILTER_HEADER_SPACE : 0});
		begin_mail(&w);
		assert_int_equal(path(&w, MILTER_EV_RCPT, "<d@example.com>", NULL)->verdict,
			MILTER_CONTINUE);
		header(&w, "X-C", "1", false);
		header(&w, "Authentication-Results", "mx.example.com; spf=pass", false);
		header(&w, "From", "a@example.net", false);
		header(&w, "x-c", "2", false);
		header(&w, "Authentication-Results", "other.example; spf=pass", false);
		header(&w, "Date", "Fri, 15 Jan 2027 08:00:00 +0000", false);
		header(&w, "x-A", "0", false);
		header(&w, "Authentication-Results", "MX.example.com;\n none", false);
		const struct milter_answer *a = end(&w);
		assert_int_equal(a->verdict, MILTER_CONTINUE);
		edit_text(a, got, sizeof(got));
		const char *s = space ? " " : "";
		struct slice want = arena_printf(w.arena,
			"delete 3 Authentication-Results|\n"
			"delete 1 x-A|\n"
			"delete 2 x-c|\n"
			"delete 1 Authentication-Results|\n"
			"delete 1 X-C|\n"
			"insert 0 Authentication-Results|%smx.example.com; none\n"
			"insert 0 X-B|%s2\n"
			"insert 0 X-A|%s1\n"
			"remove 0 |<b@example.com>\n"
			"remove 0 |<d@example.com>\n"
			"add 0 |<r@example.com>\n"
			"add 0 |<c@example.com>\n",
			s, s, s);
		assert_string_equal(got, arena_text(w.arena, want));
		assert_null(tell(&w, (struct milter_event){.type = MILTER_EV_NEXT}));
	}
	close_world(&w);
}

/* The MTA keeps it, behind all edits and by one readable line; one that cannot gets 451. */
static void
test_quarantine(void **state)
{
	(void)state;
	static const struct {
		const char *rules, *edits, *name;
		unsigned line;
		uint32_t can; /* agreed */
	} rows[] = {
		{"tag \"X-A: 1\"\ncopy to \"c@example.com\"\nquarantine \"forged\"",
			"insert 0 Authentication-Results|mx.example.com; none\n"
			"insert 0 X-A|1\n"
			"add 0 |<c@example.com>\n",
			"forged", 8, 0x15 | MILTER_CAN_QUARANTINE},
		{"quarantine", "insert 0 Authentication-Results|mx.example.com; none\n",
			"quarantine", 6, 0x11 | MILTER_CAN_QUARANTINE},
		{"quarantine \"forged\"", NULL, NULL, 0, 0x11},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;
		char got[2048];
		open_world(&w, rows[i].rules, "accept");
		milter_gate_agreed(w.gate, &(struct milter_offer){.can = rows[i].can});
		begin_mail(&w);
		header(&w, "From", "a@example.net", false);
		header(&w, "Date", "Fri, 15 Jan 2027 08:00:00 +0000", false);
		const struct milter_answer *a = end(&w);
		edit_text(a, got, sizeof(got));
		if (rows[i].edits == NULL) {
			assert_int_equal(a->verdict, MILTER_REPLY);
			assert_int_equal(a->reply.code, 451);
			assert_string_equal(got, "");
		} else { /* without the folders of the file */
			const char *file =
				policy_rule(w.config.side[INBOUND].policy, 0)->at.file;
			struct slice want =
				arena_printf(w.arena, "%skeep 0 |%s: %s:%u\n", rows[i].edits,
					rows[i].name, strrchr(file, '/') + 1, rows[i].line);
			assert_int_equal(a->verdict, MILTER_CONTINUE);
			assert_string_equal(got, arena_text(w.arena, want));
		}
		close_world(&w);
	}
}

/* What SMTP refuses at the end of the data is refused here: the same words. */
static void
test_text(void **state)
{
	(void)state;
	static const struct {
		const char *body;
		int code; /* 0: it passes */
	} rows[] = {
		{"hello\r\n", 0},
		{".\r\n..\r\n", 0},
		{"", 0},
		{"no end", 0},
		{"bare\rCR\r\n", 550},
		{"bare\nLF\r\n", 550},
		{"at the end\r", 550},
	};
	struct world w;
	open_world(&w, "reject if size > 1M\naccept", "accept");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin_mail(&w);
		header(&w, "From", "a@example.net", false);
		header(&w, "Date", "Fri, 15 Jan 2027 08:00:00 +0000", false);
		assert_non_null(tell(&w, (struct milter_event){.type = MILTER_EV_BODY,
						 .value = slice_of(rows[i].body)}));
		const struct milter_answer *a = end(&w);
		assert_int_equal(
			a->verdict, rows[i].code != 0 ? MILTER_REPLY : MILTER_CONTINUE);
		assert_int_equal(a->reply.code, rows[i].code);
		assert_null(tell(&w, (struct milter_event){.type = MILTER_EV_NEXT}));
	}
	close_world(&w);
}

/* Steps that an MTA may leave out or bring in another order: nothing passes unjudged. */
static void
test_steps(void **state)
{
	(void)state;
	struct world w;
	open_world(&w, "accept", "accept");
	/* a mail without a recipient that we have seen */
	connect_from(&w, "192.0.2.1");
	(void)path(&w, MILTER_EV_MAIL, "<a@example.net>", NULL);
	header(&w, "From", "a@example.net", false);
	const struct milter_answer *a = end(&w);
	assert_int_equal(a->reply.code, 451);
	/* nothing but MAIL in front of what belongs to a mail */
	assert_null(tell(&w, (struct milter_event){.type = MILTER_EV_NEXT}));
	assert_int_equal(
		path(&w, MILTER_EV_RCPT, "<b@example.com>", NULL)->verdict, MILTER_CONTINUE);
	assert_int_equal(end(&w)->verdict, MILTER_CONTINUE);
	/* MAIL again without ABORT, an ABORT in the header, then a whole mail */
	begin_mail(&w);
	(void)path(&w, MILTER_EV_MAIL, "<>", NULL);
	(void)path(&w, MILTER_EV_RCPT, "b@example.com", NULL);
	header(&w, "X-Half", "1", false);
	assert_null(tell(&w, (struct milter_event){.type = MILTER_EV_ABORT}));
	(void)path(&w, MILTER_EV_MAIL, "root", NULL); /* a local program's: we are its domain */
	(void)path(&w, MILTER_EV_RCPT, "<postmaster>", NULL);
	assert_true(slice_eq(pipeline_the_mail(milter_gate_pipeline(w.gate))->sender.text,
		SLICE("root@mx.example.com")));
	header(&w, "From", "root@mx.example.com", false);
	header(&w, "Date", "Fri, 15 Jan 2027 08:00:00 +0000", false);
	assert_int_equal(end(&w)->verdict, MILTER_CONTINUE);
	milter_gate_settled(w.gate);
	assert_false(milter_gate_in_mail(w.gate));
	/* what is no address at all */
	(void)path(&w, MILTER_EV_MAIL, "<a@example.net>", NULL);
	assert_int_equal(path(&w, MILTER_EV_RCPT, "<@@>", NULL)->reply.code, 501);
	assert_int_equal(path(&w, MILTER_EV_RCPT, "", NULL)->reply.code, 501);
	close_world(&w);
}

/* An MTA hands on what its client says: monstrous paths, recipients without end. */
static void
test_bounds(void **state)
{
	(void)state;
	struct world w;
	static char huge[60000];
	char rcpt[64];
	unsigned taken = 0, put_off = 0;
	memset(huge, 'a', sizeof(huge) - 1);
	open_world(&w, "reject if recipient is \"no@example.com\"\naccept", "accept");
	connect_from(&w, "192.0.2.1");
	(void)path(&w, MILTER_EV_MAIL, huge, NULL);
	assert_int_equal(path(&w, MILTER_EV_RCPT, "<b@example.com>", NULL)->reply.code, 501);
	(void)path(&w, MILTER_EV_MAIL, "<a@example.net>", NULL);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(rcpt, sizeof(rcpt), i % 2 ? "<no@example.com>" : "<b%u@example.com>",
			i);
		const struct milter_answer *a = path(&w, MILTER_EV_RCPT, rcpt, NULL);
		taken += a->verdict == MILTER_CONTINUE;
		put_off += a->verdict == MILTER_REPLY && a->reply.code == 452;
		if (i % 1000 == 0)
			assert_int_equal(
				path(&w, MILTER_EV_RCPT, huge, NULL)->verdict, MILTER_REPLY);
	}
	assert_int_equal(taken, w.conf->limits.recipients);
	assert_true(put_off > 5000);
	close_world(&w);
}

/* MLT-07: an MTA that sends no macros leaves tls and user unknown: what asks for them defers.
 */
static void
test_macros(void **state)
{
	(void)state;
	static const struct {
		const char *rules;
		bool chosen; /* the MTA lets us choose: what does not come is not so */
		int code;
	} rows[] = {
		{"reject if not tls\naccept", false, 451},
		{"reject if not tls\naccept", true, 550},
		{"reject if user is \"\"\naccept", false, 451},
		{"reject if user is \"\"\naccept", true, 550},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;
		open_world(&w, rows[i].rules, "accept");
		milter_gate_agreed(
			w.gate, &(struct milter_offer){
					.can = rows[i].chosen ? MILTER_CAN_CHOOSE_MACROS : 0});
		connect_from(&w, "192.0.2.1");
		(void)path(&w, MILTER_EV_MAIL, "<a@example.net>", NULL);
		const struct milter_answer *a =
			path(&w, MILTER_EV_RCPT, "<b@example.com>", NULL);
		assert_int_equal(a->reply.code, rows[i].code);
		close_world(&w);
	}
}

static void
test_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < ACTION_COUNT; i++) {
		assert_int_equal(milter_forms[i].action, i);
		assert_non_null(milter_forms[i].form);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wants),
		cmocka_unit_test(test_direction),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_quarantine),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_macros),
		cmocka_unit_test(test_forms),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
