/*
 * The milter's machine against scripted MTAs (MLT-01; milter_script.h has the notation). Each
 * script is run whole, byte by byte and split at every point on guarded pages; events, answers
 * and all that is written must be the same in every run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/must.h"
#include "feed.h"
#include "milter/server.h"
#include "milter_script.h"

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

enum { KIB = 1024, MIB = 1024 * 1024, TRACE_BYTES = 64 * KIB, SCRIPT_BYTES = 64 * KIB };

/* 'c'ontinue, 'a'ccept, 'd'iscard, 's'kip, 'y': refuse, 'e': edits, 'p'rogress and continue;
 * behind the last: 'c'. */
struct dialogue {
	const char *name;
	const char *script;
	const char *answers;
	const char *trace;
	uint32_t can, steps; /* wanted */
	uint32_t may;
	const char *macros[MILTER_STAGES];
	bool fails; /* the negotiation */
	/* output behind all events: what was accepted is answered while it is read */
	bool apart;
};

/* ---- the trace ---- */

static void
trace_text(struct buf *t, struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		must(buf_add_byte(t, s.p[i] == '\0'   ? '~'
				     : s.p[i] == '\n' ? '|'
				     : s.p[i] == '\r' ? '^'
						      : s.p[i]) == 0);
}

static void
trace_event(struct buf *t, const struct milter_event *ev)
{
	must(buf_add_text(t, milter_event_text(ev->type)) == 0);
	if (ev->type == MILTER_EV_NEGOTIATE)
		buf_printf(t, " %" PRIx32 " %" PRIx32 " %" PRIx32, ev->offer.version,
			ev->offer.can, ev->offer.steps);
	if (ev->name.p != NULL) {
		buf_add_text(t, " ");
		trace_text(t, ev->name);
	}
	if (ev->type == MILTER_EV_CONNECT) {
		char ip[IP_TEXT_BYTES];
		struct slice text = ev->ip.family != 0 ? ip_text(&ev->ip, ip) : SLICE("-");
		buf_printf(t, " %.*s %u", SLICE_ARG(text), ev->port);
	}
	for (size_t i = 0; i < ev->n_args; i++)
		buf_printf(t, " %.*s", SLICE_ARG(ev->args[i]));
	if (ev->type == MILTER_EV_HEADER || ev->type == MILTER_EV_BODY) {
		buf_add_text(t, ev->has_space ? ":" : ": ");
		trace_text(t, ev->value);
	}
	if (ev->has_macros)
		buf_add_text(t, " {");
	for (size_t i = 0; i < ev->n_macros; i++)
		buf_printf(t, "%s%.*s=%.*s", i > 0 ? "," : "", SLICE_ARG(ev->macros[i].name),
			SLICE_ARG(ev->macros[i].value));
	buf_add_text(t, ev->has_macros ? "}\n" : "\n");
}

static unsigned
u32_at(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;
	return (unsigned)b[0] << 24 | (unsigned)b[1] << 16 | (unsigned)b[2] << 8 | b[3];
}

static void
trace_packet(struct buf *t, char command, struct slice data)
{
	buf_printf(t, ">%c", command);
	if (command == 'O') {
		must(data.n >= 12);
		buf_printf(
			t, "%x %x %x", u32_at(data.p), u32_at(data.p + 4), u32_at(data.p + 8));
		for (data = slice_from(data, 12); data.n > 0;) {
			struct slice list;
			must(data.n > 4);
			unsigned stage = u32_at(data.p);
			data = slice_from(data, 4);
			must(slice_cut(data, '\0', &list, &data));
			buf_printf(t, " %u(%.*s)", stage, SLICE_ARG(list));
		}
	} else if (command == 'i' || command == 'm') {
		must(data.n >= 4);
		buf_printf(t, "[%u]", u32_at(data.p));
		data = slice_from(data, 4);
	}
	trace_text(t, data);
	buf_add_text(t, "\n");
}

static void
trace_output(struct buf *t, struct milter_server *s)
{
	for (;;) {
		struct slice out = milter_server_output(s);
		if (out.n == 0)
			return;
		must(out.n >= 5 && u32_at(out.p) >= 1 && u32_at(out.p) <= out.n - 4);
		size_t n = u32_at(out.p) - 1;
		trace_packet(t, out.p[4], slice_first(slice_from(out, 5), n));
		milter_server_written(s, 5 + n);
	}
}

/* ---- a run ---- */

struct run {
	const struct dialogue *d;
	struct milter_server *s;
	const char *answer;
	struct buf trace, output;
};

static const struct milter_edit edits[] = {
	{MILTER_EDIT_DELETE_HEADER, 2, {"Authentication-Results", 22}, {NULL, 0}},
	{MILTER_EDIT_INSERT_HEADER, 0, {"X-A", 3}, {" one\n two", 9}},
	{MILTER_EDIT_INSERT_HEADER, 1, {"X-B", 3}, {"", 0}},
	{MILTER_EDIT_ADD_RCPT, 0, {NULL, 0}, {"<c@example.org>", 15}},
	{MILTER_EDIT_DELETE_RCPT, 0, {NULL, 0}, {"<b@example.org>", 15}},
	{MILTER_EDIT_QUARANTINE, 0, {NULL, 0}, {"forged: a.conf:9", 16}},
};

static void
negotiate(struct run *r)
{
	struct milter_offer agreed = {0};
	struct milter_wants w = {.can = r->d->can, .may = r->d->may, .steps = r->d->steps};
	for (size_t i = 0; i < MILTER_STAGES; i++)
		if (r->d->macros[i] != NULL)
			w.macros[i] = slice_of(r->d->macros[i]);
	assert_int_equal(milter_server_negotiate(r->s, &w, &agreed), !r->d->fails);
}

static void
answer(struct run *r)
{
	struct milter_answer a = {.verdict = MILTER_CONTINUE};
	switch (*r->answer != '\0' ? *r->answer++ : 'c') {
	case 'a': a.verdict = MILTER_ACCEPT; break;
	case 'd': a.verdict = MILTER_DISCARD; break;
	case 's': a.verdict = MILTER_SKIP; break;
	case 'y':
		a.verdict = MILTER_REPLY;
		a.reply = smtp_reply_of("550 5.7.1 no\n100%");
		break;
	case 'e':
		a.edits = edits;
		a.n_edits = ARRAY(edits);
		break;
	case 'p':
		milter_server_progress(r->s);
		milter_server_progress(r->s);
		break;
	default: break;
	}
	milter_server_answer(r->s, &a);
}

static void
take_events(struct run *r)
{
	struct milter_event ev;
	while (milter_server_event(r->s, &ev)) {
		trace_event(&r->trace, &ev);
		if (milter_server_owes(r->s)) {
			assert_int_equal(milter_server_feed(r->s, SLICE("x")), 0);
			assert_false(milter_server_event(r->s, &ev));
			if (ev.type == MILTER_EV_NEGOTIATE)
				negotiate(r);
			else
				answer(r);
		}
		trace_output(r->d->apart ? &r->output : &r->trace, r->s);
	}
	trace_output(r->d->apart ? &r->output : &r->trace, r->s);
}

static void
run_pieces(void *arg, const struct slice *pieces, size_t n)
{
	struct run r = {.d = arg, .s = milter_server_new()};
	r.answer = r.d->answers != NULL ? r.d->answers : "";
	buf_init(&r.trace, TRACE_BYTES);
	buf_init(&r.output, TRACE_BYTES);
	for (size_t i = 0; i < n; i++) {
		for (struct slice in = pieces[i]; in.n > 0;) {
			size_t taken = milter_server_feed(r.s, in);
			in = slice_from(in, taken);
			take_events(&r);
			if (taken == 0) /* it is over */
				break;
		}
	}
	must(buf_add(&r.trace, buf_slice(&r.output)) == 0);
	must(buf_add_byte(&r.trace, '\0') == 0);
	if (strcmp(buf_slice(&r.trace).p, r.d->trace) != 0)
		fail_msg("%s:\n%s-- expected:\n%s", r.d->name, buf_slice(&r.trace).p,
			r.d->trace);
	buf_fini(&r.trace);
	buf_fini(&r.output);
	milter_server_free(&r.s);
}

static void
run_dialogues(struct dialogue *d, size_t n)
{
	for (; n > 0; n--, d++) {
		struct buf in;
		buf_init(&in, SCRIPT_BYTES);
		milter_script_add(&in, d->script);
		feed_every_way(buf_slice(&in), run_pieces, d);
		buf_fini(&in);
	}
}

#define NEGOTIATED "negotiate 6 1ff 1fffff\n>O6 0 0\n"
#define OFFER      "O6 1ff 1fffff\n"
#define CONNECT_HELO                \
	"Cmx.example.org~4\x04\xd2" \
	"192.0.2.1~\nHmx.example.org~\n"
#define CONNECTED \
	NEGOTIATED "connect mx.example.org 192.0.2.1 1234\n>c\nhelo mx.example.org\n>c\n"

#define ENVELOPE  "M<a@example.org>~\nR<b@example.org>~\n"
#define ENVELOPED "mail <a@example.org>\n>c\nrcpt <b@example.org>\n>c\n"

static struct dialogue mails[] = {
	{.name = "a mail",
		.script = OFFER CONNECT_HELO "M<a@example.org>~SIZE=10~\nR<b@example.org>~\nT\n"
					     "LFrom~a|\tb~\nN\nBHi|\nE\nQ\n",
		.trace = CONNECTED "mail <a@example.org> SIZE=10\n>c\n"
				   "rcpt <b@example.org>\n>c\ndata\n>c\n"
				   "header From: a|\tb\n>c\nheader-end\n>c\nbody: Hi|\n>c\n"
				   "end\n>c\nquit\n"},
	{.name = "two mails, the second of version 2, from a local program",
		.script =
			OFFER CONNECT_HELO ENVELOPE "T\nE\nM<>~\nR<c@example.org>~\nN\nE\nQ\n",
		.trace = CONNECTED ENVELOPED "data\n>c\nend\n>c\nmail <>\n>c\n"
					     "rcpt <c@example.org>\n>c\nheader-end\n>c\n"
					     "end\n>c\nquit\n"},
	{.name = "no CONNECT, no HELO, no recipient that the MTA took",
		.script = OFFER "M<a@example.org>~\nLA~~\nB\nBx\nE\n",
		.trace = NEGOTIATED "mail <a@example.org>\n>c\nheader A: \n>c\nbody: \n>c\n"
				    "body: x\n>c\nend\n>c\n"},
	{.name = "two sessions over one connection",
		.script = OFFER CONNECT_HELO ENVELOPE
		"K\nCb.example~U\nK\nCc.example~L~~/run/x~\n"
		"Q\n",
		.trace = CONNECTED ENVELOPED "next\nconnect b.example - 0\n>c\nnext\n"
					     "connect c.example - 0\n>c\nquit\n"},
	{.name = "aborts in every phase",
		.script = OFFER "A\nHa~\nA\n" ENVELOPE "A\nM<>~\nLA~b~\nA\nM<>~\nBx\nA\nA\n"
				"Kab\n",
		.trace = NEGOTIATED "abort\nhelo a\n>c\nabort\n" ENVELOPED "abort\n"
				    "mail <>\n>c\nheader A: b\n>c\nabort\n"
				    "mail <>\n>c\nbody: x\n>c\nabort\nabort\nbad\n"},
	{.name = "CONNECT after an abort that came first",
		.script = OFFER "A\nCa~U\n",
		.trace = NEGOTIATED "abort\nconnect a - 0\n>c\n"},
	{.name = "HELO and a command that the MTA does not know in an envelope",
		.script = OFFER "M<a@example.org>~\nHb~\nUFOO bar~\nR<b@example.org>~\nT\n"
				"R<c@example.org>~\nT\nE\n",
		.trace =
			NEGOTIATED "mail <a@example.org>\n>c\nhelo b\n>c\nunknown FOO bar\n>c\n"
				   "rcpt <b@example.org>\n>c\ndata\n>c\n"
				   "rcpt <c@example.org>\n>c\ndata\n>c\nend\n>c\n"},
	{.name = "mails that the MTA drops without a word",
		.script = OFFER "M<>~\nM<>~\nLA~b~\nHc~\nM<>~\nN\nUd~\nM<>~\nBx\nM<e@e>~\nQ\n",
		.trace = NEGOTIATED "mail <>\n>c\nabort\nmail <>\n>c\nheader A: b\n>c\n"
				    "abort\nhelo c\n>c\nmail <>\n>c\nheader-end\n>c\n"
				    "abort\nunknown d\n>c\nmail <>\n>c\nbody: x\n>c\n"
				    "abort\nmail <e@e>\n>c\nquit\n"},
	{.name = "MAIL is not sent",
		.script = OFFER "R<b@example.org>~\nLA~b~\nE\nN\nE\nBx\nE\nT\nE\nR<c@c>~\nA\n"
				"Bx\nA\nCa~U\n",
		.steps = MILTER_NO_MAIL,
		.trace = "negotiate 6 1ff 1fffff\n>O6 0 4\nrcpt <b@example.org>\n>c\n"
			 "header A: b\n>c\nend\n>c\nheader-end\n>c\nend\n>c\nbody: x\n>c\n"
			 "end\n>c\ndata\n>c\nend\n>c\nrcpt <c@c>\n>c\nabort\nbody: x\n>c\n"
			 "abort\nbad\n"},
};

static void
test_mails(void **state)
{
	(void)state;
	run_dialogues(mails, ARRAY(mails));
}

/* ---- the negotiation ---- */

#define CANS (MILTER_CAN_ADD_HEADERS | MILTER_CAN_CHANGE_HEADERS)
#define STEPS                                                                      \
	(MILTER_NO_UNKNOWN | MILTER_NO_DATA | MILTER_NO_BODY | MILTER_NR_HEADERS | \
		MILTER_NR_CONNECT | MILTER_SKIP_BODY | MILTER_HEADER_SPACE | MILTER_DATA_256K)

static struct dialogue negotiations[] = {
	{.name = "version 1",
		.script = "O1 1ff 7f\nQ\n",
		.fails = true,
		.trace = "negotiate 1 1ff 7f\n"},
	{.name = "version 0",
		.script = "O0 1ff 7f\nQ\n",
		.fails = true,
		.trace = "negotiate 0 1ff 7f\n"},
	{.name = "version 2, whose MTA offers more than it knows",
		.script = "O2 1ff ffffffff\n",
		.can = CANS,
		.steps = STEPS,
		.trace = "negotiate 2 1ff ffffffff\n>O2 11 90\n"},
	{.name = "version 3",
		.script = "O3 3f ffffffff\n",
		.can = CANS,
		.steps = STEPS,
		.trace = "negotiate 3 3f ffffffff\n>O3 11 190\n"},
	{.name = "version 4",
		.script = "O4 11 ffffffff\n",
		.can = CANS,
		.steps = STEPS,
		.trace = "negotiate 4 11 ffffffff\n>O4 11 390\n"},
	{.name = "version 5",
		.script = "O5 11 ffffffff\n",
		.steps = STEPS,
		.trace = "negotiate 5 11 ffffffff\n>O5 0 390\n"},
	{.name = "version 6",
		.script = "O6 11 ffffffff\n",
		.can = CANS,
		.steps = STEPS,
		.trace = "negotiate 6 11 ffffffff\n>O6 11 10101790\n"},
	{.name = "a version to come",
		.script = "O7 7ff ffffffff\n",
		.can = CANS,
		.steps = UINT32_MAX,
		.trace = "negotiate 7 7ff ffffffff\n>O6 11 201fffff\n"},
	{.name = "one size of data: the larger",
		.script = "O6 1ff 30000000\n",
		.steps = MILTER_DATA_256K | MILTER_DATA_1M,
		.trace = "negotiate 6 1ff 30000000\n>O6 0 20000000\n"},
	{.name = "... that both know",
		.script = "O6 1ff 10000000\n",
		.steps = MILTER_DATA_256K | MILTER_DATA_1M,
		.trace = "negotiate 6 1ff 10000000\n>O6 0 10000000\n"},
	{.name = "steps that are not on offer are done without",
		.script = "O6 1ff 480\n",
		.steps = STEPS,
		.trace = "negotiate 6 1ff 480\n>O6 0 480\n"},
	{.name = "an action that is not on offer",
		.script = "O6 1 1fffff\nQ\n",
		.can = CANS,
		.fails = true,
		.trace = "negotiate 6 1 1fffff\n"},
	{.name = "an action that may be",
		.script = "O6 31 0\n",
		.can = CANS,
		.may = MILTER_CAN_QUARANTINE,
		.trace = "negotiate 6 31 0\n>O6 31 0\n"},
	{.name = "... and need not",
		.script = "O6 1df 0\n",
		.can = CANS,
		.may = MILTER_CAN_QUARANTINE,
		.trace = "negotiate 6 1df 0\n>O6 11 0\n"},
	{.name = "macros are chosen where they can be",
		.script = OFFER,
		.can = CANS,
		.macros = {[MILTER_AT_CONNECT] = "j {client_addr}",
			[MILTER_AT_HELO] = "",
			[MILTER_AT_END] = "i",
			[MILTER_AT_HEADER_END] = "i"},
		.trace = "negotiate 6 1ff 1fffff\n"
			 ">O6 111 0 0(j {client_addr}) 1() 5(i) 6(i)\n"},
	{.name = "... and else are not",
		.script = "O6 ff 1fffff\n",
		.can = CANS,
		.macros = {"j"},
		.trace = "negotiate 6 ff 1fffff\n>O6 11 0\n"},
	{.name = "the choice of macros as a condition",
		.script = "O6 ff 1fffff\nQ\n",
		.can = MILTER_CAN_CHOOSE_MACROS,
		.macros = {"j"},
		.fails = true,
		.trace = "negotiate 6 ff 1fffff\n"},
	{.name = "twice", .script = OFFER OFFER, .trace = NEGOTIATED "bad\n"},
};

static void
test_negotiation(void **state)
{
	(void)state;
	run_dialogues(negotiations, ARRAY(negotiations));
}

/* ---- answers ---- */

static struct dialogue answers[] = {
	{.name = "refused at each step",
		.script = OFFER "Ca~U\nHb~\nUFOO~\nM<>~\nM<>~\nR<a@b>~\nT\nM<>~\nLA~b~\n"
				"M<>~\nN\nM<>~\nBx\nM<>~\nE\n",
		.answers = "yyyycyycycycycy",
		.trace = NEGOTIATED
		"connect a - 0\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"helo b\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"unknown FOO\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"mail <>\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"mail <>\n>c\nrcpt <a@b>\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"data\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"mail <>\n>c\nheader A: b\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"mail <>\n>c\nheader-end\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"mail <>\n>c\nbody: x\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"mail <>\n>c\nend\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"},
	{.name = "accepted and discarded",
		.script = OFFER
		"Ca~U\nHb~\nM<>~\nM<>~\nR<a@b>~\nM<>~\nR<a@b>~\nM<>~\nE\nM<>~\nBx\n"
		"A\nM<>~\nE\n",
		.answers = "aaacdcaca"
			   "cdcd",
		.trace = NEGOTIATED "connect a - 0\n>a\nhelo b\n>a\nmail <>\n>a\n"
				    "mail <>\n>c\nrcpt <a@b>\n>d\nmail <>\n>c\nrcpt <a@b>\n>a\n"
				    "mail <>\n>c\nend\n>a\nmail <>\n>c\nbody: x\n>d\nabort\n"
				    "mail <>\n>c\nend\n>d\n"},
	{.name = "after a refusal at RCPT the mail goes on",
		.script = OFFER ENVELOPE "R<c@c>~\nE\n",
		.answers = "cy",
		.trace = NEGOTIATED
		"mail <a@example.org>\n>c\nrcpt <b@example.org>\n"
		">y550-5.7.1 no^|550 5.7.1 100%%~\nrcpt <c@c>\n>c\nend\n>c\n"},
	{.name = "after a refusal at MAIL there is no mail",
		.script = OFFER ENVELOPE,
		.answers = "y",
		.trace = NEGOTIATED "mail <a@example.org>\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
				    "bad\n"},
	{.name = "the rest of the body is not wanted",
		.script = OFFER "M<>~\nBx\nEy\n",
		.steps = MILTER_SKIP_BODY,
		.answers = "css",
		.trace = "negotiate 6 1ff 1fffff\n>O6 0 400\nmail <>\n>c\nbody: x\n>s\n"
			 "body: y\nend\n>c\n"},
	{.name = "... and the MTA does not know the word",
		.script = OFFER "M<>~\nBx\nBy\nE\n",
		.answers = "css",
		.trace = NEGOTIATED "mail <>\n>c\nbody: x\n>c\nbody: y\n>c\nend\n>c\n"},
	{.name = "edits, then the verdict",
		.script = OFFER ENVELOPE "E\nQ\n",
		.can = 0x1d,
		.may = MILTER_CAN_QUARANTINE,
		.answers = "cce",
		.trace = "negotiate 6 1ff 1fffff\n>O6 3d 0\n" ENVELOPED "end\n"
			 ">m[2]Authentication-Results~~\n>i[0]X-A~ one| two~\n>i[1]X-B~~\n"
			 ">+<c@example.org>~\n>-<b@example.org>~\n"
			 ">qforged: a.conf:9~\n>c\nquit\n"},
	{.name = "progress at the end alone, once until it was read",
		.script = OFFER "M<>~\nBx\nE\n",
		.answers = "ppp",
		.trace = NEGOTIATED "mail <>\n>c\nbody: x\n>c\nend\n>p\n>c\n"},
	{.name = "the last of the body comes with the end",
		.script = OFFER "M<>~\nDBa~1~\nDEb~2~\nEx|\nM<>~\nBy\nE~\nQ\n",
		.answers = "c"
			   "c"
			   "p",
		.trace = NEGOTIATED "mail <>\n>c\nbody: x| {a=1}\nend {b=2}\n>p\n>c\n"
				    "mail <>\n>c\nbody: y\n>c\nbody: ~\nend\n>c\nquit\n"},
	{.name = "... and ends the mail",
		.script = OFFER "M<>~\nEx\nM<>~\nEx\nM<>~\nEx\nM<>~\nEx\nM<>~\n",
		.answers = "cycacdcc"
			   "y",
		.trace = NEGOTIATED
		"mail <>\n>c\nbody: x\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"mail <>\n>c\nbody: x\n>a\nmail <>\n>c\nbody: x\n>d\n"
		"mail <>\n>c\nbody: x\nend\n>y550-5.7.1 no^|550 5.7.1 100%%~\n"
		"mail <>\n>c\n"},
};

static void
test_answers(void **state)
{
	(void)state;
	run_dialogues(answers, ARRAY(answers));
}

/* ---- steps that are not answered ---- */

#define SILENT     0x000ff080
#define SILENTLY   "negotiate 6 1ff 1fffff\n>O6 0 ff080\n"
#define WHOLE_MAIL "Ca~U\nHb~\nUc~\nM<>~\nR<d@d>~\nT\nLE~f~\nN\nBg\nE\n"
#define ONE_MAIL   "M<>~\nR<d@d>~\nT\nLE~f~\nN\nBg\nEh\n"

static struct dialogue silent[] = {
	{.name = "only the end is answered",
		.script = OFFER WHOLE_MAIL "Q\n",
		.steps = SILENT,
		.trace =
			SILENTLY "connect a - 0\nhelo b\nunknown c\nmail <>\nrcpt <d@d>\ndata\n"
				 "header E: f\nheader-end\nbody: g\nend\n>c\nquit\n"},
	{.name = "accepted at CONNECT: for good",
		.script = OFFER WHOLE_MAIL "M<>~\nM<>~\nA\nHx~\n" ONE_MAIL
					   "K\nCa~U\nM<>~\nR<d@d>~\nE\n",
		.steps = SILENT,
		.apart = true,
		.answers = "acca",
		.trace = "negotiate 6 1ff 1fffff\nconnect a - 0\nabort\nnext\n"
			 "connect a - 0\nmail <>\nrcpt <d@d>\n>O6 0 ff080\n>a\n>a\n>a\n"},
	{.name = "accepted at HELO, where mails are answered",
		.script = OFFER "Hb~\nUc~\nM<>~\nM<>~\nE\n",
		.steps = MILTER_NR_HELO | MILTER_NR_UNKNOWN,
		.apart = true,
		.answers = "a",
		.trace = "negotiate 6 1ff 1fffff\nhelo b\nbad\n>O6 0 22000\n>a\n>a\n"},
	{.name = "accepted at MAIL: the next mail is asked about",
		.script = OFFER ONE_MAIL ONE_MAIL "M<>~\nM<>~\nA\nR<d@d>~\n",
		.steps = SILENT,
		.apart = true,
		.answers = "accccccccaa",
		.trace = "negotiate 6 1ff 1fffff\nmail <>\nmail <>\nrcpt <d@d>\ndata\n"
			 "header E: f\nheader-end\nbody: g\nbody: h\nend\nmail <>\nabort\n"
			 "mail <>\nabort\nbad\n>O6 0 ff080\n>a\n>c\n"},
	{.name = "accepted in the body, said with the end",
		.script = OFFER "M<>~\nBx\nBy\nHz~\nM<>~\nBx\nEy\nM<>~\n",
		.steps = SILENT,
		.apart = true,
		.answers = "cacca",
		.trace = "negotiate 6 1ff 1fffff\nmail <>\nbody: x\nabort\nhelo z\nmail <>\n"
			 "body: x\nmail <>\n>O6 0 ff080\n>a\n"},
	{.name = "accepted in the last piece of the body",
		.script = OFFER "M<>~\nEx\nM<>~\nEx\nM<>~\n",
		.steps = SILENT,
		.answers = "cacs",
		.trace = SILENTLY "mail <>\nbody: x\n>a\nmail <>\nbody: x\nend\n>c\nmail <>\n"},
	{.name = "accepted at a field, said at the header's end",
		.script = OFFER "M<>~\nLA~b~\nLA~b~\nN\nM<>~\nUx~\n",
		.steps = MILTER_NR_HEADERS,
		.apart = true,
		.answers = "ca",
		.trace = "negotiate 6 1ff 1fffff\nmail <>\nheader A: b\nmail <>\nunknown x\n"
			 ">O6 0 80\n>c\n>a\n>c\n>c\n"},
	{.name = "an ACCEPT to a command that the MTA does not know is nothing",
		.script = OFFER "M<>~\nUx~\nE\n",
		.steps = MILTER_NR_UNKNOWN,
		.answers = "ca",
		.trace = "negotiate 6 1ff 1fffff\n>O6 0 20000\nmail <>\n>c\nunknown x\nend\n"
			 ">c\n"},
	{.name = "a space behind the colon",
		.script = OFFER "M<>~\nLA~ b~\nLA~\tb|\tc~\nLA~~\n",
		.steps = MILTER_HEADER_SPACE,
		.trace = "negotiate 6 1ff 1fffff\n>O6 0 100000\nmail <>\n>c\nheader A: b\n>c\n"
			 "header A:\tb|\tc\n>c\nheader A:\n>c\n"},
};

static void
test_silent_steps(void **state)
{
	(void)state;
	run_dialogues(silent, ARRAY(silent));
}

/* ---- macros ---- */

static struct dialogue macros[] = {
	{.name = "for the step that they precede, with braces or without",
		.script = OFFER
		"DCj~mx~{daemon_name}~~client_addr~192.0.2.1~{~x~\nCa~U\nHb~\n"
		"DM{auth_authen}~u~\nM<>~\nDR{rcpt_mailer}~m1~\nR<a@a>~\nR<b@b>~\n"
		"DR{rcpt_mailer}~m3~\nR<c@c>~\nDT\nT\nDLx~1~\nLA~b~\nLA~b~\n"
		"DNi~2~\nN\nDBx~3~\nBx\nBx\nDEi~4~\nE\nDUx~5~\nUx~\n",
		.trace = NEGOTIATED
		"connect a - 0 {j=mx,daemon_name=,client_addr=192.0.2.1,{=x}\n>c\nhelo b\n>c\n"
		"mail <> {auth_authen=u}\n>c\nrcpt <a@a> {rcpt_mailer=m1}\n>c\nrcpt <b@b>\n>c\n"
		"rcpt <c@c> {rcpt_mailer=m3}\n>c\ndata {}\n>c\nheader A: b {x=1}\n>c\n"
		"header A: b\n>c\nheader-end {i=2}\n>c\nbody: x {x=3}\n>c\nbody: x\n>c\n"
		"end {i=4}\n>c\nunknown x {x=5}\n>c\n"},
	{.name = "those that come later replace those before",
		.script = OFFER "DMi~1~j~2~\nDHk~3~\nDMi~4~\nHa~\nM<>~\n",
		.trace = NEGOTIATED "helo a {k=3}\n>c\nmail <> {i=4}\n>c\n"},
	{.name = "sent for steps that are not sent themselves",
		.script = OFFER "DCj~1~\nDHk~2~\nDMi~3~\nM<>~\nDRr~4~\nDTi~5~\nLA~b~\nE\n"
				"M<>~\nR<a@a>~\nT\nHb~\n",
		.trace = NEGOTIATED "mail <> {i=3}\n>c\nheader A: b\n>c\nend\n>c\nmail <>\n>c\n"
				    "rcpt <a@a>\n>c\ndata\n>c\nhelo b {k=2}\n>c\n"},
	{.name = "gone with their mail",
		.script = OFFER
		"M<>~\nDRr~1~\nDEi~2~\nDHh~3~\nDUu~4~\nA\nM<>~\nR<a@a>~\nDEi~5~\n"
		"DMm~6~\nM<>~\nE\nUx~\nHb~\nM<>~\nDEi~7~\nLA~b~\nDMm~8~\nHc~\nM<>~\nE\n",
		.trace = NEGOTIATED "mail <>\n>c\nabort\nmail <>\n>c\nrcpt <a@a>\n>c\n"
				    "abort\nmail <> {m=6}\n>c\nend\n>c\nunknown x {u=4}\n>c\n"
				    "helo b {h=3}\n>c\nmail <>\n>c\nheader A: b\n>c\nabort\n"
				    "helo c\n>c\nmail <>\n>c\nend\n>c\n"},
	{.name = "gone with their session",
		.script = OFFER "DHh~1~\nDMm~2~\nDUu~3~\nK\nCa~U\nHb~\nUx~\nM<>~\n",
		.trace = NEGOTIATED "next\nconnect a - 0\n>c\nhelo b\n>c\nunknown x\n>c\n"
				    "mail <>\n>c\n"},
};

static void
test_macros(void **state)
{
	(void)state;
	run_dialogues(macros, ARRAY(macros));
}

/* ---- memory, back-pressure ---- */

/* Feeds all of it, CONTINUE to everything. */
static void
feed_all(struct milter_server *s, struct slice in)
{
	struct milter_answer go_on = {.verdict = MILTER_CONTINUE};
	struct milter_wants w = {0};
	struct milter_offer agreed;
	struct milter_event ev;
	while (in.n > 0) {
		in = slice_from(in, milter_server_feed(s, in));
		while (milter_server_event(s, &ev))
			if (ev.type == MILTER_EV_NEGOTIATE)
				assert_true(milter_server_negotiate(s, &w, &agreed));
			else if (milter_server_owes(s))
				milter_server_answer(s, &go_on);
		milter_server_written(s, milter_server_output(s).n);
	}
}

/* Output that nobody reads stops the reading: a flood is no way to fill the memory. */
static void
test_output_waits(void **state)
{
	(void)state;
	struct milter_server *s = milter_server_new();
	struct milter_answer a = {.verdict = MILTER_CONTINUE};
	struct milter_event ev;
	struct buf in, packet;
	buf_init(&in, SCRIPT_BYTES);
	buf_init(&packet, 64);
	milter_script_add(&in, OFFER);
	feed_all(s, buf_slice(&in));
	milter_script_add(&packet, "M<>~\n");
	size_t answered = 0;
	while (milter_server_feed(s, buf_slice(&packet)) == packet.used) {
		while (milter_server_event(s, &ev))
			if (milter_server_owes(s))
				milter_server_answer(s, &a);
		assert_true(++answered < 100000);
	}
	assert_int_equal(milter_server_output(s).n, 5 * answered);
	assert_in_range(5 * answered, 64 * KIB, 64 * KIB + 5);
	milter_server_written(s, 5 * answered);
	assert_int_equal(milter_server_feed(s, buf_slice(&packet)), packet.used);
	buf_fini(&in);
	buf_fini(&packet);
	milter_server_free(&s);
}

/* The largest answer: what a bound allows is written whole, once. */
static void
test_largest_answer(void **state)
{
	(void)state;
	static char value[MILTER_EDIT_BYTES_MOST - 1];
	static struct milter_edit all[MILTER_EDITS_MOST];
	struct milter_server *s = milter_server_new();
	struct milter_wants w = {.can = MILTER_CAN_ADD_HEADERS | MILTER_CAN_DELETE_RCPT};
	struct milter_offer agreed;
	struct milter_event ev;
	struct buf in;
	memset(value, 'x', sizeof(value));
	for (size_t i = 0; i < MILTER_EDITS_MOST; i++)
		all[i] = (struct milter_edit){
			MILTER_EDIT_DELETE_RCPT, 0, SLICE_NONE, {value, 400}};
	for (size_t i = 0; i < 32; i++)
		all[i] = (struct milter_edit){
			MILTER_EDIT_INSERT_HEADER, 0, SLICE("A"), {value, sizeof(value)}};
	buf_init(&in, 256);
	milter_script_add(&in, OFFER "M<>~\nE\n");
	struct slice rest = buf_slice(&in);
	size_t edits_bytes = 32 * (size_t)(5 + 65535) + (MILTER_EDITS_MOST - 32) * (size_t)406;
	assert_in_range(edits_bytes, 3 * MIB, MILTER_ANSWER_BYTES_MOST - 5);
	while (rest.n > 0) {
		rest = slice_from(rest, milter_server_feed(s, rest));
		assert_true(milter_server_event(s, &ev));
		struct milter_answer a = {.verdict = MILTER_CONTINUE};
		if (ev.type == MILTER_EV_END) {
			a.edits = all;
			a.n_edits = MILTER_EDITS_MOST;
		}
		if (ev.type == MILTER_EV_NEGOTIATE)
			assert_true(milter_server_negotiate(s, &w, &agreed));
		else
			milter_server_answer(s, &a);
		if (rest.n > 0)
			milter_server_written(s, milter_server_output(s).n);
	}
	struct slice out = milter_server_output(s);
	assert_int_equal(out.n, edits_bytes + 5);
	assert_true(slice_ends(out, SLICE("\0\0\0\1c")));
	milter_server_written(s, out.n);
	assert_int_equal(milter_server_output(s).n, 0);
	buf_fini(&in);
	milter_server_free(&s);
}

/* The slices of an event that owes no answer live until the next call. */
static void
test_free_at_any_point(void **state)
{
	(void)state;
	struct buf in;
	buf_init(&in, 4096);
	milter_script_add(
		&in, OFFER "DCj~1~\nCa~U\nDMi~2~\n" ENVELOPE "LA~b~\nEx\nM<>~\nM<>~\n");
	for (size_t n = 0; n <= in.used; n++) {
		struct milter_server *s = milter_server_new();
		struct milter_event ev;
		feed_all(s, slice_first(buf_slice(&in), n));
		milter_server_free(&s);
		assert_null(s);
		s = milter_server_new();
		feed_all(s, slice_first(buf_slice(&in), n));
		milter_server_feed(s, slice_from(buf_slice(&in), n));
		milter_server_event(s, &ev);
		milter_server_free(&s);
	}
	struct milter_server *none = NULL;
	milter_server_free(&none);
	buf_fini(&in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mails),
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_silent_steps),
		cmocka_unit_test(test_macros),
		cmocka_unit_test(test_output_waits),
		cmocka_unit_test(test_largest_answer),
		cmocka_unit_test(test_free_at_any_point),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
