/*
 * A session process from its fork to its end: what it opens, its sandbox, its listeners, and
 * how it stops: no new clients, 421 to those between mails, at most ten minutes for the rest.
 */
#include "session/process.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/must.h"
#include "io/sandbox.h"
#include "session/authenticator.h"
#include "session/mta_priv.h"
#include "session/neighbour.h"
#include "session/process_priv.h"

enum {
	STOP_MS = 10 * 60 * 1000,
	DNS_CACHE = 20000,
	BEHIND_FIRST_MS = 1000,
	BEHIND_MS = 60 * 1000,
	ASK_STATE_MS = 5 * 1000,
	KEPT_BYTES = 2 * 1024 * 1024, /* the spam filter takes and frees 300 KB for any mail */
};

void
make_session_id(char id_out[17])
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint8_t random[10];
	must(getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		id_out[i] = digits[random[i] & 31];
	id_out[sizeof(random)] = '\0';
}

void
process_connection_gone(struct process *p)
{
	if (p->stopping && p->n_connections == 0)
		loop_stop(p->loop);
}

static void
on_stop_time(void *arg)
{
	struct process *p = arg;
	loop_stop(p->loop);
}

static void
on_stop(void *arg)
{
	struct process *p = arg;
	struct connection *c, *next;
	if (p->stopping)
		return;
	p->stopping = true;
	for (size_t i = 0; i < p->n_fronts; i++)
		listener_free(&p->fronts[i].listener);
	through_close(p);
	for (c = TAILQ_FIRST(&p->connections); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		connection_stop(c);
	}
	struct mta *m, *after;
	for (m = TAILQ_FIRST(&p->mtas); m != NULL; m = after) {
		after = TAILQ_NEXT(m, link);
		mta_stop(m);
	}
	loop_timer_set(&p->stop_timer, STOP_MS);
	process_connection_gone(p);
}

static void
on_peer(void *arg, enum process_kind kind, unsigned index, int fd)
{
	struct process *p = arg;
	if (kind == PROCESS_MILTER)
		through_attach(p, index, fd);
	else if (index >= SESSION_SERVERS_MOST || p->peers[kind][index] == NULL)
		close(fd); /* a service that this generation does not use */
	else
		peer_attach(p->peers[kind][index], fd);
}

/* False: they are not all known. None there are beside an MTA that knows its domains' servers.
 */
static bool
learn_hops(struct process *p, const struct hop_list *hops, struct smtp_offer *all)
{
	struct relay_way way = {.hops = hops};
	struct smtp_offer one;
	if (hops->n == 0)
		return true;
	if (!relay_offer(p->pool, &way, &one))
		return false;
	all->smtputf8 = all->smtputf8 && one.smtputf8;
	all->dsn = all->dsn && one.dsn;
	all->eightbit = all->eightbit && one.eightbit;
	if (one.size != 0 && (all->size == 0 || one.size < all->size))
		all->size = one.size;
	return true;
}

/*
 * What the listener may advertise is what every server behind it takes (DESIGN.md, "Inbound").
 * A server that has not been heard of yet holds nothing back.
 */
static void
learn_behind(void *arg)
{
	static const struct smtp_offer most = {.smtputf8 = true, .dsn = true, .eightbit = true};
	struct process *p = arg;
	struct smtp_offer all = most;
	bool known = true;
	for (size_t i = 0; i < p->conf->n_domains; i++)
		known = learn_hops(p, &p->conf->domains[i].deliver, &all) && known;
	p->behind = all;
	for (size_t i = 0; i < p->n_fronts; i++) {
		struct front *f = &p->fronts[i];
		if (f->gate.listener->filter.n == 0)
			continue;
		all = most;
		known = learn_hops(p, &f->gate.listener->filter, &all) && known;
		f->behind = all;
	}
	loop_timer_set(&p->behind_timer, known ? BEHIND_MS : BEHIND_FIRST_MS);
}

static void
on_accept(void *arg, int fd, const struct stream_addr *peer)
{
	struct front *f = arg;
	if (f->gate.listener->kind == LISTEN_MILTER)
		mta_accept(f, fd);
	else
		connection_accept(f, fd, peer);
}

static void
on_accept_error(void *arg, const struct err *err)
{
	(void)arg;
	log_error(EV_SYSTEM_ERROR, NULL, err);
}

static int
open_dns(struct process *p, struct err *err)
{
	const struct conf_resolver *r = &p->conf->resolver;
	struct dns_config dc = {.insecure = r->insecure, .cache_max = DNS_CACHE};
	if (r->trust.n != 0)
		dc.trust_file = arena_text(p->conf->arena, r->trust);
	for (size_t i = 0; i < r->n_servers && i < DNS_SERVERS_MOST; i++)
		dc.servers[dc.n++] = (struct dns_server){r->servers[i].ip, r->servers[i].port};
	p->dns = dns_open(p->loop, &dc, err);
	return p->dns != NULL ? 0 : -1;
}

static int
open_pool(struct process *p, struct err *err)
{
	p->tls = tls_client_new(SLICE_NONE, err);
	if (p->tls == NULL)
		return -1;
	p->pool = relay_pool_new(&(struct relay_config){
		.loop = p->loop, .dns = p->dns, .hostname = p->conf->hostname, .tls = p->tls});
	return 0;
}

static struct tls_server *
front_tls(
	struct process *p, const struct conf_listener *l, size_t *certificate, struct err *err)
{
	struct tls_server *t = tls_server_new(err);
	if (t == NULL)
		return NULL;
	for (size_t i = 0; i < l->n_certificates; i++) {
		const struct session_certificate *c = &p->start->certificates[(*certificate)++];
		if (tls_server_add(t, c->cert_pem, c->cert_path, c->key_pem, c->key_path, err) <
			0) {
			tls_server_free(&t);
			return NULL;
		}
	}
	tls_server_tickets(t, p->start->ticket_key, NULL);
	return t;
}

static struct gate_config
gate_config_of(struct process *p, const struct conf_listener *l, enum direction d)
{
	return (struct gate_config){.conf = p->conf,
		.listener = l,
		.policy = p->start->policy[d],
		.direction = d,
		.spill_dir = p->start->spill_dir,
		.keys = p->start->sign_keys,
		.refusals = p->start->refusals,
		.notices = p->start->notices,
		.spam = p->start->spam,
		.account = p->start->account,
		.self = p->start->self,
		.behind = d == INBOUND ? &p->behind : NULL};
}

static void
open_milter(struct process *p, struct front *f, const struct conf_listener *l)
{
	f->milter.listener = l;
	for (int d = INBOUND; d <= OUTBOUND; d++)
		f->milter.side[d] = gate_config_of(p, l, (enum direction)d);
	if (!conf_listener_judges(l, true))
		f->milter.side[OUTBOUND].policy = NULL;
	milter_gate_wants_of(&f->milter, &f->wants);
}

static int
open_fronts(struct process *p, struct err *err)
{
	static const struct listen_calls calls = {
		.on_accept = on_accept, .on_error = on_accept_error};
	size_t certificate = 0;
	for (size_t i = 0; i < p->conf->n_listeners; i++) {
		const struct conf_listener *l = &p->conf->listeners[i];
		struct front *f = &p->fronts[p->n_fronts++];
		enum direction d = l->kind == LISTEN_OUTBOUND ? OUTBOUND : INBOUND;
		f->process = p;
		f->gate = gate_config_of(p, l, d);
		if (l->kind == LISTEN_MILTER)
			open_milter(p, f, l);
		if (l->filter.n != 0)
			f->gate.behind = &f->behind;
		if (l->n_certificates != 0 &&
			(f->tls = front_tls(p, l, &certificate, err)) == NULL)
			return -1;
		if (!l->through_libmilter)
			f->listener = listener_new(p->loop, p->start->listen_fds[i], &calls, f);
	}
	return 0;
}

static void
open_peers(struct process *p)
{
	for (unsigned k = 0; k < PROCESS_KINDS; k++)
		for (unsigned i = 0; i < p->start->servers[k]; i++)
			p->peers[k][i] =
				peer_new(p->loop, process_kind_text((enum process_kind)k),
					k == PROCESS_AUTH ? AUTH_OPEN_MOST : 4096);
}

static int
process_open(struct process *p, struct err *err)
{
	static const struct control_calls calls = {.on_peer = on_peer, .on_stop = on_stop};
	p->loop = loop_new(err);
	if (p->loop == NULL)
		return -1;
	loop_timer_init(&p->stop_timer, p->loop, on_stop_time, p);
	loop_timer_init(&p->behind_timer, p->loop, learn_behind, p);
	open_peers(p);
	p->state = state_asker_new(p->loop, p->peers[PROCESS_KEEPER][0], ASK_STATE_MS);
	p->neighbours = neighbours_new(p->loop, p->conf, false);
	p->control = control_new(p->loop, p->start->control_fd, &calls, p);
	if (open_dns(p, err) < 0 || open_pool(p, err) < 0)
		return -1;
	return open_fronts(p, err);
}

static int
enter_sandbox(struct process *p, struct err *err)
{
	struct sandbox_spec spec;
	/* unix sockets of LMTP hops and neighbours are connected to by path, which Landlock
	 * does not forbid */
	const char *writable[] = {p->start->spill_path, NULL};
	const char *readable[] = {"/etc/resolv.conf", "/etc/hosts", NULL};
	sandbox_spec_of(SANDBOX_SESSION, &spec);
	spec.readable = readable;
	spec.writable = p->start->spill_path != NULL ? writable : NULL;
	return sandbox_lock(&spec, err);
}

static void
process_close(struct process *p)
{
	struct connection *c;
	for (size_t i = 0; i < p->n_fronts; i++)
		listener_free(&p->fronts[i].listener);
	through_close(p);
	p->stopping = false; /* no more loop_stop on the way out */
	while ((c = TAILQ_FIRST(&p->connections)) != NULL)
		connection_kill(c);
	struct mta *m;
	while ((m = TAILQ_FIRST(&p->mtas)) != NULL)
		mta_kill(m);
	for (size_t i = 0; i < p->n_fronts; i++)
		tls_server_free(&p->fronts[i].tls);
	relay_pool_free(&p->pool);
	state_asker_free(&p->state);
	neighbours_free(&p->neighbours);
	for (unsigned k = 0; k < PROCESS_KINDS; k++)
		for (unsigned i = 0; i < SESSION_SERVERS_MOST; i++)
			peer_free(&p->peers[k][i]);
	dns_close(&p->dns);
	tls_client_free(&p->tls);
	control_free(&p->control);
	loop_timer_clear(&p->stop_timer);
	loop_timer_clear(&p->behind_timer);
	loop_free(&p->loop);
}

int
session_main(void *arg)
{
	struct err err;
	struct process *p = MEM_NEW(struct process);
	p->start = arg;
	p->conf = p->start->conf;
	TAILQ_INIT(&p->connections);
	TAILQ_INIT(&p->mtas);
	account_clear(p->start->account, p->start->self);
	mem_keep_freed(KEPT_BYTES);
	message_load_charsets(); /* before the sandbox closes the file system */
	tzset();                 /* likewise: `hold until` is told in local time */
	int result = process_open(p, &err);
	if (result == 0)
		result = enter_sandbox(p, &err);
	if (result == 0) {
		learn_behind(p);
		control_ready(p->control);
		result = loop_run(p->loop, &err);
	}
	if (result < 0)
		log_error(EV_SYSTEM_ERROR, NULL, &err);
	process_close(p);
	mem_free(p);
	return result < 0 ? 1 : 0;
}
