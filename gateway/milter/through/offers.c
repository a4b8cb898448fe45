/*
 * Negotiations that outlive their session; see offers.h. A slot that another connection has
 * taken costs an MTA that sends several sessions over one connection a temporary failure; one
 * that a new connection finds at its address is never looked at, for that one negotiates.
 */
#include "through/offers.h"

#include <pthread.h>
#include <stddef.h>

#include "base/must.h"

enum { SLOTS = 1024, ALIGNED = 64 };

struct slot {
	uintptr_t connection; /* 0: none */
	struct milter_offer offer;
	uint32_t can, steps;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct slot slots[SLOTS];

static struct slot *
slot_of(const void *connection)
{
	return &slots[(uintptr_t)connection / ALIGNED % SLOTS];
}

void
offers_keep(
	const void *connection, const struct milter_offer *offer, uint32_t can, uint32_t steps)
{
	must(pthread_mutex_lock(&lock) == 0);
	*slot_of(connection) = (struct slot){.connection = (uintptr_t)connection,
		.offer = *offer,
		.can = can,
		.steps = steps};
	must(pthread_mutex_unlock(&lock) == 0);
}

bool
offers_find(const void *connection, struct milter_offer *offer_out, uint32_t *can_out,
	uint32_t *steps_out)
{
	must(pthread_mutex_lock(&lock) == 0);
	const struct slot found = *slot_of(connection);
	must(pthread_mutex_unlock(&lock) == 0);
	if (found.connection != (uintptr_t)connection)
		return false;
	*offer_out = found.offer;
	*can_out = found.can;
	*steps_out = found.steps;
	return true;
}
