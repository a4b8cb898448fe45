/*
 * What was negotiated over a connection whose session has ended: an MTA may begin another one
 * on it (SMFIC_QUIT_NC) without a negotiation, and libmilter tells nobody which of its closes
 * was the last. A fixed table; safe from any thread.
 */
#ifndef THROUGH_OFFERS_H
#define THROUGH_OFFERS_H

#include <stdbool.h>
#include <stdint.h>

#include "milter/milter.h"

/* connection: its identity as libmilter has it, a pointer that is not followed. */
void offers_keep(
	const void *connection, const struct milter_offer *offer, uint32_t can, uint32_t steps);
/* False: not known any more; the MTA has to connect anew. */
bool offers_find(const void *connection, struct milter_offer *offer_out, uint32_t *can_out,
	uint32_t *steps_out);

#endif
