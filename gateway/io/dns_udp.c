/*
 * Questions and answers over UDP. Each server has a few connected sockets; a question takes one
 * at random, so that an answer must hit the port, the id and the case of the name. A socket
 * that was used for some time gives way to one with another port.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/must.h"
#include "io/dns_priv.h"

enum { READ_MOST = 32 };

static void udp_on_ready(void *arg, unsigned ready);

static struct dns_query **
udp_bucket(struct dns_socket *s, uint16_t id)
{
	return &s->bucket[id % DNS_BUCKETS];
}

static void
udp_close_socket(struct dns_socket *s)
{
	if (s->fd < 0)
		return;
	loop_watch_free(&s->watch);
	close(s->fd);
	s->fd = -1;
}

static int
udp_open_socket(struct dns_socket *s)
{
	const struct dns_server *to = &s->dns->config.servers[s->server];
	struct sockaddr_storage ss;
	socklen_t bytes = ip_to_sockaddr(&to->ip, to->port, &ss);
	s->fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return -1;
	/* The kernel chooses the port at random, and takes nothing from anybody else. */
	if (connect(s->fd, (struct sockaddr *)&ss, bytes) < 0) {
		close(s->fd);
		s->fd = -1;
		return -1;
	}
	s->uses = 0;
	s->watch = loop_watch_new(s->dns->loop, s->fd, udp_on_ready, s);
	loop_watch_set(s->watch, LOOP_READ);
	return 0;
}

void
dns_udp_close(struct dns *d)
{
	for (size_t i = 0; i < DNS_SERVERS_MOST * DNS_SOCKETS; i++)
		udp_close_socket(&d->sockets[i / DNS_SOCKETS][i % DNS_SOCKETS]);
}

int
dns_udp_send(struct dns_query *q)
{
	uint8_t packet[DNS_QUERY_BYTES];
	struct dns_socket *s = &q->dns->sockets[q->server][dns_random(q->dns, DNS_SOCKETS)];
	if (s->fd >= 0 && s->uses >= DNS_SOCKET_USES && s->waiting == 0)
		udp_close_socket(s);
	if (s->fd < 0 && udp_open_socket(s) < 0)
		return -1;
	size_t n = dns_make_query(q, packet);
	if (send(s->fd, packet, n, MSG_NOSIGNAL) < 0 && errno != EAGAIN && errno != ENOBUFS)
		return -1; /* EAGAIN: lost, as any packet may be */
	s->uses++;
	s->waiting++;
	q->socket = s;
	q->way = DNS_WAY_UDP;
	struct dns_query **bucket = udp_bucket(s, q->id);
	q->next_in_bucket = *bucket;
	*bucket = q;
	return 0;
}

void
dns_udp_forget(struct dns_query *q)
{
	struct dns_query **at = udp_bucket(q->socket, q->id);
	while (*at != q)
		at = &(*at)->next_in_bucket;
	*at = q->next_in_bucket;
	q->socket->waiting--;
	q->socket = NULL;
}

static void
udp_answer(struct dns_query *q, struct slice packet)
{
	enum { TC = 0x02, AD = 0x20, NXDOMAIN = 3 };
	struct dns *d = q->dns;
	const struct dns_server *server = &d->config.servers[q->server];
	unsigned rcode = (unsigned)packet.p[3] & 0x0f;
	d->health[q->server] = (struct dns_health){0};
	if (rcode != 0 && rcode != NXDOMAIN) {
		/* SERVFAIL, REFUSED: another server may know better; the last word is a
		 * failure. */
		if (q->tries < d->config.n)
			dns_try_next(q);
		else
			dns_failed(q, DNS_FAIL);
		return;
	}
	if ((packet.p[2] & TC) != 0) {
		dns_udp_forget(q);
		q->way = DNS_WAY_NONE;
		d->counts.tcp++;
		if (dns_tcp_send(q) < 0)
			dns_try_next(q);
		return;
	}
	bool secure =
		!d->config.insecure && (packet.p[3] & AD) != 0 && ip_is_loopback(&server->ip);
	dns_answered(q, packet, secure);
}

static void
udp_take(struct dns_socket *s, struct slice packet)
{
	struct dns_query *q = NULL;
	if (packet.n >= 12) {
		uint16_t id = (uint16_t)((uint8_t)packet.p[0] << 8 | (uint8_t)packet.p[1]);
		for (q = *udp_bucket(s, id); q != NULL && !dns_matches(q, packet);)
			q = q->next_in_bucket;
	}
	if (q != NULL)
		udp_answer(q, packet);
	else
		s->dns->counts.wrong++;
}

/* An ICMP error: nobody there. Each question that waits here goes on to the next server now. */
static void
udp_unreachable(struct dns_socket *s)
{
	struct dns_health *h = &s->dns->health[s->server];
	enum { DOWN_MS = 1000 };
	h->down_until_ms = loop_now(s->dns->loop) + DOWN_MS;
	for (size_t i = 0; i < DNS_BUCKETS; i++) {
		for (struct dns_query *q = s->bucket[i]; q != NULL; q = q->next_in_bucket)
			loop_timer_set(&q->timer, s->dns->config.n > 1 ? 1 : 100);
	}
}

static void
udp_on_ready(void *arg, unsigned ready)
{
	static char packet[DNS_PACKET_MOST];
	struct dns_socket *s = arg;
	(void)ready;
	for (int i = 0; i < READ_MOST; i++) {
		ssize_t n = recv(s->fd, packet, sizeof(packet), 0);
		if (n >= 0)
			udp_take(s, (struct slice){packet, (size_t)n});
		else if (errno == ECONNREFUSED || errno == EHOSTUNREACH || errno == ENETUNREACH)
			udp_unreachable(s);
		else if (errno != EINTR)
			return;
		if (s->waiting == 0) /* saves the call that would say EAGAIN */
			return;
	}
}
