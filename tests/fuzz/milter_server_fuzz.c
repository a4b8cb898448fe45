/*
 * The milter's machine against an MTA that says anything. Four bytes choose what is wanted, how
 * the input is cut and what is answered; the rest is what the MTA sends. However it is cut, the
 * events and all that is written are the same; what is written is packets, and nothing follows
 * the end.
 */
#include <stdint.h>

#include "base/must.h"
#include "milter/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
	uint64_t events; /* a hash of all that was in them, in their order */
	uint64_t output;
	struct milter_offer agreed;
	bool over;
};

static void
mix(uint64_t *hash, struct slice s)
{
	*hash = (*hash ^ s.n) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < s.n; i++)
		*hash = (*hash ^ (unsigned char)s.p[i]) * UINT64_C(0x100000001b3);
}

static void
mix_event(uint64_t *hash, const struct milter_event *ev)
{
	mix(hash, slice_of(milter_event_text(ev->type)));
	mix(hash, ev->name);
	mix(hash, ev->value);
	mix(hash, (struct slice){(const char *)ev->ip.bytes, ev->ip.family == 4 ? 4 : 16});
	for (size_t i = 0; i < ev->n_args; i++)
		mix(hash, ev->args[i]);
	for (size_t i = 0; i < ev->n_macros; i++) {
		must(ev->macros[i].name.n > 0);
		mix(hash, ev->macros[i].name);
		mix(hash, ev->macros[i].value);
	}
	must(ev->n_args <= MILTER_ARGS_MOST && ev->n_macros <= MILTER_MACROS_MOST);
	must(ev->has_macros || ev->n_macros == 0);
	must((ev->type == MILTER_EV_BAD) == (ev->why != NULL));
}

static bool
is_silent(enum milter_event_type step, uint32_t steps)
{
	return (milter_not_answered(step) & steps) != 0;
}

/* By what the event holds, so that it is the same however the input is cut. */
static void
answer(struct milter_server *s, const struct milter_event *ev, const struct outcome *o,
	unsigned how)
{
	static const struct milter_edit edits[] = {
		{MILTER_EDIT_INSERT_HEADER, 0, {"X-A", 3}, {"b\n c", 4}},
		{MILTER_EDIT_INSERT_HEADER, 3, {"X-B", 3}, {"", 0}},
		{MILTER_EDIT_QUARANTINE, 0, {NULL, 0}, {"a: b:1", 6}},
	};
	struct milter_answer a = {.verdict = MILTER_CONTINUE};
	unsigned choice = (unsigned)(o->events >> 7) ^ how;
	bool is_mail = ev->type >= MILTER_EV_MAIL && ev->type <= MILTER_EV_END;
	if (choice % 8 == 1)
		a.verdict = MILTER_ACCEPT;
	else if (choice % 8 == 2 && ev->type == MILTER_EV_BODY)
		a.verdict = MILTER_SKIP;
	else if (choice % 8 == 3 && !is_silent(ev->type, o->agreed.steps))
		a.verdict = is_mail ? MILTER_DISCARD : MILTER_REPLY;
	else if (choice % 8 == 4 && !is_silent(ev->type, o->agreed.steps))
		a.verdict = MILTER_REPLY;
	else if (ev->type == MILTER_EV_END && (o->agreed.can & MILTER_CAN_ADD_HEADERS) != 0)
		a = (struct milter_answer){.edits = edits,
			.n_edits = choice % 3 +
				   (choice % 3 == 2 &&
					   (o->agreed.can & MILTER_CAN_QUARANTINE) != 0)};
	if (a.verdict == MILTER_REPLY)
		a.reply = smtp_reply_of("550 5.7.1 no\n100%");
	milter_server_answer(s, &a);
}

/* Whole packets, as an MTA reads them. */
static void
take_output(struct milter_server *s, struct outcome *o)
{
	struct slice out = milter_server_output(s);
	mix(&o->output, SLICE_NONE);
	for (struct slice rest = out; rest.n > 0;) {
		must(rest.n >= 5 && rest.p[0] == 0 && rest.p[1] == 0);
		size_t n =
			4 + ((size_t)(unsigned char)rest.p[2] << 8 | (unsigned char)rest.p[3]);
		must(n >= 5 && n <= rest.n);
		mix(&o->output, slice_first(rest, n));
		rest = slice_from(rest, n);
	}
	milter_server_written(s, out.n);
}

static void
take_events(struct milter_server *s, struct outcome *o, const uint8_t how[4])
{
	struct milter_event ev;
	while (milter_server_event(s, &ev)) {
		must(!o->over);
		mix_event(&o->events, &ev);
		o->over = ev.type == MILTER_EV_BAD || ev.type == MILTER_EV_QUIT;
		if (!milter_server_owes(s))
			continue;
		must(milter_server_feed(s, SLICE("x")) == 0);
		if (ev.type != MILTER_EV_NEGOTIATE) {
			answer(s, &ev, o, how[2]);
			continue;
		}
		struct milter_wants w = {.can = how[0] & 0x1fu,
			.may = (how[2] & 2) != 0 ? MILTER_CAN_QUARANTINE : 0,
			.steps = (uint32_t)how[1] << 12 |
				 ((how[0] & 0x20) != 0 ? MILTER_NO_MAIL : 0) |
				 ((how[0] & 0x40) != 0 ? MILTER_SKIP_BODY : 0) |
				 ((how[0] & 0x80) != 0 ? MILTER_NR_HEADERS : 0)};
		if ((how[2] & 1) != 0)
			w.macros[MILTER_AT_MAIL] = SLICE("i {auth_authen}");
		o->over = !milter_server_negotiate(s, &w, &o->agreed);
	}
}

/* What is answered while it is read must not depend on the cut: output is hashed at the end. */
static struct outcome
run(struct slice said, const uint8_t how[4], size_t step)
{
	struct milter_server *s = milter_server_new();
	struct outcome o = {0};
	while (said.n > 0) {
		struct slice piece = slice_first(said, step);
		size_t taken = milter_server_feed(s, piece);
		must(taken <= piece.n);
		said = slice_from(said, taken);
		take_events(s, &o, how);
		if (taken == 0) {
			must(o.over);
			break;
		}
	}
	take_output(s, &o);
	milter_server_free(&s);
	return o;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* no more packets than the output holds answers: while it is full nothing is read */
	if (size < 4 || size > 5000)
		return 0;
	struct slice said = {(const char *)data + 4, size - 4};
	struct outcome whole = run(said, data, said.n + 1);
	struct outcome cut = run(said, data, data[3] + 1u);
	must(whole.events == cut.events && whole.over == cut.over);
	must(whole.output == cut.output);
	return 0;
}
