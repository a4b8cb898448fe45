/*
 * Tags of senders; see batv.h. They are made where a mail leaves (session/bounces.c) and looked
 * at where a bounce comes in (the same, and flt_bounce.c).
 */
#include "filters/batv.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/must.h"

enum { DAY_MS = 86400000, DAYS_TURN = 1000, SIGNED_BYTES = 3 };

static const struct slice prvs = {"prvs=", 5};

static unsigned
day_of(int64_t wall_ms)
{
	return (unsigned)(wall_ms / DAY_MS % DAYS_TURN);
}

/* "prvs=KDDDSSSSSS=" for one key and day; local, domain: the address without a tag. */
static struct slice
make(const struct conf_tag_key *key, unsigned day, struct slice local, struct slice domain,
	struct arena *arena)
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	struct slice said = arena_printf(arena, "%u%03u%.*s@%.*s", key->number, day,
		SLICE_ARG(local), SLICE_ARG(domain));
	said = arena_lower(arena, said);
	must(HMAC(EVP_sha1(), key->secret.p, (int)key->secret.n, (const unsigned char *)said.p,
		     said.n, mac, &n) != NULL &&
		n >= SIGNED_BYTES);
	return arena_printf(
		arena, "prvs=%u%03u%02x%02x%02x=", key->number, day, mac[0], mac[1], mac[2]);
}

struct slice
batv_tag(const struct conf_tag_key *key, const struct address *a, int64_t wall_ms,
	uint64_t kept_ms, struct arena *arena)
{
	uint64_t kept = (kept_ms + DAY_MS - 1) / DAY_MS;
	unsigned days = BATV_DAYS + (kept < BATV_KEPT_DAYS ? (unsigned)kept : BATV_KEPT_DAYS);
	return make(key, (day_of(wall_ms) + days) % DAYS_TURN, a->local, a->domain, arena);
}

static bool
is_hex(char c)
{
	return ascii_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool
batv_form(struct slice local, struct slice *plain_out)
{
	if (local.n <= BATV_TAG_BYTES || !slice_starts_nocase(local, prvs) ||
		local.p[BATV_TAG_BYTES - 1] != '=')
		return false;
	for (size_t i = prvs.n; i < BATV_TAG_BYTES - 1; i++)
		if (i < prvs.n + 4 ? !ascii_digit(local.p[i]) : !is_hex(local.p[i]))
			return false;
	*plain_out = slice_from(local, BATV_TAG_BYTES);
	return true;
}

static unsigned
day_in(struct slice local)
{
	unsigned day = 0;
	for (size_t i = prvs.n + 1; i < prvs.n + 4; i++)
		day = day * 10 + (unsigned)(local.p[i] - '0');
	return day;
}

static bool
is_signed(const struct conf_domain *d, const struct address *a, struct slice plain,
	struct arena *arena)
{
	unsigned number = (unsigned)(a->local.p[prvs.n] - '0');
	for (size_t i = 0; i < d->n_tag_keys; i++) {
		const struct conf_tag_key *key = &d->tag_keys[i];
		if (key->number != number)
			continue;
		struct slice want = make(key, day_in(a->local), plain, a->domain, arena);
		struct slice got = arena_lower(arena, slice_first(a->local, BATV_TAG_BYTES));
		return CRYPTO_memcmp(want.p, got.p, BATV_TAG_BYTES) == 0;
	}
	return false;
}

enum batv
batv_check(const struct conf_domain *d, const struct address *a, int64_t wall_ms,
	struct arena *arena, struct address *plain_out)
{
	struct slice plain;
	struct address address;
	if (!batv_form(a->local, &plain) || !is_signed(d, a, plain, arena) ||
		address_make(plain, a->domain, arena, &address) != ADDRESS_OK)
		return BATV_NONE;
	*plain_out = address;
	unsigned left = (day_in(a->local) + DAYS_TURN - day_of(wall_ms)) % DAYS_TURN;
	return left <= BATV_DAYS + BATV_KEPT_DAYS ? BATV_OK : BATV_EXPIRED;
}

bool
batv_is_tagged(const struct conf_domain *d, const struct address *a)
{
	return d->n_tag_keys != 0 && a->local.n != 0 &&
	       !slice_eq_nocase(a->local, SLICE("postmaster")) &&
	       !slice_eq_nocase(a->local, SLICE("abuse")) &&
	       a->local.n + BATV_TAG_BYTES <= ADDRESS_LOCAL_MOST;
}
