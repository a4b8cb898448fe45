/* An answer in libmilter's words: what a callback returns, and what it says before. */
#ifndef THROUGH_ANSWER_H
#define THROUGH_ANSWER_H

#include "milter/milter.h"

/*
 * ctx: the library's context of the session, inside the callback for that event. The edits go
 * out first; where one cannot, the mail is put off whole (MLT-04). The result is an sfsistat.
 */
int answer_say(
	void *ctx, enum milter_event_type type, const struct milter_answer *a, uint32_t steps);

#endif
