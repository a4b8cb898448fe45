/*
 * The pool of a process: its next hops, which of them are down, what they have on offer; see
 * relay.h. A hop is marked down when no address of it came as far as a session, and up by the
 * first that does. Down only changes the order of trying: where all are down, all are tried,
 * since an attempt is the best knowledge there is.
 */
#include "relay/relay.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/must.h"
#include "relay/relay_priv.h"

const struct relay_times relay_times_inbound = {.connect = 5 * 1000,
	.greeting = 15 * 1000,
	.command = 30 * 1000,
	.data = 30 * 1000,
	.body = 60 * 1000,
	.dot = 10 * 60 * 1000};

const struct relay_times relay_times_outbound = {.connect = 20 * 1000,
	.greeting = 60 * 1000,
	.command = 60 * 1000,
	.data = 120 * 1000,
	.body = 180 * 1000,
	.dot = 10 * 60 * 1000};

struct relay_pool *
relay_pool_new(const struct relay_config *config)
{
	struct relay_pool *p = MEM_NEW(struct relay_pool);
	p->config = *config;
	p->hostname = mem_new(config->hostname.n + 1);
	memcpy(p->hostname, config->hostname.p, config->hostname.n);
	p->config.hostname = slice_of(p->hostname);
	if (p->config.idle_hop == 0)
		p->config.idle_hop = 8;
	if (p->config.idle_all == 0)
		p->config.idle_all = 64;
	if (p->config.idle_ms == 0)
		p->config.idle_ms = 30 * 1000;
	if (p->config.mails == 0)
		p->config.mails = 100;
	TAILQ_INIT(&p->idle);
	TAILQ_INIT(&p->conns);
	TAILQ_INIT(&p->transfers);
	p->turn =
		slice_hash(p->config.hostname) ^ (uint64_t)clock_wall_ms() ^ (uint64_t)getpid();
	p->verify = relay_verify_new(p);
	return p;
}

static void
free_hop(struct relay_hop *h)
{
	must(h->conns == 0 && h->probes == 0 && h->transfers == 0);
	mem_free(h->key);
	mem_free(h);
}

void
relay_pool_free(struct relay_pool **pp)
{
	struct relay_pool *p = *pp;
	if (p == NULL)
		return;
	*pp = NULL;
	relay_verify_free(&p->verify);
	for (struct relay_transfer *t; (t = TAILQ_FIRST(&p->transfers)) != NULL;) {
		must(t->kind == RELAY_LEARN);
		relay_transfer_free(t);
	}
	for (struct relay_conn *c; (c = TAILQ_FIRST(&p->conns)) != NULL;) {
		if (c->is_idle)
			relay_conn_quit(c);
		else
			relay_conn_drop(c);
	}
	for (size_t i = 0; i < RELAY_BUCKETS; i++)
		for (struct relay_hop *h; (h = p->buckets[i]) != NULL;) {
			p->buckets[i] = h->next;
			free_hop(h);
		}
	mem_free(p->hostname);
	mem_free(p);
}

static bool
is_forgettable(const struct relay_pool *p, const struct relay_hop *h)
{
	return h->conns == 0 && h->probes == 0 && h->transfers == 0 && !h->learning &&
	       !relay_hop_is_down(p, h);
}

static void
forget_hops(struct relay_pool *p)
{
	for (size_t i = 0; i < RELAY_BUCKETS; i++)
		for (struct relay_hop **at = &p->buckets[i]; *at != NULL;) {
			struct relay_hop *h = *at;
			if (!is_forgettable(p, h)) {
				at = &h->next;
				continue;
			}
			*at = h->next;
			p->n_hops--;
			free_hop(h);
		}
}

/* What makes two hops one: where they are and whom we are there. */
static struct slice
hop_key(const struct next_hop *n, char *key, size_t bytes)
{
	int len = snprintf(key, bytes, "%d%d %.*s %u %.*s", (int)n->kind, n->lmtp,
		SLICE_ARG(n->host), (unsigned)n->port, SLICE_ARG(n->user));
	must(len > 0 && (size_t)len < bytes);
	return (struct slice){key, (size_t)len};
}

struct relay_hop *
relay_hop_find(struct relay_pool *p, const struct next_hop *n)
{
	char text[1024];
	struct slice key = hop_key(n, text, sizeof(text));
	struct relay_hop **bucket = &p->buckets[slice_hash(key) % RELAY_BUCKETS];
	for (struct relay_hop *h = *bucket; h != NULL; h = h->next)
		if (slice_eq(slice_of(h->key), key))
			return h;
	if (p->n_hops >= RELAY_HOPS_KEPT)
		forget_hops(p);
	struct relay_hop *h = MEM_NEW(struct relay_hop);
	h->key = mem_text(text);
	TAILQ_INIT(&h->idle);
	TAILQ_INIT(&h->waiting);
	h->next = *bucket;
	*bucket = h;
	p->n_hops++;
	return h;
}

bool
relay_hop_is_down(const struct relay_pool *p, const struct relay_hop *h)
{
	return h->down_until_ms > loop_now(p->config.loop);
}

void
relay_hop_down(struct relay_pool *p, struct relay_hop *h, const struct next_hop *n,
	struct slice why, const struct log_context *log)
{
	if (relay_hop_is_down(p, h))
		return;
	h->down_ms = h->down_ms == 0 ? RELAY_DOWN_FIRST_MS : 2 * h->down_ms;
	if (h->down_ms > RELAY_DOWN_MOST_MS)
		h->down_ms = RELAY_DOWN_MOST_MS;
	h->down_until_ms = loop_now(p->config.loop) + h->down_ms;
	struct log_line l;
	log_begin(&l, EV_HOP_DOWN, log);
	log_slice(&l, "hop", n->text);
	log_number(&l, "seconds", (int64_t)h->down_ms / 1000);
	log_slice(&l, "why", why);
	log_end(&l);
}

void
relay_hop_up(struct relay_pool *p, struct relay_hop *h, const struct next_hop *n,
	const struct log_context *log)
{
	(void)p;
	if (h->down_ms == 0)
		return;
	h->down_ms = h->down_until_ms = 0;
	struct log_line l;
	log_begin(&l, EV_HOP_UP, log);
	log_slice(&l, "hop", n->text);
	log_end(&l);
}

void
relay_hop_unnamed(struct relay_transfer *t, bool unnamed)
{
	static const char *const words[] = {
		[HOP_CLIENT_XCLIENT] = "XCLIENT", [HOP_CLIENT_XFORWARD] = "XFORWARD"};
	enum hop_client by = t->way.hops->client;
	struct log_line l;
	if (t->mail->client == NULL || (by != HOP_CLIENT_XCLIENT && by != HOP_CLIENT_XFORWARD))
		return;
	if (unnamed && !t->hop->warned) {
		log_begin(&l, EV_HOP_UNNAMED, t->mail->log);
		log_slice(&l, "hop", t->next_hop->text);
		log_text(&l, "lacks", words[by]);
		log_end(&l);
	}
	t->hop->warned = unnamed;
}

void
relay_hop_wake(struct relay_hop *h)
{
	struct relay_transfer *t = TAILQ_FIRST(&h->waiting);
	if (t == NULL)
		return;
	TAILQ_REMOVE(&h->waiting, t, of_waiting);
	t->waiting = false;
	loop_task_queue(&t->task);
}

struct tls_policy
relay_way_tls(const struct relay_way *w, const struct next_hop *n)
{
	struct tls_policy p = w->tls;
	if (p.level != TLS_LEVEL_OPPORTUNISTIC)
		return p;
	if (w->hops->tls_required) {
		p.level = TLS_LEVEL_VERIFIED;
		p.source = "tls required";
	} else if (n->user.n > 0) {
		p.level = TLS_LEVEL_REQUIRED; /* a password never goes in clear */
		p.source = "auth";
	} else if (n->kind == HOP_LMTP_PATH) {
		p.level = TLS_LEVEL_NEVER;
	}
	return p;
}

/* Asks in the background; what it has on offer is kept by the EHLO. */
static void
learn(struct relay_pool *p, const struct relay_way *w, const struct next_hop *n,
	struct relay_hop *h)
{
	if (h->learning || relay_hop_is_down(p, h))
		return;
	h->learning = true;
	struct relay_transfer *t = relay_transfer_new(p, RELAY_LEARN, w, NULL, NULL, NULL);
	t->order[0] = n;
	t->n_order = 1;
}

static void
meet(struct smtp_offer *all, const struct smtp_offer *one, bool first)
{
	if (first) {
		*all = *one;
		all->auth = NULL;
		return;
	}
	all->tls = all->tls && one->tls;
	all->smtputf8 = all->smtputf8 && one->smtputf8;
	all->dsn = all->dsn && one->dsn;
	all->eightbit = all->eightbit && one->eightbit;
	all->sizeless = all->sizeless && one->sizeless;
	if (one->size != 0 && (all->size == 0 || one->size < all->size))
		all->size = one->size;
}

static void
offer_of(struct relay_pool *p, const struct relay_way *w, const struct next_hop *n,
	struct smtp_offer *all, size_t *known)
{
	if (n->kind == HOP_BALANCED) {
		for (size_t i = 0; i < n->n_items; i++)
			offer_of(p, w, &n->items[i], all, known);
		return;
	}
	if (n->kind == HOP_MX)
		return;
	struct relay_hop *h = relay_hop_find(p, n);
	if (h->offer_ms == 0 || loop_now(p->config.loop) - h->offer_ms > RELAY_OFFER_MS)
		learn(p, w, n, h);
	if (h->offer_ms != 0)
		meet(all, &h->offer, (*known)++ == 0);
}

bool
relay_offer(struct relay_pool *p, const struct relay_way *w, struct smtp_offer *offer_out)
{
	size_t known = 0;
	*offer_out = (struct smtp_offer){0};
	for (size_t i = 0; i < w->hops->n; i++)
		offer_of(p, w, &w->hops->hops[i], offer_out, &known);
	return known > 0;
}

static bool
is_all_down(struct relay_pool *p, const struct next_hop *hops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bool down = hops[i].kind == HOP_BALANCED
				    ? is_all_down(p, hops[i].items, hops[i].n_items)
				    : relay_hop_is_down(p, relay_hop_find(p, &hops[i]));
		if (!down)
			return false;
	}
	return true;
}

bool
relay_is_down(struct relay_pool *p, const struct relay_way *w)
{
	return is_all_down(p, w->hops->hops, w->hops->n);
}
