/* A scripted remote on loopback; see remote.h. */
#include "remote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "smtp/proxy.h"

enum { OUT_BYTES = 64 * 1024, KEPT_BYTES = 16 * 1024 * 1024 };

static void
say(struct remote_conn *c, const char *text)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "%s\r\n", text);
	must(n > 0 && (size_t)n < sizeof(line));
	stream_write(c->stream, (struct slice){line, (size_t)n});
}

static void
hang_up(struct remote_conn *c)
{
	if (c->stream == NULL)
		return;
	stream_free(&c->stream);
	buf_clear(&c->in);
	c->remote->open--;
}

/* True: the fault has answered, or not. */
static bool
is_faulty(struct remote_conn *c, const char *verb)
{
	struct remote *r = c->remote;
	if (r->fault == REMOTE_FINE || strcmp(r->fault_at, verb) != 0 ||
		(r->on >> c->number & 1) == 0)
		return false;
	c->mute = r->fault == REMOTE_SILENT;
	if (r->fault == REMOTE_CLOSE)
		hang_up(c);
	else if (r->fault == REMOTE_SAY)
		say(c, r->say);
	return true;
}

static void
hello(struct remote_conn *c)
{
	struct slice line, rest = slice_of(c->remote->extensions);
	bool tls = c->remote->tls != NULL || c->remote->bad_tls;
	char text[256];
	if (rest.n == 0 && (!tls || stream_is_tls(c->stream))) {
		say(c, "250 remote.example");
		return;
	}
	say(c, "250-remote.example");
	while (rest.n > 0) {
		slice_cut(rest, '\n', &line, &rest);
		snprintf(text, sizeof(text), "250-%.*s", SLICE_ARG(line));
		say(c, text);
	}
	say(c, tls && !stream_is_tls(c->stream) ? "250 STARTTLS" : "250 HELP");
}

static void
rcpt(struct remote_conn *c, struct slice line)
{
	struct slice to = slice_from(line, slice_find(line, '<') + 1);
	char text[64];
	if (!c->in_mail) {
		say(c, "503 5.5.1 no MAIL");
		return;
	}
	if (to.n > 3 && ascii_digit(to.p[0]) && ascii_digit(to.p[1]) && ascii_digit(to.p[2])) {
		snprintf(
			text, sizeof(text), "%.3s %c.1.1 said of the recipient", to.p, to.p[0]);
		say(c, text);
		return;
	}
	c->accepted++;
	say(c, "250 2.1.5 recipient taken");
}

static void
command(struct remote_conn *c, struct slice line)
{
	struct remote *r = c->remote;
	char verb[16];
	struct slice word, rest;
	buf_add(&r->commands, line);
	buf_add_byte(&r->commands, '\n');
	slice_cut(line, ' ', &word, &rest);
	snprintf(verb, sizeof(verb), "%.*s", SLICE_ARG(word));
	bool lhlo = strcmp(verb, "LHLO") == 0;
	if (is_faulty(c, lhlo ? "EHLO" : verb))
		return;
	if (strcmp(verb, "EHLO") == 0 || lhlo) {
		hello(c);
	} else if (strcmp(verb, "STARTTLS") == 0) {
		say(c, "220 go");
		c->broken = r->bad_tls;
		if (!r->bad_tls)
			stream_start_tls_server(c->stream, r->tls, 5000);
	} else if (strcmp(verb, "RCPT") == 0) {
		rcpt(c, line);
	} else if (strcmp(verb, "DATA") == 0) {
		c->in_data = c->accepted > 0;
		say(c, c->in_data ? "354 go" : "503 5.5.1 no recipient");
	} else if (strcmp(verb, "RSET") == 0 || strcmp(verb, "MAIL") == 0) {
		r->probes += strcmp(verb, "RSET") == 0;
		c->accepted = 0;
		c->in_mail = strcmp(verb, "MAIL") == 0;
		say(c, "250 2.0.0 ok");
	} else if (strcmp(verb, "AUTH") == 0) {
		say(c, r->auth != NULL && slice_eq(rest, slice_of(r->auth))
				? "235 2.7.0 welcome"
				: "535 5.7.8 who");
	} else if (strcmp(verb, "XCLIENT") == 0 || strcmp(verb, "XFORWARD") == 0) {
		say(c, strcmp(verb, "XCLIENT") == 0 ? "220 again" : "250 2.0.0 noted");
	} else if (strcmp(verb, "QUIT") == 0) {
		say(c, "221 bye");
	} else {
		say(c, "500 what");
	}
}

static void
end_of_data(struct remote_conn *c)
{
	struct remote *r = c->remote;
	c->in_data = false;
	r->mails++;
	if (is_faulty(c, "DOT"))
		return;
	for (size_t i = 0; i < (r->lmtp ? c->accepted : 1); i++)
		say(c, r->lmtp && i == 1 ? "450 4.2.2 full" : "250 2.0.0 mail taken");
	c->accepted = 0;
}

static void
take_line(struct remote_conn *c, struct slice line)
{
	if (!c->in_data) {
		command(c, slice_trim(line));
		return;
	}
	must(buf_add(&c->remote->data, line) == 0);
	if (slice_eq(line, SLICE(".\r\n")))
		end_of_data(c);
}

/* True: the header is whole, and taken out of what came. */
static bool
take_header(struct remote_conn *c)
{
	struct proxy_header h;
	char text[IP_TEXT_BYTES];
	enum proxy_result result = proxy_parse(buf_slice(&c->in), &h, NULL);
	must(result != PROXY_BAD);
	if (result == PROXY_MORE)
		return false;
	c->headed = true;
	buf_consume(&c->in, h.taken);
	struct slice src = ip_text(&h.src, text);
	must(buf_printf(&c->remote->commands, "PROXY %.*s %u\n", SLICE_ARG(src),
		     (unsigned)h.src_port) == 0);
	say(c, "220 remote.example ESMTP");
	return true;
}

static size_t
on_bytes(void *arg, struct slice in)
{
	struct remote_conn *c = arg;
	c->remote->reads += c->in_data;
	if (c->mute)
		return in.n;
	if (c->broken) {
		say(c, "no handshake of any kind");
		return in.n;
	}
	if (c->in_data && is_faulty(c, "BODY"))
		return in.n;
	must(buf_add(&c->in, in) == 0);
	if (c->remote->proxied && !c->headed && !take_header(c))
		return in.n;
	for (;;) {
		struct slice all = buf_slice(&c->in);
		size_t end = slice_find(all, '\n');
		if (end == all.n)
			return in.n;
		char line[8192];
		size_t n = end + 1;
		must(n <= sizeof(line));
		memcpy(line, all.p, n);
		buf_consume(&c->in, n);
		take_line(c, (struct slice){line, n});
		if (c->stream == NULL || c->mute)
			return in.n;
	}
}

static void
on_secure(void *arg)
{
	buf_clear(&((struct remote_conn *)arg)->in);
}

static void
on_end(void *arg)
{
	hang_up(arg);
}

static void
on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)why, (void)err;
	hang_up(arg);
}

static void
on_accept(void *arg, int fd, const struct stream_addr *peer)
{
	static const struct stream_calls calls = {.on_bytes = on_bytes,
		.on_secure = on_secure,
		.on_end = on_end,
		.on_lost = on_lost};
	struct remote *r = arg;
	(void)peer;
	must(r->n_conns < REMOTE_CONNS_MOST);
	struct remote_conn *c = &r->conns[r->n_conns];
	*c = (struct remote_conn){.remote = r, .number = r->n_conns++};
	buf_init(&c->in, KEPT_BYTES);
	c->stream = stream_new(r->loop, fd, OUT_BYTES, &calls, c);
	if (++r->open > r->open_most)
		r->open_most = r->open;
	char greeting[512];
	snprintf(greeting, sizeof(greeting), "220 %s",
		r->greeting != NULL ? r->greeting : "remote.example ESMTP");
	if (!is_faulty(c, "CONNECT") && !r->proxied)
		say(c, greeting);
}

static void
on_error(void *arg, const struct err *err)
{
	(void)arg;
	fail_msg("%s", err->text);
}

void
remote_start(struct remote *r, struct loop *l)
{
	static const struct listen_calls calls = {.on_accept = on_accept, .on_error = on_error};
	struct stream_addr a = {.port = r->address != NULL ? r->port : 0};
	struct err err;
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);
	if (r->path != NULL)
		snprintf(a.path, sizeof(a.path), "%s", r->path);
	else
		must(ip_parse(slice_of(r->address != NULL ? r->address : "127.0.0.1"), &a.ip));
	r->loop = l;
	r->fd = listen_open(&a, 16, 0600, &err);
	must(r->fd >= 0);
	if (r->path == NULL) {
		must(getsockname(r->fd, (struct sockaddr *)&sin, &len) == 0);
		r->port = ntohs(sin.sin_port);
	}
	r->listener = listener_new(l, r->fd, &calls, r);
	buf_init(&r->commands, KEPT_BYTES);
	buf_init(&r->data, KEPT_BYTES);
}

void
remote_stop(struct remote *r)
{
	for (unsigned i = 0; i < r->n_conns; i++)
		hang_up(&r->conns[i]);
	listener_free(&r->listener);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	if (r->path != NULL)
		unlink(r->path);
	buf_fini(&r->commands);
	buf_fini(&r->data);
}
