/* The mails that the gateway writes beside others, as bytes: for copies.c alone. */
#ifndef SESSION_COPIES_TEXT_H
#define SESSION_COPIES_TEXT_H

#include "session/parcels.h"

/*
 * A journal report (multipart/mixed) around a mail: what stands before its bytes and what
 * behind. It names the recipients that get the bytes of this set.
 */
void copies_journal_text(const struct parcels_input *in, struct slice to, size_t set,
	struct arena *a, struct slice *head_out, struct slice *end_out);
/*
 * The notice that a rule asks for: rule, facts, decisions, envelope, and the mail's header as
 * text/rfc822-headers. left_out: earlier ones that were not sent.
 */
struct slice copies_notice_text(const struct parcels_input *in, const struct rule *r,
	uint64_t left_out, struct arena *a);

#endif
