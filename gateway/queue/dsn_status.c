/*
 * The part of a DSN that programs read: message/delivery-status (RFC 3464 2), or with UTF-8 in
 * it message/global-delivery-status (RFC 6533). Fields of the mail, then a block for each
 * recipient.
 */
#include "base/must.h"
#include "queue/dsn_priv.h"

struct status {
	unsigned class, subject, detail; /* RFC 3463 */
};

/* Where the remote has given no enhanced code that can stand here: RFC 3463 3. */
static void
by_class(enum failure_class class, enum failure_phase at, struct status *s)
{
	static const unsigned codes[FAILURE_CLASSES][2] = {
		[FAILURE_NO_RECIPIENT] = {1, 1},
		[FAILURE_MAILBOX_FULL] = {2, 2},
		[FAILURE_TOO_LARGE] = {3, 4},
		[FAILURE_CONTENT] = {7, 1},
		[FAILURE_AUTHENTICATION] = {7, 1},
		[FAILURE_LISTED] = {7, 1},
		[FAILURE_GREYLISTED] = {7, 1},
		[FAILURE_BUSY] = {3, 2},
		[FAILURE_TLS] = {7, 5},
		[FAILURE_PROTOCOL] = {5, 0},
		[FAILURE_ROUTE] = {4, 4},
		[FAILURE_OTHER] = {0, 0},
	};
	must(class < FAILURE_CLASSES);
	s->subject = codes[class][0];
	s->detail = codes[class][1];
	if (class == FAILURE_ROUTE && at == FAILURE_AT_CONNECT)
		s->detail = 1; /* no answer from the host */
}

static struct status
status_of(const struct dsn_rcpt *r)
{
	const struct smtp_reply *reply = &r->note->reply;
	const struct failure *f = &r->note->failure;
	unsigned said = reply->has_enhanced ? reply->enhanced[0] : 0;
	bool success = r->action == DSN_DELIVERED || r->action == DSN_RELAYED;
	bool permanent = f->permanent || smtp_reply_class(reply) == 5;
	/* "No such user" is not said of a recipient where we are meant. */
	bool usable = success ? said == 2 : said == 4 || said == 5;
	if (f->about == ABOUT_US && reply->enhanced[1] == 1)
		usable = false;
	struct status s = {.class = success ? 2 : r->action == DSN_FAILED && permanent ? 5 : 4};
	if (usable) {
		s.subject = reply->enhanced[1];
		s.detail = reply->enhanced[2];
	} else if (r->action == DSN_FAILED && !permanent) {
		s.subject = 4;
		s.detail = 7; /* the time is over */
	} else if (!success) {
		by_class(f->class, r->note->at, &s);
	}
	return s;
}

static void
put_address(struct buf *b, const struct dsn_context *c, const char *name, struct slice type,
	struct slice address)
{
	if (c->utf8 && !dsn_is_ascii(address))
		type = SLICE("utf-8");
	dsn_put_text(b, name);
	dsn_put_clean(b, type, DSN_HOST_MOST, false);
	dsn_put(b, SLICE("; "));
	dsn_put_clean(b, address, DSN_ADDRESS_MOST, c->utf8);
	dsn_put(b, SLICE("\r\n"));
}

/* RFC 3461 6.3: as ORCPT gave it, its escapes undone. */
static void
put_original_recipient(struct buf *b, const struct dsn_context *c, struct slice orcpt)
{
	struct slice type, address;
	char room[DSN_ADDRESS_MOST];
	if (dsn_original_recipient(orcpt, c->utf8, room, &type, &address))
		put_address(b, c, "Original-Recipient: ", type, address);
}

/* The remote's words as of a mail server, ours as ours (RFC 3464 2.3.6). */
static void
put_diagnostic(struct buf *b, const struct dsn_context *c, const struct stored_rcpt_note *n)
{
	const struct smtp_reply *r = &n->reply;
	struct slice text = slice_trim(slice_first(r->text, STORED_WORDS_MOST));
	size_t start = b->used;
	if (r->code == 0 && text.n == 0)
		return;
	dsn_put_text(b, n->from_hop ? "Diagnostic-Code: smtp;" : "Diagnostic-Code: X-Postern;");
	dsn_put_codes(b, r);
	dsn_put_text(b, text.n > 0 ? " " : "");
	dsn_put_words(b, text, b->used - start, "    ", c->utf8);
	dsn_put(b, SLICE("\r\n"));
}

static void
put_remote(struct buf *b, const struct stored_rcpt_note *n)
{
	struct ip ip;
	bool is_ip = ip_parse(n->host, &ip);
	if (!n->from_hop || n->host.n == 0)
		return;
	dsn_put(b, SLICE("Remote-MTA: dns; "));
	dsn_put_text(b, !is_ip ? "" : ip.family == 6 ? "[IPv6:" : "[");
	dsn_put_clean(b, n->host, DSN_HOST_MOST, false);
	dsn_put_text(b, is_ip ? "]\r\n" : "\r\n");
}

static void
put_time(struct buf *b, const char *name, uint64_t wall_ms)
{
	if (wall_ms == 0)
		return;
	dsn_put_text(b, name);
	dsn_put_date(b, wall_ms);
	dsn_put(b, SLICE("\r\n"));
}

static void
put_rcpt(struct buf *b, const struct dsn_context *c, const struct dsn_rcpt *r)
{
	static const char *const actions[DSN_ACTIONS] = {
		[DSN_FAILED] = "failed",
		[DSN_DELAYED] = "delayed",
		[DSN_RELAYED] = "relayed",
		[DSN_DELIVERED] = "delivered",
	};
	must(r->action < DSN_ACTIONS);
	struct status s = status_of(r);
	dsn_put(b, SLICE("\r\n"));
	put_original_recipient(b, c, r->rcpt->params.orcpt);
	put_address(b, c, "Final-Recipient: ", SLICE("rfc822"), r->rcpt->address.raw);
	must(buf_printf(b, "Action: %s\r\nStatus: %u.%u.%u\r\n", actions[r->action], s.class,
		     s.subject, s.detail) == 0);
	put_remote(b, r->note);
	put_diagnostic(b, c, r->note);
	put_time(b, "Last-Attempt-Date: ", r->note->last_ms);
	if (r->action == DSN_DELAYED)
		put_time(b, "Will-Retry-Until: ", c->in->give_up_ms);
}

void
dsn_put_status(struct buf *b, const struct dsn_context *c)
{
	struct slice envid = c->in->mail->params.envid;
	char room[DSN_ADDRESS_MOST];
	if (envid.n > 0) {
		dsn_put(b, SLICE("Original-Envelope-Id: "));
		dsn_put_clean(
			b, dsn_decode_xtext(envid, false, room), SMTP_ENVID_MOST, c->utf8);
		dsn_put(b, SLICE("\r\n"));
	}
	dsn_put(b, SLICE("Reporting-MTA: dns; "));
	dsn_put_clean(b, c->in->hostname, DSN_HOST_MOST, false);
	dsn_put(b, SLICE("\r\n"));
	put_time(b, "Arrival-Date: ", c->in->mail->arrived_ms);
	for (size_t i = 0; i < c->in->n_rcpts; i++)
		put_rcpt(b, c, &c->in->rcpts[i]);
}
