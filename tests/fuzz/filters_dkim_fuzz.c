/*
 * DKIM from strangers: "value of the signature NUL key record NUL body". Every signature gets
 * decided, no result but a plain one comes out, and what could go into a DNS name or a header
 * is plain text.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "filters/dkim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WALL_S = 1795317600 };

static void
check_name(struct slice name)
{
	for (size_t i = 0; i < name.n; i++)
		must(ascii_alpha(name.p[i]) || ascii_digit(name.p[i]) || name.p[i] == '-' ||
			name.p[i] == '_' || name.p[i] == '.');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = {(const char *)data, size}, value, record, body;
	slice_cut(rest, '\0', &value, &rest);
	slice_cut(rest, '\0', &record, &body);
	struct arena *a = arena_new(4 << 20);
	struct message_field fields[] = {
		{.name = SLICE("DKIM-Signature"), .value = value},
		{.name = SLICE("dkim-signature "), .value = record},
		{.name = SLICE("From"), .value = body},
	};
	struct dkim_verify *v = dkim_verify_begin(fields, 3, size % 2 == 0, WALL_S, a);
	dkim_verify_body(v, slice_first(body, size % 5));
	dkim_verify_body(v, slice_from(body, size % 5));
	dkim_verify_body_end(v);
	struct dns_rr rr[] = {{.text = value}, {.text = record}};
	struct dns_answer answer = {.status = DNS_OK, .n = 2, .rr = rr};
	must(dkim_verify_count(v) == 2);
	for (size_t i = 0; i < 2; i++) {
		const struct dkim_signature *s = dkim_verify_signature(v, i);
		check_name(s->domain);
		check_name(s->selector);
		if (s->key_name.n > 0)
			dkim_verify_key(v, i, &answer);
		must(s->result != DKIM_NONE && (s->result == DKIM_PASS || s->reason != NULL));
	}
	arena_free(&a);
	return 0;
}
