/*
 * An address as RCPT TO may bring it: what is taken for a tag of ours gives an address that is
 * one, and tagged again it is the same.
 */
#include <stdint.h>

#include "base/must.h"
#include "filters/batv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a sender of ours leaves as is known when it comes back. */
static void
check_trip(const struct conf_domain *d, const struct address *sender, struct arena *a)
{
	struct address tagged, plain;
	if (!batv_is_tagged(d, sender))
		return;
	struct slice tag = batv_tag(&d->tag_keys[0], sender, 0, 0, a);
	struct slice local =
		arena_printf(a, "%.*s%.*s", SLICE_ARG(tag), SLICE_ARG(sender->local));
	must(tag.n == BATV_TAG_BYTES);
	if (address_make(local, sender->domain, a, &tagged) != ADDRESS_OK)
		return;
	must(batv_check(d, &tagged, 0, a, &plain) == BATV_OK);
	must(slice_eq(plain.local, sender->local) && slice_eq(plain.domain, sender->domain));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct conf_tag_key keys[] = {{0, SLICE("0123456789abcdef")}};
	static const struct conf_domain domain = {
		.name = SLICE("example.com"), .tag_keys = keys, .n_tag_keys = 1};
	struct address one, plain;
	struct slice rest;
	if (size > 1024)
		return 0;
	struct arena *a = arena_new(1024 * 1024);
	if (address_parse_path((struct slice){(const char *)data, size}, false, true, a, &one,
		    &rest) == ADDRESS_OK &&
		one.domain.n != 0) {
		if (batv_check(&domain, &one, 0, a, &plain) != BATV_NONE)
			must(plain.local.n + BATV_TAG_BYTES == one.local.n);
		check_trip(&domain, &one, a);
	}
	arena_free(&a);
	return 0;
}
