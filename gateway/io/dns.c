/*
 * Questions from dns_ask to their answer: the cache, the choice of server, tries and their
 * time, what packets say. Packets travel by dns_udp.c, dns_tcp.c and, for DNSSEC, dns_secure.c.
 */
#include "io/dns.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "base/must.h"
#include "io/dns_priv.h"

enum {
	CACHE_MOST = 10000,
	TRY_FIRST_MS = 800, /* doubled each time round all servers */
	TRIES_MOST = 12,
	LOSSES_TO_DOWN = 3,
	DOWN_MS = 10000,
	NEGATIVE_TTL_MOST = 3600,
};

enum { TYPE_OPT = 41, CLASS_IN = 1 };
enum { FLAG_QR = 0x80, FLAG_TC = 0x02, FLAG_RD = 0x01, FLAG_AD = 0x20 };
enum { RCODE_NOERROR = 0, RCODE_NXDOMAIN = 3 };

static void dns_on_task(void *arg);
static void dns_on_timer(void *arg);

struct dns *
dns_open(struct loop *l, const struct dns_config *config, struct err *err)
{
	struct dns *d = MEM_NEW(struct dns);
	d->loop = l;
	d->config = *config;
	must(config->n <= DNS_SERVERS_MOST);
	for (size_t i = 0; i < DNS_SERVERS_MOST * DNS_SOCKETS; i++) {
		struct dns_socket *s = &d->sockets[i / DNS_SOCKETS][i % DNS_SOCKETS];
		*s = (struct dns_socket){
			.dns = d, .server = (unsigned)(i / DNS_SOCKETS), .fd = -1};
	}
	if ((config->n == 0 && dns_conf_system(&d->config, err) < 0) ||
		(!config->insecure && dns_conf_anchors(config, &d->anchors, err) < 0)) {
		buf_fini(&d->anchors);
		mem_free(d);
		return NULL;
	}
	d->cache = dns_cache_new(config->cache_max != 0 ? config->cache_max : CACHE_MOST);
	d->arena = arena_new(DNS_ARENA_BYTES);
	return d;
}

static bool
query_is_secure(const struct dns_query *q)
{
	return (q->flags & DNS_SECURE) != 0 && !q->dns->config.insecure;
}

/* The question leaves all that could call it back. */
static void
query_withdraw(struct dns_query *q)
{
	loop_timer_clear(&q->timer);
	loop_task_clear(&q->task);
	switch (q->way) {
	case DNS_WAY_NONE: break;
	case DNS_WAY_UDP: dns_udp_forget(q); break;
	case DNS_WAY_TCP: dns_tcp_forget(q); break;
	case DNS_WAY_SECURE: dns_secure_forget(q); break;
	}
	q->way = DNS_WAY_NONE;
}

static void
query_free(struct dns_query *q)
{
	query_withdraw(q);
	*q->prev = q->next;
	if (q->next != NULL)
		q->next->prev = q->prev;
	buf_fini(&q->packet);
	mem_free(q);
}

void
dns_close(struct dns **dp)
{
	struct dns *d = *dp;
	if (d == NULL)
		return;
	*dp = NULL;
	while (d->queries != NULL)
		query_free(d->queries);
	dns_secure_close(d);
	dns_udp_close(d);
	dns_cache_free(&d->cache);
	arena_free(&d->arena);
	buf_fini(&d->anchors);
	mem_free(d);
}

void
dns_cancel(struct dns_query **qp)
{
	struct dns_query *q = *qp;
	if (q == NULL)
		return;
	*qp = NULL;
	query_free(q);
}

unsigned
dns_random(struct dns *d, unsigned end)
{
	uint16_t v;
	if (d->random_left < sizeof(v)) {
		must(getrandom(d->random, sizeof(d->random), 0) == (ssize_t)sizeof(d->random));
		d->random_left = sizeof(d->random);
	}
	d->random_left -= sizeof(v);
	memcpy(&v, d->random + d->random_left, sizeof(v));
	return v % end;
}

static void
query_tell(struct dns_query *q, const struct dns_answer *answer)
{
	dns_fn *fn = q->fn;
	void *arg = q->arg;
	if (answer->status == DNS_FAIL || answer->status == DNS_BOGUS)
		q->dns->counts.failed++;
	query_free(q);
	fn(arg, answer);
}

void
dns_failed(struct dns_query *q, enum dns_status status)
{
	struct dns_answer answer = {.status = status};
	query_tell(q, &answer);
}

static void
query_decode(struct dns_query *q, struct slice packet, bool secure, uint32_t age_s,
	struct dns_answer *answer_out)
{
	char text[DNS_TEXT_BYTES];
	arena_reset(q->dns->arena);
	dns_decode(packet, dns_wire_text(&q->name, text), q->type, q->dns->arena, answer_out);
	answer_out->secure = secure;
	answer_out->ttl = answer_out->ttl > age_s ? answer_out->ttl - age_s : 0;
}

void
dns_answered(struct dns_query *q, struct slice packet, bool secure)
{
	struct dns_answer answer;
	query_decode(q, packet, secure, 0, &answer);
	/* RFC 2308 5: "no" is not kept for longer than some hours. */
	uint32_t kept_s = answer.ttl;
	if (answer.status != DNS_OK && kept_s > NEGATIVE_TTL_MOST)
		kept_s = NEGATIVE_TTL_MOST;
	/* libunbound has a cache of its own; its answers must not be mixed with unvalidated
	 * ones. */
	if (answer.status != DNS_FAIL && !query_is_secure(q))
		dns_cache_put(q->dns->cache, &q->name, q->type, loop_now(q->dns->loop), packet,
			secure, kept_s);
	query_tell(q, &answer);
}

static bool
query_from_cache(struct dns_query *q)
{
	struct dns *d = q->dns;
	struct slice packet;
	struct dns_answer answer;
	bool secure;
	uint32_t age_s;
	if (query_is_secure(q) || !dns_cache_get(d->cache, &q->name, q->type, loop_now(d->loop),
					  &packet, &secure, &age_s))
		return false;
	d->counts.cached++;
	query_decode(q, packet, secure, age_s, &answer);
	query_tell(q, &answer);
	return true;
}

/* RFC 5452: the id, and the case of letters (0x20), are what an attacker off the path must
 * guess. */
static void
query_randomise(struct dns_query *q)
{
	unsigned bits = 0;
	q->sent = q->name;
	q->id = (uint16_t)dns_random(q->dns, 65536);
	/* A server that does not send the case back gets its chance in the second round. */
	if (q->tries >= q->dns->config.n)
		return;
	for (size_t i = 0; i < q->sent.n; i++) {
		uint8_t c = q->sent.bytes[i];
		if (i % 16 == 0)
			bits = dns_random(q->dns, 65536);
		if (c >= 'a' && c <= 'z' && (bits >> (i % 16) & 1) != 0)
			q->sent.bytes[i] = (uint8_t)(c - ('a' - 'A'));
	}
}

static void
put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

size_t
dns_make_query(const struct dns_query *q, uint8_t packet[DNS_QUERY_BYTES])
{
	uint8_t *p = packet;
	memset(p, 0, 12);
	put16(p, q->id);
	p[2] = FLAG_RD;
	p[3] = FLAG_AD; /* RFC 6840 5.7: tell us whether it was validated */
	p[5] = 1;
	p[11] = 1;
	p += 12;
	memcpy(p, q->sent.bytes, q->sent.n);
	p += q->sent.n;
	put16(p, q->type);
	put16(p + 2, CLASS_IN);
	p += 4;
	/* RFC 6891 6.1.2: the root's name, OPT, our size, no flags, no options. */
	memset(p, 0, 11);
	put16(p + 1, TYPE_OPT);
	put16(p + 3, DNS_EDNS_BYTES);
	return (size_t)(p + 11 - packet);
}

bool
dns_matches(const struct dns_query *q, struct slice packet)
{
	const uint8_t *p = (const uint8_t *)packet.p;
	size_t end = 12 + (size_t)q->sent.n + 4;
	if (packet.n < end || (p[0] << 8 | p[1]) != q->id || (p[2] & FLAG_QR) == 0)
		return false;
	uint8_t tail[4];
	put16(tail, q->type);
	put16(tail + 2, CLASS_IN);
	return (p[4] << 8 | p[5]) == 1 && memcmp(p + 12, q->sent.bytes, q->sent.n) == 0 &&
	       memcmp(p + 12 + q->sent.n, tail, sizeof(tail)) == 0;
}

/* The next server in turn that is not known to be down; where all are, the next one. */
static void
query_choose_server(struct dns_query *q)
{
	struct dns *d = q->dns;
	unsigned n = (unsigned)d->config.n;
	uint64_t now = loop_now(d->loop);
	for (unsigned i = 0; i < n; i++) {
		unsigned server = (q->tries + i) % n;
		if (d->health[server].down_until_ms <= now) {
			q->server = server;
			return;
		}
	}
	q->server = q->tries % n;
}

static void
query_try(struct dns_query *q)
{
	struct dns *d = q->dns;
	for (;;) {
		uint64_t now = loop_now(d->loop);
		if (now >= q->deadline_ms || q->tries == TRIES_MOST) {
			dns_failed(q, DNS_FAIL);
			return;
		}
		query_choose_server(q);
		query_randomise(q);
		uint64_t left = q->deadline_ms - now;
		uint64_t wait = (uint64_t)TRY_FIRST_MS << q->tries / d->config.n;
		q->tries++;
		loop_timer_set(&q->timer, wait < left ? wait : left);
		d->counts.sent++;
		d->counts.retried += q->tries > 1;
		if (dns_udp_send(q) == 0)
			return;
	}
}

void
dns_try_next(struct dns_query *q)
{
	query_withdraw(q);
	query_try(q);
}

static void
dns_on_timer(void *arg)
{
	struct dns_query *q = arg;
	struct dns_health *h = &q->dns->health[q->server];
	if (query_is_secure(q)) {
		dns_failed(q, DNS_FAIL);
		return;
	}
	if (++h->losses >= LOSSES_TO_DOWN)
		h->down_until_ms = loop_now(q->dns->loop) + DOWN_MS;
	dns_try_next(q);
}

/* The first step, outside dns_ask: fn is never called from inside it. */
static void
dns_on_task(void *arg)
{
	struct dns_query *q = arg;
	struct dns *d = q->dns;
	if (q->bogus)
		dns_failed(q, DNS_BOGUS);
	else if (q->packet.used != 0)
		dns_answered(q, buf_slice(&q->packet), q->secure);
	else if (q->name.n == 0)
		dns_failed(q, DNS_NXDOMAIN);
	else if (query_from_cache(q))
		return;
	else if (loop_now(d->loop) >= q->deadline_ms)
		dns_failed(q, DNS_FAIL);
	else if (query_is_secure(q)) {
		loop_timer_set(&q->timer, q->deadline_ms - loop_now(d->loop));
		d->counts.validated++;
		if (dns_secure_ask(q) < 0)
			dns_failed(q, DNS_FAIL);
	} else
		query_try(q);
}

struct dns_query *
dns_ask(struct dns *d, struct slice name, enum dns_type type, unsigned flags,
	uint32_t timeout_ms, dns_fn *fn, void *arg)
{
	struct dns_query *q = MEM_NEW(struct dns_query);
	q->dns = d;
	q->fn = fn;
	q->arg = arg;
	q->type = type;
	q->flags = flags;
	q->deadline_ms = loop_now(d->loop) + (timeout_ms != 0 ? timeout_ms : DNS_TIMEOUT_MS);
	buf_init(&q->packet, DNS_PACKET_MOST);
	buf_init(&q->tcp_in, DNS_PACKET_MOST + 2);
	if (!dns_name_to_wire(name, &q->name))
		q->name.n = 0;
	for (size_t i = 0; i < q->name.n; i++)
		q->name.bytes[i] = (uint8_t)ascii_lower((char)q->name.bytes[i]);
	loop_timer_init(&q->timer, d->loop, dns_on_timer, q);
	loop_task_init(&q->task, d->loop, dns_on_task, q);
	loop_task_queue(&q->task);
	q->next = d->queries;
	q->prev = &d->queries;
	if (q->next != NULL)
		q->next->prev = &q->next;
	d->queries = q;
	d->counts.asked++;
	return q;
}

void
dns_counts(const struct dns *d, struct dns_counts *counts_out)
{
	*counts_out = d->counts;
}
