/*
 * What is said to the process of libopendkim and what it says, from a side that is broken. A
 * request that is taken packs to the same bytes; results that are taken are results.
 */
#include <stdint.h>

#include "base/must.h"
#include "filters/engine_opendkim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	struct arena *a = arena_new(8 << 20);
	struct engine_opendkim_request r;
	enum dkim_result results[DKIM_SIGNATURES_MOST];
	if (engine_opendkim_unpack(in, a, &r)) {
		must(r.n <= DKIM_SIGNATURES_MOST);
		must(slice_eq(engine_opendkim_pack(&r, a), in));
	}
	if (size <= DKIM_SIGNATURES_MOST && engine_opendkim_unpack_results(in, results, size)) {
		for (size_t i = 0; i < size; i++)
			must(results[i] > DKIM_NONE && results[i] <= DKIM_TEMPERROR);
		must(slice_eq(engine_opendkim_pack_results(results, size, a), in));
	}
	arena_free(&a);
	return 0;
}
