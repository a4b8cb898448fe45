/* Tag lists from strangers: what is parsed lies within the input and says the same when read
 * again. */
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "filters/tag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	struct tags tags;
	if (tags_parse(in, size % 2 == 0, &tags) == TAG_OK) {
		for (size_t i = 0; i < tags.n; i++) {
			const struct tag *t = &tags.tag[i];
			must(t->gap.p >= in.p && t->gap.p + t->gap.n <= in.p + in.n);
			must(t->value.n <= t->gap.n && t->name.n > 0);
			struct slice rest = t->value, item;
			while (tag_list_next(&rest, ':', &item))
				must(item.n <= t->value.n);
		}
	}
	struct tag tag;
	for (size_t left = in.n + 1; tag_next(&in, false, &tag) != TAG_STEP_END; left = in.n)
		must(in.n < left);
	return 0;
}
