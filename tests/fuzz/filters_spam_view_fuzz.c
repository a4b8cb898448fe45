/* A mail as the spam filter reads it, and once more with CRLF: bounded, and the same. */
#include <stdint.h>
#include <string.h>

#include "base/must.h"
#include "filters/spam_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct spam_view *v)
{
	must(v->raw.n <= SPAM_RAW_MOST);
	must(v->text.n <= SPAM_TEXT_MOST && v->text.n == v->text_as_is.n);
	must(v->n_parts <= SPAM_PARTS_MOST && v->n_links <= SPAM_LINKS_MOST);
	must(!slice_starts(v->text, SLICE(" ")));
	must(slice_find_slice(v->text, SLICE("  ")) == v->text.n);
	for (size_t i = 0; i < v->n_links; i++)
		must(v->links[i].host.n != 0 && v->links[i].host.n <= SPAM_HOST_MOST);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > 256 * 1024 || memchr(data, '\r', size) != NULL)
		return 0;
	struct arena *a = arena_new(64 * 1024 * 1024);
	struct slice in = {(const char *)data, size};
	char *crlf = arena_alloc(a, 2 * size + 1);
	size_t n = 0;
	for (size_t i = 0; i < size; i++) {
		if (in.p[i] == '\n')
			crlf[n++] = '\r';
		crlf[n++] = in.p[i];
	}
	struct spam_view v, w;
	spam_view_of_mail(in, SLICE("mx.example"), a, &v);
	check(&v);
	size_t before = arena_used(a);
	spam_view_of_mail((struct slice){crlf, n}, SLICE("mx.example"), a, &w);
	check(&w);
	must(slice_eq(v.raw, w.raw));
	if (!v.cut && !w.cut)
		must(slice_eq(v.text, w.text) && v.n_parts == w.n_parts);
	must(arena_used(a) - before < SPAM_VIEW_BYTES + 4 * size);
	arena_free(&a);
	return 0;
}
