/*
 * Bytes for the process of libopendkim, see engine_opendkim.h: numbers of 32 and 64 bits, then
 * text. Both sides check every length: the library on the other side may have been broken.
 */
#include "filters/engine_opendkim.h"

#include <string.h>

#include "base/must.h"

static char *
put(char *to, const void *from, size_t n)
{
	if (n > 0)
		memcpy(to, from, n);
	return to + n;
}

static char *
put_text(char *to, struct slice s)
{
	uint32_t n = (uint32_t)s.n;
	return put(put(to, &n, sizeof(n)), s.p, s.n);
}

struct slice
engine_opendkim_pack(const struct engine_opendkim_request *r, struct arena *a)
{
	uint32_t n = (uint32_t)r->n;
	size_t bytes = sizeof(r->wall_s) + sizeof(n);
	must(r->n <= DKIM_SIGNATURES_MOST);
	for (size_t i = 0; i < r->n; i++) {
		must(r->keys[i].text.n <= ENGINE_OPENDKIM_TEXT_MOST &&
			r->keys[i].name.n <= ENGINE_OPENDKIM_TEXT_MOST);
		bytes += 3 * sizeof(uint32_t) + r->keys[i].name.n + r->keys[i].text.n;
	}
	char *out = arena_alloc(a, bytes), *to = put(out, &r->wall_s, sizeof(r->wall_s));
	to = put(to, &n, sizeof(n));
	for (size_t i = 0; i < r->n; i++) {
		uint32_t status = r->keys[i].status;
		to = put(to, &status, sizeof(status));
		to = put_text(put_text(to, r->keys[i].name), r->keys[i].text);
	}
	return (struct slice){out, bytes};
}

static bool
take(struct slice *in, void *to, size_t n)
{
	if (in->n < n)
		return false;
	memcpy(to, in->p, n);
	*in = slice_from(*in, n);
	return true;
}

static bool
take_text(struct slice *in, struct slice *out)
{
	uint32_t n;
	if (!take(in, &n, sizeof(n)) || n > ENGINE_OPENDKIM_TEXT_MOST || in->n < n)
		return false;
	*out = slice_first(*in, n);
	*in = slice_from(*in, n);
	return true;
}

bool
engine_opendkim_unpack(struct slice in, struct arena *a, struct engine_opendkim_request *r_out)
{
	uint32_t n, status;
	if (!take(&in, &r_out->wall_s, sizeof(r_out->wall_s)) || !take(&in, &n, sizeof(n)) ||
		n > DKIM_SIGNATURES_MOST)
		return false;
	r_out->n = n;
	r_out->keys = arena_array(a, n, sizeof(*r_out->keys));
	for (size_t i = 0; i < n; i++) {
		struct engine_opendkim_key *key = &r_out->keys[i];
		if (!take(&in, &status, sizeof(status)) || status > DNS_BOGUS ||
			!take_text(&in, &key->name) || !take_text(&in, &key->text))
			return false;
		key->status = (enum dns_status)status;
	}
	return in.n == 0;
}

struct slice
engine_opendkim_pack_results(const enum dkim_result *results, size_t n, struct arena *a)
{
	char *out = arena_alloc(a, n);
	must(n <= DKIM_SIGNATURES_MOST);
	for (size_t i = 0; i < n; i++)
		out[i] = (char)results[i];
	return (struct slice){out, n};
}

bool
engine_opendkim_unpack_results(struct slice in, enum dkim_result *results_out, size_t n)
{
	if (in.n != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (in.p[i] <= DKIM_NONE || in.p[i] > DKIM_TEMPERROR)
			return false;
		results_out[i] = (enum dkim_result)in.p[i];
	}
	return true;
}
