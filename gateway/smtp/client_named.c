/*
 * The client machine tells the remote whose mail comes: by XCLIENT, which begins the session
 * anew for that client, or by XFORWARD in front of MAIL; see client.h and xclient.h (EXT-09).
 *
 * A remote that has the extension not on offer gets the mail without it, and the mail says so
 * (`unnamed`). One that offers XCLIENT and then refuses has judged the client: that is its
 * answer to the mail. XFORWARD is for its log alone, so a refusal of it changes nothing. What
 * was told by XCLIENT stays told: no mail goes out as another one's client.
 */
#include "base/must.h"
#include "smtp/client_priv.h"

/* Postfix's own two lines: what is at most in them keeps each below 512 bytes, as a rule. */
static const unsigned forward_lines[CLIENT_LEADS] = {
	XCLIENT_NAME | XCLIENT_ADDR | XCLIENT_PORT | XCLIENT_SOURCE,
	XCLIENT_PROTO | XCLIENT_HELO | XCLIENT_IDENT};

/* True: the mail waits for EHLO behind XCLIENT, or is settled: nothing more is to be done. */
bool
client_introduce(struct smtp_client *c)
{
	struct smtp_client_mail *m = c->mail;
	struct buf line;
	bool offered = (c->offer.xclient & XCLIENT_ADDR) != 0;
	if ((m->xclient == NULL || !offered) && buf_slice(&c->told).n > 0) {
		client_fail(c, NULL, "this connection is another client's");
		return true;
	}
	m->unnamed = m->xclient != NULL && !offered;
	if (m->xclient == NULL || !offered)
		return false;
	buf_init(&line, XCLIENT_LINE_MOST);
	must(xclient_write(m->xclient, "XCLIENT", c->offer.xclient, &line));
	if (slice_eq(buf_slice(&line), buf_slice(&c->told))) {
		buf_fini(&line);
		return false;
	}
	buf_fini(&c->told);
	c->told = line;
	must(buf_add(&c->out, buf_slice(&line)) == 0 && buf_add(&c->out, SLICE("\r\n")) == 0);
	c->phase = SMTP_CL_XCLIENT;
	m->asked = true;
	return true;
}

void
client_take_xclient(struct smtp_client *c, const struct smtp_reply *r)
{
	if (smtp_reply_class(r) == 2) {
		client_hello(c);
		return;
	}
	if (r->code != 421) {
		c->mail->reply = client_keep(c, r);
		c->mail->phase = SMTP_CL_XCLIENT;
	}
	client_fail(c, r, "the client was refused");
}

/* After XCLIENT the greeting is the client's own, as far as it has said one. */
struct slice
client_hello_name(const struct smtp_client *c)
{
	const struct xclient *x = c->mail != NULL ? c->mail->xclient : NULL;
	if (x != NULL && (x->known & XCLIENT_HELO) != 0)
		return xclient_slice(&x->helo);
	return c->config.hostname;
}

void
client_lead(struct smtp_client *c)
{
	const struct xclient *x = c->mail->xforward;
	c->led = c->led_answered = 0;
	c->n_leads = x == NULL ? 0 : CLIENT_LEADS;
	if (x != NULL && (c->offer.xforward & XCLIENT_ADDR) == 0) {
		c->mail->unnamed = true;
		c->n_leads = 0;
	}
}

/* Writes the XFORWARD lines that may go out now; true: MAIL may follow. */
bool
client_write_leads(struct smtp_client *c)
{
	while (c->led < c->n_leads && (c->pipelining || c->led == c->led_answered)) {
		unsigned words = forward_lines[c->led] & c->offer.xforward;
		if (xclient_write(c->mail->xforward, "XFORWARD", words, &c->out)) {
			must(buf_add(&c->out, SLICE("\r\n")) == 0);
			c->led++;
		} else { /* nothing of this line is on offer */
			c->n_leads = c->led;
		}
	}
	return c->led == c->n_leads && (c->pipelining || c->led == c->led_answered);
}

/* True: the reply was to XFORWARD. */
bool
client_take_lead(struct smtp_client *c, const struct smtp_reply *r)
{
	if (c->led_answered == c->led || r->code == 421)
		return false;
	c->led_answered++;
	if (smtp_reply_class(r) != 2)
		c->mail->unnamed = true;
	client_ask(c);
	return true;
}
