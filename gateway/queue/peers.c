/*
 * The processes that the keeper asks. Channels come from the parent: one from each delivery
 * process of the newest generation, one from its signer, one from its scanner. What was asked
 * of an earlier one is still answered by it: it stays until then.
 */
#include <unistd.h>

#include "base/mem.h"
#include "queue/keeper_priv.h"

enum { OPEN_MOST = 4096 };

static void
outlet_free(struct outlet *o)
{
	if (o->retired)
		LIST_REMOVE(o, link);
	peer_free(&o->peer);
	mem_free(o);
}

static void
retire(struct keeper *k, struct outlet *o)
{
	o->retired = true;
	LIST_INSERT_HEAD(&k->retired, o, link);
	loop_task_queue(&k->reap_task);
}

void
keeper_reap(void *arg)
{
	struct keeper *k = arg;
	struct outlet *o, *next;
	for (o = LIST_FIRST(&k->retired); o != NULL; o = next) {
		next = LIST_NEXT(o, link);
		if (o->open == 0)
			outlet_free(o);
	}
}

bool
keeper_on_peer(void *arg, enum process_kind kind, unsigned index, int fd)
{
	struct keeper *k = arg;
	if (kind == PROCESS_SESSION)
		return false; /* a client */
	if (kind == PROCESS_SIGNER) {
		peer_attach(k->signer, fd);
		return true;
	}
	if (kind == PROCESS_SCANNER) {
		rescan_attach(k, fd);
		return true;
	}
	if (kind != PROCESS_DELIVERY || index >= KEEPER_DELIVERIES_MOST) {
		close(fd);
		return true;
	}
	if (k->outlets[index] != NULL)
		retire(k, k->outlets[index]);
	struct outlet *o = MEM_NEW(struct outlet);
	o->peer = peer_new(k->loop, "delivery", OPEN_MOST);
	peer_attach(o->peer, fd);
	k->outlets[index] = o;
	keeper_pump(k);
	return true;
}

void
keeper_outlets_close(struct keeper *k)
{
	struct outlet *o;
	for (size_t i = 0; i < KEEPER_DELIVERIES_MOST; i++)
		if (k->outlets[i] != NULL)
			outlet_free(k->outlets[i]);
	while ((o = LIST_FIRST(&k->retired)) != NULL)
		outlet_free(o);
}

/* The one that has the connections to the site; another where that one is being started. */
struct outlet *
keeper_outlet(struct keeper *k, struct slice site)
{
	size_t n = k->settings.deliveries;
	if (n == 0 || n > KEEPER_DELIVERIES_MOST)
		return NULL;
	size_t first = delivery_index(site, n);
	for (size_t i = 0; i < n; i++) {
		struct outlet *o = k->outlets[(first + i) % n];
		if (o != NULL && peer_is_up(o->peer))
			return o;
	}
	return NULL;
}

void
keeper_outlet_done(struct keeper *k, struct outlet *o)
{
	o->open--;
	if (o->retired && o->open == 0)
		loop_task_queue(&k->reap_task); /* not from inside its own answer */
}
