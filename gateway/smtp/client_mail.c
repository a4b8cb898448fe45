/*
 * The client machine with a mail: MAIL, RCPT, DATA, the data and the dot; see client.h.
 *
 * Where the remote pipelines, all commands go out in one write, DATA too, but for a mail that
 * all recipients or none shall get: there 354 would leave no way back (RFC 2920 3.1: after 354
 * a dot must follow, and those accepted would get an empty mail).
 */
#include "base/must.h"
#include "smtp/client_priv.h"

static const char too_large[] = "552 5.3.4 The mail is larger than the next hop takes";
static const char needs_utf8[] =
	"550 5.6.7 The next hop has no SMTPUTF8, which this mail needs";

static bool
has_line_end(struct slice s)
{
	return slice_has(s, '\r') || slice_has(s, '\n');
}

/* The mail is done with this connection; RSET where the remote still has a transaction open. */
static void
settle(struct smtp_client *c)
{
	c->mail = NULL;
	c->settled = true;
	c->phase = SMTP_CL_READY;
	if (c->open) {
		client_write(c, "RSET");
		c->phase = SMTP_CL_RSET;
	}
}

/* Nobody was accepted: the first refusal speaks for the mail. */
static void
decide_by_rcpts(struct smtp_client_mail *m)
{
	for (size_t i = 0; i < m->n_rcpts && m->reply.code == 0; i++)
		if (smtp_reply_class(&m->rcpts[i].reply) >= 4) {
			m->reply = m->rcpts[i].reply;
			m->phase = SMTP_CL_RCPT;
		}
}

void
client_settle_lost(struct smtp_client *c)
{
	if (c->refused == c->mail->n_rcpts)
		decide_by_rcpts(c->mail);
	if (c->mail->reply.code == 0)
		c->mail->phase = c->phase;
	c->open = false;
	settle(c);
}

static void
decide(struct smtp_client *c, const struct smtp_reply *r, enum smtp_client_phase phase)
{
	c->mail->reply = client_keep(c, r);
	c->mail->phase = phase;
}

static bool
needs_smtputf8(const struct smtp_client_mail *m)
{
	bool needs = m->params.smtputf8 || m->sender.utf8;
	for (size_t i = 0; i < m->n_rcpts; i++)
		needs = needs || m->rcpts[i].address.utf8;
	return needs;
}

/* What can be known without asking: nothing is written (EXT-02, EXT-05). */
static const char *
refused_here(const struct smtp_client *c, const struct smtp_client_mail *m)
{
	if (c->offer.size != 0 && m->params.size > c->offer.size)
		return too_large;
	if (needs_smtputf8(m) && !c->offer.smtputf8)
		return needs_utf8;
	return NULL;
}

void
smtp_client_send(struct smtp_client *c, struct smtp_client_mail *m)
{
	must(c->phase == SMTP_CL_READY && m->n_rcpts > 0);
	m->reply = (struct smtp_reply){0};
	m->asked = false;
	for (size_t i = 0; i < m->n_rcpts; i++) {
		m->rcpts[i].reply = (struct smtp_reply){0};
		m->rcpts[i].sent = false;
	}
	c->mail = m;
	m->unnamed = false;
	c->n_leads = c->led = c->led_answered = 0;
	c->asked = c->answered = c->accepted = c->refused = c->dot_next = 0;
	c->stopped = c->open = c->hollow = c->settled = false;
	m->params.smtputf8 = needs_smtputf8(m);
	if (c->in.used > 0) { /* half a line: it would become part of the next reply */
		c->phase = SMTP_CL_MAIL;
		m->asked = true;
		client_fail(c, NULL, "a reply came that nothing had asked for");
	} else if (!client_introduce(c)) {
		client_send_mail(c);
	}
}

void
client_send_mail(struct smtp_client *c)
{
	const char *refusal = refused_here(c, c->mail);
	if (refusal != NULL) {
		struct smtp_reply r = smtp_reply_of(refusal);
		decide(c, &r, SMTP_CL_MAIL);
		settle(c);
		return;
	}
	c->phase = SMTP_CL_MAIL;
	c->mail->asked = true;
	client_lead(c);
	client_ask(c);
}

static void
write_mail(struct smtp_client *c)
{
	struct smtp_client_mail *m = c->mail;
	must(!has_line_end(m->sender.raw) && buf_left(&c->out) >= CLIENT_COMMAND_BYTES);
	buf_printf(&c->out, "MAIL FROM:<%.*s>", SLICE_ARG(m->sender.raw));
	must(smtp_params_mail_write(&m->params, &c->offer, &c->out));
	buf_add(&c->out, SLICE("\r\n"));
}

static void
write_rcpt(struct smtp_client *c, const struct smtp_client_rcpt *rcpt)
{
	must(!has_line_end(rcpt->address.raw) && buf_left(&c->out) >= CLIENT_COMMAND_BYTES);
	buf_printf(&c->out, "RCPT TO:<%.*s>", SLICE_ARG(rcpt->address.raw));
	smtp_params_rcpt_write(&rcpt->params, &c->offer, &c->out);
	buf_add(&c->out, SLICE("\r\n"));
}

/* May the command at position `asked` go out before those in front of it are answered? */
static bool
may_ask(const struct smtp_client *c)
{
	const struct smtp_client_mail *m = c->mail;
	size_t data = m->n_rcpts + 1;
	if (c->stopped || c->asked > data || (m->probe && c->asked == data))
		return false;
	if (c->asked == c->answered)
		return c->asked < data ||
		       (c->accepted > 0 && !(m->all_or_none && c->refused > 0));
	if (!c->pipelining)
		return false;
	return c->asked < data || !m->all_or_none || m->n_rcpts == 1;
}

void
client_ask(struct smtp_client *c)
{
	bool talks = c->phase == SMTP_CL_MAIL || c->phase == SMTP_CL_RCPT ||
		     c->phase == SMTP_CL_DATA;
	if (talks && !client_write_leads(c))
		return;
	while (talks && may_ask(c) && buf_left(&c->out) >= CLIENT_COMMAND_BYTES) {
		if (c->asked == 0)
			write_mail(c);
		else if (c->asked <= c->mail->n_rcpts)
			write_rcpt(c, &c->mail->rcpts[c->asked - 1]);
		else
			client_write(c, "DATA");
		c->asked++;
	}
}

/* All that was asked is answered, and DATA was not or is of no use. */
static void
settle_without_data(struct smtp_client *c)
{
	struct smtp_client_mail *m = c->mail;
	decide_by_rcpts(m);
	if (m->probe && m->reply.code == 0) {
		m->reply = m->rcpts[0].reply;
		m->phase = SMTP_CL_RCPT;
	}
	settle(c);
}

static void
take_354(struct smtp_client *c)
{
	dot_writer_init(&c->writer);
	if (c->accepted > 0) {
		c->phase = SMTP_CL_BODY;
		return;
	}
	if (c->config.lmtp) {
		client_fail(c, NULL, "354 without a recipient"); /* RFC 2033 4.2 wants 503 */
		return;
	}
	c->hollow = true;
	c->phase = SMTP_CL_DOT;
	must(dot_writer_end(&c->writer, &c->out) == 0);
}

static void
take_data_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	if (smtp_reply_class(r) == 3) {
		take_354(c);
		return;
	}
	if (smtp_reply_class(r) == 2) {
		client_fail(c, NULL, "DATA was answered with neither 354 nor a refusal");
		return;
	}
	if (c->accepted > 0)
		decide(c, r, SMTP_CL_DATA);
	settle_without_data(c);
}

static void
take_rcpt_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	if (c->stopped)
		return; /* 503 behind a refused MAIL says nothing of the recipient */
	c->mail->rcpts[c->answered - 1].reply = client_keep(c, r);
	if (smtp_reply_class(r) == 2)
		c->accepted++;
	else
		c->refused++;
}

void
client_take_mail(struct smtp_client *c, const struct smtp_reply *r)
{
	size_t at = c->answered, data = c->mail->n_rcpts + 1;
	if (client_take_lead(c, r))
		return;
	if (at == c->asked && c->led_answered == c->led) {
		client_fail(c, NULL, "a reply came that nothing had asked for");
		return;
	}
	if (smtp_reply_class(r) == 3 && at < data) {
		client_fail(c, NULL, "MAIL or RCPT was answered with neither yes nor no");
		return;
	}
	if (r->code == 421) { /* RFC 5321 3.8: it goes, whatever else was asked */
		if (!c->stopped)
			decide(c, r, c->phase);
		client_fail(c, r, "the remote ended the connection");
		return;
	}
	if (at == 0 && smtp_reply_class(r) == 2) {
		c->open = true;
	} else if (at == 0) {
		decide(c, r, SMTP_CL_MAIL);
		c->stopped = true;
	} else if (at < data) {
		take_rcpt_reply(c, r);
	}
	c->answered++;
	if (at == data) {
		take_data_reply(c, r);
		return;
	}
	c->phase = c->answered < data ? SMTP_CL_RCPT : SMTP_CL_DATA;
	client_ask(c);
	if (c->asked == c->answered)
		settle_without_data(c);
}

size_t
smtp_client_wants_body(const struct smtp_client *c)
{
	/*
	 * A dot in front of each byte, and the end, must find room. While half of the buffer
	 * waits to be written nothing is wanted: the pieces would become smaller and smaller.
	 */
	if (c->phase != SMTP_CL_BODY || buf_left(&c->out) < CLIENT_OUT_BYTES / 2)
		return 0;
	return (buf_left(&c->out) - 8) / 2;
}

void
smtp_client_body(struct smtp_client *c, struct slice data)
{
	must(data.n <= smtp_client_wants_body(c));
	must(dot_writer_add(&c->writer, data, &c->out) == 0);
}

void
smtp_client_body_end(struct smtp_client *c)
{
	must(c->phase == SMTP_CL_BODY);
	must(dot_writer_end(&c->writer, &c->out) == 0);
	c->phase = SMTP_CL_DOT;
	for (size_t i = 0; i < c->mail->n_rcpts; i++) {
		struct smtp_client_rcpt *rcpt = &c->mail->rcpts[i];
		if (smtp_reply_class(&rcpt->reply) != 2)
			continue;
		rcpt->sent = true;
		rcpt->reply = (struct smtp_reply){0};
	}
}

/* A refusal that does not wait for the dot (too large, shutting down) holds; a yes would be a
 * lie. */
void
client_take_early(struct smtp_client *c, const struct smtp_reply *r)
{
	if (smtp_reply_class(r) < 4) {
		client_fail(c, NULL, "a reply came before the end of the data");
		return;
	}
	decide(c, r, SMTP_CL_BODY);
	client_fail(c, r, "the data was refused before its end");
}

static void
take_lmtp_dot(struct smtp_client *c, const struct smtp_reply *r)
{
	struct smtp_client_mail *m = c->mail;
	while (!m->rcpts[c->dot_next].sent)
		c->dot_next++;
	m->rcpts[c->dot_next++].reply = client_keep(c, r);
	c->accepted--;
	if (c->accepted == 0) {
		decide(c, r, SMTP_CL_DOT);
		c->open = false;
		settle(c);
	}
}

void
client_take_dot(struct smtp_client *c, const struct smtp_reply *r)
{
	struct smtp_client_mail *m = c->mail;
	if (smtp_reply_class(r) == 3) {
		client_fail(c, NULL, "the dot was answered with neither yes nor no");
		return;
	}
	if (c->config.lmtp) {
		take_lmtp_dot(c, r);
		return;
	}
	c->open = false;
	if (c->hollow) {
		settle_without_data(c);
	} else {
		decide(c, r, SMTP_CL_DOT);
		for (size_t i = 0; i < m->n_rcpts; i++)
			if (m->rcpts[i].sent)
				m->rcpts[i].reply = m->reply;
		settle(c);
	}
	if (r->code == 421)
		client_fail(c, r, "the remote ended the connection");
}
