/*
 * Our Authentication-Results behind lines of text (dkim_lines.h): "field N", whose bytes are
 * the authserv-id and then, a line each, "method result TAB reason TAB name TAB value ..." with
 * the bytes of a value as hex. Answered by "M" and M bytes.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>

#include "dkim_lines.h"
#include "filters/authres.h"

static struct slice
from_hex(struct slice hex, struct arena *a)
{
	char *out = arena_alloc(a, hex.n / 2 + 1);
	for (size_t i = 0; i + 1 < hex.n; i += 2)
		out[i / 2] = (char)(ascii_hex(hex.p[i]) << 4 | ascii_hex(hex.p[i + 1]));
	return (struct slice){out, hex.n / 2};
}

static void
read_result(struct slice line, struct arena *a, struct authres_result *r)
{
	struct slice head, method, result, name, value;
	*r = (struct authres_result){0};
	slice_cut(line, '\t', &head, &line);
	slice_cut(head, ' ', &method, &result);
	r->method = arena_text(a, method);
	r->result = arena_text(a, result);
	slice_cut(line, '\t', &r->reason, &line);
	r->reason = from_hex(r->reason, a);
	while (line.n > 0 && r->n < AUTHRES_PROPERTIES_MOST) {
		slice_cut(line, '\t', &name, &line);
		slice_cut(line, '\t', &value, &line);
		r->property[r->n].name = arena_text(a, name);
		r->property[r->n++].value = from_hex(value, a);
	}
}

int
main(void)
{
	static struct lines l;
	struct arena *a = arena_new(16 << 20);
	while (lines_next(&l) == 1) {
		if (strcmp(l.word[0], "field") != 0)
			errx(2, "unknown command %s", l.word[0]);
		struct slice rest = {l.bytes, l.bytes_n}, id, line;
		struct authres_result results[16];
		size_t n = 0;
		for (slice_cut(rest, '\n', &id, &rest); rest.n > 0 && n < 16; n++) {
			slice_cut(rest, '\n', &line, &rest);
			read_result(line, a, &results[n]);
		}
		struct slice field = authres_field(id, results, n, a);
		printf("%zu\n%.*s", field.n, SLICE_ARG(field));
		fflush(stdout);
		arena_reset(a);
	}
	arena_free(&a);
	lines_fini(&l);
	return 0;
}
