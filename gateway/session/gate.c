/*
 * The session's front: bytes in, events of the SMTP machine dispatched, bytes out. Who the
 * client is where another MTA stands in front is in gate_client.c, the transaction in
 * gate_mail.c, carrying a mail on in gate_transfer.c.
 */
#include "session/gate.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "session/gate_priv.h"

enum { SESSION_ARENA_MOST = 1024 * 1024, AUTH_FAILURES_MOST = 3 };

/* What EHLO may offer now: STARTTLS in clear, AUTH under TLS only (EXT-03, EXT-04). */
void
gate_set_offer(struct gate *g)
{
	const struct conf_listener *l = g->config->listener;
	bool tls = g->session.tls_version.n != 0;
	bool auth = l->auth_file.n != 0 && tls && g->session.user.n == 0;
	g->offer.tls = !tls && l->n_certificates != 0;
	g->offer.auth = auth ? "PLAIN LOGIN SCRAM-SHA-256" : NULL;
	g->offer.xclient = g->named != NULL ? XCLIENT_ALL : 0;
	g->offer.xforward = g->named != NULL ? XFORWARD_ALL : 0;
	smtp_server_offer(g->server, &g->offer);
}

struct gate *
gate_new(const struct gate_config *config, const struct gate_client *client, const char *id,
	int64_t now_ms)
{
	const struct conf *conf = config->conf;
	struct gate *g = MEM_NEW(struct gate);
	g->config = config;
	g->arena = arena_new(SESSION_ARENA_MOST);
	g->log.key = "session";
	snprintf(g->log.value, sizeof(g->log.value), "%.16s", id);
	g->session = (struct flt_session){.direction = config->direction,
		.client = client->ip,
		.client_port = client->port,
		.local = client->local,
		.wall_ms = now_ms,
		.spam = config->spam};
	g->refuse = arena_slice(g->arena, client->refuse);
	g->offer = (struct smtp_offer){.smtputf8 = true,
		.dsn = true,
		.eightbit = true,
		.size = conf->limits.mail_bytes};
	if (config->behind != NULL) { /* never promise what a server behind us does not take */
		g->offer.smtputf8 = config->behind->smtputf8;
		g->offer.dsn = config->behind->dsn;
		g->offer.eightbit = config->behind->eightbit;
		if (config->behind->size != 0 && config->behind->size < g->offer.size)
			g->offer.size = config->behind->size;
	}
	struct smtp_server_limits *limits = ARENA_NEW(g->arena, struct smtp_server_limits);
	*limits = smtp_server_limits_default;
	limits->mail_bytes = conf->limits.mail_bytes;
	limits->recipients = conf->limits.recipients;
	g->server = smtp_server_new(conf->hostname, limits, &g->offer);
	gate_peer_begin(g);
	gate_set_offer(g);
	g->pipeline = pipeline_new(config, &g->session, &g->log);
	gate_run(g);
	return g;
}

static void
log_close(const struct gate *g)
{
	struct log_line l;
	log_begin(&l, EV_CLOSE, &g->log);
	log_ip(&l, "client", &g->session.client);
	log_number(&l, "taken", g->mails_taken);
	log_number(&l, "refused", g->mails_refused);
	log_number(&l, "recipients-refused", g->rcpts_refused);
	log_end(&l);
}

void
gate_free(struct gate **g)
{
	if (*g == NULL)
		return;
	log_close(*g);
	pipeline_free(&(*g)->pipeline);
	smtp_server_free(&(*g)->server);
	arena_free(&(*g)->arena);
	mem_free((*g)->named);
	mem_free(*g);
	*g = NULL;
}

void
gate_reply(struct gate *g, struct smtp_reply r)
{
	if (!g->gone)
		smtp_server_reply(g->server, &r);
}

static void
on_connect(struct gate *g)
{
	struct smtp_reply r;
	if (g->refuse.n != 0 && smtp_reply_parse_text(g->refuse, &r)) {
		gate_reply(g, r);
		return;
	}
	gate_reply(g, smtp_reply_text(smtp_reply_of("220 ready"),
			      arena_printf(g->arena, "%.*s ESMTP Postern",
				      SLICE_ARG(g->config->conf->hostname)),
			      g->arena));
}

static void
on_helo(struct gate *g, const struct smtp_event *ev)
{
	if (arena_room(g->arena) < SESSION_ARENA_MOST / 2) {
		gate_reply(g, smtp_reply_of("421 4.7.0 Too many greetings"));
		smtp_server_close(g->server, &(struct smtp_reply){.code = 421});
		return;
	}
	gate_helo(g, ev);
	pipeline_helo(g->pipeline);
	gate_reply(g, smtp_reply_of("250 2.0.0 Hello"));
}

static void
on_starttls(struct gate *g)
{
	gate_reply(g, g->offer.tls ? smtp_reply_of("220 2.0.0 Ready to start TLS")
				   : smtp_reply_of("454 4.7.0 TLS is not available"));
}

static void
on_auth(struct gate *g, const struct smtp_event *ev)
{
	if (g->config->listener->auth_file.n == 0 || g->session.tls_version.n == 0) {
		gate_reply(g,
			smtp_reply_of("538 5.7.11 Encryption is required for authentication"));
		return;
	}
	g->auth = (struct gate_auth_step){.first = ev->type == SMTP_EV_AUTH,
		.mechanism = ev->name,
		.has_data = ev->has_data,
		.data = ev->data};
	g->auth_cancelled = !g->auth.first && slice_eq(ev->data, SLICE("*"));
	g->wait = GATE_AUTH;
	g->wait_told = false;
}

static void
on_refused(struct gate *g, const struct smtp_event *ev)
{
	struct log_line l;
	struct arena *a = arena_new(4 * SMTP_REPLY_BYTES_MOST); /* there may be thousands */
	log_begin(&l, EV_PROTOCOL, &g->log);
	log_ip(&l, "client", &g->session.client);
	log_slice(&l, "line", slice_first(ev->data, 200));
	log_slice(&l, "reply", smtp_reply_line(&ev->reply, a));
	log_end(&l);
	arena_free(&a);
}

static void
on_body_bad(struct gate *g, const struct smtp_event *ev)
{
	struct smtp_reply r = ev->reply;
	g->mails_refused++;
	gate_log_mail(g, "reject", &r);
	gate_reset(g);
}

static void
dispatch(struct gate *g, const struct smtp_event *ev)
{
	switch (ev->type) {
	case SMTP_EV_NONE: break;
	case SMTP_EV_CONNECT: on_connect(g); break;
	case SMTP_EV_HELO: on_helo(g, ev); break;
	case SMTP_EV_STARTTLS: on_starttls(g); break;
	case SMTP_EV_AUTH: on_auth(g, ev); break;
	case SMTP_EV_AUTH_DATA: on_auth(g, ev); break;
	case SMTP_EV_XCLIENT: gate_on_xclient(g, ev); break;
	case SMTP_EV_XFORWARD: gate_on_xforward(g, ev); break;
	case SMTP_EV_MAIL: gate_on_mail(g, ev); break;
	case SMTP_EV_RCPT: gate_on_rcpt(g, ev); break;
	case SMTP_EV_DATA: gate_on_data(g); break;
	case SMTP_EV_BODY: pipeline_body(g->pipeline, ev->data); break;
	case SMTP_EV_BODY_END: gate_on_body_end(g); break;
	case SMTP_EV_BODY_BAD: on_body_bad(g, ev); break;
	case SMTP_EV_RESET: gate_reset(g); break;
	case SMTP_EV_REFUSED: on_refused(g, ev); break;
	case SMTP_EV_CLOSE: g->closed = true; break;
	}
}

void
gate_run(struct gate *g)
{
	struct smtp_event ev;
	while (!g->gone && smtp_server_event(g->server, &ev))
		dispatch(g, &ev);
	if (g->stopping && !g->closed && !g->in_mail && !smtp_server_owes(g->server)) {
		struct smtp_reply r = smtp_reply_of(
			"421 4.3.2 This gateway is shutting down, try again later");
		smtp_server_close(g->server, &r);
		while (smtp_server_event(g->server, &ev))
			dispatch(g, &ev);
	}
}

size_t
gate_feed(struct gate *g, struct slice in)
{
	size_t taken = 0;
	while (taken < in.n && !g->closed && !g->gone) {
		size_t n = smtp_server_feed(g->server, slice_from(in, taken));
		taken += n;
		gate_run(g);
		if (n == 0)
			break;
	}
	return taken;
}

struct slice
gate_output(const struct gate *g)
{
	return smtp_server_output(g->server);
}

void
gate_written(struct gate *g, size_t n)
{
	smtp_server_written(g->server, n);
}

void
gate_clock(struct gate *g, int64_t now_ms)
{
	g->session.wall_ms = now_ms;
}

enum gate_want
gate_wants(struct gate *g)
{
	static const enum gate_want wants[] = {[GATE_SIGN] = GATE_WANT_SIGN,
		[GATE_TRANSFER] = GATE_WANT_TRANSFER,
		[GATE_AUTH] = GATE_WANT_AUTH,
		[GATE_RCPT] = GATE_WANT_RCPT};
	if (g->wait >= GATE_SIGN && !g->wait_told) {
		g->wait_told = true;
		return wants[g->wait];
	}
	if (smtp_server_tls_wanted(g->server))
		return GATE_WANT_TLS;
	return g->closed ? GATE_WANT_CLOSE : GATE_WANT_NOTHING;
}

struct question *
gate_question(struct gate *g, struct questions **scope_out)
{
	return pipeline_question(g->pipeline, scope_out);
}

void
gate_answered(struct gate *g)
{
	if (g->wait == GATE_FACTS) {
		gate_on_step(g, pipeline_again(g->pipeline));
		gate_run(g);
	}
}

const struct gate_auth_step *
gate_auth(const struct gate *g)
{
	return &g->auth;
}

void
gate_auth_challenge(struct gate *g, struct slice base64)
{
	must(g->wait == GATE_AUTH);
	g->wait = GATE_IDLE;
	struct smtp_reply r = {.code = 334, .text = base64};
	gate_reply(g, r);
	gate_run(g);
}

static void
log_auth(struct gate *g, const char *result, struct slice user)
{
	struct log_line l;
	log_begin(&l, EV_AUTH, &g->log);
	log_ip(&l, "client", &g->session.client);
	log_text(&l, "result", result);
	log_slice(&l, "user", user);
	log_end(&l);
}

void
gate_auth_done(struct gate *g, bool ok, struct slice user)
{
	must(g->wait == GATE_AUTH);
	g->wait = GATE_IDLE;
	log_auth(g, ok ? "ok" : "refused", user);
	if (ok) {
		g->session.user = arena_slice(g->arena, user);
		gate_reply(g, smtp_reply_of("235 2.7.0 Authentication succeeded"));
		gate_set_offer(g);
	} else if (++g->auth_failures >= AUTH_FAILURES_MOST) {
		gate_reply(g, smtp_reply_of("535 5.7.8 Authentication credentials invalid"));
		struct smtp_reply r =
			smtp_reply_of("421 4.7.0 Too many failed authentications");
		smtp_server_close(g->server, &r);
	} else if (g->auth_cancelled) { /* RFC 4954 4 */
		gate_reply(g, smtp_reply_of("501 5.7.0 Authentication cancelled"));
	} else {
		gate_reply(g, smtp_reply_of("535 5.7.8 Authentication credentials invalid"));
	}
	gate_run(g);
}

void
gate_auth_failed(struct gate *g)
{
	must(g->wait == GATE_AUTH);
	g->wait = GATE_IDLE;
	log_auth(g, "unavailable", SLICE_NONE);
	gate_reply(g, smtp_reply_of("454 4.7.0 Authentication cannot be checked now"));
	gate_run(g);
}

void
gate_tls_from_start(struct gate *g, struct slice version, struct slice cipher)
{
	g->session.tls_version = arena_slice(g->arena, version);
	g->session.tls_cipher = arena_slice(g->arena, cipher);
	gate_set_offer(g);
}

void
gate_tls_started(struct gate *g, struct slice version, struct slice cipher)
{
	/* RFC 3207 4.2: all that was learnt in clear is forgotten. */
	g->session.helo = SLICE_NONE;
	g->session.user = SLICE_NONE;
	gate_peer_again(g);
	gate_tls_from_start(g, version, cipher);
	pipeline_helo(g->pipeline);
	smtp_server_tls_started(g->server);
	gate_run(g);
}

uint64_t
gate_allowed_ms(const struct gate *g)
{
	const struct conf_limits *l = &g->config->conf->limits;
	if (g->wait != GATE_IDLE)
		return 0;
	return g->in_body ? l->data_ms : l->command_ms;
}

void
gate_expired(struct gate *g)
{
	struct smtp_reply r = smtp_reply_of("421 4.4.2 Timeout, closing the connection");
	smtp_server_close(g->server, &r);
	gate_run(g);
}

void
gate_stop(struct gate *g)
{
	g->stopping = true;
	gate_run(g);
}

void
gate_gone(struct gate *g)
{
	g->gone = true;
	if (g->wait != GATE_TRANSFER) {
		g->wait = GATE_IDLE;
		gate_reset(g);
	}
}

bool
gate_in_transfer(const struct gate *g)
{
	return g->wait == GATE_TRANSFER;
}
