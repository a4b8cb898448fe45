/*
 * The part of a DSN that people read: who was not reached, in whose words, and what that means
 * to a sender who knows nothing of mail servers. Recipients that share a story are told of
 * together; of thousands the first are named, the next part names all.
 */
#include "base/must.h"
#include "queue/dsn_priv.h"

enum { NAMED_MOST = 100 }; /* recipients of one section */

/* What the sender can do about it. They: the other side. */
static const char *
meaning(const struct failure *f)
{
	static const char *const meanings[FAILURE_CLASSES] = {
		[FAILURE_NO_RECIPIENT] =
			"There is no such address there, or it takes no mail. Please check "
			"how it is spelt.",
		[FAILURE_MAILBOX_FULL] = "The mailbox is full. Only its owner can change that.",
		[FAILURE_TOO_LARGE] = "The mail is larger than what is taken there.",
		[FAILURE_CONTENT] = "Something in the mail is refused there: its words, a "
				    "link or an attachment.",
		[FAILURE_AUTHENTICATION] =
			"The sender's address of the mail is not believed or not allowed "
			"there. Your postmaster can find out why.",
		[FAILURE_LISTED] =
			"They refuse mail from the address of this gateway. It says nothing "
			"about the recipient's address, which may well be right. Your "
			"postmaster has to settle it with them.",
		[FAILURE_GREYLISTED] =
			"They ask whoever they do not know yet to try again later.",
		[FAILURE_BUSY] = "They cannot take mail for now.",
		[FAILURE_TLS] = "No connection could be made that is protected as it must be.",
		[FAILURE_PROTOCOL] = "The two mail servers did not understand each other. It "
				     "is nothing that you have done; your postmaster can find "
				     "out why.",
		[FAILURE_ROUTE] = "No server was reached that takes mail for this address. "
				  "Please check the part behind the @.",
		[FAILURE_OTHER] = "No other reason was given.",
	};
	must(f->class < FAILURE_CLASSES);
	if (f->about == ABOUT_US && f->class != FAILURE_LISTED)
		return "This is about the gateway that sent the mail. It says nothing about "
		       "the recipient's address, which may well be right. Your postmaster "
		       "has to settle it with them.";
	return meanings[f->class];
}

static void
put_paragraph(struct buf *b, struct slice words, const char *indent, bool utf8)
{
	dsn_put_text(b, indent);
	dsn_put_words(b, words, slice_of(indent).n, indent, utf8);
	dsn_put(b, SLICE("\r\n"));
}

static void
put_prose(struct buf *b, const char *words, const char *indent)
{
	put_paragraph(b, slice_of(words), indent, false);
}

/* ---- one story ---- */

static bool
is_same_story(const struct stored_rcpt_note *a, const struct stored_rcpt_note *b)
{
	return a->state == b->state && a->attempts == b->attempts && a->last_ms == b->last_ms &&
	       a->failure.class == b->failure.class &&
	       a->failure.permanent == b->failure.permanent &&
	       a->failure.about == b->failure.about && a->reply.code == b->reply.code &&
	       slice_eq(a->reply.text, b->reply.text) && a->from_hop == b->from_hop &&
	       slice_eq(a->host, b->host);
}

static void
put_rcpt(struct buf *b, const struct dsn_context *c, const struct stored_rcpt *r)
{
	struct slice type, original;
	char room[DSN_ADDRESS_MOST];
	dsn_put(b, SLICE("  <"));
	dsn_put_clean(b, r->address.raw, DSN_ADDRESS_MOST, c->utf8);
	dsn_put(b, SLICE(">\r\n"));
	if (!dsn_original_recipient(r->params.orcpt, c->utf8, room, &type, &original) ||
		slice_eq_nocase(original, r->address.raw) ||
		slice_eq_nocase(original, r->address.text))
		return;
	dsn_put(b, SLICE("    first sent to <"));
	dsn_put_clean(b, original, DSN_ADDRESS_MOST, c->utf8);
	dsn_put(b, SLICE(">\r\n"));
}

/* Their words or ours, line by line, set off from what we say about them. */
static void
put_reply(struct buf *b, const struct dsn_context *c, const struct stored_rcpt_note *n)
{
	struct slice text = slice_trim(slice_first(n->reply.text, STORED_WORDS_MOST)), line;
	if (n->reply.code == 0 && text.n == 0)
		return;
	dsn_put(b, SLICE("    "));
	if (!n->from_hop)
		dsn_put(b, SLICE("This gateway found"));
	else if (n->host.n == 0)
		dsn_put(b, SLICE("The mail server there answered"));
	else
		dsn_put_clean(b, n->host, DSN_HOST_MOST, false);
	dsn_put_text(b, n->from_hop && n->host.n > 0 ? " answered:\r\n" : ":\r\n");

	size_t start = b->used;
	bool begun = false;
	dsn_put(b, SLICE("     "));
	dsn_put_codes(b, &n->reply);
	dsn_put_text(b, text.n > 0 ? " " : "");
	while (text.n > 0) {
		slice_cut(text, '\n', &line, &text);
		if (slice_trim(line).n == 0)
			continue;
		if (begun) {
			start = b->used + 2;
			dsn_put(b, SLICE("\r\n      "));
		}
		dsn_put_words(b, line, b->used - start, "      ", c->utf8);
		begun = true;
	}
	dsn_put(b, SLICE("\r\n"));
}

static void
put_story(struct buf *b, const struct dsn_context *c, const struct dsn_rcpt *r)
{
	const struct stored_rcpt_note *n = r->note;
	put_reply(b, c, n);
	if (r->action != DSN_FAILED && r->action != DSN_DELAYED)
		return;
	if (n->from_hop || n->failure.class != FAILURE_OTHER)
		put_prose(b, meaning(&n->failure), "    ");
	if (n->state == RCPT_DOUBT)
		put_prose(b,
			"The connection was lost when the whole mail had been sent: it may "
			"have arrived all the same.",
			"    ");
	if (n->attempts == 0 || n->last_ms == 0 || n->failure.permanent)
		return;
	if (n->attempts == 1)
		dsn_put(b, SLICE("    Tried once, on "));
	else
		must(buf_printf(b, "    Tried %u times, last on ", n->attempts) == 0);
	dsn_put_date(b, n->last_ms);
	dsn_put(b, SLICE(".\r\n"));
}

/* ---- the sections ---- */

static void
put_head(struct buf *b, const struct dsn_context *c, enum dsn_action action, size_t n)
{
	static const char *const heads[DSN_ACTIONS][2] = {
		[DSN_FAILED] = {"It was not delivered to this recipient, and will not be "
				"tried again:",
			"It was not delivered to these %zu recipients, and will not be tried "
			"again:"},
		[DSN_DELAYED] = {"It has not been delivered to this recipient yet:",
			"It has not been delivered to these %zu recipients yet:"},
		[DSN_RELAYED] = {"It was passed on to a mail server that does not tell what "
				 "becomes of it, for this recipient:",
			"It was passed on to mail servers that do not tell what becomes of "
			"it, for these %zu recipients:"},
		[DSN_DELIVERED] = {"It was delivered to this recipient:",
			"It was delivered to these %zu recipients:"},
	};
	struct slice head = slice_of(heads[action][n != 1]);
	size_t at = slice_find_slice(head, SLICE("%zu"));
	if (at < head.n)
		head = arena_printf(c->arena, "%.*s%zu%s", (int)at, head.p, n, head.p + at + 3);
	put_paragraph(b, head, "", false);
	dsn_put(b, SLICE("\r\n"));
}

static void
put_section(struct buf *b, const struct dsn_context *c, enum dsn_action action)
{
	const struct dsn_rcpt *r, *last = NULL;
	size_t n = 0, named = 0;
	for (size_t i = 0; i < c->in->n_rcpts; i++)
		n += c->in->rcpts[i].action == action ? 1 : 0;
	if (n == 0)
		return;
	put_head(b, c, action, n);
	for (size_t i = 0; i < c->in->n_rcpts && named < NAMED_MOST; i++) {
		r = &c->in->rcpts[i];
		if (r->action != action)
			continue;
		if (last != NULL && !is_same_story(last->note, r->note)) {
			put_story(b, c, last);
			dsn_put(b, SLICE("\r\n"));
		}
		put_rcpt(b, c, r->rcpt);
		last = r;
		named++;
	}
	put_story(b, c, last);
	dsn_put(b, SLICE("\r\n"));
	if (n > named)
		must(buf_printf(b,
			     "and %zu more: the next part of this report names all.\r\n\r\n",
			     n - named) == 0);
	if (action != DSN_DELAYED)
		return;
	dsn_put(b, SLICE("There is no need to send the mail again."));
	if (c->in->give_up_ms != 0) {
		dsn_put(b, SLICE(" It is tried until\r\n"));
		dsn_put_date(b, c->in->give_up_ms);
		dsn_put(b, SLICE("."));
	}
	dsn_put(b, SLICE("\r\n\r\n"));
}

void
dsn_put_people(struct buf *b, const struct dsn_context *c)
{
	const struct stored_mail *m = c->in->mail;
	dsn_put(b, SLICE("This is a report of the mail gateway\r\n"));
	dsn_put_clean(b, c->in->hostname, DSN_HOST_MOST, false);
	dsn_put(b, SLICE(" about your mail"));
	if (m->arrived_ms != 0) {
		dsn_put(b, SLICE(" of\r\n"));
		dsn_put_date(b, m->arrived_ms);
	}
	dsn_put(b, SLICE(".\r\n\r\n"));
	for (int action = 0; action < DSN_ACTIONS; action++)
		put_section(b, c, (enum dsn_action)action);
	if (m->log.n > 0) {
		dsn_put(b, SLICE("Your postmaster finds it in the gateway's log as "));
		dsn_put_clean(b, m->log, DSN_HOST_MOST, false);
		dsn_put(b, SLICE(".\r\n"));
	}
	if (c->returns)
		put_prose(b,
			c->returns_all ? "Your mail is attached."
				       : "The header of your mail is attached, to tell you "
					 "which one it was.",
			"");
}
