/*
 * One client's connection: the stream on one side, the gate on the other. Everything that
 * changes the gate ends in connection_wake; the task then asks its questions, serves its wants,
 * writes its output and sets the deadline, in one place.
 */
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "session/process_priv.h"
#include "smtp/proxy.h"

enum {
	OUT_MOST = 64 * 1024, /* replies that a client does not read */
	PROXY_MS = 10 * 1000, /* for the PROXY header */
	TLS_MS = 60 * 1000,   /* for a handshake */
	LINGER_MS = 2000,     /* for our last reply to be read */
	SLOW_READER_MS = 60 * 1000,
};

static void connection_end(struct connection *c);

static void
connection_destroy(struct connection *c)
{
	struct process *p = c->process;
	stream_free(&c->stream);
	gate_free(&c->gate);
	signing_cancel(&c->signing);
	rcpt_cancel(c);
	loop_timer_clear(&c->timer);
	loop_task_clear(&c->task);
	buf_fini(&c->proxy);
	if (c->counted)
		account_leave(p->start->account, p->start->self, &c->client.ip);
	TAILQ_REMOVE(&p->connections, c, link);
	p->n_connections--;
	mem_free(c);
	process_connection_gone(p);
}

void
connection_wake(struct connection *c)
{
	loop_task_queue(&c->task);
}

/* The client will hear nothing more. A final dot that is out is awaited without it. */
static void
connection_end(struct connection *c)
{
	if (c->phase == CONNECTION_ENDING)
		return;
	c->phase = CONNECTION_ENDING;
	loop_timer_clear(&c->timer);
	signing_cancel(&c->signing);
	rcpt_cancel(c);
	if (c->front->gate.listener->auth_file.n != 0)
		authenticate_cancel(c);
	if (c->gate != NULL) {
		gate_gone(c->gate);
		if (gate_in_transfer(c->gate) && !carry_cancel(c))
			return; /* on_relayed wakes us */
	}
	connection_wake(c);
}

void
connection_kill(struct connection *c)
{
	relay_abandon(&c->transfer); /* the process ends: its ten minutes are over */
	connection_destroy(c);
}

/* Each reply begins the client's next turn; what it has not read, it must within a minute. */
static void
flush(struct connection *c)
{
	struct slice out = gate_output(c->gate);
	if (stream_unsent(c->stream) == 0)
		c->unread_ms = 0;
	if (out.n == 0)
		return;
	out = slice_first(out, stream_room(c->stream));
	if (stream_write(c->stream, out) < 0)
		return;
	gate_written(c->gate, out.n);
	c->due_ms = 0;
	if (c->unread_ms == 0)
		c->unread_ms = loop_now(c->process->loop);
}

/*
 * A deadline stands until the next reply: neither single bytes nor answers to our own questions
 * push it on (SRV-05).
 */
static void
set_deadline(struct connection *c)
{
	uint64_t now = loop_now(c->process->loop), ms = gate_allowed_ms(c->gate);
	if (ms == 0)
		c->due_ms = 0;
	else if (c->due_ms == 0)
		c->due_ms = now + ms;
	uint64_t at = c->due_ms;
	if (c->unread_ms != 0 && (at == 0 || at > c->unread_ms + SLOW_READER_MS))
		at = c->unread_ms + SLOW_READER_MS;
	if (at == 0)
		loop_timer_clear(&c->timer);
	else
		loop_timer_set(&c->timer, at > now ? at - now : 1);
}

static void
ask_questions(struct connection *c)
{
	struct questions *scope;
	struct question *q;
	while ((q = gate_question(c->gate, &scope)) != NULL)
		ask_world(&(struct asker){c->process, &c->front->gate, gate_spill(c->gate),
				  &c->task},
			q, scope);
}

static void
close_politely(struct connection *c)
{
	flush(c);
	stream_finish(&c->stream, LINGER_MS);
	connection_end(c);
}

static void
on_signed(void *arg, const struct slice *signatures)
{
	struct connection *c = arg;
	gate_signed(c->gate, signatures);
	connection_wake(c);
}

static void
sign_mail(struct connection *c)
{
	size_t n;
	const struct sign_request *requests = gate_signs(c->gate, &n);
	signing_begin(&c->signing, requests, n);
}

/* What the gate wants now; false: the connection ends. */
static bool
serve_wants(struct connection *c)
{
	switch (gate_wants(c->gate)) {
	case GATE_WANT_NOTHING: break;
	case GATE_WANT_TRANSFER: carry_begin(c); break;
	case GATE_WANT_SIGN: sign_mail(c); break;
	case GATE_WANT_RCPT: rcpt_ask(c); break;
	case GATE_WANT_AUTH: authenticate(c); break;
	case GATE_WANT_TLS: stream_start_tls_server(c->stream, c->front->tls, TLS_MS); break;
	case GATE_WANT_CLOSE: close_politely(c); return false;
	}
	return true;
}

/* Questions out, wants served, output written, deadline set: after every change of the gate. */
static void
service(struct connection *c)
{
	ask_questions(c);
	flush(c);
	if (!serve_wants(c))
		return;
	set_deadline(c);
}

/* From here on what happens is this client's doing, should the process die of it. */
static void
work_on(struct connection *c)
{
	account_working(
		c->process->start->account, c->process->start->self, gate_client_ip(c->gate));
	gate_clock(c->gate, clock_wall_ms());
}

static void
work_done(struct connection *c)
{
	account_working(c->process->start->account, c->process->start->self, NULL);
}

static void
on_task(void *arg)
{
	struct connection *c = arg;
	if (c->phase == CONNECTION_ENDING) {
		if (c->transfer == NULL && c->carrier == NULL)
			connection_destroy(c);
		return;
	}
	if (c->gate == NULL)
		return;
	work_on(c);
	gate_answered(c->gate);
	service(c);
	work_done(c);
	if (c->phase == CONNECTION_GATE && c->stream != NULL)
		stream_resume(c->stream);
}

static void
gate_begin(struct connection *c)
{
	c->phase = CONNECTION_GATE;
	c->gate = gate_new(&c->front->gate, &c->client, c->id, clock_wall_ms());
	struct tls_info info;
	if (stream_tls_info(c->stream, &info))
		gate_tls_from_start(c->gate, slice_of(info.version), slice_of(info.cipher));
	if (c->process->stopping)
		gate_stop(c->gate);
	connection_wake(c);
}

static void
client_arrived(struct connection *c)
{
	struct process *p = c->process;
	const struct conf_limits *l = &p->conf->limits;
	struct log_line line;
	unsigned of_client = account_enter(p->start->account, p->start->self, &c->client.ip);
	c->counted = true;
	if (account_connections(p->start->account) > l->connections)
		c->client.refuse = SLICE("421 4.3.2 Too many connections, try again later");
	else if (account_is_marked(p->start->account, &c->client.ip, clock_ms()))
		c->client.refuse = SLICE("421 4.7.0 Connections from your address have failed "
					 "here, try again in an hour");
	else if (c->client.ip.family != 0 && of_client > l->per_client &&
		 !gate_is_peer(c->front->gate.listener, &c->client.ip))
		c->client.refuse = SLICE("421 4.7.0 Too many connections from your address");
	log_begin(&line, EV_CONNECT, &(struct log_context){.key = "session"});
	log_text(&line, "session", c->id);
	log_ip(&line, "client", &c->client.ip);
	log_number(&line, "port", c->client.port);
	log_slice(&line, "listener", c->front->gate.listener->text);
	if (c->client.refuse.n != 0)
		log_slice(&line, "refused", c->client.refuse);
	log_end(&line);
	if (c->front->gate.listener->tls == LISTEN_TLS_IMPLICIT) {
		c->phase = CONNECTION_TLS;
		if (c->proxied)
			stream_start_tls_behind(c->stream, c->front->tls, TLS_MS);
		else
			stream_start_tls_server(c->stream, c->front->tls, TLS_MS);
		return;
	}
	gate_begin(c);
}

/* EXT-08: the header of a listed proxy, whole before anything is read out of it. */
static size_t
proxy_bytes(struct connection *c, struct slice in)
{
	struct proxy_header h;
	const char *why = "more bytes than a header may have";
	size_t before = buf_slice(&c->proxy).n;
	struct slice take = slice_first(in, buf_left(&c->proxy));
	(void)buf_add(&c->proxy, take); /* cut to its room */
	enum proxy_result r = proxy_parse(buf_slice(&c->proxy), &h, &why);
	if (r == PROXY_MORE && take.n == in.n)
		return in.n;
	buf_fini(&c->proxy);
	if (r != PROXY_DONE) {
		struct log_line l;
		log_begin(&l, EV_PROTOCOL, NULL);
		log_text(&l, "session", c->id);
		log_ip(&l, "client", &c->client.ip);
		log_text(&l, "error", "PROXY header");
		log_text(&l, "why", why);
		log_end(&l);
		connection_end(c);
		return in.n;
	}
	if (!h.local) {
		c->client.ip = h.src;
		c->client.port = h.src_port;
		c->client.local = h.dst;
	}
	loop_timer_clear(&c->timer);
	client_arrived(c);
	return h.taken - before;
}

static size_t
on_bytes(void *arg, struct slice in)
{
	struct connection *c = arg;
	if (c->phase == CONNECTION_PROXY)
		return proxy_bytes(c, in);
	if (c->phase != CONNECTION_GATE)
		return in.n;
	work_on(c);
	size_t taken = gate_feed(c->gate, in);
	service(c);
	work_done(c);
	return taken;
}

static void
on_secure(void *arg)
{
	struct connection *c = arg;
	struct tls_info info;
	struct log_line l;
	if (c->phase == CONNECTION_ENDING)
		return; /* the gateway stops, in this very turn */
	must(stream_tls_info(c->stream, &info));
	log_begin(&l, EV_TLS, &(struct log_context){.key = "session"});
	log_text(&l, "session", c->id);
	log_text(&l, "version", info.version);
	log_text(&l, "cipher", info.cipher);
	log_end(&l);
	if (c->phase == CONNECTION_TLS) {
		gate_begin(c);
		return;
	}
	gate_tls_started(c->gate, slice_of(info.version), slice_of(info.cipher));
	c->due_ms = 0;
	service(c);
}

static void
on_end(void *arg)
{
	struct connection *c = arg;
	connection_end(c);
}

static void
on_drained(void *arg)
{
	connection_wake(arg);
}

static void
on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	struct connection *c = arg;
	if (why == STREAM_LOST_TLS) {
		struct log_line l;
		log_begin(&l, EV_TLS, &(struct log_context){.key = "session"});
		log_text(&l, "session", c->id);
		log_text(&l, "error", err->text);
		log_end(&l);
	}
	connection_end(c);
}

static void
on_time(void *arg)
{
	struct connection *c = arg;
	if (c->gate == NULL) {
		connection_end(c);
		return;
	}
	uint64_t now = loop_now(c->process->loop);
	if (stream_unsent(c->stream) != 0 && now >= c->unread_ms + SLOW_READER_MS) {
		connection_end(c);
		return;
	}
	if (c->due_ms != 0 && now >= c->due_ms)
		gate_expired(c->gate);
	service(c);
}

void
connection_accept(struct front *f, int fd, const struct stream_addr *peer)
{
	static const struct stream_calls calls = {.on_secure = on_secure,
		.on_bytes = on_bytes,
		.on_end = on_end,
		.on_drained = on_drained,
		.on_lost = on_lost};
	struct process *p = f->process;
	struct connection *c = MEM_NEW(struct connection);
	struct stream_addr local;
	c->process = p;
	c->front = f;
	c->client.ip = peer->ip;
	c->client.port = peer->port;
	c->number = ++p->last_number;
	make_session_id(c->id);
	loop_timer_init(&c->timer, p->loop, on_time, c);
	loop_task_init(&c->task, p->loop, on_task, c);
	signing_init(&c->signing, p, on_signed, c);
	TAILQ_INSERT_TAIL(&p->connections, c, link);
	p->n_connections++;
	c->stream = stream_new(p->loop, fd, OUT_MOST, &calls, c);
	stream_local(c->stream, &local);
	c->client.local = local.ip;
	const struct conf_listener *l = f->gate.listener;
	c->proxied = ip_in_nets(&peer->ip, l->proxied, l->n_proxied);
	if (c->proxied) {
		c->phase = CONNECTION_PROXY;
		buf_init(&c->proxy, PROXY_V2_BYTES_MOST);
		loop_timer_set(&c->timer, PROXY_MS);
	} else {
		client_arrived(c);
	}
}

void
connection_stop(struct connection *c)
{
	if (c->phase == CONNECTION_GATE) {
		gate_stop(c->gate);
		connection_wake(c);
	} else if (c->phase != CONNECTION_ENDING) {
		connection_end(c);
	}
}
