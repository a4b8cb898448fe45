/* A scripted next hop, engine to engine; see hop.h. */
#include "hop.h"

#include "base/must.h"

enum { BYTES_MOST = 4 * 1024 * 1024, PIECE_BYTES = 16 * 1024 };

static struct slice
default_reply(struct slice verb)
{
	static const struct {
		const char *verb, *text;
	} rows[] = {
		{"GREETING", "220 hop.example ESMTP"},
		{"LHLO", "250-hop.example\r\n250 ENHANCEDSTATUSCODES"},
		{"EHLO", "250-hop.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
			 "250 ENHANCEDSTATUSCODES"},
		{"XCLIENT", "220 hop.example ESMTP"},
		{"XFORWARD", "250 2.0.0 Ok"},
		{"MAIL", "250 2.1.0 Ok"},
		{"RCPT", "250 2.1.5 Ok"},
		{"DATA", "354 Go on"},
		{"DOT", "250 2.0.0 Taken"},
		{"RSET", "250 2.0.0 Ok"},
		{"QUIT", "221 2.0.0 Bye"},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (slice_eq(verb, slice_of(rows[i].verb)))
			return slice_of(rows[i].text);
	return SLICE("502 5.5.1 What?");
}

/* " | " in a reply stands between its lines. */
static void
write_lines(struct hop *h, struct slice text)
{
	struct slice mark = SLICE(" | ");
	while (text.n > 0) {
		size_t end = slice_find_slice(text, mark);
		must(buf_add(&h->out, slice_first(text, end)) == 0);
		must(buf_add_text(&h->out, "\r\n") == 0);
		text = slice_from(text, end + mark.n);
	}
}

static void
say(struct hop *h, struct slice verb)
{
	struct slice text = default_reply(verb);
	for (size_t i = 0; i < h->n_replies; i++) {
		struct hop_reply *r = &h->replies[i];
		if (r->used || !slice_eq(r->verb, verb))
			continue;
		r->used = true;
		text = r->text;
		h->took_ms += r->after_ms;
		break;
	}
	h->lost |= slice_eq(text, SLICE("lost"));
	h->in_data = slice_eq(verb, SLICE("DATA")) && slice_starts(text, SLICE("354"));
	if (!h->lost)
		write_lines(h, text);
}

static void
keep(struct hop *h, struct slice line)
{
	must(h->n_got < HOP_LINES_MOST);
	h->got[h->n_got++] = arena_slice(h->arena, line);
}

static void
on_line(struct hop *h, struct slice line)
{
	if (h->in_data && slice_eq(line, SLICE("."))) {
		h->in_data = false;
		say(h, SLICE("DOT"));
	} else if (h->in_data) {
		keep(h, slice_starts(line, SLICE(".")) ? slice_from(line, 1) : line);
	} else {
		struct slice verb, rest;
		slice_cut(line, ' ', &verb, &rest);
		if (slice_eq(verb, SLICE("MAIL")) || slice_eq(verb, SLICE("RCPT")) ||
			slice_starts(verb, SLICE("X")))
			keep(h, line);
		say(h, verb);
	}
}

static void
serve(struct hop *h, struct slice bytes)
{
	must(buf_add(&h->in, bytes) == 0);
	for (;;) {
		struct slice in = buf_slice(&h->in);
		size_t end = slice_find_slice(in, SLICE("\r\n"));
		if (end == in.n || h->lost)
			return;
		on_line(h, arena_slice(h->arena, slice_first(in, end)));
		buf_consume(&h->in, end + 2);
	}
}

/* Both sides speak until neither has anything to say. */
static void
talk(struct hop *h, struct smtp_client *c)
{
	for (;;) {
		struct slice out = smtp_client_output(c), in = buf_slice(&h->out);
		if (out.n != 0) {
			serve(h, out);
			smtp_client_written(c, out.n);
		} else if (in.n != 0) {
			size_t n = smtp_client_feed(c, in);
			buf_consume(&h->out, n);
			if (n == 0)
				return;
		} else {
			if (h->lost)
				smtp_client_lost(c, "the next hop went away");
			return;
		}
	}
}

static void
send_body(struct hop *h, struct smtp_client *c, struct relay_reader *r)
{
	struct buf scratch;
	struct err err;
	buf_init(&scratch, PIECE_BYTES);
	for (size_t room; (room = smtp_client_wants_body(c)) != 0; talk(h, c)) {
		struct slice piece;
		must(relay_reader_next(r, room < PIECE_BYTES ? room : PIECE_BYTES, &scratch,
			     &piece, &err) == 0);
		if (piece.n != 0)
			smtp_client_body(c, piece);
		else
			smtp_client_body_end(c);
	}
	buf_fini(&scratch);
}

/* As relay/transfer.c tells it of a single hop. */
static void
judge(const struct smtp_client_mail *m, struct gate_transfer *t)
{
	bool reached = m->reply.code != 0 || m->phase == SMTP_CL_DOT;
	for (size_t i = 0; i < m->n_rcpts; i++) {
		const struct smtp_client_rcpt *from = &m->rcpts[i];
		struct relay_rcpt *to = &t->mail.rcpts[i];
		to->reply = from->reply;
		to->phase = from->sent ? SMTP_CL_DOT : SMTP_CL_RCPT;
		if (!reached)
			to->reply = smtp_reply_of("451 4.4.1 No next hop can be reached now");
		else if (!from->sent && from->reply.code < 400)
			to->reply = m->phase == SMTP_CL_RCPT
					    ? smtp_reply_of("451 4.5.1 Another recipient was "
							    "refused, nothing was sent")
					    : m->reply;
		to->fate = to->reply.code == 0         ? RELAY_DOUBT
			   : to->reply.code / 100 == 2 ? RELAY_TAKEN
			   : to->reply.code / 100 == 5 ? RELAY_REFUSED
						       : RELAY_DEFERRED;
		if (to->fate == RELAY_DOUBT)
			to->reply = smtp_reply_of("451 4.4.2 The connection was lost");
	}
	t->reply = reached && m->reply.code != 0 ? m->reply : t->mail.rcpts[0].reply;
	t->from_hop = m->reply.code != 0;
	t->hop = SLICE("play");
}

uint64_t
hop_carry(struct hop *h, struct slice hostname, struct gate_transfer *t)
{
	struct smtp_client_config config = {.hostname = hostname,
		.tls = SMTP_TLS_NEVER,
		.lmtp = t->hops != NULL && t->hops->hops[0].lmtp};
	struct smtp_client_mail m = {.sender = t->mail.sender,
		.params = t->mail.params,
		.n_rcpts = t->mail.n_rcpts,
		.all_or_none = t->mail.all_or_none,
		.arena = t->mail.arena};
	enum hop_client by = t->hops != NULL ? t->hops->client : HOP_CLIENT_NONE;
	m.xclient = by == HOP_CLIENT_XCLIENT ? t->mail.client : NULL;
	m.xforward = by == HOP_CLIENT_XFORWARD ? t->mail.client : NULL;
	struct smtp_client *c = smtp_client_new(&config);
	struct relay_reader reader;
	m.rcpts = arena_array(t->mail.arena, m.n_rcpts, sizeof(*m.rcpts));
	for (size_t i = 0; i < m.n_rcpts; i++)
		m.rcpts[i] = (struct smtp_client_rcpt){
			.address = t->mail.rcpts[i].address, .params = t->mail.rcpts[i].params};
	m.params.size = t->body.bytes;
	relay_reader_init(&reader, &t->body);
	h->lost = h->down;
	h->in_data = false;
	h->took_ms = 0;
	buf_init(&h->in, BYTES_MOST);
	buf_init(&h->out, BYTES_MOST);
	if (!h->down)
		say(h, SLICE("GREETING"));
	talk(h, c);
	if (smtp_client_phase(c) == SMTP_CL_READY) {
		smtp_client_send(c, &m);
		talk(h, c);
		send_body(h, c, &reader);
	}
	judge(&m, t);
	smtp_client_free(&c);
	buf_fini(&h->in);
	buf_fini(&h->out);
	return h->took_ms;
}
