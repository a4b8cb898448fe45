/*
 * One question over TCP, where the UDP answer was cut (RFC 7766): a connection for it alone,
 * two bytes of length in front of each packet (RFC 1035 4.2.2).
 */
#include "base/must.h"
#include "io/dns_priv.h"

static void
tcp_next(struct dns_query *q)
{
	dns_try_next(q);
}

static void
tcp_on_connected(void *arg)
{
	struct dns_query *q = arg;
	uint8_t packet[2 + DNS_QUERY_BYTES];
	size_t n = dns_make_query(q, packet + 2);
	packet[0] = (uint8_t)(n >> 8);
	packet[1] = (uint8_t)n;
	must(stream_write(q->tcp, (struct slice){(const char *)packet, n + 2}) == 0);
}

static size_t
tcp_on_bytes(void *arg, struct slice in)
{
	enum { AD = 0x20, NXDOMAIN = 3 };
	struct dns_query *q = arg;
	if (buf_add(&q->tcp_in, in) < 0) {
		tcp_next(q);
		return in.n;
	}
	struct slice got = buf_slice(&q->tcp_in);
	if (got.n < 2)
		return in.n;
	size_t bytes = (size_t)((uint8_t)got.p[0] << 8 | (uint8_t)got.p[1]);
	if (got.n - 2 < bytes)
		return in.n;
	struct slice packet = {got.p + 2, bytes};
	unsigned rcode = bytes >= 12 ? (unsigned)packet.p[3] & 0x0f : 0;
	if (!dns_matches(q, packet) || (rcode != 0 && rcode != NXDOMAIN)) {
		tcp_next(q);
		return in.n;
	}
	/* The answer's bytes are q's: out of it before q goes. */
	struct buf held = q->tcp_in;
	buf_init(&q->tcp_in, held.max);
	const struct dns_server *server = &q->dns->config.servers[q->server];
	bool secure = !q->dns->config.insecure && (packet.p[3] & AD) != 0 &&
		      ip_is_loopback(&server->ip);
	dns_answered(q, packet, secure);
	buf_fini(&held);
	return in.n;
}

static void
tcp_on_end(void *arg)
{
	tcp_next(arg);
}

static void
tcp_on_lost(void *arg, enum stream_lost why, const struct err *err)
{
	(void)why;
	(void)err;
	tcp_next(arg);
}

int
dns_tcp_send(struct dns_query *q)
{
	static const struct stream_calls calls = {
		.on_connected = tcp_on_connected,
		.on_bytes = tcp_on_bytes,
		.on_end = tcp_on_end,
		.on_lost = tcp_on_lost,
	};
	const struct dns_server *server = &q->dns->config.servers[q->server];
	struct stream_addr to = {.ip = server->ip, .port = server->port};
	struct err err;
	uint64_t now = loop_now(q->dns->loop);
	uint32_t left = q->deadline_ms > now ? (uint32_t)(q->deadline_ms - now) : 1;
	q->tcp = stream_connect(q->dns->loop, &to, NULL, left, 1024, &calls, q, &err);
	if (q->tcp == NULL)
		return -1;
	q->way = DNS_WAY_TCP;
	loop_timer_set(&q->timer, left);
	return 0;
}

void
dns_tcp_forget(struct dns_query *q)
{
	stream_free(&q->tcp);
	buf_fini(&q->tcp_in);
}
