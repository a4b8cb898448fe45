/*
 * What is said to the process of libopendkim, and what it says (`filter dkim { engine
 * libopendkim }` or `compare libopendkim`). The question's input holds the keys that our
 * resolver has brought, for the library asks no DNS; the mail itself the driver adds, as it
 * does for a scan. Both sides use these functions; the bytes are not for a wire between
 * machines.
 */
#ifndef FILTERS_ENGINE_OPENDKIM_H
#define FILTERS_ENGINE_OPENDKIM_H

#include "filters/dkim.h"

#define ENGINE_OPENDKIM "libopendkim"

enum { ENGINE_OPENDKIM_TEXT_MOST = 64 * 1024 }; /* of a name or a record */

struct engine_opendkim_key {
	struct slice name;      /* "s2026._domainkey.example.com" */
	enum dns_status status; /* DNS_OK: text is there */
	struct slice text;
};

struct engine_opendkim_request {
	int64_t wall_s; /* for t= and x= */
	struct engine_opendkim_key *keys;
	size_t n; /* at most DKIM_SIGNATURES_MOST */
};

struct slice engine_opendkim_pack(const struct engine_opendkim_request *r, struct arena *a);
/* False: not what engine_opendkim_pack makes. Texts borrow from `in`. */
bool
engine_opendkim_unpack(struct slice in, struct arena *a, struct engine_opendkim_request *r_out);

/*
 * The answer: a result for each DKIM-Signature field from the top, as many as the library was
 * given (at most DKIM_SIGNATURES_MOST): one that it finds malformed is DKIM_PERMERROR and must
 * not be shown to it, for it would spoil the others.
 */
struct slice
engine_opendkim_pack_results(const enum dkim_result *results, size_t n, struct arena *a);
/* False: not n results. */
bool engine_opendkim_unpack_results(struct slice in, enum dkim_result *results_out, size_t n);

#endif
