/*
 * The client machine from the greeting to READY: EHLO, LHLO or HELO, STARTTLS, AUTH; see
 * client.h.
 *
 * Clear text behind the 220 to STARTTLS ends the connection, and what the remote had on offer
 * in clear is forgotten: whoever sits between us can add neither replies nor extensions
 * (SMG-07). A name and password are only ever sent under TLS.
 */
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/must.h"
#include "smtp/client_priv.h"

enum { CLIENT_LOGIN_BYTES = 512 }; /* name or password: what fits one command in base64 */

void
client_hello(struct smtp_client *c)
{
	c->offer = (struct smtp_offer){.sizeless = true};
	c->pipelining = false;
	c->helo = false;
	c->phase = SMTP_CL_EHLO;
	struct slice name = client_hello_name(c);
	client_write(c, "%s %.*s", c->config.lmtp ? "LHLO" : "EHLO", SLICE_ARG(name));
}

void
client_ready(struct smtp_client *c)
{
	c->phase = SMTP_CL_READY;
	if (c->mail != NULL)
		client_send_mail(c);
}

void
client_take_greeting(struct smtp_client *c, const struct smtp_reply *r)
{
	struct slice line, rest;
	slice_cut(r->text, '\n', &line, &rest);
	c->greeting = arena_slice(c->own, slice_first(line, SMTP_GREETING_MOST));
	if (smtp_reply_class(r) == 2)
		client_hello(c);
	else
		client_fail(c, r, "the greeting refused us");
}

/* The mechanisms on offer; the old form "AUTH=LOGIN" counts too. */
static void
keep_mechanisms(struct smtp_client *c, struct slice words)
{
	size_t n = words.n < sizeof(c->mechanisms) ? words.n : sizeof(c->mechanisms) - 1;
	if (n > 0)
		memcpy(c->mechanisms, words.p, n);
	c->mechanisms[n] = '\0';
	c->offer.auth = c->mechanisms;
}

static void
take_extension(struct smtp_client *c, struct slice line)
{
	struct slice keyword, value;
	slice_cut(slice_trim(line), ' ', &keyword, &value);
	value = slice_trim(value);
	if (slice_eq_nocase(keyword, SLICE("PIPELINING"))) {
		c->pipelining = true;
	} else if (slice_eq_nocase(keyword, SLICE("8BITMIME"))) {
		c->offer.eightbit = true;
	} else if (slice_eq_nocase(keyword, SLICE("SMTPUTF8"))) {
		c->offer.smtputf8 = true;
	} else if (slice_eq_nocase(keyword, SLICE("DSN"))) {
		c->offer.dsn = true;
	} else if (slice_eq_nocase(keyword, SLICE("STARTTLS"))) {
		c->offer.tls = true;
	} else if (slice_eq_nocase(keyword, SLICE("SIZE"))) {
		uint64_t size;
		c->offer.sizeless = false;
		c->offer.size = slice_u64(value, &size) ? size : 0;
	} else if (slice_eq_nocase(keyword, SLICE("XCLIENT"))) {
		c->offer.xclient = xclient_names(value) & XCLIENT_ALL;
	} else if (slice_eq_nocase(keyword, SLICE("XFORWARD"))) {
		c->offer.xforward = xclient_names(value) & XFORWARD_ALL;
	} else if (slice_eq_nocase(keyword, SLICE("AUTH"))) {
		keep_mechanisms(c, value);
	} else if (slice_starts_nocase(keyword, SLICE("AUTH=")) && c->offer.auth == NULL) {
		keep_mechanisms(c, slice_from(slice_trim(line), sizeof("AUTH=") - 1));
	}
}

static bool
has_mechanism(const struct smtp_client *c, struct slice name)
{
	struct slice word, rest = slice_of(c->offer.auth);
	for (bool more = true; more;) {
		more = slice_cut(rest, ' ', &word, &rest);
		if (slice_eq_nocase(word, name))
			return true;
	}
	return false;
}

static void
write_base64(struct smtp_client *c, const char *before, struct slice secret)
{
	struct slice text = base64_encode(secret, c->scratch);
	client_write(c, "%s%.*s", before, SLICE_ARG(text));
	mem_wipe((void *)(uintptr_t)text.p, text.n);
}

/* RFC 4616: NUL, the name, NUL, the password. */
static void
write_plain(struct smtp_client *c)
{
	char words[2 * CLIENT_LOGIN_BYTES + 2];
	struct slice user = c->config.user, password = c->config.password;
	size_t n = 0;
	words[n++] = '\0';
	memcpy(words + n, user.p, user.n);
	n += user.n;
	words[n++] = '\0';
	if (password.n > 0)
		memcpy(words + n, password.p, password.n);
	n += password.n;
	write_base64(c, "AUTH PLAIN ", (struct slice){words, n});
	mem_wipe(words, sizeof(words));
}

static void
authenticate(struct smtp_client *c)
{
	c->phase = SMTP_CL_AUTH;
	if (c->config.tls != SMTP_TLS_ALREADY) {
		client_fail(c, NULL,
			"a name and password are not sent in clear, and TLS is not on offer");
	} else if (c->config.user.n > CLIENT_LOGIN_BYTES ||
		   c->config.password.n > CLIENT_LOGIN_BYTES) {
		client_fail(c, NULL, "the name or password is too long");
	} else if (has_mechanism(c, SLICE("PLAIN"))) {
		c->auth_step = CLIENT_AUTH_PLAIN;
		write_plain(c);
	} else if (has_mechanism(c, SLICE("LOGIN"))) {
		c->auth_step = CLIENT_AUTH_LOGIN;
		client_write(c, "AUTH LOGIN");
	} else {
		client_fail(c, NULL, "neither AUTH PLAIN nor LOGIN is on offer");
	}
}

static void
after_hello(struct smtp_client *c)
{
	enum smtp_client_tls tls = c->config.tls;
	if ((tls == SMTP_TLS_MAY || tls == SMTP_TLS_MUST) && c->offer.tls) {
		c->phase = SMTP_CL_STARTTLS;
		client_write(c, "STARTTLS");
	} else if (tls == SMTP_TLS_MUST) {
		c->phase = SMTP_CL_STARTTLS;
		client_fail(c, NULL, "TLS is demanded and not on offer");
	} else if (c->config.user.n > 0) {
		authenticate(c);
	} else {
		client_ready(c);
	}
}

void
client_take_hello(struct smtp_client *c, const struct smtp_reply *r)
{
	if (smtp_reply_class(r) == 5 && !c->config.lmtp && !c->helo) {
		c->helo = true; /* RFC 5321 3.2: older than EHLO */
		struct slice name = client_hello_name(c);
		client_write(c, "HELO %.*s", SLICE_ARG(name));
		return;
	}
	if (smtp_reply_class(r) != 2) {
		client_fail(c, r, "EHLO was refused");
		return;
	}
	struct slice line, rest = r->text;
	bool more = slice_cut(rest, '\n', &line, &rest); /* the first line is its name */
	while (more && !c->helo) {
		more = slice_cut(rest, '\n', &line, &rest);
		take_extension(c, line);
	}
	after_hello(c);
}

void
client_take_starttls(struct smtp_client *c, const struct smtp_reply *r)
{
	bool go = smtp_reply_class(r) == 2; /* 220, but some say 250 and begin all the same */
	if (go && c->in.used > 0) {
		client_fail(c, NULL, "clear text came behind the reply to STARTTLS");
	} else if (go) {
		c->phase = SMTP_CL_TLS;
	} else if (c->config.tls == SMTP_TLS_MUST || r->code == 421) {
		client_fail(c, r, "STARTTLS was refused");
	} else {
		c->config.tls = SMTP_TLS_NEVER;
		after_hello(c);
	}
}

void
smtp_client_tls_started(struct smtp_client *c)
{
	must(c->phase == SMTP_CL_TLS && c->out.used == 0);
	c->config.tls = SMTP_TLS_ALREADY;
	client_hello(c);
}

void
client_take_auth(struct smtp_client *c, const struct smtp_reply *r)
{
	bool goes_on = r->code == 334;
	if (goes_on && c->auth_step == CLIENT_AUTH_LOGIN) {
		c->auth_step = CLIENT_AUTH_USER;
		write_base64(c, "", c->config.user);
	} else if (goes_on && c->auth_step == CLIENT_AUTH_USER) {
		c->auth_step = CLIENT_AUTH_PASSWORD;
		write_base64(c, "", c->config.password);
	} else if (smtp_reply_class(r) == 2 && (c->auth_step == CLIENT_AUTH_PLAIN ||
						       c->auth_step == CLIENT_AUTH_PASSWORD)) {
		client_ready(c);
	} else {
		client_fail(c, r, "AUTH was refused");
	}
}
