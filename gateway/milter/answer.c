/*
 * What goes back to the MTA: the negotiation, verdicts, replies and edits as packets. server.c
 * has raised the event that is answered here. An answer is written whole into the output, edits
 * first and the verdict last, so that an MTA that sees us die in between has no verdict and
 * must drop the edits (MLT-04).
 */
#include "base/must.h"
#include "milter/server_priv.h"

static void
write_start(struct milter_server *s, char command, size_t data_bytes)
{
	char start[MILTER_LENGTH_BYTES + 1];
	milter_put_u32((uint32_t)(data_bytes + 1), start);
	start[MILTER_LENGTH_BYTES] = command;
	must(buf_add(&s->out, (struct slice){start, sizeof(start)}) == 0);
}

void
milter_server_write(struct milter_server *s, char command, struct slice data)
{
	write_start(s, command, data.n);
	must(buf_add(&s->out, data) == 0);
}

static void
write_u32(struct milter_server *s, uint32_t v)
{
	char bytes[4];
	milter_put_u32(v, bytes);
	must(buf_add(&s->out, (struct slice){bytes, sizeof(bytes)}) == 0);
}

static void
write_string(struct milter_server *s, struct slice string)
{
	must(!slice_has(string, '\0'));
	must(buf_add(&s->out, string) == 0 && buf_add_byte(&s->out, '\0') == 0);
}

/* ---- the negotiation ---- */

/* What an MTA of that version can mean, whatever else it offers. */
static uint32_t
steps_known(uint32_t version)
{
	uint32_t steps = MILTER_NO_CONNECT | MILTER_NO_HELO | MILTER_NO_MAIL | MILTER_NO_RCPT |
			 MILTER_NO_BODY | MILTER_NO_HEADERS | MILTER_NO_HEADER_END |
			 MILTER_NR_HEADERS; /* an option of some MTAs since version 2 */
	if (version >= 3)
		steps |= MILTER_NO_UNKNOWN;
	if (version >= 4)
		steps |= MILTER_NO_DATA;
	if (version >= 6)
		steps |= MILTER_NR_CONNECT | MILTER_NR_HELO | MILTER_NR_MAIL | MILTER_NR_RCPT |
			 MILTER_NR_DATA | MILTER_NR_UNKNOWN | MILTER_NR_HEADER_END |
			 MILTER_NR_BODY | MILTER_SKIP_BODY | MILTER_RCPT_REFUSED |
			 MILTER_HEADER_SPACE | MILTER_DATA_256K | MILTER_DATA_1M;
	return steps;
}

/* The lists of macros as they go behind the negotiation: their bytes. */
static size_t
lists_bytes(const struct milter_wants *wants)
{
	size_t bytes = 0;
	for (size_t i = 0; i < MILTER_STAGES; i++)
		if (wants->macros[i].p != NULL)
			bytes += 4 + wants->macros[i].n + 1;
	return bytes;
}

static void
write_agreed(struct milter_server *s, const struct milter_wants *wants)
{
	bool choose = (s->agreed.can & MILTER_CAN_CHOOSE_MACROS) != 0;
	write_start(s, 'O', 12 + (choose ? lists_bytes(wants) : 0));
	write_u32(s, s->agreed.version);
	write_u32(s, s->agreed.can);
	write_u32(s, s->agreed.steps);
	for (uint32_t i = 0; i < MILTER_STAGES && choose; i++) {
		if (wants->macros[i].p == NULL)
			continue;
		write_u32(s, i);
		write_string(s, wants->macros[i]);
	}
}

bool
milter_server_negotiate(struct milter_server *s, const struct milter_wants *wants,
	struct milter_offer *agreed_out)
{
	must(s->turn == MILTER_TURN_OWED && s->now == MILTER_EV_NEGOTIATE);
	must(lists_bytes(wants) <= MILTER_EDIT_BYTES_MOST);
	struct milter_offer offer = s->packet.offer;
	milter_server_go_on(s);
	if (offer.version < MILTER_VERSION_LEAST || (wants->can & ~offer.can) != 0) {
		s->phase = MILTER_PH_OVER;
		return false;
	}
	s->agreed.version =
		offer.version < MILTER_VERSION_MOST ? offer.version : MILTER_VERSION_MOST;
	s->agreed.can = milter_can_agreed(wants, &offer);
	if (lists_bytes(wants) > 0)
		s->agreed.can |= offer.can & MILTER_CAN_CHOOSE_MACROS;
	s->agreed.steps = wants->steps & offer.steps & steps_known(s->agreed.version);
	if ((s->agreed.steps & MILTER_DATA_1M) != 0) /* one size */
		s->agreed.steps &= ~(uint32_t)MILTER_DATA_256K;
	write_agreed(s, wants);
	*agreed_out = s->agreed;
	return true;
}

/* ---- answers ---- */

bool
milter_server_is_silent(const struct milter_server *s, enum milter_event_type step)
{
	return (s->agreed.steps & milter_not_answered(step)) != 0;
}

static void
check_edit(const struct milter_server *s, const struct milter_edit *e)
{
	static const uint32_t can[MILTER_EDITS] = {
		[MILTER_EDIT_INSERT_HEADER] = MILTER_CAN_ADD_HEADERS,
		[MILTER_EDIT_DELETE_HEADER] = MILTER_CAN_CHANGE_HEADERS,
		[MILTER_EDIT_ADD_RCPT] = MILTER_CAN_ADD_RCPT,
		[MILTER_EDIT_DELETE_RCPT] = MILTER_CAN_DELETE_RCPT,
		[MILTER_EDIT_QUARANTINE] = MILTER_CAN_QUARANTINE,
	};
	must(e->kind < MILTER_EDITS && (s->agreed.can & can[e->kind]) != 0);
	must(e->name.n <= MILTER_EDIT_BYTES_MOST &&
		e->value.n <= MILTER_EDIT_BYTES_MOST - e->name.n);
	must(!slice_has(e->name, '\r') && !slice_has(e->value, '\r'));
}

static void
write_edit(struct milter_server *s, const struct milter_edit *e)
{
	bool deletes = e->kind == MILTER_EDIT_DELETE_HEADER;
	check_edit(s, e);
	switch (e->kind) {
	case MILTER_EDIT_INSERT_HEADER:
	case MILTER_EDIT_DELETE_HEADER: /* changed into nothing */
		must(e->name.n > 0 && (!deletes || (e->index > 0 && e->value.n == 0)));
		write_start(s, deletes ? 'm' : 'i', 4 + e->name.n + 1 + e->value.n + 1);
		write_u32(s, e->index);
		write_string(s, e->name);
		write_string(s, e->value);
		break;
	case MILTER_EDIT_ADD_RCPT:
	case MILTER_EDIT_DELETE_RCPT:
		must(e->value.n > 0);
		write_start(s, e->kind == MILTER_EDIT_ADD_RCPT ? '+' : '-', e->value.n + 1);
		write_string(s, e->value);
		break;
	case MILTER_EDIT_QUARANTINE:
		must(milter_is_reason(e->value));
		write_start(s, 'q', e->value.n + 1);
		write_string(s, e->value);
		break;
	case MILTER_EDITS: break;
	}
}

static void
write_reply(struct milter_server *s, const struct smtp_reply *r)
{
	struct buf text;
	buf_init(&text, MILTER_REPLY_BYTES_MOST);
	milter_reply_write(r, &text);
	write_start(s, 'y', text.used + 1);
	write_string(s, buf_slice(&text));
	buf_fini(&text);
}

static void
write_verdict(struct milter_server *s, const struct milter_answer *a)
{
	switch (a->verdict) {
	case MILTER_CONTINUE: milter_server_write(s, 'c', SLICE_NONE); break;
	case MILTER_ACCEPT: milter_server_write(s, 'a', SLICE_NONE); break;
	case MILTER_REPLY: write_reply(s, &a->reply); break;
	case MILTER_DISCARD: milter_server_write(s, 'd', SLICE_NONE); break;
	case MILTER_SKIP: {
		bool known = (s->agreed.steps & MILTER_SKIP_BODY) != 0;
		milter_server_write(s, known ? 's' : 'c', SLICE_NONE);
		break;
	}
	}
}

static bool
goes_on(enum milter_verdict v)
{
	return v == MILTER_CONTINUE || v == MILTER_SKIP;
}

static void
check_answer(const struct milter_server *s, const struct milter_answer *a)
{
	must(s->turn == MILTER_TURN_OWED && s->now != MILTER_EV_NEGOTIATE);
	must(a->verdict != MILTER_SKIP || s->now == MILTER_EV_BODY);
	must(a->verdict != MILTER_DISCARD || milter_step_is_of_mail(s->now));
	must(!milter_server_is_silent(s, s->now) || goes_on(a->verdict) ||
		a->verdict == MILTER_ACCEPT);
	must(a->n_edits == 0 || (s->now == MILTER_EV_END && a->verdict == MILTER_CONTINUE));
	must(a->n_edits <= MILTER_EDITS_MOST);
}

/* Nothing is said; an ACCEPT is remembered. */
static void
keep_silent(struct milter_server *s, enum milter_verdict v)
{
	if (v == MILTER_ACCEPT && milter_step_is_of_mail(s->now))
		s->accepted = MILTER_ACC_MAIL;
	else if (v == MILTER_ACCEPT && s->now != MILTER_EV_UNKNOWN)
		s->accepted = MILTER_ACC_SESSION;
}

/*
 * The last piece of a body may have come with END, and the MTA awaits one answer to both: what
 * ends the mail is that answer, else the one to END will be.
 */
void
milter_server_answer(struct milter_server *s, const struct milter_answer *a)
{
	check_answer(s, a);
	bool last_piece = s->now == MILTER_EV_BODY && s->then == MILTER_EV_END;
	bool silent = milter_server_is_silent(s, s->now) && !last_piece;
	bool ends = !goes_on(a->verdict) && milter_step_is_of_mail(s->now) &&
		    (a->verdict != MILTER_REPLY || s->now != MILTER_EV_RCPT);
	for (size_t i = 0; i < a->n_edits; i++)
		write_edit(s, &a->edits[i]);
	if (silent)
		keep_silent(s, a->verdict);
	else if (!last_piece || ends)
		write_verdict(s, a);
	if ((ends && !silent) || s->now == MILTER_EV_END) {
		milter_server_mail_over(s);
		s->then = MILTER_EV_NONE;
	}
	milter_server_go_on(s);
}

void
milter_server_progress(struct milter_server *s)
{
	bool waits = s->turn == MILTER_TURN_OWED && s->now == MILTER_EV_END;
	if (waits && s->out.used == 0) /* what the MTA has not read yet says as much */
		milter_server_write(s, 'p', SLICE_NONE);
}
