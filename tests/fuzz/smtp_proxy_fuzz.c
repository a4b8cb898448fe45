/* PROXY headers: done exactly from the declared length on, and never with bytes beyond
 * (EXT-08). */
#include "base/must.h"
#include "smtp/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	struct proxy_header h, part;
	const char *why;
	enum proxy_result result = proxy_parse(in, &h, &why);
	must((result == PROXY_BAD) == (why != NULL));
	if (result == PROXY_MORE)
		must(size < PROXY_V2_BYTES_MOST);
	if (result != PROXY_DONE)
		return 0;
	must(h.taken <= size && (h.local || (h.src.family != 0 && h.dst.family != 0)));
	must(proxy_parse(slice_first(in, h.taken), &part, NULL) == PROXY_DONE);
	must(part.taken == h.taken);
	for (size_t n = 0; n < h.taken; n++)
		must(proxy_parse(slice_first(in, n), &part, NULL) == PROXY_MORE);
	return 0;
}
