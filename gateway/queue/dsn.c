/*
 * A DSN put together; see dsn.h. What each part says is in dsn_people.c and dsn_status.c, how
 * strangers' bytes are written in dsn_words.c; here are the header, what of the original goes
 * back, and the boundaries, which are taken only when all that stands between them is known.
 */
#include "queue/dsn.h"

#include <stdio.h>

#include "base/must.h"
#include "filters/message.h"
#include "queue/dsn_priv.h"

enum {
	LINE_MOST = 998, /* RFC 5322 2.1.1 */
	ID_MOST = 48,    /* so that a boundary has less than 70 characters */
	BOUNDARY_BYTES = 70,
	MESSAGE_ARENA_MOST = 16 * 1024 * 1024
};

bool
dsn_is_due(const struct stored_mail *m, const struct stored_rcpt *r, enum dsn_action action)
{
	unsigned notify = r->params.notify != 0 ? r->params.notify : SMTP_NOTIFY_FAILURE;
	static const unsigned asked[DSN_ACTIONS] = {
		[DSN_FAILED] = SMTP_NOTIFY_FAILURE,
		[DSN_DELAYED] = SMTP_NOTIFY_DELAY,
		[DSN_RELAYED] = SMTP_NOTIFY_SUCCESS,
		[DSN_DELIVERED] = SMTP_NOTIFY_SUCCESS,
	};
	must(action < DSN_ACTIONS);
	if (!m->own || m->notification || m->sender.is_null ||
		(notify & SMTP_NOTIFY_NEVER) != 0)
		return false;
	return (notify & asked[action]) != 0;
}

/* ---- the third part ---- */

/* How bytes may travel as they are. */
struct shape {
	bool lines;    /* CRLF lines of at most LINE_MOST; no NUL, no lone CR or LF */
	bool controls; /* others, TAB apart */
	bool ascii, utf8;
};

static struct shape
shape_of(struct slice s)
{
	struct shape shape = {.lines = true, .ascii = true, .utf8 = true};
	size_t line = 0;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') {
			line = 0;
			i++;
			continue;
		}
		if (c == '\r' || c == '\n' || c == 0 || ++line > LINE_MOST)
			shape.lines = false;
		shape.controls |= (c < ' ' && c != '\t') || c == 0x7f;
		if (c < 0x80)
			continue;
		size_t n = dsn_utf8_length(slice_from(s, i));
		shape.ascii = false;
		shape.utf8 &= n > 0;
		i += n > 0 ? n - 1 : 0;
		line += n > 0 ? n - 1 : 0;
	}
	return shape;
}

struct original {
	struct slice bytes; /* empty: no third part */
	const char *type;
	const char *encoding; /* NULL: 7bit */
	bool quoted, all;
};

/* The header's lines, as many as may go back. */
static struct slice
header_of(struct slice original)
{
	size_t n = message_header_end(original, 0);
	struct slice header = n > 0 ? slice_first(original, n - 2) : original;
	if (header.n <= DSN_RETURN_MOST)
		return header;
	header = slice_first(header, DSN_RETURN_MOST);
	size_t end = slice_find_last(header, '\n');
	return end < header.n ? slice_first(header, end + 1) : header;
}

static bool
failure_is_told(const struct dsn_input *in)
{
	for (size_t i = 0; i < in->n_rcpts; i++)
		if (in->rcpts[i].action == DSN_FAILED)
			return true;
	return false;
}

/* RFC 3461 4.3: all of it only where asked for, and only with a failure. */
static struct original
original_of(const struct dsn_context *c)
{
	const struct dsn_input *in = c->in;
	struct slice header = header_of(in->original);
	struct shape of_header = shape_of(header), of_all = shape_of(in->original);
	if (in->mail->params.ret == SMTP_RET_FULL && in->original_whole &&
		in->original.n <= DSN_RETURN_MOST && failure_is_told(in) && of_all.lines &&
		!of_header.controls && (of_header.ascii || (c->utf8 && of_header.utf8)))
		return (struct original){.bytes = in->original,
			.type = of_header.ascii ? "message/rfc822" : "message/global",
			.encoding = of_all.ascii ? NULL : "8bit",
			.all = true};
	if (of_header.lines && !of_header.controls && of_header.ascii)
		return (struct original){.bytes = header, .type = "text/rfc822-headers"};
	if (of_header.lines && !of_header.controls && of_header.utf8 && c->utf8)
		return (struct original){
			.bytes = header, .type = "message/global-headers", .encoding = "8bit"};
	return (struct original){.bytes = header,
		.type = "text/rfc822-headers",
		.encoding = "quoted-printable",
		.quoted = true};
}

/* ---- header and frame ---- */

struct part {
	struct buf body;
	const char *type;
	const char *encoding; /* NULL: 7bit */
};

static const char *
subject_of(const struct dsn_input *in)
{
	static const char *const subjects[DSN_ACTIONS] = {
		[DSN_FAILED] = "Your mail could not be delivered",
		[DSN_DELAYED] = "Your mail is delayed",
		[DSN_RELAYED] = "Your mail was passed on",
		[DSN_DELIVERED] = "Your mail was delivered",
	};
	enum dsn_action worst = DSN_DELIVERED;
	for (size_t i = 0; i < in->n_rcpts; i++)
		if (in->rcpts[i].action < worst)
			worst = in->rcpts[i].action;
	return subjects[worst];
}

/* What may be repeated: one, and beyond doubt. */
static bool
is_message_id(struct slice id)
{
	if (id.n < 3 || id.n > LINE_MOST / 4 || id.p[0] != '<' || id.p[id.n - 1] != '>')
		return false;
	for (size_t i = 1; i < id.n - 1; i++)
		if (id.p[i] <= ' ' || id.p[i] > '~' || id.p[i] == '<' || id.p[i] == '>')
			return false;
	return true;
}

/* RFC 3834 3.1.5, so that readers show the report with the mail. */
static void
put_thread(struct buf *b, const struct dsn_context *c)
{
	struct message m;
	struct arena *a = arena_new(MESSAGE_ARENA_MOST);
	message_parse(header_of(c->in->original), c->in->hostname, c->utf8, a, &m);
	struct slice id = slice_trim(m.message_id);
	if (is_message_id(id))
		must(buf_printf(b, "In-Reply-To: %.*s\r\nReferences: %.*s\r\n", SLICE_ARG(id),
			     SLICE_ARG(id)) == 0);
	arena_free(&a);
}

static void
put_header(struct buf *b, const struct dsn_context *c, const char *boundary, bool eightbit)
{
	const struct dsn_input *in = c->in;
	must(in->now_ms >= 0);
	dsn_put(b, SLICE("Date: "));
	dsn_put_date(b, (uint64_t)in->now_ms);
	dsn_put(b, SLICE("\r\nFrom: Mail gateway <MAILER-DAEMON@"));
	dsn_put_clean(b, in->domain, DSN_HOST_MOST, false);
	dsn_put(b, SLICE(">\r\nTo: <"));
	dsn_put_clean(b, in->mail->sender.raw, DSN_ADDRESS_MOST, c->utf8);
	dsn_put(b, SLICE(">\r\nSubject: "));
	dsn_put_text(b, subject_of(in));
	must(buf_printf(b, "\r\nMessage-ID: <%.*s@", SLICE_ARG(in->id)) == 0);
	dsn_put_clean(b, in->domain, DSN_HOST_MOST, false);
	dsn_put(b, SLICE(">\r\n"));
	put_thread(b, c);
	must(buf_printf(b,
		     "Auto-Submitted: auto-replied\r\n"
		     "MIME-Version: 1.0\r\n"
		     "Content-Type: multipart/report; report-type=delivery-status;\r\n"
		     "\tboundary=\"%s\"\r\n%s\r\n",
		     boundary, eightbit ? "Content-Transfer-Encoding: 8bit\r\n" : "") == 0);
}

static void
put_part(struct buf *b, const struct part *p, const char *boundary)
{
	must(buf_printf(b, "--%s\r\nContent-Type: %s\r\n", boundary, p->type) == 0);
	if (p->encoding != NULL)
		must(buf_printf(b, "Content-Transfer-Encoding: %s\r\n", p->encoding) == 0);
	dsn_put(b, SLICE("\r\n"));
	dsn_put(b, buf_slice(&p->body));
	dsn_put(b, SLICE("\r\n"));
}

static void
choose_boundary(
	const struct dsn_input *in, const struct part parts[3], char out[BOUNDARY_BYTES])
{
	bool met = true;
	for (unsigned n = 0; met; n++) {
		struct slice b = {out, 0};
		b.n = (size_t)snprintf(out, BOUNDARY_BYTES, "=_%.*s.%u", SLICE_ARG(in->id), n);
		met = false;
		for (size_t i = 0; i < 3; i++) {
			struct slice body = buf_slice(&parts[i].body);
			met = met || slice_find_slice(body, b) < body.n;
		}
	}
}

static void
check_id(struct slice id)
{
	must(id.n > 0 && id.n <= ID_MOST);
	for (size_t i = 0; i < id.n; i++)
		must(ascii_hex(id.p[i]) >= 0);
}

static void
make_parts(struct dsn_context *c, struct part parts[3])
{
	struct original o = original_of(c);
	size_t most = DSN_ROOM(c->in->n_rcpts);
	for (size_t i = 0; i < 3; i++)
		buf_init(&parts[i].body, most);
	c->returns = o.bytes.n > 0;
	c->returns_all = o.all;
	dsn_put_people(&parts[0].body, c);
	dsn_put_status(&parts[1].body, c);
	if (o.quoted)
		dsn_put_quoted_printable(&parts[2].body, o.bytes);
	else
		dsn_put(&parts[2].body, o.bytes);
	bool ascii = dsn_is_ascii(buf_slice(&parts[0].body));
	parts[0].type = ascii ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8";
	parts[0].encoding = ascii ? NULL : "8bit";
	ascii = dsn_is_ascii(buf_slice(&parts[1].body));
	parts[1].type = ascii ? "message/delivery-status" : "message/global-delivery-status";
	parts[1].encoding = ascii ? NULL : "8bit";
	parts[2].type = o.type;
	parts[2].encoding = o.encoding;
}

void
dsn_make(const struct dsn_input *in, struct arena *a, struct dsn *dsn)
{
	struct dsn_context c = {.in = in, .arena = a};
	struct part parts[3];
	char boundary[BOUNDARY_BYTES];
	struct buf all;
	check_id(in->id);
	must(in->n_rcpts > 0 && in->n_rcpts <= STORED_RCPTS_MOST && !in->mail->sender.is_null);
	c.utf8 = in->mail->params.smtputf8 || in->mail->sender.utf8;
	make_parts(&c, parts);
	choose_boundary(in, parts, boundary);
	*dsn = (struct dsn){.eightbit = false};
	for (size_t i = 0; i < 3; i++)
		dsn->eightbit |= !dsn_is_ascii(buf_slice(&parts[i].body));
	buf_init(&all, DSN_ROOM(in->n_rcpts));
	put_header(&all, &c, boundary, dsn->eightbit);
	dsn->header_bytes = all.used;
	dsn->smtputf8 = !dsn_is_ascii(buf_slice(&all));
	dsn->eightbit |= dsn->smtputf8;
	for (size_t i = 0; i < 3; i++) {
		if (parts[i].body.used > 0)
			put_part(&all, &parts[i], boundary);
		buf_fini(&parts[i].body);
	}
	must(buf_printf(&all, "--%s--\r\n", boundary) == 0);
	dsn->bytes = arena_slice(a, buf_slice(&all));
	buf_fini(&all);
}
