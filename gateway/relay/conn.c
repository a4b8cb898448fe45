/*
 * One connection to a next hop: moves bytes between the stream and the client machine, holds
 * the deadline of each phase, and tells the transfer when the machine is ready or the mail
 * settled.
 *
 * Few writes: MAIL to DATA is one, and a mail that fits is another with its dot; for a larger
 * one the body waits until the stream has room again.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/must.h"
#include "relay/relay_priv.h"

enum { WHY_MOST = RELAY_WHY_BYTES - 1 };

static void on_timer(void *arg);
static void on_connected(void *arg);
static void on_secure(void *arg);
static size_t on_bytes(void *arg, struct slice in);
static void on_end(void *arg);
static void on_drained(void *arg);
static void on_lost(void *arg, enum stream_lost why, const struct err *err);

static const struct stream_calls calls = {.on_connected = on_connected,
	.on_secure = on_secure,
	.on_bytes = on_bytes,
	.on_end = on_end,
	.on_drained = on_drained,
	.on_lost = on_lost};

static struct smtp_client *
make_client(const struct relay_transfer *t, enum tls_level tls)
{
	const struct next_hop *n = t->next_hop;
	struct smtp_client_config config = {.hostname = t->pool->config.hostname,
		.lmtp = n->lmtp,
		.user = n->user,
		.password = n->password};
	switch (tls) {
	case TLS_LEVEL_NEVER: config.tls = SMTP_TLS_NEVER; break;
	case TLS_LEVEL_OPPORTUNISTIC:
		config.tls = t->pool->config.tls != NULL && !t->in_clear ? SMTP_TLS_MAY
									 : SMTP_TLS_NEVER;
		break;
	case TLS_LEVEL_REQUIRED:
	case TLS_LEVEL_VERIFIED: config.tls = SMTP_TLS_MUST; break;
	}
	return smtp_client_new(&config);
}

/*
 * `client by proxy`: the connection is one client's from its first byte. A probe is nobody's.
 * Empty: nothing is said before the greeting.
 */
static struct slice
proxy_header(const struct relay_transfer *t, char to[PROXY_WRITTEN_MOST])
{
	const struct xclient *x = t->mail != NULL ? t->mail->client : NULL;
	struct proxy_header h = {.local = true};
	if (t->way.hops->client != HOP_CLIENT_PROXY)
		return SLICE_NONE;
	if (x != NULL)
		h = (struct proxy_header){.src = x->addr,
			.src_port = x->port,
			.dst = x->dest,
			.dst_port = x->dest_port};
	return (struct slice){to, proxy_write(&h, to)};
}

/* Equal for policies that demand the same. */
static const char *
policy_text(const struct tls_policy *tls, char text[TLS_POLICY_KEY_BYTES])
{
	must(tls->n_names <= TLS_POLICY_NAMES_MOST);
	int n = snprintf(text, TLS_POLICY_KEY_BYTES, "%d", (int)tls->level);
	for (size_t i = 0; i < tls->n_names; i++) {
		n += snprintf(text + n, TLS_POLICY_KEY_BYTES - (size_t)n, " %s", tls->names[i]);
		must(n < TLS_POLICY_KEY_BYTES);
	}
	return text;
}

/* An idle connection that this transfer may go over. */
static bool
is_for(const struct relay_conn *c, const struct relay_transfer *t, const char *policy)
{
	char bytes[PROXY_WRITTEN_MOST];
	const struct ip *prefer = t->mail != NULL ? &t->mail->prefer : NULL;
	if (prefer != NULL && prefer->family != 0 && !ip_eq(prefer, &c->to.ip))
		return false; /* maybe the hop has it: the addresses will tell */
	return strcmp(c->policy, policy) == 0 && c->probe == (t->kind == RELAY_PROBE) &&
	       c->named == t->way.hops->client && slice_eq(c->header, proxy_header(t, bytes));
}

struct relay_conn *
relay_conn_open(struct relay_transfer *t, const struct relay_address *a, struct err *err)
{
	char policy[TLS_POLICY_KEY_BYTES];
	enum tls_level level = a->tls.level;
	struct relay_pool *p = t->pool;
	const struct relay_times *times =
		t->mail != NULL ? t->mail->times : &relay_times_inbound;
	if ((level == TLS_LEVEL_REQUIRED || level == TLS_LEVEL_VERIFIED) &&
		p->config.tls == NULL) {
		t->result.stage = RELAY_AT_TLS;
		err_set(err, "TLS is demanded, and this process has none");
		return NULL;
	}
	struct relay_conn *c = MEM_NEW(struct relay_conn);
	c->stream = stream_connect(
		p->config.loop, &a->to, NULL, times->connect, RELAY_OUT_BYTES, &calls, c, err);
	if (c->stream == NULL) {
		t->result.stage = RELAY_AT_CONNECT;
		mem_free(c);
		return NULL;
	}
	c->pool = p;
	c->hop = t->hop;
	c->transfer = t;
	c->times = times;
	c->to = a->to;
	c->host = mem_new(a->host.n + 1);
	if (a->host.n > 0)
		memcpy(c->host, a->host.p, a->host.n);
	c->tls = a->tls;
	c->policy = mem_text(policy_text(&a->tls, policy));
	c->mx_set = t->mx_set;
	c->probe = t->kind == RELAY_PROBE;
	c->mails_most = t->way.mails != 0 ? t->way.mails : p->config.mails;
	c->client = make_client(t, level);
	c->named = t->way.hops->client;
	c->header = proxy_header(t, c->proxy);
	loop_timer_init(&c->timer, p->config.loop, on_timer, c);
	TAILQ_INSERT_TAIL(&p->conns, c, of_pool);
	if (c->probe)
		c->hop->probes++;
	else
		c->hop->conns++;
	return c;
}

static void
leave_idle(struct relay_conn *c)
{
	if (!c->is_idle)
		return;
	c->is_idle = false;
	TAILQ_REMOVE(&c->hop->idle, c, of_hop_idle);
	TAILQ_REMOVE(&c->pool->idle, c, of_idle);
	c->hop->n_idle--;
	c->pool->n_idle--;
}

void
relay_conn_drop(struct relay_conn *c)
{
	leave_idle(c);
	TAILQ_REMOVE(&c->pool->conns, c, of_pool);
	if (c->probe)
		c->hop->probes--;
	else
		c->hop->conns--;
	loop_timer_clear(&c->timer);
	smtp_client_free(&c->client);
	stream_free(&c->stream);
	relay_hop_wake(c->hop);
	mem_free(c->policy);
	mem_free(c->host);
	mem_free(c);
}

/* What the machine has written, as far as the stream has room. */
static void
flush(struct relay_conn *c)
{
	for (struct slice out; !c->lost && (out = smtp_client_output(c->client)).n > 0;) {
		size_t room = stream_room(c->stream);
		if (room == 0 || stream_write(c->stream, slice_first(out, room)) < 0)
			return;
		smtp_client_written(c->client, out.n < room ? out.n : room);
	}
}

void
relay_conn_quit(struct relay_conn *c)
{
	leave_idle(c);
	smtp_client_quit(c->client);
	flush(c);
	if (!c->lost)
		stream_finish(&c->stream, RELAY_LINGER_MS);
	relay_conn_drop(c);
}

static void
go_idle(struct relay_conn *c)
{
	struct relay_pool *p = c->pool;
	if (c->mails >= c->mails_most || c->lost) {
		relay_conn_quit(c);
		return;
	}
	c->is_idle = true;
	TAILQ_INSERT_HEAD(&c->hop->idle, c, of_hop_idle);
	TAILQ_INSERT_TAIL(&p->idle, c, of_idle);
	c->hop->n_idle++;
	p->n_idle++;
	loop_timer_set(&c->timer, p->config.idle_ms);
	relay_hop_wake(c->hop);
	if (c->hop->n_idle > p->config.idle_hop)
		relay_conn_quit(TAILQ_LAST(&c->hop->idle, relay_conn_list));
	else if (p->n_idle > p->config.idle_all)
		relay_conn_quit(TAILQ_FIRST(&p->idle));
}

struct relay_conn *
relay_conn_take(struct relay_transfer *t, const struct tls_policy *tls)
{
	struct relay_conn *next;
	char text[TLS_POLICY_KEY_BYTES];
	const char *policy = policy_text(tls, text);
	for (struct relay_conn *c = TAILQ_FIRST(&t->hop->idle); c != NULL; c = next) {
		next = TAILQ_NEXT(c, of_hop_idle);
		if (!is_for(c, t, policy))
			continue;
		if (stream_peer_gone(c->stream)) {
			relay_conn_drop(c);
			continue;
		}
		leave_idle(c);
		c->transfer = t;
		if (t->mail != NULL)
			c->times = t->mail->times;
		return c;
	}
	return NULL;
}

void
relay_conn_send(struct relay_conn *c, struct smtp_client_mail *m)
{
	c->mails++;
	smtp_client_send(c->client, m);
	relay_conn_run(c);
}

static uint32_t
phase_ms(const struct relay_conn *c, enum smtp_client_phase phase)
{
	switch (phase) {
	case SMTP_CL_GREETING: return c->times->greeting;
	case SMTP_CL_DATA: return c->times->data;
	case SMTP_CL_BODY: return c->times->body;
	case SMTP_CL_DOT: return c->times->dot;
	case SMTP_CL_EHLO:
	case SMTP_CL_STARTTLS:
	case SMTP_CL_TLS:
	case SMTP_CL_AUTH:
	case SMTP_CL_READY:
	case SMTP_CL_XCLIENT:
	case SMTP_CL_MAIL:
	case SMTP_CL_RCPT:
	case SMTP_CL_RSET:
	case SMTP_CL_QUIT:
	case SMTP_CL_CLOSED: break;
	}
	return c->times->command;
}

enum relay_stage
relay_conn_stage(const struct relay_conn *c)
{
	enum smtp_client_phase phase = smtp_client_phase(c->client);
	if (!c->connected)
		return RELAY_AT_CONNECT;
	if (phase == SMTP_CL_CLOSED)
		phase = smtp_client_failed_in(c->client);
	return relay_stage_of(phase);
}

static void
start_tls(struct relay_conn *c)
{
	bool verified = c->tls.level == TLS_LEVEL_VERIFIED;
	struct tls_peer peer = {.name = c->host,
		.verify = verified ? TLS_VERIFY_NAME : TLS_VERIFY_NONE,
		.names = c->tls.names,
		.n_names = verified ? c->tls.n_names : 0};
	struct err err;
	if (stream_start_tls_client(
		    c->stream, c->pool->config.tls, &peer, c->times->command, &err) == 0)
		return;
	snprintf(c->why, sizeof(c->why), "%.*s", WHY_MOST, err.text);
	c->tls_failed = true;
	smtp_client_lost(c->client, c->why);
}

/* The machine is closed and no mail was on it. */
static void
end(struct relay_conn *c)
{
	if (c->transfer != NULL)
		relay_transfer_failed(c->transfer); /* drops it */
	else
		relay_conn_drop(c);
}

void
relay_conn_run(struct relay_conn *c)
{
	flush(c);
	c->starttls = c->starttls || smtp_client_offer(c->client)->tls;
	while (smtp_client_wants_body(c->client) > 0 && !c->lost &&
		stream_room(c->stream) > 0) {
		if (!relay_transfer_fill(c->transfer))
			return;
		flush(c);
	}
	if (smtp_client_done(c->client)) {
		relay_transfer_settled(c->transfer); /* releases it */
		return;
	}
	enum smtp_client_phase phase = smtp_client_phase(c->client);
	if (phase == SMTP_CL_TLS && smtp_client_output(c->client).n == 0) {
		start_tls(c);
		phase = smtp_client_phase(c->client);
	}
	if (phase == SMTP_CL_CLOSED) {
		end(c);
		return;
	}
	if (phase == SMTP_CL_READY && !c->was_ready) {
		c->was_ready = true;
		c->tls.names = NULL; /* its transfer's */
		c->tls.n_names = 0;
		c->hop->offer = *smtp_client_offer(c->client);
		c->hop->offer.auth = NULL;
		c->hop->offer_ms = loop_now(c->pool->config.loop);
		relay_transfer_ready(c->transfer);
		return;
	}
	if (phase == SMTP_CL_READY && c->transfer == NULL) {
		if (!c->is_idle)
			go_idle(c);
		return;
	}
	loop_timer_set(&c->timer, phase_ms(c, phase));
}

void
relay_conn_release(struct relay_conn *c)
{
	c->transfer = NULL;
	flush(c);
	enum smtp_client_phase phase = smtp_client_phase(c->client);
	if (phase == SMTP_CL_READY)
		go_idle(c);
	else if (phase == SMTP_CL_RSET && !c->lost)
		loop_timer_set(&c->timer, c->times->command);
	else
		relay_conn_drop(c);
}

static void
lose(struct relay_conn *c, const char *why)
{
	c->lost = true;
	c->tls_failed = c->tls_failed || smtp_client_phase(c->client) == SMTP_CL_TLS;
	if (c->why[0] == '\0')
		snprintf(c->why, sizeof(c->why), "%.*s", WHY_MOST, why);
	smtp_client_lost(c->client, c->why);
	relay_conn_run(c);
}

static void
on_timer(void *arg)
{
	static const char *const words[] = {"no greeting", "no answer to EHLO",
		"no answer to STARTTLS", "no TLS", "no answer to AUTH", "idle",
		"no answer to XCLIENT", "no answer to MAIL", "no answer to RCPT",
		"no answer to DATA", "the data is not taken", "no answer to the final dot",
		"no answer to RSET", "no answer to QUIT", "closed"};
	struct relay_conn *c = arg;
	if (c->is_idle) {
		relay_conn_quit(c);
		return;
	}
	snprintf(c->why, sizeof(c->why), "%s in time", words[smtp_client_phase(c->client)]);
	lose(c, c->why);
}

static void
on_connected(void *arg)
{
	struct relay_conn *c = arg;
	c->connected = true;
	loop_timer_set(&c->timer, c->times->greeting);
	if (c->header.n > 0)
		(void)stream_write(c->stream, c->header); /* what fails here on_lost tells */
}

static void
on_secure(void *arg)
{
	struct relay_conn *c = arg;
	struct tls_info info;
	c->secure = true;
	if (stream_tls_info(c->stream, &info)) {
		c->verified = info.verified;
		c->certificate = info.certificate;
	}
	smtp_client_tls_started(c->client);
	relay_conn_run(c);
}

static size_t
on_bytes(void *arg, struct slice in)
{
	struct relay_conn *c = arg;
	smtp_client_feed(c->client, in);
	relay_conn_run(c);
	return in.n;
}

static void
on_end(void *arg)
{
	lose(arg, "the connection was closed");
}

static void
on_drained(void *arg)
{
	relay_conn_run(arg);
}

static void
on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)why;
	lose(arg, err->text);
}
