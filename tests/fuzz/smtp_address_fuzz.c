/*
 * Paths and domains: nothing that ends a line comes out, and the canonical form is an address
 * whose canonical form is itself (SRV-07).
 */
#include "base/must.h"
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct address *x, bool smtputf8, struct arena *a)
{
	struct address again;
	must(!slice_has(x->raw, '\n') && !slice_has(x->raw, '\r') && !slice_has(x->raw, '\0'));
	must(!slice_has(x->text, '\n') && !slice_has(x->text, '\r') &&
		!slice_has(x->text, '\0'));
	if (x->is_null || x->domain.n == 0)
		return;
	must(address_parse(x->raw, smtputf8, a, &again) == ADDRESS_OK);
	must(slice_eq(again.text, x->text) && slice_eq(again.raw, x->raw));
	enum address_error e = address_parse(x->text, smtputf8, a, &again);
	/* quotes and A-labels can make it longer than a path may be */
	must(e == ADDRESS_OK || e == ADDRESS_TOO_LONG);
	must(e != ADDRESS_OK || slice_eq(again.text, x->text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size}, rest, domain;
	for (int way = 0; way < 4; way++) {
		struct arena *a = arena_new(64 * 1024);
		struct address x;
		bool reverse = (way & 1) != 0, smtputf8 = (way & 2) != 0;
		if (address_parse_path(in, reverse, smtputf8, a, &x, &rest) == ADDRESS_OK)
			check(&x, smtputf8, a);
		if (domain_parse(slice_first(in, 1000), smtputf8, true, a, &domain))
			must(domain.n > 0 && !slice_has(domain, '\0'));
		arena_free(&a);
	}
	return 0;
}
