/*
 * The mails that go beside one that is taken, each a parcel of its own (queue/messages.h): the
 * copies of `copy to`, the journal's reports, the notices of `notify`. What becomes of them is
 * in nobody's reply; who cannot be reached is found in the quarantine `undeliverable`. Pure but
 * for the shared clock of notices.
 *
 * A copy is the mail itself, from its sender, and meets the mail's own fate: where that is held
 * or quarantined, the copy is too. An address that the mail goes to anyhow gets no copy.
 *
 * The journal has of each set of bytes that leave or stay one report: the envelope, with all
 * recipients that get these bytes, and the mail as it leaves, attached whole.
 */
#ifndef SESSION_COPIES_H
#define SESSION_COPIES_H

#include "session/parcels.h"

/* Whether any is due: then the keeper takes the mail. */
bool copies_are_due(const struct parcels_input *in);
/* So many at the most. */
size_t copies_most(const struct parcels_input *in);
/*
 * Behind the *n parcels of the mail itself, with room for copies_most more. False: a body in
 * too many pieces.
 */
bool copies_make(const struct parcels_input *in, struct arena *a, struct queue_parcel *parcels,
	size_t *n);

/* One event for each effect of a rule, and for the journal. */
void copies_log(const struct parcels_input *in, const struct log_context *log);

#endif
