/*
 * What the driver's replies do to the state, and the watch over clients that speak out of turn
 * (SRV-03). A reply ends an event; a refusal of MAIL, DATA or the mail ends the transaction
 * (SRV-04).
 */
#include "base/must.h"
#include "smtp/server_priv.h"

/*
 * What a client must await a reply to (RFC 2920 3.1, 3207 4, 4954 4, 5321 3.1): everything
 * where it does not know of PIPELINING, having said HELO or nothing; but never the reply to a
 * mail, behind which the next command may well stand.
 */
static bool
must_be_awaited(const struct smtp_server *s, enum smtp_event_type type)
{
	if (type == SMTP_EV_NONE || type == SMTP_EV_BODY_END)
		return false;
	return !s->esmtp || type == SMTP_EV_CONNECT || type == SMTP_EV_HELO ||
	       type == SMTP_EV_STARTTLS || type == SMTP_EV_AUTH || type == SMTP_EV_AUTH_DATA ||
	       type == SMTP_EV_XCLIENT || type == SMTP_EV_DATA;
}

bool
server_awaits_silence(const struct smtp_server *s)
{
	/* A user who has shown who he is may be sloppy, but never around STARTTLS (SMG-07). */
	if (s->authenticated && s->owed != SMTP_EV_STARTTLS && s->state != SMTP_ST_TLS)
		return false;
	return s->state != SMTP_ST_CLOSED && (s->sync || must_be_awaited(s, s->owed));
}

void
server_violated(struct smtp_server *s)
{
	s->sync = s->stuffed = false;
	server_refuse_and_close(s,
		s->commands == 0
			? "554 5.5.0 You spoke before the greeting"
			: "554 5.5.0 Commands came before the reply that they had to wait for",
		SLICE_NONE);
}

/* "host words" and a line for each extension (RFC 5321 4.1.1.1), without enhanced codes. */
static void
say_hello(struct smtp_server *s, const struct smtp_reply *r)
{
	const struct smtp_offer *o = &s->offer;
	struct buf text;
	struct smtp_reply hello = {.code = r->code};
	buf_init(&text, SMTP_REPLY_BYTES_MOST);
	int full = buf_add(&text, s->hostname);
	if (r->text.n > 0)
		full |= buf_printf(&text, " %.*s", SLICE_ARG(slice_first(r->text, 200)));
	if (s->esmtp) {
		full |= buf_add_text(&text, "\nPIPELINING\nENHANCEDSTATUSCODES\nSIZE");
		if (o->size != 0)
			full |= buf_printf(&text, " %llu", (unsigned long long)o->size);
		full |= buf_add_text(&text, o->eightbit ? "\n8BITMIME" : "");
		full |= buf_add_text(&text, o->smtputf8 ? "\nSMTPUTF8" : "");
		full |= buf_add_text(&text, o->dsn ? "\nDSN" : "");
		full |= buf_add_text(&text, o->tls && !s->tls ? "\nSTARTTLS" : "");
		if (o->auth != NULL)
			full |= buf_printf(&text, "\nAUTH %s", o->auth);
		full |= buf_add_text(&text, o->xclient != 0 ? "\nXCLIENT" : "");
		xclient_names_write(o->xclient, &text);
		full |= buf_add_text(&text, o->xforward != 0 ? "\nXFORWARD" : "");
		xclient_names_write(o->xforward, &text);
	}
	must(full == 0);
	hello.text = buf_slice(&text);
	full = smtp_reply_write(&hello, &s->out);
	must(full == 0);
	buf_fini(&text);
}

/* RFC 5321 4.2: the first word of a greeting is our name. */
static void
greet(struct smtp_server *s, const struct smtp_reply *r)
{
	struct buf text;
	struct smtp_reply greeting = {.code = r->code, .text = r->text};
	buf_init(&text, SMTP_REPLY_BYTES_MOST);
	if (!slice_starts_nocase(r->text, s->hostname)) {
		int cut = buf_printf(&text, "%.*s ESMTP %.*s", SLICE_ARG(s->hostname),
			SLICE_ARG(slice_first(r->text, 200)));
		must(cut == 0);
		greeting.text = buf_slice(&text);
	}
	int full = smtp_reply_write(&greeting, &s->out);
	must(full == 0);
	buf_fini(&text);
}

static void
replied_connect(struct smtp_server *s, const struct smtp_reply *r)
{
	must(r->code == 220 || smtp_reply_class(r) >= 4);
	if (r->code == 220) {
		greet(s, r);
	} else if (smtp_reply_class(r) == 4) {
		server_close_with(s, *r);
	} else {
		server_say(s, *r);
		s->state = SMTP_ST_REFUSED;
	}
}

/* All that the peer has said of itself is gone with the client that it was. */
static void
replied_xclient(struct smtp_server *s, const struct smtp_reply *r)
{
	if (r->code != 220) {
		server_say(s, *r);
		return;
	}
	greet(s, r);
	s->state = SMTP_ST_START;
	s->esmtp = s->authenticated = false;
}

static void
replied_helo(struct smtp_server *s, const struct smtp_reply *r)
{
	if (r->code != 250) {
		server_say(s, *r);
		return;
	}
	say_hello(s, r);
	s->state = SMTP_ST_READY;
}

static void
replied_data(struct smtp_server *s, const struct smtp_reply *r)
{
	must(r->code == 354 || smtp_reply_class(r) >= 4);
	server_say(s, *r);
	if (r->code != 354) {
		server_end_transaction(s);
		return;
	}
	dot_reader_init(&s->t->dot, s->limits->text_line_bytes, s->limits->mail_bytes);
	s->state = SMTP_ST_DATA;
}

static void
replied(struct smtp_server *s, enum smtp_event_type type, const struct smtp_reply *r)
{
	bool taken = smtp_reply_class(r) == 2;
	if (type == SMTP_EV_CONNECT) {
		replied_connect(s, r);
	} else if (type == SMTP_EV_HELO) {
		replied_helo(s, r);
	} else if (type == SMTP_EV_XCLIENT) {
		replied_xclient(s, r);
	} else if (type == SMTP_EV_DATA) {
		replied_data(s, r);
	} else if (type == SMTP_EV_AUTH || type == SMTP_EV_AUTH_DATA) {
		server_say(s, *r);
		server_auth_replied(s, r);
	} else {
		server_say(s, *r);
		if (type == SMTP_EV_STARTTLS && taken)
			s->state = SMTP_ST_TLS;
		if (type == SMTP_EV_MAIL && taken)
			s->state = SMTP_ST_MAIL;
		if (type == SMTP_EV_RCPT && taken) {
			s->state = SMTP_ST_RCPT;
			s->t->recipients++;
		}
		if (type == SMTP_EV_RCPT && !taken)
			server_count_refused(s);
		if ((type == SMTP_EV_MAIL && !taken) || type == SMTP_EV_BODY_END)
			server_end_transaction(s);
	}
}

void
smtp_server_reply(struct smtp_server *s, const struct smtp_reply *r)
{
	enum smtp_event_type type = s->owed;
	must(type != SMTP_EV_NONE && s->n_events == 0);
	if (s->stuffed) {
		s->owed = SMTP_EV_NONE;
		server_violated(s);
		return;
	}
	if (r->code == 421 || r->code == 521) {
		s->owed = SMTP_EV_NONE;
		server_close_with(s, *r);
		return;
	}
	replied(s, type, r);
	s->owed = SMTP_EV_NONE;
	s->sync = s->state != SMTP_ST_CLOSED && must_be_awaited(s, type);
	s->errors += smtp_reply_class(r) == 5 && type != SMTP_EV_CONNECT;
	if (s->state != SMTP_ST_CLOSED)
		buf_clear(&s->words);
}
