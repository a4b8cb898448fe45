/*
 * Validated answers, by libunbound on our event base: for DANE, where an answer must be proven.
 * It is made when the first such question comes, since it costs some megabytes and most
 * processes never ask.
 *
 * What it does not do by itself: a server that is dead gives no callback for minutes, so the
 * time is ours; its rcode is 0 for NXDOMAIN and for forged answers, so the packet is read and
 * `sec` is first.
 */
#include <errno.h>
#include <string.h>
#include <unbound-event.h>
#include <unbound.h>

#include <stdio.h>

#include "base/must.h"
#include "io/dns_priv.h"
#include "io/loop_priv.h"

enum { SEC_BOGUS = 1, SEC_SECURE = 2, CLASS_IN = 1 };

static int
secure_anchors(struct ub_ctx *ub, struct slice text)
{
	while (text.n != 0) {
		struct slice line;
		char anchor[2048];
		slice_cut(text, '\n', &line, &text);
		slice_cut(line, ';', &line, &(struct slice){0});
		line = slice_trim(line);
		if (line.n == 0)
			continue;
		if (line.n >= sizeof(anchor))
			return -1;
		memcpy(anchor, line.p, line.n);
		anchor[line.n] = '\0';
		if (ub_ctx_add_ta(ub, anchor) != 0)
			return -1;
	}
	return 0;
}

static struct ub_ctx *
secure_open(struct dns *d)
{
	struct ub_ctx *ub = ub_ctx_create_event(loop_event_base(d->loop));
	if (ub == NULL)
		return NULL;
	bool good = ub_ctx_set_option(ub, "do-not-query-localhost:", "no") == 0 &&
		    secure_anchors(ub, buf_slice(&d->anchors)) == 0;
	for (size_t i = 0; good && i < d->config.n; i++) {
		char ip[IP_TEXT_BYTES], address[IP_TEXT_BYTES + 8];
		struct slice text = ip_text(&d->config.servers[i].ip, ip);
		snprintf(address, sizeof(address), "%.*s@%u", SLICE_ARG(text),
			d->config.servers[i].port);
		good = ub_ctx_set_fwd(ub, address) == 0;
	}
	if (!good) {
		ub_ctx_delete(ub);
		return NULL;
	}
	return ub;
}

static void
secure_done(void *arg, int rcode, void *packet, int packet_bytes, int sec, char *why_bogus,
	int limited)
{
	struct dns_query *q = arg;
	(void)why_bogus;
	(void)limited;
	q->way = DNS_WAY_NONE; /* there is nothing to cancel any more */
	q->bogus = sec == SEC_BOGUS;
	q->secure = sec == SEC_SECURE;
	loop_task_queue(&q->task);
	if (q->bogus)
		return;
	/* It may call from inside ub_resolve_event, and the packet is its own: kept for the
	 * task. */
	struct slice bytes = {
		packet, packet != NULL && packet_bytes > 0 ? (size_t)packet_bytes : 0};
	if (rcode != 0 || buf_add(&q->packet, bytes) < 0 || bytes.n == 0)
		must(buf_add(&q->packet, SLICE("?")) == 0); /* not well formed: DNS_FAIL */
}

int
dns_secure_ask(struct dns_query *q)
{
	struct dns *d = q->dns;
	char name[DNS_TEXT_BYTES];
	struct slice text = dns_wire_text(&q->name, name);
	if (d->ub == NULL)
		d->ub = secure_open(d);
	if (d->ub == NULL)
		return -1;
	name[text.n] = '\0';
	q->way = DNS_WAY_SECURE;
	q->ub_id = 0;
	if (ub_resolve_event(d->ub, name, (int)q->type, CLASS_IN, q, secure_done, &q->ub_id) !=
		0) {
		q->way = DNS_WAY_NONE;
		return -1;
	}
	return 0;
}

void
dns_secure_forget(struct dns_query *q)
{
	ub_cancel(q->dns->ub, q->ub_id);
}

void
dns_secure_close(struct dns *d)
{
	if (d->ub != NULL)
		ub_ctx_delete(d->ub);
	d->ub = NULL;
}
