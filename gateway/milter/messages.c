/*
 * A mail that came through libmilter reaches the session process as these messages, and its
 * answers go back so; see messages.h. An event carries what its type has and no more; each
 * string is checked as the engine checks packets of the network, since the process on the
 * other side has a library inside that reads those.
 */
#include "milter/messages.h"

#include "base/must.h"

enum { REPLY_LEAST = 400, REPLY_MOST = 599, ENHANCED_MOST = 999 };

/* A string of the protocol: no NUL. */
static struct slice
get_string(struct ipc_in *in)
{
	struct slice s = ipc_get_slice(in);
	in->bad = in->bad || slice_has(s, '\0');
	return s;
}

/* ... that is not empty. */
static struct slice
get_word(struct ipc_in *in)
{
	struct slice s = get_string(in);
	in->bad = in->bad || s.n == 0;
	return s;
}

/* ---- events ---- */

static void
put_macros(const struct milter_event *ev, struct ipc_out *out)
{
	must(ev->n_macros <= MILTER_MACROS_MOST && (ev->has_macros || ev->n_macros == 0));
	ipc_put_bool(out, ev->has_macros);
	ipc_put_u32(out, (uint32_t)ev->n_macros);
	for (size_t i = 0; i < ev->n_macros; i++) {
		ipc_put_slice(out, ev->macros[i].name);
		ipc_put_slice(out, ev->macros[i].value);
	}
}

static void
get_macros(struct ipc_in *in, struct arena *a, struct milter_event *ev)
{
	ev->has_macros = ipc_get_bool(in);
	size_t n = ipc_get_count(in, MILTER_MACROS_MOST, 9);
	if (n == 0 || in->bad || !ev->has_macros) {
		in->bad = in->bad || n > 0;
		return;
	}
	struct milter_macro *macros = arena_array(a, n, sizeof(*macros));
	for (size_t i = 0; i < n; i++) {
		macros[i].name = get_word(in);
		macros[i].value = get_string(in);
	}
	ev->macros = macros;
	ev->n_macros = n;
}

static void
put_args(const struct milter_event *ev, struct ipc_out *out)
{
	must(ev->n_args > 0 && ev->n_args <= MILTER_ARGS_MOST);
	ipc_put_u32(out, (uint32_t)ev->n_args);
	for (size_t i = 0; i < ev->n_args; i++)
		ipc_put_slice(out, ev->args[i]);
}

static void
get_args(struct ipc_in *in, struct arena *a, struct milter_event *ev)
{
	size_t n = ipc_get_count(in, MILTER_ARGS_MOST, 4);
	if (n == 0 || in->bad) {
		in->bad = true;
		return;
	}
	struct slice *args = arena_array(a, n, sizeof(*args));
	for (size_t i = 0; i < n; i++)
		args[i] = i == 0 ? get_word(in) : get_string(in);
	ev->args = args;
	ev->n_args = n;
}

static void
put_offer(const struct milter_offer *o, struct ipc_out *out)
{
	ipc_put_u32(out, o->version);
	ipc_put_u32(out, o->can);
	ipc_put_u32(out, o->steps);
}

static void
get_offer(struct ipc_in *in, struct milter_offer *o)
{
	o->version = ipc_get_u32(in);
	o->can = ipc_get_u32(in);
	o->steps = ipc_get_u32(in);
}

void
milter_event_pack(const struct milter_event *ev, struct ipc_out *out)
{
	must(ev->type > MILTER_EV_NONE && ev->type < MILTER_EVENTS);
	ipc_put_u8(out, (uint8_t)ev->type);
	put_macros(ev, out);
	switch (ev->type) {
	case MILTER_EV_NEGOTIATE: put_offer(&ev->offer, out); break;
	case MILTER_EV_CONNECT:
		ipc_put_slice(out, ev->name);
		ipc_put_ip(out, &ev->ip);
		ipc_put_u16(out, ev->port);
		break;
	case MILTER_EV_HELO:
	case MILTER_EV_UNKNOWN: ipc_put_slice(out, ev->name); break;
	case MILTER_EV_MAIL:
	case MILTER_EV_RCPT: put_args(ev, out); break;
	case MILTER_EV_HEADER:
		ipc_put_slice(out, ev->name);
		ipc_put_slice(out, ev->value);
		ipc_put_bool(out, ev->has_space);
		break;
	case MILTER_EV_BODY: ipc_put_slice(out, ev->value); break;
	case MILTER_EV_BAD: ipc_put_text(out, ev->why); break;
	case MILTER_EV_NONE:
	case MILTER_EV_DATA:
	case MILTER_EV_HEADER_END:
	case MILTER_EV_END:
	case MILTER_EV_ABORT:
	case MILTER_EV_NEXT:
	case MILTER_EV_QUIT:
	case MILTER_EVENTS: break;
	}
}

static void
get_connect(struct ipc_in *in, struct milter_event *ev)
{
	ev->name = get_string(in);
	ipc_get_ip(in, &ev->ip);
	ev->port = ipc_get_u16(in);
	in->bad = in->bad || (ev->ip.family == 0 && ev->port != 0);
}

static void
get_header(struct ipc_in *in, struct milter_event *ev)
{
	ev->name = get_word(in);
	ev->value = get_string(in);
	ev->has_space = ipc_get_bool(in);
}

bool
milter_event_unpack(struct slice payload, struct arena *a, struct milter_event *ev_out)
{
	struct milter_event ev = {0};
	struct ipc_in in;
	ipc_in_init(&in, payload);
	ev.type = (enum milter_event_type)ipc_get_enum(&in, MILTER_EVENTS);
	get_macros(&in, a, &ev);
	bool is_step = ev.type >= MILTER_EV_CONNECT && ev.type <= MILTER_EV_UNKNOWN;
	if (ev.type == MILTER_EV_NONE || (ev.has_macros && !is_step))
		return false;
	switch (ev.type) {
	case MILTER_EV_NEGOTIATE: get_offer(&in, &ev.offer); break;
	case MILTER_EV_CONNECT: get_connect(&in, &ev); break;
	case MILTER_EV_HELO:
	case MILTER_EV_UNKNOWN: ev.name = get_string(&in); break;
	case MILTER_EV_MAIL:
	case MILTER_EV_RCPT: get_args(&in, a, &ev); break;
	case MILTER_EV_HEADER: get_header(&in, &ev); break;
	case MILTER_EV_BODY: ev.value = ipc_get_slice(&in); break;
	case MILTER_EV_BAD: ev.why = arena_text(a, get_string(&in)); break;
	case MILTER_EV_NONE:
	case MILTER_EV_DATA:
	case MILTER_EV_HEADER_END:
	case MILTER_EV_END:
	case MILTER_EV_ABORT:
	case MILTER_EV_NEXT:
	case MILTER_EV_QUIT:
	case MILTER_EVENTS: break;
	}
	*ev_out = ev;
	return ipc_in_done(&in);
}

/* ---- answers ---- */

static void
put_reply(struct ipc_out *out, const struct smtp_reply *r)
{
	ipc_put_u16(out, (uint16_t)r->code);
	ipc_put_bool(out, r->has_enhanced);
	for (size_t i = 0; i < 3 && r->has_enhanced; i++)
		ipc_put_u16(out, r->enhanced[i]);
	ipc_put_slice(out, slice_first(r->text, SMTP_REPLY_BYTES_MOST));
}

static void
get_reply(struct ipc_in *in, struct arena *a, struct smtp_reply *r)
{
	*r = (struct smtp_reply){.code = ipc_get_u16(in)};
	r->has_enhanced = ipc_get_bool(in);
	bool bad = r->code < REPLY_LEAST || r->code > REPLY_MOST;
	for (size_t i = 0; i < 3 && r->has_enhanced; i++) {
		r->enhanced[i] = ipc_get_u16(in);
		bad = bad || r->enhanced[i] > ENHANCED_MOST;
	}
	struct slice text = ipc_get_slice(in);
	bad = bad || text.n > SMTP_REPLY_BYTES_MOST;
	if (in->bad || bad || (r->has_enhanced && r->enhanced[0] != smtp_reply_class(r))) {
		in->bad = true;
		return;
	}
	*r = smtp_reply_text(*r, text, a);
}

static void
get_edit(struct ipc_in *in, struct milter_edit *e)
{
	e->kind = (enum milter_edit_kind)ipc_get_enum(in, MILTER_EDITS);
	e->index = ipc_get_u32(in);
	e->name = get_string(in);
	e->value = get_string(in);
	bool bad = e->name.n > MILTER_EDIT_BYTES_MOST ||
		   e->value.n > MILTER_EDIT_BYTES_MOST - e->name.n ||
		   slice_has(e->name, '\r') || slice_has(e->value, '\r');
	switch (e->kind) {
	case MILTER_EDIT_INSERT_HEADER: bad = bad || e->name.n == 0; break;
	case MILTER_EDIT_DELETE_HEADER:
		bad = bad || e->name.n == 0 || e->value.n > 0 || e->index == 0;
		break;
	case MILTER_EDIT_QUARANTINE:
		bad = bad || e->name.n > 0 || !milter_is_reason(e->value) || e->index > 0;
		break;
	case MILTER_EDIT_ADD_RCPT:
	case MILTER_EDIT_DELETE_RCPT:
	case MILTER_EDITS: bad = bad || e->name.n > 0 || e->value.n == 0 || e->index > 0; break;
	}
	in->bad = in->bad || bad;
}

static void
get_edits(struct ipc_in *in, struct arena *a, struct milter_answer *answer)
{
	size_t n = ipc_get_count(in, MILTER_EDITS_MOST, 13);
	if (n == 0 || in->bad)
		return;
	struct milter_edit *edits = arena_array(a, n, sizeof(*edits));
	for (size_t i = 0; i < n && !in->bad; i++)
		get_edit(in, &edits[i]);
	answer->edits = edits;
	answer->n_edits = n;
}

void
milter_answer_pack(const struct milter_answer *answer, struct ipc_out *out)
{
	must(answer->n_edits <= MILTER_EDITS_MOST);
	must(answer->n_edits == 0 || answer->verdict == MILTER_CONTINUE);
	ipc_put_u8(out, (uint8_t)answer->verdict);
	if (answer->verdict == MILTER_REPLY)
		put_reply(out, &answer->reply);
	if (answer->verdict != MILTER_CONTINUE)
		return;
	ipc_put_u32(out, (uint32_t)answer->n_edits);
	for (size_t i = 0; i < answer->n_edits; i++) {
		const struct milter_edit *e = &answer->edits[i];
		ipc_put_u8(out, (uint8_t)e->kind);
		ipc_put_u32(out, e->index);
		ipc_put_slice(out, e->name);
		ipc_put_slice(out, e->value);
	}
}

bool
milter_answer_unpack(struct slice payload, struct arena *a, struct milter_answer *answer_out)
{
	struct milter_answer answer = {0};
	struct ipc_in in;
	ipc_in_init(&in, payload);
	answer.verdict = (enum milter_verdict)ipc_get_enum(&in, MILTER_SKIP + 1);
	if (answer.verdict == MILTER_REPLY)
		get_reply(&in, a, &answer.reply);
	else if (answer.verdict == MILTER_CONTINUE)
		get_edits(&in, a, &answer);
	*answer_out = answer;
	return ipc_in_done(&in);
}

/* ---- what is wanted ---- */

void
milter_wants_pack(const struct milter_wants *w, struct ipc_out *out)
{
	ipc_put_u32(out, w->can);
	ipc_put_u32(out, w->may);
	ipc_put_u32(out, w->steps);
	for (size_t i = 0; i < MILTER_STAGES; i++) {
		ipc_put_bool(out, w->macros[i].p != NULL);
		if (w->macros[i].p != NULL)
			ipc_put_slice(out, w->macros[i]);
	}
}

bool
milter_wants_unpack(struct slice payload, struct milter_wants *w_out)
{
	struct milter_wants w = {0};
	struct ipc_in in;
	ipc_in_init(&in, payload);
	w.can = ipc_get_u32(&in);
	w.may = ipc_get_u32(&in);
	w.steps = ipc_get_u32(&in);
	for (size_t i = 0; i < MILTER_STAGES; i++) {
		if (!ipc_get_bool(&in))
			continue;
		w.macros[i] = get_string(&in);
		if (w.macros[i].n == 0) /* none at all, and not the MTA's own choice */
			w.macros[i] = SLICE("");
	}
	*w_out = w;
	return ipc_in_done(&in) && (w.can | w.may) < 2 * (uint32_t)MILTER_CAN_CHOOSE_MACROS;
}
