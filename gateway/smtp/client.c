/*
 * The client machine of SMTP and LMTP: its life, bytes in and out, and which reply goes where;
 * see client.h. The greeting up to READY is in client_hello.c, whose mail it is in
 * client_named.c, a mail in client_mail.c.
 *
 * One rule keeps it in step with any remote (SMG-08): a reply is taken only where a command
 * waits for one. A reply too many, or bytes that are none, end the connection; nothing is
 * guessed.
 */
#include "smtp/client.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/must.h"
#include "smtp/client_priv.h"

struct smtp_client *
smtp_client_new(const struct smtp_client_config *config)
{
	struct smtp_client *c = MEM_NEW(struct smtp_client);
	size_t words = config->hostname.n + config->user.n + config->password.n;
	c->own = arena_new(words + SMTP_GREETING_MOST + 1024);
	c->scratch = arena_new(4 * SMTP_REPLY_BYTES_MOST);
	c->config = *config;
	c->config.hostname = arena_slice(c->own, config->hostname);
	c->config.user = arena_slice(c->own, config->user);
	c->config.password = arena_slice(c->own, config->password);
	c->offer.sizeless = true;
	buf_init(&c->in, CLIENT_IN_BYTES);
	buf_init(&c->out, CLIENT_OUT_BYTES);
	buf_init(&c->told, XCLIENT_LINE_MOST);
	return c;
}

static void
wipe_password(struct smtp_client *c)
{
	if (c->config.password.n > 0)
		mem_wipe((void *)(uintptr_t)c->config.password.p, c->config.password.n);
}

void
smtp_client_free(struct smtp_client **cp)
{
	struct smtp_client *c = *cp;
	if (c == NULL)
		return;
	*cp = NULL;
	wipe_password(c);
	buf_fini(&c->in);
	buf_fini(&c->out);
	buf_fini(&c->told);
	arena_free(&c->scratch);
	arena_free(&c->own);
	mem_free(c);
}

void
client_write(struct smtp_client *c, const char *fmt, ...)
{
	char line[CLIENT_COMMAND_BYTES];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	must(n >= 0 && (size_t)n < sizeof(line));
	must(buf_add(&c->out, (struct slice){line, (size_t)n}) == 0);
	must(buf_add(&c->out, SLICE("\r\n")) == 0);
}

struct smtp_reply
client_keep(struct smtp_client *c, const struct smtp_reply *r)
{
	struct slice text = slice_first(r->text, CLIENT_TEXT_KEPT);
	if (arena_room(c->mail->arena) < 2 * CLIENT_TEXT_KEPT)
		text = SLICE_NONE;
	return smtp_reply_text(*r, text, c->mail->arena);
}

void
client_fail(struct smtp_client *c, const struct smtp_reply *r, const char *why)
{
	if (c->phase == SMTP_CL_CLOSED)
		return;
	c->failed = true;
	c->failed_in = c->phase;
	c->why = why;
	if (r != NULL)
		c->ended_by = *r; /* in scratch, which is not used again */
	if (c->mail != NULL)
		client_settle_lost(c);
	c->phase = SMTP_CL_CLOSED;
	buf_clear(&c->out);
	buf_clear(&c->in);
}

/* Nothing was asked: the farewell of a remote that shuts an idle connection, or nonsense. */
static void
take_unasked(struct smtp_client *c, const struct smtp_reply *r)
{
	if (r->code == 421)
		client_fail(c, r, "the remote ended the connection");
	else
		client_fail(c, NULL, "a reply came that nothing had asked for");
}

static void
take_rset(struct smtp_client *c, const struct smtp_reply *r)
{
	if (smtp_reply_class(r) == 2)
		c->phase = SMTP_CL_READY;
	else
		client_fail(c, r, "RSET was refused");
}

static void
take_reply(struct smtp_client *c, const struct smtp_reply *r)
{
	switch (c->phase) {
	case SMTP_CL_GREETING: client_take_greeting(c, r); break;
	case SMTP_CL_EHLO: client_take_hello(c, r); break;
	case SMTP_CL_STARTTLS: client_take_starttls(c, r); break;
	case SMTP_CL_AUTH: client_take_auth(c, r); break;
	case SMTP_CL_XCLIENT: client_take_xclient(c, r); break;
	case SMTP_CL_MAIL:
	case SMTP_CL_RCPT:
	case SMTP_CL_DATA: client_take_mail(c, r); break;
	case SMTP_CL_BODY: client_take_early(c, r); break;
	case SMTP_CL_DOT: client_take_dot(c, r); break;
	case SMTP_CL_RSET: take_rset(c, r); break;
	case SMTP_CL_QUIT: c->phase = SMTP_CL_CLOSED; break;
	case SMTP_CL_TLS:
	case SMTP_CL_READY:
	case SMTP_CL_CLOSED: take_unasked(c, r); break;
	}
}

static void
take_replies(struct smtp_client *c)
{
	while (c->phase != SMTP_CL_CLOSED && c->in.used > 0) {
		struct smtp_reply r;
		size_t taken;
		arena_reset(c->scratch);
		int result = smtp_reply_read(buf_slice(&c->in), c->scratch, &r, &taken);
		if (result < 0)
			client_fail(c, NULL, "what came is not a reply of SMTP");
		if (result != 0)
			return;
		buf_consume(&c->in, taken);
		take_reply(c, &r);
	}
}

size_t
smtp_client_feed(struct smtp_client *c, struct slice in)
{
	size_t all = in.n;
	while (in.n > 0 && c->phase != SMTP_CL_CLOSED) {
		if (c->phase == SMTP_CL_TLS) {
			client_fail(c, NULL, "clear text came behind the reply to STARTTLS");
			break;
		}
		size_t n = in.n < buf_left(&c->in) ? in.n : buf_left(&c->in);
		must(n > 0);
		buf_add(&c->in, slice_first(in, n));
		in = slice_from(in, n);
		take_replies(c);
	}
	return all;
}

struct slice
smtp_client_output(const struct smtp_client *c)
{
	return buf_slice(&c->out);
}

void
smtp_client_written(struct smtp_client *c, size_t n)
{
	buf_consume(&c->out, n);
	if (c->mail != NULL)
		client_ask(c);
}

enum smtp_client_phase
smtp_client_phase(const struct smtp_client *c)
{
	return c->phase;
}

const struct smtp_offer *
smtp_client_offer(const struct smtp_client *c)
{
	return &c->offer;
}

bool
smtp_client_done(struct smtp_client *c)
{
	bool settled = c->settled;
	c->settled = false;
	return settled;
}

void
smtp_client_quit(struct smtp_client *c)
{
	if (c->phase != SMTP_CL_READY) {
		client_fail(c, NULL, "ended before it was ready");
		return;
	}
	client_write(c, "QUIT");
	c->phase = SMTP_CL_QUIT;
}

bool
smtp_client_failed(const struct smtp_client *c, struct smtp_reply *r_out, const char **why_out)
{
	if (!c->failed)
		return false;
	*r_out = c->ended_by;
	*why_out = c->why;
	return true;
}

enum smtp_client_phase
smtp_client_failed_in(const struct smtp_client *c)
{
	return c->failed_in;
}

struct slice
smtp_client_greeting(const struct smtp_client *c)
{
	return c->greeting;
}

void
smtp_client_lost(struct smtp_client *c, const char *why)
{
	if (c->phase == SMTP_CL_QUIT)
		c->phase = SMTP_CL_CLOSED;
	else
		client_fail(c, NULL, why);
}
