/*
 * Tagged senders (draft-levine-smtp-batv-01): "prvs=KDDDSSSSSS=local@domain" in MAIL FROM of
 * what leaves, so that a bounce to an address that never sent is known by what it lacks. K: the
 * key's number; DDD: the day on which the tag ends, days since 1970 modulo 1000; SSSSSS: the
 * first three bytes of HMAC-SHA1 over KDDD and the address in lower case, in hex. Pure.
 */
#ifndef FILTERS_BATV_H
#define FILTERS_BATV_H

#include "conf/conf.h"
#include "smtp/address.h"

/*
 * A tag holds for seven days from when the mail leaves at the latest; a mail may be kept here
 * for thirty days before. What ends later than that was not made by us, or years ago.
 */
enum { BATV_TAG_BYTES = 16, BATV_DAYS = 7, BATV_KEPT_DAYS = 30 };

enum batv {
	BATV_NONE,    /* no tag, or none of our keys: the address is what it says */
	BATV_EXPIRED, /* ours, and over */
	BATV_OK,
};

/* The tag for this address, "prvs=KDDDSSSSSS=", in the arena. kept_ms: until it leaves, at
 * most. */
struct slice batv_tag(const struct conf_tag_key *key, const struct address *a, int64_t wall_ms,
	uint64_t kept_ms, struct arena *arena);
/* Whether a local part has the form of a tagged one; what stands behind the tag. */
bool batv_form(struct slice local, struct slice *plain_out);
/* What the tag of an address in this domain is worth. NONE: *plain_out is left alone. */
enum batv batv_check(const struct conf_domain *d, const struct address *a, int64_t wall_ms,
	struct arena *arena, struct address *plain_out);
/*
 * Whether the domain tags this address of its own: not postmaster and abuse, to whom everybody
 * may write, nor a local part that has no room for a tag.
 */
bool batv_is_tagged(const struct conf_domain *d, const struct address *a);

#endif
