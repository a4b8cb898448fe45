/*
 * The server machine's life, its input, events and output; see server.h. A mail's way through
 * it: feed -> server_command (server_verbs.c) -> an event -> the driver's reply
 * (server_reply.c), and between 354 and the dot feed -> dot.c -> slices of the input as
 * SMTP_EV_BODY.
 */
#include "smtp/server.h"

#include "base/mem.h"
#include "base/must.h"
#include "smtp/server_priv.h"

enum { TLS_HANDSHAKE = 0x16 }; /* RFC 8446 5.1: first byte of a ClientHello's record */

const struct smtp_server_limits smtp_server_limits_default = {
	.command_bytes = 512,
	.recipients = 1000,
	.mail_bytes = 50u * 1024 * 1024,
	.text_line_bytes = 998,
	.commands = 100000,
	.errors = 50,
	.transactions = 1000,
};

struct smtp_server *
smtp_server_new(struct slice hostname, const struct smtp_server_limits *limits,
	const struct smtp_offer *offer)
{
	struct smtp_server *s = MEM_NEW(struct smtp_server);
	s->hostname = hostname;
	s->limits = limits;
	s->offer = *offer;
	s->state = SMTP_ST_START;
	line_reader_init(&s->line);
	buf_init(&s->out, SERVER_OUT_MOST);
	buf_init(&s->words, LINE_BYTES_MOST);
	server_owe(s, (struct waiting_event){.type = SMTP_EV_CONNECT});
	return s;
}

void
smtp_server_free(struct smtp_server **s)
{
	if (*s == NULL)
		return;
	if ((*s)->t != NULL) {
		struct arena *a = (*s)->t->arena;
		arena_free(&a);
	}
	arena_free(&(*s)->past);
	line_reader_fini(&(*s)->line);
	buf_fini(&(*s)->out);
	buf_fini(&(*s)->words);
	mem_free((*s)->named);
	mem_free(*s);
	*s = NULL;
}

void
server_push(struct smtp_server *s, struct waiting_event ev)
{
	must(s->n_events < SERVER_EVENTS_MOST);
	s->events[s->n_events++] = ev;
}

void
server_owe(struct smtp_server *s, struct waiting_event ev)
{
	must(s->owed == SMTP_EV_NONE);
	s->owed = ev.type;
	server_push(s, ev);
}

void
server_say(struct smtp_server *s, struct smtp_reply r)
{
	int class = smtp_reply_class(&r);
	if (!r.has_enhanced && class != 3) {
		r.has_enhanced = true;
		r.enhanced[0] = (uint16_t) class;
		r.enhanced[1] = r.enhanced[2] = 0;
	}
	int full = smtp_reply_write(&r, &s->out);
	must(full == 0);
}

void
server_refuse(struct smtp_server *s, const char *reply, struct slice line)
{
	server_refuse_with(s, smtp_reply_of(reply), line);
}

void
server_refuse_with(struct smtp_server *s, struct smtp_reply r, struct slice line)
{
	server_say(s, r);
	s->errors += smtp_reply_class(&r) == 5;
	server_push(
		s, (struct waiting_event){.type = SMTP_EV_REFUSED, .reply = r, .data = line});
}

void
server_count_refused(struct smtp_server *s)
{
	if (++s->t->refused > SERVER_OVERSHOOT)
		s->errors++;
}

void
server_end_transaction(struct smtp_server *s)
{
	if (s->t == NULL)
		return;
	struct arena *a = s->t->arena;
	must(s->past == NULL);
	if (s->t->announced) {
		s->past = a;
		server_push(s, (struct waiting_event){.type = SMTP_EV_RESET});
	} else {
		arena_free(&a);
	}
	s->t = NULL;
	if (s->state == SMTP_ST_MAIL || s->state == SMTP_ST_RCPT || s->state == SMTP_ST_DATA)
		s->state = SMTP_ST_READY;
}

void
server_close_with(struct smtp_server *s, struct smtp_reply r)
{
	r.text = server_keep(s, slice_first(r.text, LINE_BYTES_MOST));
	server_say(s, r);
	server_end_transaction(s);
	s->state = SMTP_ST_CLOSED;
	s->sync = false;
	server_push(s, (struct waiting_event){.type = SMTP_EV_CLOSE, .reply = r});
}

struct slice
server_keep(struct smtp_server *s, struct slice line)
{
	struct buf kept;
	buf_init(&kept, LINE_BYTES_MOST);
	int full = buf_add(&kept, line);
	must(full == 0);
	buf_fini(&s->words); /* last: line may stand in it */
	s->words = kept;
	return buf_slice(&s->words);
}

void
server_refuse_and_close(struct smtp_server *s, const char *reply, struct slice line)
{
	struct smtp_reply r = smtp_reply_of(reply);
	s->errors++;
	server_push(
		s, (struct waiting_event){.type = SMTP_EV_REFUSED, .reply = r, .data = line});
	server_close_with(s, r);
}

/* The driver has dealt with RESET: what the mail's events pointed into may go. */
static void
forget_past(struct smtp_server *s)
{
	if (s->past_told)
		arena_free(&s->past);
	s->past_told = false;
}

/* Bare CR, LF, NUL and lines beyond all limits: no lenient path, in SASL not even a next try.
 */
static void
bad_line(struct smtp_server *s, enum line_result why)
{
	const char *text = why == LINE_LONG ? "500 5.5.2 Line too long"
					    : "500 5.5.2 Bare CR, bare LF or NUL in a command";
	if (why == LINE_BARE_AGAIN)
		server_refuse_and_close(s, "421 4.5.2 Lines end in CRLF", SLICE_NONE);
	else if (s->state == SMTP_ST_AUTH)
		server_refuse_and_close(s, text, SLICE_NONE);
	else
		server_refuse(s, text, SLICE_NONE);
}

static size_t
take_line(struct smtp_server *s, struct slice in)
{
	if (in.p[0] == TLS_HANDSHAKE && line_reader_is_empty(&s->line)) {
		server_refuse_and_close(s, "554 5.5.1 This is SMTP, not TLS", SLICE_NONE);
		return 0;
	}
	enum line_result result;
	struct slice line;
	size_t taken = line_reader_feed(&s->line, in, &result, &line);
	if (result == LINE_WHOLE && s->state == SMTP_ST_AUTH)
		server_auth_line(s, line);
	else if (result == LINE_WHOLE)
		server_command(s, line);
	else if (result != LINE_MORE)
		bad_line(s, result);
	/* no PIPELINING was told: even what we answer at once has to be awaited */
	if (result != LINE_MORE && !s->esmtp && s->state != SMTP_ST_CLOSED)
		s->sync = s->owed == SMTP_EV_NONE;
	return taken;
}

static size_t
take_data(struct smtp_server *s, struct slice in)
{
	struct dot_reader *dot = &s->t->dot;
	struct slice data;
	size_t taken = dot_reader_feed(dot, in, &data);
	if (data.n > 0)
		server_push(s, (struct waiting_event){.type = SMTP_EV_BODY, .data = data});
	if (!dot->ended)
		return taken;
	s->state = SMTP_ST_RCPT;
	if (dot->faults == DOT_CLEAN) {
		server_owe(s, (struct waiting_event){.type = SMTP_EV_BODY_END});
		return taken;
	}
	struct smtp_reply r = dot_refusal(dot->faults);
	server_say(s, r);
	s->errors++;
	server_push(s, (struct waiting_event){.type = SMTP_EV_BODY_BAD, .reply = r});
	server_end_transaction(s);
	return taken;
}

static bool
takes_input(const struct smtp_server *s)
{
	return s->n_events == 0 && s->owed == SMTP_EV_NONE && !s->sync &&
	       s->state != SMTP_ST_TLS && s->state != SMTP_ST_CLOSED &&
	       buf_slice(&s->out).n < SERVER_OUT_HIGH;
}

size_t
smtp_server_feed(struct smtp_server *s, struct slice in)
{
	size_t at = 0;
	forget_past(s);
	while (at < in.n && takes_input(s)) {
		struct slice rest = slice_from(in, at);
		at += s->state == SMTP_ST_DATA ? take_data(s, rest) : take_line(s, rest);
	}
	if (at < in.n && server_awaits_silence(s)) {
		s->stuffed = s->owed != SMTP_EV_NONE; /* told when that reply is due */
		if (!s->stuffed)
			server_violated(s);
	}
	return at;
}

bool
smtp_server_event(struct smtp_server *s, struct smtp_event *ev_out)
{
	*ev_out = (struct smtp_event){0};
	forget_past(s);
	if (s->n_events == 0)
		return false;
	struct waiting_event *w = &s->events[0];
	*ev_out = (struct smtp_event){.type = w->type,
		.name = w->name,
		.esmtp = w->esmtp,
		.data = w->data,
		.has_data = w->has_data,
		.reply = w->reply};
	if (w->type == SMTP_EV_XCLIENT || w->type == SMTP_EV_XFORWARD)
		ev_out->named = s->named;
	if (w->type == SMTP_EV_MAIL || w->type == SMTP_EV_RCPT) {
		ev_out->address = s->t->address;
		ev_out->mail = s->t->mail;
		ev_out->rcpt = s->t->rcpt;
		s->t->announced = true;
	}
	s->past_told = w->type == SMTP_EV_RESET;
	s->n_events--;
	for (uint8_t i = 0; i < s->n_events; i++)
		s->events[i] = s->events[i + 1];
	return true;
}

struct slice
smtp_server_output(const struct smtp_server *s)
{
	return buf_slice(&s->out);
}

void
smtp_server_written(struct smtp_server *s, size_t n)
{
	buf_consume(&s->out, n);
	if (buf_slice(&s->out).n == 0)
		s->sync = false;
}

void
smtp_server_offer(struct smtp_server *s, const struct smtp_offer *offer)
{
	s->offer = *offer;
}

bool
smtp_server_tls_wanted(const struct smtp_server *s)
{
	return s->state == SMTP_ST_TLS && buf_slice(&s->out).n == 0;
}

void
smtp_server_tls_started(struct smtp_server *s)
{
	must(smtp_server_tls_wanted(s));
	s->state = SMTP_ST_START;
	s->tls = true;
	s->esmtp = s->authenticated = false;
}

void
smtp_server_close(struct smtp_server *s, const struct smtp_reply *r)
{
	if (s->state == SMTP_ST_CLOSED)
		return;
	bool reset = false;
	for (uint8_t i = 0; i < s->n_events; i++)
		reset |= s->events[i].type == SMTP_EV_RESET;
	s->n_events = 0;
	s->owed = SMTP_EV_NONE;
	if (reset)
		server_push(s, (struct waiting_event){.type = SMTP_EV_RESET});
	if (s->state != SMTP_ST_TLS) {
		server_close_with(s, *r);
		return;
	}
	s->state = SMTP_ST_CLOSED; /* after its 220 nothing can be said in clear */
	struct smtp_reply kept = *r;
	kept.text = server_keep(s, slice_first(r->text, LINE_BYTES_MOST));
	server_push(s, (struct waiting_event){.type = SMTP_EV_CLOSE, .reply = kept});
}

bool
smtp_server_is_idle(const struct smtp_server *s)
{
	return (s->state == SMTP_ST_START || s->state == SMTP_ST_READY) && s->t == NULL &&
	       s->n_events == 0 && s->owed == SMTP_EV_NONE && line_reader_is_empty(&s->line);
}

bool
smtp_server_in_data(const struct smtp_server *s)
{
	return s->state == SMTP_ST_DATA;
}

bool
smtp_server_owes(const struct smtp_server *s)
{
	return s->owed != SMTP_EV_NONE;
}
