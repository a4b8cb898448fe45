/* Messages to and from the process of libspf2: what unpacks packs again to the same bytes. */
#include <stdint.h>

#include "base/must.h"
#include "filters/engine_spf2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > ENGINE_SPF2_BYTES_MOST)
		return 0;
	struct arena *a = arena_new(64 * 1024 * 1024);
	struct slice in = {(const char *)data, size};
	struct engine_spf2_request request;
	struct engine_spf2_reply reply;
	if (engine_spf2_unpack_request(in, a, &request))
		must(slice_eq(engine_spf2_pack_request(&request, a), in));
	if (engine_spf2_unpack_reply(in, a, &reply))
		must(slice_eq(engine_spf2_pack_reply(&reply, a), in));
	arena_free(&a);
	return 0;
}
