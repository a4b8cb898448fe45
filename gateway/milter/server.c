/*
 * The milter's side of the protocol, where Postfix or Sendmail hand a mail over: bytes become
 * packets, packets become events; see server.h. packet.c reads their insides, answer.c writes.
 *
 * Steps may be missing, since the negotiation or the MTA's own refusals leave them out; what
 * cannot be is refused. A mail that the MTA drops without a word (its client sends MAIL again
 * after a refusal, or EHLO after a broken DATA) ends with an ABORT of our own, so that events
 * of one mail never mix with those of the next.
 */
#include "milter/server.h"

#include "base/mem.h"
#include "base/must.h"
#include "milter/server_priv.h"

enum {
	/* Postfix sends a header field of up to 100 KiB in one packet, whatever was agreed. */
	DATA_BYTES = 128 * 1024,
	DATA_BYTES_256K = 256 * 1024,
	DATA_BYTES_1M = 1024 * 1024,
	PACKET_BYTES_MOST = MILTER_LENGTH_BYTES + 1 + DATA_BYTES_1M,
	/* while as much waits to be written, nothing is read */
	OUT_BYTES_WAITING = 64 * 1024,
	OUT_BYTES_MOST = OUT_BYTES_WAITING + MILTER_ANSWER_BYTES_MOST
};

struct milter_server *
milter_server_new(void)
{
	struct milter_server *s = MEM_NEW(struct milter_server);
	buf_init(&s->in, PACKET_BYTES_MOST);
	buf_init(&s->out, OUT_BYTES_MOST);
	for (size_t i = 0; i < MILTER_MACRO_SLOTS; i++)
		buf_init(&s->slots[i].pairs, MILTER_MACRO_BYTES_MOST);
	return s;
}

/* ---- macros ---- */

static bool
has_slot(enum milter_event_type step)
{
	return step >= MILTER_EV_CONNECT && step <= MILTER_EV_UNKNOWN;
}

static struct milter_slot *
slot_of(struct milter_server *s, enum milter_event_type step)
{
	must(has_slot(step));
	return &s->slots[step - MILTER_EV_CONNECT];
}

static void
clear_slots(struct milter_server *s, enum milter_event_type first, enum milter_event_type last)
{
	for (enum milter_event_type step = first; step <= last; step++) {
		struct milter_slot *slot = slot_of(s, step);
		buf_clear(&slot->pairs);
		slot->given = false;
	}
}

static const char *
take_macros(struct milter_server *s, struct slice data)
{
	size_t n;
	if (s->phase == MILTER_PH_START)
		return "macros before the negotiation";
	enum milter_event_type step =
		data.n > 0 ? milter_packet_type(data.p[0]) : MILTER_EV_NONE;
	if (!has_slot(step))
		return "macros for no step";
	struct slice pairs = slice_from(data, 1);
	const char *why = milter_macros_check(pairs, &n);
	if (why != NULL)
		return why;
	clear_slots(s, step, step);
	slot_of(s, step)->given = true;
	must(buf_add(&slot_of(s, step)->pairs, pairs) == 0);
	return NULL;
}

/* ---- packets ---- */

static void
forget_packet(struct milter_server *s)
{
	mem_free(s->args);
	s->args = NULL;
	buf_clear(&s->in);
	s->packet = (struct milter_event){0};
}

void
milter_server_free(struct milter_server **sp)
{
	struct milter_server *s = *sp;
	if (s == NULL)
		return;
	*sp = NULL;
	forget_packet(s);
	clear_slots(s, MILTER_EV_CONNECT, MILTER_EV_UNKNOWN);
	mem_free(s->macros);
	buf_fini(&s->out);
	mem_free(s);
}

static void
raise_bad(struct milter_server *s, const char *why)
{
	forget_packet(s);
	clear_slots(s, MILTER_EV_CONNECT, MILTER_EV_UNKNOWN);
	s->packet = (struct milter_event){.type = MILTER_EV_BAD, .why = why};
	s->phase = MILTER_PH_OVER;
	s->now = MILTER_EV_BAD;
	s->then = MILTER_EV_NONE;
	s->turn = MILTER_TURN_EVENT;
}

/* What may come when: the mail under way goes on, or is dropped first (CUT). */
enum { NO, OK, CUT };

static const uint8_t order[MILTER_EVENTS][MILTER_PHASES] = {
	/*                        START OPEN SESSION ENVELOPE HEADER BODY OVER */
	[MILTER_EV_NEGOTIATE] = {OK, NO, NO, NO, NO, NO, NO},
	[MILTER_EV_CONNECT] = {NO, OK, NO, NO, NO, NO, NO},
	[MILTER_EV_HELO] = {NO, OK, OK, OK, CUT, CUT, NO},
	[MILTER_EV_MAIL] = {NO, OK, OK, CUT, CUT, CUT, NO},
	[MILTER_EV_RCPT] = {NO, NO, NO, OK, NO, NO, NO},
	[MILTER_EV_DATA] = {NO, NO, NO, OK, NO, NO, NO},
	[MILTER_EV_HEADER] = {NO, NO, NO, OK, OK, NO, NO},
	[MILTER_EV_HEADER_END] = {NO, NO, NO, OK, OK, NO, NO},
	[MILTER_EV_BODY] = {NO, NO, NO, OK, OK, OK, NO},
	[MILTER_EV_END] = {NO, NO, NO, OK, OK, OK, NO},
	[MILTER_EV_UNKNOWN] = {NO, OK, OK, OK, CUT, CUT, NO},
	[MILTER_EV_ABORT] = {NO, OK, OK, OK, OK, OK, NO},
	[MILTER_EV_NEXT] = {NO, OK, OK, OK, OK, OK, NO},
	[MILTER_EV_QUIT] = {NO, OK, OK, OK, OK, OK, NO},
};

/* Where MAIL is not sent, a mail begins with what comes first of it. */
static unsigned
order_of(const struct milter_server *s, enum milter_event_type type)
{
	bool between = s->phase == MILTER_PH_OPEN || s->phase == MILTER_PH_SESSION;
	if (between && milter_step_is_of_mail(type) && (s->agreed.steps & MILTER_NO_MAIL) != 0)
		return OK;
	return order[type][s->phase];
}

static enum milter_phase
phase_after(const struct milter_server *s, enum milter_event_type type)
{
	switch (type) {
	case MILTER_EV_NEGOTIATE:
	case MILTER_EV_NEXT: return MILTER_PH_OPEN;
	case MILTER_EV_CONNECT: return MILTER_PH_SESSION;
	case MILTER_EV_HELO:
	case MILTER_EV_UNKNOWN:
		return s->phase == MILTER_PH_ENVELOPE ? s->phase : MILTER_PH_SESSION;
	case MILTER_EV_MAIL:
	case MILTER_EV_RCPT:
	case MILTER_EV_DATA: return MILTER_PH_ENVELOPE;
	case MILTER_EV_HEADER: return MILTER_PH_HEADER;
	case MILTER_EV_HEADER_END:
	case MILTER_EV_BODY:
	case MILTER_EV_END: return MILTER_PH_BODY; /* END: until it is answered */
	case MILTER_EV_ABORT: return s->phase == MILTER_PH_OPEN ? s->phase : MILTER_PH_SESSION;
	case MILTER_EV_QUIT:
	case MILTER_EV_NONE:
	case MILTER_EV_BAD:
	case MILTER_EVENTS: break;
	}
	return MILTER_PH_OVER;
}

void
milter_server_mail_over(struct milter_server *s)
{
	s->phase = MILTER_PH_SESSION;
	clear_slots(s, MILTER_EV_MAIL, MILTER_EV_END);
	if (s->accepted == MILTER_ACC_MAIL)
		s->accepted = MILTER_ACC_NONE;
}

/* What is forgotten when a step begins, and the mail that it cuts off. */
static void
leave_past(struct milter_server *s, enum milter_event_type type, bool cut)
{
	if (type == MILTER_EV_NEXT)
		clear_slots(s, MILTER_EV_CONNECT, MILTER_EV_UNKNOWN);
	else if (type == MILTER_EV_MAIL)
		clear_slots(s, MILTER_EV_RCPT, MILTER_EV_END);
	else if (type == MILTER_EV_ABORT || cut)
		clear_slots(s, MILTER_EV_MAIL, MILTER_EV_END);
	else
		return;
	if (cut)
		s->phase = MILTER_PH_SESSION;
	if (s->accepted == MILTER_ACC_MAIL || type == MILTER_EV_NEXT)
		s->accepted = MILTER_ACC_NONE;
}

/* All that comes of what was accepted: nobody is asked, and ACCEPT said where it can be. */
static bool
answer_accepted(struct milter_server *s, enum milter_event_type type)
{
	bool covered = s->accepted == MILTER_ACC_SESSION
			       ? has_slot(type)
			       : s->accepted == MILTER_ACC_MAIL && milter_step_is_of_mail(type);
	if (!covered)
		return false;
	clear_slots(s, type, type);
	if (milter_server_is_silent(s, type))
		return true;
	milter_server_write(s, 'a', SLICE_NONE);
	if (milter_step_is_of_mail(type))
		milter_server_mail_over(s);
	return true;
}

static const char *
take_event(struct milter_server *s, enum milter_event_type type, struct slice data)
{
	unsigned may = type != MILTER_EV_NONE ? order_of(s, type) : NO;
	if (may == NO)
		return type == MILTER_EV_NONE ? "no command of the protocol"
					      : "a command where it cannot be";
	bool last_piece = type == MILTER_EV_END && data.n > 0;
	s->packet.type = last_piece ? MILTER_EV_BODY : type;
	const char *why = milter_packet_read(data, &s->packet, &s->args);
	if (why != NULL)
		return why;
	s->packet.has_space =
		type == MILTER_EV_HEADER && (s->agreed.steps & MILTER_HEADER_SPACE) != 0;
	leave_past(s, type, may == CUT);
	s->phase = phase_after(s, type);
	if (answer_accepted(s, type)) {
		forget_packet(s);
		return NULL;
	}
	s->now = may == CUT ? MILTER_EV_ABORT : s->packet.type;
	s->then = may == CUT || last_piece ? type : MILTER_EV_NONE;
	s->turn = MILTER_TURN_EVENT;
	return NULL;
}

static uint32_t
data_bytes_most(const struct milter_server *s)
{
	if ((s->agreed.steps & MILTER_DATA_1M) != 0)
		return DATA_BYTES_1M;
	return (s->agreed.steps & MILTER_DATA_256K) != 0 ? DATA_BYTES_256K : DATA_BYTES;
}

static const char *
take_packet(struct milter_server *s, struct slice packet)
{
	struct slice data = slice_from(packet, 1);
	if (packet.p[0] != 'D')
		return take_event(s, milter_packet_type(packet.p[0]), data);
	const char *why = take_macros(s, data);
	forget_packet(s);
	return why;
}

/* Up to the end of the length, then up to the end of the packet: how much was taken. */
static size_t
take_bytes(struct milter_server *s, struct slice in)
{
	size_t want = MILTER_LENGTH_BYTES;
	if (s->in.used >= want)
		want += milter_get_u32(buf_slice(&s->in).p);
	struct slice piece = slice_first(in, want - s->in.used);
	must(buf_add(&s->in, piece) == 0);
	const char *why = NULL;
	struct slice packet = slice_from(buf_slice(&s->in), MILTER_LENGTH_BYTES);
	if (s->in.used == MILTER_LENGTH_BYTES) {
		uint32_t length = milter_get_u32(buf_slice(&s->in).p);
		if (length == 0)
			why = "a packet without a command";
		else if (length - 1 > data_bytes_most(s))
			why = "a packet is too large";
	} else if (packet.n > 0 && s->in.used == want) {
		why = take_packet(s, packet);
	}
	if (why != NULL)
		raise_bad(s, why);
	return piece.n;
}

/* ---- the machine ---- */

void
milter_server_go_on(struct milter_server *s)
{
	mem_free(s->macros);
	s->macros = NULL;
	if (has_slot(s->now))
		clear_slots(s, s->now, s->now);
	s->now = s->then;
	s->then = MILTER_EV_NONE;
	s->turn = s->now != MILTER_EV_NONE ? MILTER_TURN_EVENT : MILTER_TURN_PEER;
	if (s->now == MILTER_EV_NONE)
		forget_packet(s);
}

size_t
milter_server_feed(struct milter_server *s, struct slice in)
{
	size_t all = in.n;
	if (s->turn == MILTER_TURN_TAKEN)
		milter_server_go_on(s);
	while (in.n > 0 && s->turn == MILTER_TURN_PEER && s->phase != MILTER_PH_OVER &&
		s->out.used < OUT_BYTES_WAITING)
		in = slice_from(in, take_bytes(s, in));
	return all - in.n;
}

static void
give_macros(struct milter_server *s, struct milter_event *ev)
{
	struct milter_slot *slot = slot_of(s, ev->type);
	size_t n;
	ev->has_macros = slot->given;
	if (slot->pairs.used == 0)
		return;
	must(milter_macros_check(buf_slice(&slot->pairs), &n) == NULL);
	s->macros = mem_array(n, sizeof(*s->macros));
	milter_macros_read(buf_slice(&slot->pairs), s->macros, n);
	ev->macros = s->macros;
	ev->n_macros = n;
}

bool
milter_server_event(struct milter_server *s, struct milter_event *ev_out)
{
	if (s->turn == MILTER_TURN_TAKEN)
		milter_server_go_on(s);
	if (s->turn != MILTER_TURN_EVENT)
		return false;
	*ev_out = s->now == s->packet.type ? s->packet : (struct milter_event){.type = s->now};
	bool is_step = has_slot(s->now);
	if (is_step)
		give_macros(s, ev_out);
	s->turn =
		is_step || s->now == MILTER_EV_NEGOTIATE ? MILTER_TURN_OWED : MILTER_TURN_TAKEN;
	return true;
}

bool
milter_server_owes(const struct milter_server *s)
{
	return s->turn == MILTER_TURN_OWED;
}

struct slice
milter_server_output(const struct milter_server *s)
{
	return buf_slice(&s->out);
}

void
milter_server_written(struct milter_server *s, size_t n)
{
	buf_consume(&s->out, n);
}
