/*
 * The milter's machine against scripted MTAs (MLT-01). A script is lines of packets, a command
 * letter and its data, '~' for NUL and '|' for LF; "O" has its three numbers in hex. Each
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

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

enum { TRACE_BYTES = 256 * 1024, SCRIPT_BYTES = 4 * 1024 * 1024 };

/* 'c'ontinue, 'a'ccept, 'd'iscard, 's'kip, 'y': refuse, 'e': edits, 'p'rogress and continue;
 * behind the last: 'c'. */
struct dialogue {
	const char *name;
	const char *script;
	const char *answers;
	const char *trace;
	uint32_t can, steps; /* wanted */
	const char *macros[MILTER_STAGES];
	bool fails; /* the negotiation */
};

/* ---- the script ---- */

static void
add_packet(struct buf *out, char command, struct slice data)
{
	uint32_t n = (uint32_t)data.n + 1;
	char start[5] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n, command};
	must(buf_add(out, (struct slice){start, 5}) == 0 && buf_add(out, data) == 0);
}

static void
add_u32(struct buf *out, unsigned long v)
{
	char bytes[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
	must(buf_add(out, (struct slice){bytes, 4}) == 0);
}

static void
add_offer(struct buf *out, struct slice numbers)
{
	unsigned long v[3];
	char text[64], data[12];
	struct buf b;
	snprintf(text, sizeof(text), "%.*s", SLICE_ARG(numbers));
	must(sscanf(text, "%lx %lx %lx", &v[0], &v[1], &v[2]) == 3);
	buf_init(&b, sizeof(data));
	for (size_t i = 0; i < 3; i++)
		add_u32(&b, v[i]);
	add_packet(out, 'O', buf_slice(&b));
	buf_fini(&b);
}

static void
add_script(struct buf *out, const char *script)
{
	struct slice rest = slice_of(script), line;
	while (rest.n > 0) {
		slice_cut(rest, '\n', &line, &rest);
		struct slice data = slice_from(line, 1);
		if (line.p[0] == 'O') {
			add_offer(out, data);
			continue;
		}
		struct buf b;
		buf_init(&b, 4096);
		for (size_t i = 0; i < data.n; i++)
			must(buf_add_byte(&b, data.p[i] == '~'   ? '\0'
					      : data.p[i] == '|' ? '\n'
								 : data.p[i]) == 0);
		add_packet(out, line.p[0], buf_slice(&b));
		buf_fini(&b);
	}
}

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
	if (ev->value.p != NULL) {
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
	struct buf trace;
};

static const struct milter_edit edits[] = {
	{MILTER_EDIT_DELETE_HEADER, 2, {"Authentication-Results", 22}, {NULL, 0}},
	{MILTER_EDIT_INSERT_HEADER, 0, {"X-A", 3}, {" one\n two", 9}},
	{MILTER_EDIT_INSERT_HEADER, 1, {"X-B", 3}, {"", 0}},
	{MILTER_EDIT_ADD_RCPT, 0, {NULL, 0}, {"<c@example.org>", 15}},
	{MILTER_EDIT_DELETE_RCPT, 0, {NULL, 0}, {"<b@example.org>", 15}},
};

static void
negotiate(struct run *r)
{
	struct milter_offer agreed = {0};
	struct milter_wants w = {.can = r->d->can, .steps = r->d->steps};
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
		trace_output(&r->trace, r->s);
	}
	trace_output(&r->trace, r->s);
}

static void
run_pieces(void *arg, const struct slice *pieces, size_t n)
{
	struct run r = {.d = arg, .s = milter_server_new()};
	r.answer = r.d->answers != NULL ? r.d->answers : "";
	buf_init(&r.trace, TRACE_BYTES);
	for (size_t i = 0; i < n; i++) {
		for (struct slice in = pieces[i]; in.n > 0;) {
			size_t taken = milter_server_feed(r.s, in);
			in = slice_from(in, taken);
			take_events(&r);
			if (taken == 0) /* it is over */
				break;
		}
	}
	must(buf_add_byte(&r.trace, '\0') == 0);
	if (strcmp(buf_slice(&r.trace).p, r.d->trace) != 0)
		fail_msg("%s:\n%s-- expected:\n%s", r.d->name, buf_slice(&r.trace).p,
			r.d->trace);
	buf_fini(&r.trace);
	milter_server_free(&r.s);
}

static void
run_dialogues(struct dialogue *d, size_t n)
{
	for (; n > 0; n--, d++) {
		struct buf in;
		buf_init(&in, SCRIPT_BYTES);
		add_script(&in, d->script);
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

static struct dialogue whole_mails[] = {
	{.name = "a mail",
		.script = OFFER CONNECT_HELO "M<a@example.org>~SIZE=10~\nR<b@example.org>~"
					     "\nT\nLFrom~a|\tb~\nN\nBHi|\nE\nQ\n",
		.trace = CONNECTED
		"mail <a@example.org> SIZE=10\n>c\nrcpt <b@example.org>\n>c\ndata\n>c\n"
		"header From: a|\tb\n>c\nheader-end\n>c\nbody: Hi|\n>c\nend\n>c\nquit\n"},
};

static void
test_whole_mails(void **state)
{
	(void)state;
	run_dialogues(whole_mails, ARRAY(whole_mails));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_mails),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
