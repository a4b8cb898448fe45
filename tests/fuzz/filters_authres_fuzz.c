/*
 * Authentication-Results: any head is judged without reading too far, and a field of ours that
 * holds any bytes as its values is one field: no line begins but with a tab, nothing is
 * unprintable, and it is told as ours when it comes back.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "filters/authres.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_field(struct slice field)
{
	must(slice_ends(field, SLICE("\r\n")));
	for (size_t i = 0; i < field.n; i++) {
		char c = field.p[i];
		if (c == '\r')
			must(field.p[i + 1] == '\n' &&
				(i + 2 == field.n || field.p[i + 2] == '\t'));
		else
			must((c >= ' ' && c < 0x7f) || c == '\t' ||
				(c == '\n' && i > 0 && field.p[i - 1] == '\r'));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size}, name, value, id = SLICE("mx.example.com");
	struct arena *a = arena_new(4 << 20);
	authres_is_ours(in, id, a);
	struct authres_result r = {.method = "dkim",
		.result = "fail",
		.reason = in,
		.property = {{"header.d", in}, {"header.s", slice_from(in, size / 2)}},
		.n = 2};
	struct slice field = authres_field(id, &r, 1, a);
	check_field(field);
	slice_cut(slice_first(field, field.n - 2), ':', &name, &value);
	must(authres_is_ours(value, id, a));
	must(!authres_is_ours(value, SLICE("mx.example.org"), a));
	arena_free(&a);
	return 0;
}
